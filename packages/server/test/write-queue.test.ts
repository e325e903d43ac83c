// Proves: a large batch leaves the event loop to others while it is copied, keeps its place among the writes that were called for before and
// after it, and is gone without a trace when it is given up half way; writes that nobody awaits have the order of their calls, and are done
// before the database closes.
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { randomNumbers, temporaryFolder } from './fixture.js'

const DIM = 64
const ROWS = 20_000
/** Of the batch, by the values that are copied in one turn. */
const LEAST_TURNS = Math.floor((ROWS * DIM) / 131_072) - 1

function batch(first: number, rows: number, value: number): { ids: number[]; vectors: Float32Array } {
  return {
    ids: Array.from({ length: rows }, (_, i) => first + i),
    vectors: Float32Array.from({ length: rows * DIM }, (_, i) => value + Math.sin(i)),
  }
}

async function opened(): Promise<{ db: Drift; docs: Collection }> {
  const db = await Drift.open(':memory:', { threads: 0, maintenance: 'off' })
  return { db, docs: await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 100_000 }) }
}

/** Turns of the event loop until the promise is settled. */
async function turnsOf(work: Promise<unknown>): Promise<number> {
  let turns = 0
  let settled = false
  void work.then(
    () => (settled = true),
    () => (settled = true),
  )
  while (!settled) {
    await new Promise(resolve => setImmediate(resolve))
    turns++
  }
  return turns
}

