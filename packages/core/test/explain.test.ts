/**
 * Proves that explain tells the search that it explains, that dead buckets are not opened, that a filtered search goes by the rows
 * that match, and that searches warm the buckets they scan.
 */
import { beforeAll, expect, it } from 'vitest'
import { VectorIndex } from '../src/index.js'
import { clustered } from './data.js'

const DIM = 24
const ROWS = 6000
let vectors: Float32Array

beforeAll(() => {
  vectors = clustered(ROWS + 200, DIM, 40, 8)
})

const query = (i: number) => vectors.subarray((ROWS + i) * DIM, (ROWS + i + 1) * DIM)
const built = () => VectorIndex.build({ dim: DIM, metric: 'l2', seed: 3 }, vectors.subarray(0, ROWS * DIM))

it('times the stages by the process where it is given no clock', async () => {
  const index = await built()
  expect(index.explain(query(0), { k: 10 }).ms.total).toBeGreaterThan(0)
})

it('lists the buckets that the search scans, nearest first, and the hits that they promise', async () => {
  const index = await built()
  let clock = 0
  for (let i = 0; i < 50; i++) {
    const { scannedBuckets, scannedRows } = index.searchSync(query(i), { k: 10, recall: 0.9 })
    const explained = index.explain(query(i), { k: 10, recall: 0.9 }, () => clock++)
    expect(explained).toMatchObject({ scannedBuckets, scannedRows, expectedRecall: 0.9, stop: 'recall' })
    expect(explained.buckets).toHaveLength(scannedBuckets)
    const { buckets } = explained
    for (const [j, { rank, distance, live, expectedHits }] of buckets.entries()) {
      expect(live).toBeGreaterThan(0)
      expect(expectedHits).toBeGreaterThan(0)
      if (j === 0) continue
      expect(distance).toBeGreaterThanOrEqual(buckets[j - 1]!.distance)
      expect(rank).toBeGreaterThan(buckets[j - 1]!.rank)
    }
    expect(buckets.reduce((sum, { expectedHits }) => sum + expectedHits, 0)).toBeCloseTo(10, 3)
    expect(explained.ms.total).toBeGreaterThan(0)
  }
})

it('says why it stopped', async () => {
  const index = await built()
  const stop = (options: object) => index.explain(query(1), { k: 10, ...options }, () => 0).stop
  expect(stop({ probes: 3 })).toBe('probes')
  expect(stop({ floor: 0.01 })).toBe('floor')
  expect(stop({ recall: 1 })).toBe('exact')
  expect(stop({})).toBe('recall')
  index.delete(Array.from({ length: ROWS - 100 }, (_, i) => i))
  expect(stop({})).toBe('all')
  expect(index.explain(query(1), { k: 10, recall: 1 }, () => 0).expectedRecall).toBe(1)
})

it('does not open buckets whose rows are dead, and asked for a recall finds it among the others', async () => {
  const index = await built()
  const dead = new Set<number>()
  for (let row = 0; row < ROWS; row++) if (index.bucketsOf(row)[0] % 2 === 0) dead.add(row)
  index.delete([...dead])
  let hits = 0
  for (let i = 0; i < 200; i++) {
    const { buckets } = index.explain(query(i), { k: 10, recall: 0.95 }, () => 0)
    for (const { live } of buckets) expect(live).toBeGreaterThan(0)
    const truth = new Set(index.exactSync(query(i), 10).ids)
    for (const id of index.searchSync(query(i), { k: 10, recall: 0.95 }).ids) if (truth.has(id)) hits++
  }
  expect(hits / 2000).toBeGreaterThan(0.945)
})

it('goes by the allowed rows of every bucket: one without any is not scanned, and the recall is what was asked for', async () => {
  const index = await built()
  index.delete([0, 1, 2])
  const allow = new Uint32Array(Math.ceil(ROWS / 32))
  for (let row = 0; row < ROWS; row += 7) allow[row >>> 5]! |= 1 << (row & 31)
  const allowed = new Set<number>()
  for (let row = 7; row < ROWS; row += 7) for (const bucket of index.bucketsOf(row)) allowed.add(bucket)
  let hits = 0
  for (let i = 0; i < 200; i++) {
    const { buckets } = index.explain(query(i), { k: 10, allow }, () => 0)
    for (const { bucket } of buckets) expect(allowed).toContain(bucket)
    const truth = new Set(index.searchSync(query(i), { k: 10, recall: 1, allow }).ids)
    for (const id of index.searchSync(query(i), { k: 10, allow }).ids) if (truth.has(id)) hits++
  }
  expect(hits / 2000).toBeGreaterThan(0.945)
})

