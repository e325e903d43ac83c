/**
 * Proves that the default search finds the true neighbours: in buckets, in a graph, in a tail not yet linked, and in all of
 * them at once, under each metric.
 */
import { describe, expect, it } from 'vitest'
import { type Metric, VectorIndex } from '../src/index.js'
import { clustered, nearby, numbers, recallOf } from './data.js'

const DIM = 32
const vectors = clustered(5000, DIM, 100, 1)
const queries = nearby(vectors, DIM, 100, 2)
const metrics: Metric[] = ['l2', 'cosine', 'ip']

function filled(metric: Metric, memtableRows: number): VectorIndex {
  const index = new VectorIndex({ dim: DIM, metric, memtableRows, efConstruction: 100 })
  for (let first = 0; first < 5000; first += 500) {
    index.upsert(numbers(500, first), vectors.subarray(first * DIM, (first + 500) * DIM))
  }
  return index
}

function linkAll(index: VectorIndex): void {
  let clock = 0
  while (index.link(1, () => clock++));
}

describe.each(metrics)('recall@10 under %s', metric => {
  it('is at least 0.95 after a flush with the default probes', async () => {
    const index = filled(metric, 8192)
    await index.flush(index.rotate()!)
    expect(index.stats()).toMatchObject({ rows: 5000, unassigned: 0, memtables: 1 })
    expect(index.stats().buckets).toBeGreaterThan(150)
    expect(recallOf(index, queries, 10)).toBeGreaterThanOrEqual(0.95)
    const { scannedRows } = index.searchSync(queries.slice(0, DIM), { k: 10 })
    expect(scannedRows).toBeLessThan(2000)
  })

  it('is near 1 in a tail that is only scanned', () => {
    const index = filled(metric, 8192)
    expect(index.stats().linkedRows).toBe(0)
    expect(recallOf(index, queries, 10)).toBeGreaterThanOrEqual(0.99)
  })

  it('is at least 0.95 in a graph alone', () => {
    const index = filled(metric, 8192)
    linkAll(index)
    expect(index.stats().linkedRows).toBe(5000)
    expect(recallOf(index, queries, 10)).toBeGreaterThanOrEqual(0.95)
  })
})

it('is at least 0.95 with rows in buckets, in graphs, in a tail and unassigned', async () => {
  const index = new VectorIndex({ dim: DIM, metric: 'l2', memtableRows: 1000, efConstruction: 100 })
  const part = (first: number) => vectors.subarray(first * DIM, (first + 1000) * DIM)
  index.upsert(numbers(1000), part(0))
  await index.flush(index.rotate()!)
  index.upsert(numbers(1000, 1000), part(1000))
  index.rotate()
  index.upsert(numbers(1000, 2000), part(2000))
  linkAll(index)
  index.upsert(numbers(1000, 3000), part(3000))
  index.load(numbers(1000, 4000), part(4000))
  expect(index.stats()).toMatchObject({ rows: 5000, memtables: 2, linkedRows: 2000, unassigned: 1000 })
  expect(recallOf(index, queries, 10)).toBeGreaterThanOrEqual(0.95)
})

it('stays when buckets have grown by splits from a first flush of few rows', async () => {
  const index = new VectorIndex({ dim: DIM, metric: 'cosine' })
  for (let first = 0; first < 5000; first += 250) {
    index.upsert(numbers(250, first), vectors.subarray(first * DIM, (first + 250) * DIM))
    await index.flush(index.rotate()!)
  }
  expect(index.stats().buckets).toBeGreaterThan(120)
  expect(recallOf(index, queries, 10)).toBeGreaterThanOrEqual(0.95)
})