describe('a large batch', () => {
  it('is copied over many turns of the event loop, and seen whole', async () => {
    const { db, docs } = await opened()
    const writing = docs.upsert(batch(0, ROWS, 1))
    const counts = new Set<number>()
    let settled = false
    void writing.then(() => (settled = true))
    let turns = 0
    for (; !settled; turns++) {
      counts.add(await docs.count())
      await new Promise(resolve => setImmediate(resolve))
    }
    expect(turns).toBeGreaterThanOrEqual(LEAST_TURNS)
    expect([...counts].filter(count => count !== 0 && count !== ROWS)).toEqual([])
    expect(await writing).toMatchObject({ upserted: ROWS, replaced: 0 })
    await db.close()
  })

  it('and a small one are written in the order of their calls', async () => {
    const { db, docs } = await opened()
    await docs.upsert(batch(0, 10, 5))
    const [large, small, deleted, patched] = await Promise.all([
      docs.upsert(batch(0, ROWS, 1)),
      docs.upsert([{ id: 3, vector: new Float32Array(DIM).fill(9) }]),
      docs.delete([4]),
      docs.updatePayload([5], { seen: true }),
    ])
    expect(large).toMatchObject({ upserted: ROWS, replaced: 10 })
    const lsns = [large.lsn, small.lsn, deleted.lsn, patched.lsn]
    expect(lsns).toEqual(lsns.toSorted((a, b) => a - b))
    expect([small.replaced, deleted.deleted, patched.updated]).toEqual([1, 1, 1])
    expect((await docs.get(3))?.vector[0]).toBe(9)
    expect(await docs.get(4)).toBeUndefined()
    expect((await docs.get(5))?.vector[0]).toBeCloseTo(1 + Math.sin(5 * DIM))
    expect(await docs.count()).toBe(ROWS - 1)
    await db.close()
  })

  it.each([
    ['ids', (ids: number[]) => ids],
    ['a filter', () => ({ filter: { n: 1 } })],
  ])(
    'is updated by %s over many turns, seen whole, and what is called for behind it comes after',
    async (_, target) => {
      const { db, docs } = await opened()
      const { ids, vectors } = batch(0, ROWS, 1)
      await docs.upsert({ ids, vectors, payloads: ids.map(() => ({ n: 1 })) })
      const updating = docs.updatePayload(target(ids), { n: 2 })
      const behind = docs.upsert([{ id: 7, vector: new Float32Array(DIM), payload: { n: 3 } }])
      const payloads = new Set<unknown>()
      let settled = false
      void updating.then(() => (settled = true))
      let turns = 0
      for (; !settled; turns++) {
        const [first, last] = await Promise.all([docs.get(0), docs.get(ROWS - 1)])
        payloads.add(`${first?.payload?.['n']} ${last?.payload?.['n']}`)
        await new Promise(resolve => setImmediate(resolve))
      }
      expect(turns).toBeGreaterThanOrEqual(LEAST_TURNS)
      expect([...payloads].filter(seen => seen !== '1 1' && seen !== '2 2')).toEqual([])
      const updated = await updating
      expect(updated).toMatchObject({ updated: ROWS })
      expect((await behind).lsn).toBeGreaterThan(updated.lsn)
      expect((await docs.get(7))?.payload).toEqual({ n: 3 })
      expect(await docs.count({ filter: { n: 2 } })).toBe(ROWS - 1)
      await db.close()
    },
  )

  it('is deleted by a filter over many turns, seen whole, and what is called for behind it comes after', async () => {
    const { db, docs } = await opened()
    const rows = 5 * ROWS
    const ids = Array.from({ length: rows }, (_, i) => `document ${i}`)
    await docs.upsert({ ids, vectors: new Float32Array(rows * DIM) })
    const deleting = docs.delete({ filter: {} })
    const behind = docs.upsert([{ id: 'document 7', vector: new Float32Array(DIM) }])
    const counts = new Set<number>()
    let settled = false
    void deleting.then(() => (settled = true))
    let turns = 0
    for (; !settled; turns++) {
      counts.add(await docs.count())
      await new Promise(resolve => setImmediate(resolve))
    }
    // By the ids that are encoded in one turn.
    expect(turns).toBeGreaterThanOrEqual(rows / 4_096)
    expect([...counts].filter(count => count !== 0 && count !== rows)).toEqual([])
    const deleted = await deleting
    expect(deleted).toMatchObject({ deleted: rows })
    expect((await behind).lsn).toBeGreaterThan(deleted.lsn)
    expect(await docs.count()).toBe(1)
    await db.close()
  })

  it('that is being deleted by a filter is left as it was when that is given up half way', async () => {
    const { db, docs } = await opened()
    await docs.upsert(batch(0, ROWS, 1))
    const controller = new AbortController()
    const deleting = docs.delete({ filter: {} }, { signal: controller.signal })
    const told = expect(deleting).rejects.toBe('enough')
    await new Promise(resolve => setImmediate(resolve))
    controller.abort('enough')
    await told
    expect(await docs.count()).toBe(ROWS)
    expect(await docs.delete([3])).toMatchObject({ deleted: 1 })
    await db.close()
  })

  it('of few rows with large payloads is updated over as many turns as these are large', async () => {
    const { db, docs } = await opened()
    const rows = 300
    const { ids, vectors } = batch(0, rows, 1)
    const text = 'x'.repeat(60_000)
    await docs.upsert({ ids, vectors, payloads: ids.map(() => ({ text })) })
    const turns = await turnsOf(docs.updatePayload(ids, { n: 2 }))
    // A turn ends with the row that exceeds it.
    expect(turns).toBeGreaterThanOrEqual(Math.floor((rows * text.length) / (2 * 131_072)))
    expect(await docs.count({ filter: { n: 2 } })).toBe(rows)
    await db.close()
  })

  it('whose update is too large for one record is refused before all of it is made, and is as it was', async () => {
    const { db, docs } = await opened()
    const rows = 2_400
    const payload = { n: 1, text: 'x'.repeat(60_000) }
    for (let first = 0; first < rows; first += 600) {
      const { ids, vectors } = batch(first, 600, 1)
      await docs.upsert({ ids, vectors, payloads: ids.map(() => payload) })
    }
    const updating = docs.updatePayload({ filter: {} }, { n: 2 })
    const refused = expect(updating).rejects.toMatchObject({ code: 'DRIFT_BATCH_TOO_LARGE' })
    const whole = Math.floor((rows * payload.text.length) / (2 * 131_072))
    expect(await turnsOf(updating)).toBeLessThan(whole)
    await refused
    expect(await docs.get(0)).toMatchObject({ payload })
    expect(await docs.updatePayload([0], { n: 3 })).toMatchObject({ updated: 1 })
    await db.close()
  })

  it('whose update is aborted half way is as it was', async () => {
    const { db, docs } = await opened()
    const { ids, vectors } = batch(0, ROWS, 1)
    await docs.upsert({ ids, vectors, payloads: ids.map(() => ({ n: 1 })) })
    const stopping = new AbortController()
    const updating = docs.updatePayload(ids, { n: 2 }, { signal: stopping.signal })
    const outcome = expect(updating).rejects.toThrow('enough')
    await new Promise(resolve => setImmediate(resolve))
    stopping.abort(new Error('enough'))
    await outcome
    expect(await docs.count({ filter: { n: 1 } })).toBe(ROWS)
    expect(await docs.updatePayload([7], { n: 3 })).toMatchObject({ updated: 1 })
    await db.close()
  })

  it('of few rows with large payloads is entered in payload indexes over as many turns as these are large', async () => {
    const { db, docs } = await opened()
    const rows = 300
    const { ids, vectors } = batch(0, rows, 1)
    const text = 'x'.repeat(60_000)
    const payloads = ids.map(n => ({ n, text }))
    await docs.createIndex('n', 'number')
    const upserting = docs.upsert({ ids, vectors, payloads })
    // Of this one nothing has been read yet.
    const creating = docs.createIndex('text', 'keyword')
    // A turn ends with the row that exceeds it.
    expect(await turnsOf(upserting)).toBeGreaterThanOrEqual(Math.floor((rows * text.length) / (2 * 131_072)))
    await creating
    expect(await docs.count({ filter: { n: { $gte: 100 } } })).toBe(rows - 100)
    expect(await docs.count({ filter: { text } })).toBe(rows)
    const { filter } = await docs.explain(new Float32Array(DIM), { filter: { n: 5, text } })
    expect(filter?.indexes).toHaveLength(2)
    await db.close()
  })

  it('that is aborted half way leaves nothing, and its rows are used again', async () => {
    const { db, docs } = await opened()
    await docs.upsert(batch(0, 10, 5))
    for (let round = 0; round < 3; round++) {
      const reason = new Error('enough')
      const stopping = new AbortController()
      const writing = docs.upsert(batch(0, ROWS, round), { signal: stopping.signal })
      await new Promise(resolve => setImmediate(resolve))
      stopping.abort(reason)
      await expect(writing).rejects.toBe(reason)
      expect(await docs.count()).toBe(10)
      expect((await docs.get(7))?.vector[1]).toBeCloseTo(5 + Math.sin(7 * DIM + 1))
    }
    const { memory } = await docs.stats()
    await docs.upsert(batch(0, ROWS, 2))
    expect((await docs.stats()).memory['vectors']).toBe(memory['vectors'])
    expect(await docs.count()).toBe(ROWS)
    await db.close()
  })

  it.each([':memory:', 'a folder'])(
    'is written, and so is what waits behind it, when the database is closed meanwhile, in %s',
    async where => {
      const path = where === ':memory:' ? where : temporaryFolder()
      const db = await Drift.open(path, { threads: 0, maintenance: 'off' })
      // Small enough that the writes wait for flushes, too.
      const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 1_000 })
      const outcomes = Promise.allSettled([
        docs.upsert(batch(0, ROWS, 1)),
        ...Array.from({ length: 10 }, (_, i) => docs.upsert(batch(ROWS + 500 * i, 500, i))),
        docs.delete([1]),
        docs.updatePayload([2], { seen: true }),
        docs.delete({ filter: { seen: true } }),
      ])
      const closing = db.close()
      await expect(docs.upsert(batch(0, 1, 1))).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
      await closing
      const values = (await outcomes).map(outcome => outcome.status === 'fulfilled' && outcome.value)
      expect(values).toMatchObject([
        { upserted: ROWS },
        ...Array.from({ length: 10 }, () => ({ upserted: 500 })),
        { deleted: 1 },
        { updated: 1 },
        { deleted: 1 },
      ])
      if (path === ':memory:') return
      await using again = await Drift.open(path, { threads: 0 })
      expect(await (await again.collection('docs')).count()).toBe(ROWS + 5_000 - 2)
    },
  )

  it('is refused as ever when the disk is full while the database is closed', async () => {
    const fs = new SimFs()
    const db = await Drift.open('/db', { fs, threads: 0, maintenance: 'off', minFreeBytes: 0 })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    await docs.upsert(batch(0, 10, 1))
    fs.capacity = 0
    const writes = [docs.upsert(batch(10, ROWS, 1)), docs.upsert(batch(0, 10, 2)), docs.delete([1])]
    const outcomes = Promise.allSettled(writes)
    await db.close()
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'DRIFT_DISK_FULL' } })
    }
    fs.capacity = Number.POSITIVE_INFINITY
    await using again = await Drift.open('/db', { fs, threads: 0 })
    expect(await (await again.collection('docs')).count()).toBe(10)
  })
})