it('finds what was asked for where a filter leaves nothing near the query', async () => {
  const rows = 16_000
  const all = clustered(rows + 400, DIM, 100, 12)
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2', seed: 3 }, all.subarray(0, rows * DIM))
  const vector = (i: number) => all.subarray(i * DIM, (i + 1) * DIM)
  const side = (i: number) => vector(i)[0]! + vector(i)[1]! > 0
  const allow = new Uint32Array(rows / 32)
  for (let id = 0; id < rows; id++) {
    const row = index.find(id)
    if (side(id)) allow[row >>> 5]! |= 1 << (row & 31)
  }
  let hits = 0
  let asked = 0
  let scanned = 0
  for (let i = rows; i < rows + 400; i++) {
    if (side(i)) continue
    const truth = new Set(index.searchSync(vector(i), { k: 10, recall: 1, allow }).ids)
    const { ids, scannedRows } = index.searchSync(vector(i), { k: 10, allow })
    for (const id of ids) if (truth.has(id)) hits++
    asked += 10
    scanned += scannedRows
  }
  expect(asked).toBeGreaterThan(1000)
  expect(hits / asked).toBeGreaterThan(0.95)
  expect((10 * scanned) / asked).toBeLessThan(rows / 10)
})

it('one search in 32 warms the buckets that it scans', async () => {
  const index = await built()
  const { buckets } = index.explain(query(5), { k: 10 }, () => 0)
  const [hot] = buckets
  expect(index.temperatureOf(hot!.bucket)).toBe(0)
  for (let i = 0; i < 31; i++) index.searchSync(query(5), { k: 10 })
  expect(index.temperatureOf(hot!.bucket)).toBe(0)
  await index.search(query(5), { k: 10 })
  for (const { bucket } of buckets) expect(index.temperatureOf(bucket)).toBeGreaterThan(0)
  const cold = Array.from({ length: index.stats().buckets }, (_, bucket) => bucket).filter(
    bucket => index.temperatureOf(bucket) === 0,
  )
  expect(cold).toHaveLength(index.stats().buckets - buckets.length)
})

it('leaves nothing behind when its clock fails', async () => {
  const index = await built()
  const failing = () => {
    throw new RangeError('no time')
  }
  expect(() => index.explain(query(1), { k: 10 }, failing)).toThrow('no time')
  const { ids } = index.searchSync(query(1), { k: 10 })
  expect((await index.searchBatch(query(1), { k: 10 })).ids).toEqual(ids)
})

it('vectors that lie elsewhere are read as the search reads them', async () => {
  let read = 0
  const kept = new Map<number, Float32Array>()
  const source = {
    read(rows: Uint32Array, out: Float32Array) {
      read += rows.length
      for (const [i, row] of rows.entries()) out.set(kept.get(row)!, i * DIM)
    },
  }
  const options = { dim: DIM, metric: 'l2', vectors: source } as const
  const index = await VectorIndex.build(options, vectors.subarray(0, ROWS * DIM))
  for (let row = 0; row < ROWS; row++) kept.set(row, index.vectorAt(row))
  index.handOver(Uint32Array.from(kept.keys()))
  const readBy = <T>(ask: () => T) => {
    read = 0
    return { told: ask(), read }
  }
  for (const asked of [{}, { recall: 1 }, { probes: 5 }, { mode: 'paper' }] as const) {
    const found = readBy(() => index.searchSync(query(0), { k: 10, ...asked }))
    const { told, read } = readBy(() => index.explain(query(0), { k: 10, ...asked }))
    expect(found.read).toBeGreaterThan(0)
    expect(read).toBe(found.read)
    const { scannedBuckets, scannedRows } = found.told
    expect(told).toMatchObject({ scannedBuckets, scannedRows })
  }
})
