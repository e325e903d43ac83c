/** Proves that healing runs in the background and by hand, is told to listeners, keeps every row, and does not hold up a close. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setImmediate as turn } from 'node:timers/promises'
import { FsError, SimFs } from '@drift/fs'
import { expect, it } from 'vitest'
import { type Collection, Drift, type MaintenanceEvent } from '../src/index.js'
import { randomNumbers } from './fixture.js'

const DIM = 8
const ROWS = 2000

/** Rows around points that move along the first axis. */
function vectorsAt(place: number): Float32Array {
  return Float32Array.from({ length: ROWS * DIM }, (_, i) => {
    const row = Math.floor(i / DIM)
    return (i % DIM === 0 ? place : 0) + Math.sin((row % 97) * (1 + (i % DIM))) + 0.2 * Math.sin(i * 1.7)
  })
}

function idsFrom(first: number): number[] {
  return Array.from({ length: ROWS }, (_, i) => first + i)
}

/** A collection whose first rows are gone and whose others came later. */
async function drifted(db: Drift, memtableRows?: number): Promise<Collection> {
  const docs = await db.collection('docs', {
    dim: DIM,
    metric: 'l2',
    ...(memtableRows ? { memtableRows } : {}),
  })
  await docs.upsert({ ids: idsFrom(0), vectors: vectorsAt(0) })
  await docs.flush()
  await docs.upsert({ ids: idsFrom(ROWS), vectors: vectorsAt(5) })
  await docs.flush()
  await docs.delete(idsFrom(0).filter(id => id % 10 > 0))
  return docs
}

async function expectAll(docs: Collection): Promise<void> {
  expect(await docs.count()).toBe(ROWS + ROWS / 10)
  const hits = await docs.search(new Float32Array(DIM), { k: 2 * ROWS, probes: 10_000 })
  expect(new Set(hits.map(({ id }) => id)).size).toBe(ROWS + ROWS / 10)
}

it('by hand it reports what it did, each operation is told, and the buckets can be looked at', async () => {
  const db = await Drift.open(':memory:', { maintenance: 'manual', threads: 0 })
  const events: MaintenanceEvent[] = []
  const published: unknown[] = []
  const listener = (event: MaintenanceEvent) => events.push(event)
  const subscriber = (message: unknown) => published.push(message)
  db.on('maintenance', listener)
  subscribe('drift:maintenance', subscriber)
  try {
    const docs = await drifted(db)
    expect(events).toEqual([])
    const report = await docs.maintain()
    expect(report.operations).toBeGreaterThan(20)
    expect(events).toHaveLength(report.operations)
    expect(published).toEqual(events)
    const merge = events.find(({ kind }) => kind === 'merge')!
    expect(merge.collection).toBe('docs')
    expect(merge.after.buckets).toBe(merge.before.buckets - 1)
    const { buckets, bucketStats } = await docs.stats({ buckets: true })
    expect(bucketStats).toHaveLength(buckets)
    expect(bucketStats!.reduce((sum, { rows }) => sum + rows, 0)).toBe(ROWS + ROWS / 10)
    await expectAll(docs)
    db.off('maintenance', listener)
    await docs.delete([ROWS])
    await docs.maintain()
    await expect(docs.maintain({ policy: 'urgent' as never })).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
    const { kinds } = await docs.maintain({ policy: 'paper' })
    expect(Object.keys(kinds).filter(kind => kind !== 'merge')).toEqual([])
    expect(events).toHaveLength(report.operations)
  } finally {
    unsubscribe('drift:maintenance', subscriber)
    await db.close()
  }
})

it('in the background it comes to rest by itself, and what it did not finish does not hold up a close', async () => {
  const db = await Drift.open(':memory:', { threads: 0 })
  const merged = new Promise<MaintenanceEvent>(resolve => db.on('maintenance', resolve))
  const docs = await drifted(db)
  await docs.upsert([{ id: 'wake', vector: new Float32Array(DIM) }])
  await merged
  await docs.delete(['wake'])
  await expectAll(docs)
  const started = performance.now()
  await db.close()
  expect(performance.now() - started).toBeLessThan(1000)
})

it('that fails says nothing of flushes: writers who wait for room get it', async () => {
  const LEFT = (2 * ROWS) / 10
  let isFailing = false
  const fs = new SimFs({
    before(operation, path) {
      if (!isFailing || operation !== 'open' || !path.includes('idx-')) return
      isFailing = false
      throw new FsError('DRIFT_FS_EIO', 'planned', { operation, path })
    },
  })
  const options = { fs, threads: 0, minFreeBytes: 0 }
  // Nothing is healed before all of it is due.
  const before = await Drift.open('/db', { ...options, maintenance: 'off' })
  const all = await drifted(before, 64)
  await all.delete(idsFrom(ROWS).filter(id => id % 10 > 0))
  await before.close()
  const db = await Drift.open('/db', options)
  const written: Promise<unknown>[] = []
  const failed = new Promise<void>(resolve => {
    let moves = 0
    db.on('maintenance', event => {
      moves += event.moves
      // With so many the index file is written next; before it is, everything that may wait for a flush is full.
      if (written.length > 0 || moves < LEFT / 2) return
      isFailing = true
      for (let batch = 0; batch < 5; batch++) {
        const ids = Array.from({ length: 64 }, (_, i) => 10 * ROWS + 64 * batch + i)
        written.push(docs.upsert({ ids, vectors: new Float32Array(64 * DIM) }))
      }
      resolve()
    })
  })
  const docs = await db.collection('docs')
  expect(await docs.count()).toBe(LEFT)
  await failed
  await Promise.all(written)
  expect(isFailing).toBe(false)
  expect(await docs.count()).toBe(LEFT + 5 * 64)
  await db.close()
})