describe('many small batches', () => {
  it('that are written at once leave the event loop to others, too', async () => {
    const { db, docs } = await opened()
    const writes = Array.from({ length: 200 }, (_, i) => docs.upsert(batch(100 * i, 100, i)))
    expect(await turnsOf(Promise.all(writes))).toBeGreaterThanOrEqual(LEAST_TURNS)
    expect(await docs.count()).toBe(ROWS)
    await db.close()
  })
})

describe('writes that are called for at once', () => {
  const vector = new Array(DIM).fill(1)
  type Payload = { readonly n?: number; readonly even?: boolean }

  it.each([
    ['an update by id', (docs: Collection) => docs.updatePayload(['a'], { patched: 1 })],
    ['an update by filter', (docs: Collection) => docs.updatePayload({ filter: { n: 1 } }, { patched: 1 })],
    ['a delete by filter', (docs: Collection) => docs.delete({ filter: { n: 1 } })],
  ])('%s does not reach what is upserted after it', async (_, first) => {
    const { db, docs } = await opened()
    await docs.upsert([{ id: 'a', vector, payload: { n: 1 } }])
    await Promise.all([first(docs), docs.upsert([{ id: 'a', vector, payload: { n: 1, new: true } }])])
    expect((await docs.get('a'))?.payload).toEqual({ n: 1, new: true })
    await db.close()
  })

  it.each([':memory:', 'a folder'])('are done in the order of their calls, in %s', async where => {
    const path = where === ':memory:' ? where : temporaryFolder()
    const db = await Drift.open(path, { threads: 0 })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 64 })
    const random = randomNumbers(11)
    const model = new Map<number, Payload>()
    const ids = Array.from({ length: 8 }, (_, i) => i)
    for (let round = 0; round < 40; round++) {
      const calls: Promise<unknown>[] = []
      for (let call = 0; call < 12; call++) {
        const id = ids[Math.floor(random() * ids.length)]!
        const n = 100 * round + call
        const even = call % 2 === 0
        const kind = Math.floor(random() * 6)
        if (kind < 3) {
          calls.push(docs.upsert([{ id, vector, payload: { n, even } }]))
          model.set(id, { n, even })
        } else if (kind === 3) {
          calls.push(docs.delete([id]))
          model.delete(id)
        } else if (kind === 4) {
          calls.push(docs.updatePayload([id], { n }))
          if (model.has(id)) model.set(id, { ...model.get(id), n })
        } else {
          calls.push(docs.delete({ filter: { even } }))
          for (const [each, payload] of model) if (payload.even === even) model.delete(each)
        }
      }
      await Promise.all(calls)
      const found = new Map<number, unknown>()
      for await (const { id, payload } of docs.scan()) found.set(id as number, payload)
      expect([round, Object.fromEntries(found)]).toEqual([round, Object.fromEntries(model)])
    }
    await db.close()
    if (path === ':memory:') return
    await using again = await Drift.open(path, { threads: 0 })
    const rows = await again.collection('docs')
    for (const id of ids) expect((await rows.get(id))?.payload).toEqual(model.get(id))
  })
})
