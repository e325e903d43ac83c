/**
 * Proves that rows which were just written are found as surely by their 1-bit entries as by their codes, each once, whatever becomes of them:
 * replaced, deleted, linked, placed, flushed, or read by another thread while they are.
 */
import { afterAll, describe, expect, it } from 'vitest'
import { IndexPool, type Metric, seededRandom, VectorIndex, type VectorIndexOptions } from '../src/index.js'
import { clustered, expectExactly, nearby, numbers, rowOf } from './data.js'

const DIM = 48
const BUILT = 2000
const TAIL = 3000
const ROWS = BUILT + TAIL
const vectors = clustered(ROWS + 2000, DIM, 40, 21)
const queries = nearby(vectors, DIM, 100, 22)
const part = (first: number, end: number) => vectors.subarray(first * DIM, end * DIM)
const pool = new IndexPool({ threads: 2 })
afterAll(() => pool.close())

const build = (options: Partial<VectorIndexOptions> & { pool?: IndexPool } = {}) =>
  VectorIndex.build({ dim: DIM, metric: 'l2', bucketRows: 16, ...options }, part(0, BUILT))

/** Searches until every row that waits has an entry. */
function code(index: VectorIndex): void {
  for (let i = 0; i < 20; i++) index.searchSync(rowOf(queries, DIM, i), { k: 10 })
}

/** Of the true k nearest that were written last, the share that searches find. */
function recallOfTail(index: VectorIndex, k: number, first: number): number {
  let found = 0
  let all = 0
  for (let i = 0; i < 100; i++) {
    const query = rowOf(queries, DIM, i)
    const truth = index.exactSync(query, k).ids.filter(id => Number(id) >= first)
    const ids = new Set(index.searchSync(query, { k }).ids)
    all += truth.length
    for (const id of truth) if (ids.has(id)) found++
  }
  expect(all).toBeGreaterThan(300)
  return found / all
}

describe.each<Metric>(['l2', 'cosine', 'ip'])('%s', metric => {
  it('rows beside buckets, and rows of an index without any, are found as before', async () => {
    const beside = await build({ metric })
    beside.upsert(numbers(TAIL, BUILT), part(BUILT, ROWS))
    code(beside)
    expect(recallOfTail(beside, 10, BUILT)).toBeGreaterThan(0.998)
    const alone = new VectorIndex({ dim: DIM, metric })
    alone.upsert(numbers(TAIL), part(0, TAIL))
    code(alone)
    expect(recallOfTail(alone, 10, 0)).toBeGreaterThan(0.998)
  })
})

it.each([1, 8])('in %i dimensions rows close to the mean of all are found by a query close to it', dim => {
  const random = seededRandom(31)
  const rows = 12_000
  const data = Float32Array.from({ length: rows * dim }, () => random() + random() + random())
  const index = new VectorIndex({ dim, metric: 'l2' })
  index.upsert(numbers(rows), data)
  for (let i = 0; i < 30; i++) index.searchSync(rowOf(data, dim, i), { k: 1 })
  for (let i = -10; i <= 10; i++) {
    const query = new Float32Array(dim).fill(1.5 + 0.005 * i)
    const farthest = index.exactSync(query, 100).distances[99]!
    const { distances } = index.searchSync(query, { k: 100 })
    expect(distances.filter(distance => distance <= farthest).length).toBeGreaterThanOrEqual(99)
  }
})

it('entries are as many as the rows, and count as rows that are scanned', () => {
  const index = new VectorIndex({ dim: DIM, metric: 'l2' })
  index.upsert(numbers(TAIL), part(0, TAIL))
  const before = index.stats().memory.buckets
  const scanned = () => index.searchSync(rowOf(queries, DIM, 0), { k: 10 }).scannedRows
  expect(scanned()).toBe(TAIL)
  code(index)
  expect(scanned()).toBe(TAIL)
  index.upsert(numbers(100, TAIL), part(TAIL, TAIL + 100))
  expect(scanned()).toBe(TAIL + 100)
  // A bit for each of 64 dimensions, and three words.
  expect(index.stats().memory.buckets - before).toBeGreaterThanOrEqual(20 * TAIL)
})

it('only those that a filter allows are found, and all of these', async () => {
  const index = await build()
  index.upsert(numbers(TAIL, BUILT), part(BUILT, ROWS))
  code(index)
  for (const every of [1, 2, 40]) {
    const allow = new Uint32Array(Math.ceil(ROWS / 32))
    const allowed = numbers(ROWS).filter(row => row % every === 0)
    for (const row of allowed) allow[row >>> 5]! |= 1 << (row & 31)
    const { ids } = index.searchSync(rowOf(queries, DIM, 0), { k: ROWS, probes: 1e6, allow })
    expect([...ids].sort((a, b) => Number(a) - Number(b))).toEqual(allowed)
    const nearest = index.exactSync(rowOf(queries, DIM, 1), ROWS).ids.filter(id => Number(id) % every === 0)
    expect(index.searchSync(rowOf(queries, DIM, 1), { k: 5, probes: 1e6, allow }).ids).toEqual(
      nearest.slice(0, 5),
    )
  }
})

