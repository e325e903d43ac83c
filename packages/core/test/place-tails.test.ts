/**
 * Proves that rows of a memtable may be in buckets ahead of their flush: each is found once, whatever becomes of it meanwhile, a search no
 * longer compares them one by one, and the flush finds them where they are.
 */
import { afterAll, expect, it } from 'vitest'
import { IndexPool, VectorIndex } from '../src/index.js'
import { clustered, expectExactly, numbers, rowOf } from './data.js'

const DIM = 8
const BUILT = 3000
const vectors = clustered(5000, DIM, 40, 11)
const part = (first: number, end: number) => vectors.subarray(first * DIM, end * DIM)
const pool = new IndexPool({ threads: 2 })
afterAll(() => pool.close())

const build = (options: { pool?: IndexPool } = {}) =>
  VectorIndex.build({ dim: DIM, metric: 'l2', bucketRows: 8, ...options }, part(0, BUILT))

function scanned(index: VectorIndex): number {
  let clock = 0
  return index.explain(rowOf(vectors, DIM, 0), { k: 5 }, () => clock++).scannedRows
}

it('they are not compared one by one any more, and the flush finds them there', async () => {
  const index = await build()
  const before = scanned(index)
  index.upsert(numbers(1000, BUILT), part(BUILT, BUILT + 1000))
  expect(index.tailRows).toBe(1000)
  expect(scanned(index)).toBeGreaterThan(before + 900)
  await index.placeTails()
  expect(index.tailRows).toBe(0)
  expect(scanned(index)).toBeLessThan(before + 300)
  expectExactly(index, numbers(BUILT + 1000))
  // Linking them, too, would be work for nothing.
  expect(index.link(1000, () => 0)).toBe(false)
  expect(index.stats().linkedRows).toBe(0)
  const homes = numbers(1000, BUILT).map(id => index.bucketsOf(index.find(id)))
  index.upsert(numbers(10), part(0, 10))
  const memtable = index.rotate()!
  await index.flush(memtable)
  expect(numbers(1000, BUILT).map(id => index.bucketsOf(index.find(id)))).toEqual(homes)
  expectExactly(index, numbers(BUILT + 1000))
  expect(index.stats().unassigned).toBe(0)
})

it('a row that waits for the log, and those behind it, stay where every search compares them', async () => {
  const index = await build()
  index.upsert(numbers(10, BUILT), part(BUILT, BUILT + 10))
  const pending = index.append(numbers(10, BUILT + 10), part(BUILT + 10, BUILT + 20))
  index.upsert(numbers(10, BUILT + 20), part(BUILT + 20, BUILT + 30))
  await index.placeTails()
  expect(index.tailRows).toBe(20)
  expectExactly(index, [...numbers(BUILT + 10), ...numbers(10, BUILT + 20)])
  index.publish(pending)
  expectExactly(index, numbers(BUILT + 30))
  await index.placeTails()
  expect(index.tailRows).toBe(0)
  expectExactly(index, numbers(BUILT + 30))
})

it('rows that are written, replaced, deleted or flushed while others are on their way are each found once', async () => {
  const index = await build({ pool })
  index.upsert(numbers(1000, BUILT), part(BUILT, BUILT + 1000))
  const placing = index.placeTails()
  index.upsert(numbers(200, BUILT + 900), part(BUILT + 700, BUILT + 900))
  index.delete(numbers(100, BUILT))
  const flushing = index.flush(index.rotate()!)
  index.upsert(numbers(50, BUILT + 1100), part(BUILT + 1100, BUILT + 1150))
  const again = index.placeTails()
  const live = [...numbers(BUILT), ...numbers(1050, BUILT + 100)]
  expectExactly(index, live)
  await placing
  expectExactly(index, live)
  await Promise.all([flushing, again])
  expectExactly(index, live)
  expect(index.tailRows).toBe(0)
  const { ids, counts } = await index.searchBatch(part(0, 20), { k: live.length, probes: 1e6 })
  for (const count of counts) expect(count).toBe(live.length)
  expect(new Set(ids.slice(0, live.length)).size).toBe(live.length)
})

it('without buckets there is nothing to bring them to', async () => {
  const index = new VectorIndex({ dim: DIM, metric: 'l2' })
  index.upsert(numbers(100), part(0, 100))
  expect(index.tailRows).toBe(0)
  await index.placeTails()
  expect(index.stats().buckets).toBe(0)
  expectExactly(index, numbers(100))
})