it.each(['background', 'manual'] as const)(
  'an index file that could not be written is told until one could be, with maintenance in %s',
  async maintenance => {
    let isFailing = true
    const fs = new SimFs({
      before(operation, path) {
        if (isFailing && operation === 'open' && path.includes('idx-'))
          throw new FsError('DRIFT_FS_EIO', 'planned', { operation, path })
      },
    })
    const db = await Drift.open('/db', { fs, threads: 0, minFreeBytes: 0, maintenance })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    await docs.upsert({ ids: idsFrom(0), vectors: vectorsAt(0) })
    await docs.flush()
    await expect.poll(async () => (await db.stats()).lastError).toBe('planned')
    isFailing = false
    await docs.upsert({ ids: idsFrom(ROWS), vectors: vectorsAt(5) })
    await docs.flush()
    await expect.poll(async () => (await db.stats()).lastError).toBeUndefined()
    await db.close()
  },
)

it('in the background it goes on by itself after an open, when nobody writes and nothing else turns the event loop', async () => {
  const fs = new SimFs()
  const before = await Drift.open('/db', { fs, threads: 0, maintenance: 'manual' })
  const written = await drifted(before)
  // What moves no row is done and stored; what is left has to be saved up for.
  await written.maintain({ budget: 0 })
  await written.compact()
  await before.close()
  const db = await Drift.open('/db', { fs, threads: 0 })
  let ticks = 0
  const clock = setInterval(() => ticks++, 1000)
  let operations = 0
  await new Promise<void>(resolve => {
    db.on('maintenance', () => {
      if (++operations === 40) resolve()
    })
  })
  clearInterval(clock)
  // One or two; forty and more when only the clock wakes it.
  expect(ticks).toBeLessThan(15)
  await expectAll(await db.collection('docs'))
  await db.close()
}, 180_000)

it('what was healed by hand need not be healed again after the next open', async () => {
  const fs = new SimFs()
  const options = { fs, threads: 0, maintenance: 'manual' } as const
  const db = await Drift.open('/db', options)
  const { operations, moves } = await (await drifted(db)).maintain()
  expect(moves).toBeGreaterThan(100)
  await db.close()
  const again = await Drift.open('/db', options)
  const docs = await again.collection('docs', { dim: DIM, metric: 'l2' })
  const report = await docs.maintain()
  expect(report.operations).toBeLessThan(0.1 * operations)
  expect(report.moves).toBeLessThan(0.1 * moves)
  await expectAll(docs)
  await again.close()
})

it('a close ends refining and healing at their next slice, and every row is there when it is opened again', async () => {
  const fs = new SimFs()
  const rows = 12_000
  const dim = 128
  const random = randomNumbers(5)
  const vectors = Float32Array.from({ length: rows * dim }, () => random() - 0.5)
  const open = () => Drift.open('/db', { fs, threads: 0 })
  let db = await open()
  let docs = await db.collection('docs', { dim, metric: 'l2', memtableRows: rows })
  // The second flush doubles what is in buckets: all of it is to be refined.
  for (const [first, count] of [
    [0, 4000],
    [4000, 8000],
  ] as const) {
    const ids = Array.from({ length: count }, (_, i) => first + i)
    await docs.upsert({ ids, vectors: vectors.subarray(first * dim, (first + count) * dim) })
    await docs.flush()
  }
  await turn()
  await turn()
  await turn()
  let turns = 0
  let isClosed = false
  const closing = db.close().then(() => {
    isClosed = true
  })
  while (!isClosed) {
    await turn()
    turns++
  }
  await closing
  // Thirty and more when the chunk under way is finished first.
  expect(turns).toBeLessThan(10)
  db = await open()
  docs = await db.collection('docs', { dim, metric: 'l2', memtableRows: rows })
  expect(await docs.count()).toBe(rows)
  for (const id of [0, 3999, 4000, 11_999]) {
    const query = vectors.subarray(id * dim, (id + 1) * dim)
    expect((await docs.search(query, { k: 1, recall: 1 }))[0]).toMatchObject({ id, distance: 0 })
  }
  await db.close()
})

it('switched off, it is refused by hand too; a mode that does not exist is refused', async () => {
  const db = await Drift.open(':memory:', { maintenance: 'off', threads: 0 })
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
  await expect(docs.maintain()).rejects.toMatchObject({ code: 'DRIFT_MAINTENANCE_OFF' })
  await db.close()
  await expect(Drift.open(':memory:', { maintenance: 'on' as never })).rejects.toMatchObject({
    code: 'DRIFT_OPTION',
  })
})