it('rows that are replaced, deleted or abandoned are not, and those not published not yet', async () => {
  const index = await build()
  index.upsert(numbers(TAIL, BUILT), part(BUILT, ROWS))
  const pending = index.append(numbers(100, ROWS), part(ROWS, ROWS + 100))
  const abandoned = index.append(numbers(100, ROWS + 100), part(ROWS + 100, ROWS + 200))
  code(index)
  index.upsert(numbers(500, BUILT), part(ROWS, ROWS + 500))
  index.delete(numbers(1000, BUILT + 250))
  index.abandon(abandoned)
  const live = [...numbers(BUILT + 250), ...numbers(TAIL - 1250, BUILT + 1250)]
  expectExactly(index, live)
  code(index)
  expectExactly(index, live)
  index.publish(pending)
  expectExactly(index, [...live, ...numbers(100, ROWS)])
  expect(index.searchSync(rowOf(vectors, DIM, ROWS + 7), { k: 1 }).distances[0]).toBe(0)
})

it('linking, placing and flushing take rows over, and their blocks serve the next ones', async () => {
  const index = await build()
  const live = numbers(BUILT + 1000)
  let most = 0
  for (let round = 0; round < 12; round++) {
    const first = BUILT + 500 * (round % 4)
    index.upsert(numbers(1000, BUILT), part(first, first + 1000))
    let clock = 0
    if (round % 3 === 0) {
      index.link(10, () => clock++)
      expect(index.stats().linkedRows).toBeGreaterThan(0)
    }
    code(index)
    expectExactly(index, live)
    if (round % 3 === 0) expect(index.link(10, () => clock++)).toBe(false)
    if (round % 3 === 1) {
      await index.placeTails()
      expect(index.tailRows).toBe(0)
    }
    code(index)
    expectExactly(index, live)
    const frozen = index.rotate()!
    code(index)
    expectExactly(index, live)
    await index.flush(frozen)
    expectExactly(index, live)
    const { buckets } = index.stats().memory
    if (round < 4) most = Math.max(most, buckets)
    else expect(buckets).toBeLessThan(1.2 * most)
  }
})

it('threads that search while a tail grows, is flushed and its blocks are taken see one moment', async () => {
  const index = await build({ pool })
  index.upsert(numbers(TAIL, BUILT), part(BUILT, ROWS))
  code(index)
  const k = ROWS + 100
  const many = queries.subarray(0, 40 * DIM)
  const searching = index.searchBatch(many, { k, probes: 1e6 })
  const wide = index.search(rowOf(queries, DIM, 0), { k, probes: 1e6 })
  const flushing = index.flush(index.rotate()!)
  index.upsert(numbers(1000, ROWS), part(ROWS, ROWS + 1000))
  code(index)
  index.delete(numbers(10))
  const { ids, counts } = await searching
  for (const [q, count] of counts.entries()) {
    expect(count).toBe(ROWS)
    expect(new Set(ids.slice(q * k, q * k + count)).size).toBe(ROWS)
  }
  expect((await wide).ids.length).toBe(ROWS)
  await flushing
  expectExactly(index, numbers(ROWS + 990, 10))
})

it('a query is shared by threads part by part, and so are the blocks of a tail', async () => {
  const index = await build({ pool, bucketRows: 64 })
  const rows = 140_000
  const random = clustered(rows, DIM, 40, 23)
  index.upsert(numbers(rows, BUILT), random)
  for (let i = 0; i < 300; i++) index.searchSync(rowOf(queries, DIM, 0), { k: 1 })
  const query = rowOf(queries, DIM, 3)
  const { ids, scannedRows } = await index.search(query, { k: 10, probes: 1e6 })
  expect(ids).toEqual(index.exactSync(query, 10).ids)
  expect(scannedRows).toBe(index.searchSync(query, { k: 10, probes: 1e6 }).scannedRows)
})

it.each(['none', 'elsewhere'] as const)('where vectors are kept: %s, rows are found by their codes', kept => {
  // Nothing is handed over to it.
  const source = { read: () => expect.unreachable() }
  const index = new VectorIndex({ dim: DIM, metric: 'l2', vectors: kept === 'none' ? 'none' : source })
  index.upsert(numbers(TAIL), part(0, TAIL))
  code(index)
  expect(recallOfTail(index, 10, 0)).toBeGreaterThan(0.998)
  expectExactly(index, numbers(TAIL))
})

it('a batch finds what each of its queries finds alone', async () => {
  const index = await build()
  index.upsert(numbers(TAIL, BUILT), part(BUILT, ROWS))
  code(index)
  const { ids } = await index.searchBatch(queries, { k: 10 })
  for (let q = 0; q < 100; q++) {
    expect(ids.slice(q * 10, q * 10 + 10)).toEqual(index.searchSync(rowOf(queries, DIM, q), { k: 10 }).ids)
  }
})
