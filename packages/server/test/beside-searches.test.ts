/**
 * Proves that background work gives way to whoever searches: rows that wait for their flush go where searching them costs little, healing
 * rests while searches are late and still comes to its end, and neither holds up writers, a flush or a close.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { SimFs } from '@drift/fs'
import { afterEach, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { clusteredVectors } from './fixture.js'

const DIM = 8
const ROWS = 4_000
const vectors = clusteredVectors(3 * ROWS, DIM, 3)
const query = vectors.subarray(0, DIM)
const part = (first: number, count: number) => ({
  ids: Array.from({ length: count }, (_, i) => first + i),
  vectors: vectors.subarray(first * DIM, (first + count) * DIM),
})

const opened: Drift[] = []
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close()
})

async function open(path: string, options: Parameters<typeof Drift.open>[1]): Promise<Drift> {
  const db = await Drift.open(path, { threads: 0, ...options })
  opened.push(db)
  return db
}

/** Searches, one after the other, each in a turn of the event loop of its own, until the work is done. */
async function searchUntil(docs: Collection, work: Promise<unknown>): Promise<number> {
  let isDone = false
  const end = () => {
    isDone = true
  }
  work.then(end, end)
  let searches = 0
  for (; !isDone; searches++) {
    await docs.search(query, { k: 3 })
    await turn()
  }
  await work
  return searches
}

it('rows that searches would compare one by one go to buckets ahead of their flush, and outlive what comes then', async () => {
  const fs = new SimFs()
  const options = { fs, maintenance: 'manual' } as const
  let db = await open('/db', options)
  let docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 2 * ROWS })
  await docs.upsert(part(0, ROWS))
  await docs.flush()
  // Too many for graphs to take in meanwhile.
  await docs.upsert(part(ROWS, ROWS))
  const scanned = async () => (await docs.explain(query, { k: 3 })).scannedRows
  for (let before = await scanned(); (await scanned()) > before - ROWS / 2; ) {
    await docs.search(query, { k: 3 })
    await turn()
  }
  expect((await docs.stats()).unflushedRows).toBe(ROWS)
  await docs.delete(part(ROWS, 100).ids)
  await docs.upsert(part(0, 100))
  // The index file has these rows in buckets, and no segment has them: the log does.
  await docs.maintain()
  await db.close()
  db = await open('/db', options)
  docs = await db.collection('docs')
  expect(await docs.count()).toBe(2 * ROWS - 100)
  const hits = await docs.search(query, { k: 3 * ROWS, probes: 1e6 })
  expect(new Set(hits.map(({ id }) => id)).size).toBe(2 * ROWS - 100)
  await docs.flush()
  expect((await db.check()).ok).toBe(true)
  expect(await docs.search(query, { k: 3 * ROWS, probes: 1e6 })).toEqual(hits)
})

it('healing rests while searches are late, and comes to its end all the same', async () => {
  const db = await open(':memory:', { maintenance: 'manual', maxSearchWaitMs: 0 })
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
  await docs.upsert(part(0, ROWS))
  await docs.flush()
  await docs.upsert(part(ROWS, ROWS))
  await docs.flush()
  await docs.delete(part(0, ROWS).ids.filter(id => id % 10 > 0))
  const searches = await searchUntil(docs, docs.maintain())
  expect(searches).toBeGreaterThan(100)
  const { maintenance } = await db.stats()
  expect(maintenance.maxSearchWaitMs).toBe(0)
  expect(maintenance.lateSearches).toBeGreaterThan(0.01)
  expect(maintenance.pausedMs).toBeGreaterThan(0)
})

it('two collections that rest at the same time rest for that time, not for twice as long', async () => {
  const began = performance.now()
  const db = await open(':memory:', { maintenance: 'manual', maxSearchWaitMs: 0 })
  const all = await Promise.all(
    ['a', 'b', 'c', 'd'].map(name => db.collection(name, { dim: DIM, metric: 'l2' })),
  )
  for (const docs of all) {
    await docs.upsert(part(0, ROWS))
    await docs.flush()
    await docs.delete(part(0, ROWS).ids.filter(id => id % 10 > 0))
  }
  await searchUntil(all[0]!, Promise.all(all.map(docs => docs.maintain())))
  const { pausedMs } = (await db.stats()).maintenance
  expect(pausedMs).toBeGreaterThan(0)
  expect(pausedMs).toBeLessThan(performance.now() - began)
})

it('nobody searches, or nobody is late: healing does not rest', async () => {
  for (const [maxSearchWaitMs, searches] of [
    [0, false],
    [Number.POSITIVE_INFINITY, true],
  ] as const) {
    const db = await open(':memory:', { maintenance: 'manual', maxSearchWaitMs })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    await docs.upsert(part(0, ROWS))
    await docs.flush()
    await docs.delete(part(0, ROWS).ids.filter(id => id % 10 > 0))
    const healing = docs.maintain()
    if (searches) await searchUntil(docs, healing)
    expect((await healing).operations).toBeGreaterThan(10)
    const { maintenance } = await db.stats()
    expect(maintenance).toMatchObject({ paused: false, pausedMs: 0, lateSearches: 0, maxSearchWaitMs })
  }
})

it('in the background it rests too, and rows are flushed as fast as ever', async () => {
  const db = await open(':memory:', { maxSearchWaitMs: 0 })
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 256 })
  let operations = 0
  const healed = new Promise<void>(resolve => {
    db.on('maintenance', () => {
      if (++operations === 10) resolve()
    })
  })
  const write = async () => {
    for (let first = 0; first < ROWS; first += 100) {
      await docs.upsert(part(first, 100))
      // Those that wait: the one that is filled, two that are full, and the batch that did not fit.
      expect((await docs.stats()).unflushedRows).toBeLessThanOrEqual(3 * 256 + 2 * 100)
    }
    await docs.delete(part(0, ROWS / 2).ids.filter(id => id % 10 > 0))
  }
  await searchUntil(docs, write())
  await searchUntil(docs, healed)
  expect((await db.stats()).maintenance.pausedMs).toBeGreaterThan(0)
})

it('a bound that is no time is refused', async () => {
  for (const maxSearchWaitMs of [-1, Number.NaN, '5']) {
    await expect(Drift.open(':memory:', { maxSearchWaitMs } as never)).rejects.toMatchObject({
      code: 'DRIFT_OPTION',
    })
  }
})
