// Proves: a large batch leaves the event loop to others while it is copied, keeps its place among the writes that were called for before and
// after it, and is gone without a trace when it is given up half way.
import { describe, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'

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

  it('is refused, and so is what waits behind it, when the database is closed meanwhile', async () => {
    const { db, docs } = await opened()
    const writes = [docs.upsert(batch(0, ROWS, 1)), docs.upsert(batch(ROWS, 1, 1)), docs.delete([1])]
    const outcomes = Promise.allSettled(writes)
    await db.close()
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'DRIFT_CLOSED' } })
    }
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
