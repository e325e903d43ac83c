/**
 * Proves that the recall which is asked for is found right after a flush and a calibration, where something used to stand in its way: vectors
 * that are not kept or lie elsewhere, queries that are unlike all rows, neighbours that 1-bit entries lose.
 */
import { describe, expect, it } from 'vitest'
import { gaussian, type Metric, seededRandom, VectorIndex, type VectorSource } from '../src/index.js'
import { numbers } from './data.js'

const ROWS = 12_000
const FLUSHED = 5_000
const QUERIES = 500

type Draw = (count: number) => Float32Array

function cloud(dim: number, seed: number): Draw {
  const random = seededRandom(seed)
  return count => Float32Array.from({ length: count * dim }, () => gaussian(random))
}

/** Around topics first .. end - 1 of as many as are asked for. */
function topics(dim: number, seed: number, spread: number): (first: number, end: number) => Draw {
  const random = seededRandom(seed)
  const centres = Float32Array.from({ length: 200 * dim }, () => gaussian(random))
  return (first, end) => count => {
    const vectors = new Float32Array(count * dim)
    for (let row = 0; row < count; row++) {
      const topic = first + Math.floor(random() * (end - first))
      for (let d = 0; d < dim; d++) {
        vectors[row * dim + d] = centres[topic * dim + d]! + spread * gaussian(random)
      }
    }
    return vectors
  }
}

/** Filled by flushes and calibrated. @param kept - where vectors are; `elsewhere`: handed over. */
async function filled(
  dim: number,
  metric: Metric,
  rows: Float32Array,
  kept: 'resident' | 'none' | 'elsewhere' = 'resident',
): Promise<VectorIndex> {
  const source: VectorSource = {
    read(asked, out) {
      for (const [i, row] of asked.entries()) out.set(rows.subarray(row * dim, (row + 1) * dim), i * dim)
    },
  }
  const index = new VectorIndex({ dim, metric, vectors: kept === 'elsewhere' ? source : kept })
  const count = rows.length / dim
  for (let first = 0; first < count; first += FLUSHED) {
    const some = Math.min(FLUSHED, count - first)
    index.upsert(numbers(some, first), rows.subarray(first * dim, (first + some) * dim))
    const memtable = index.rotate()!
    const flushed = index.liveRows(memtable)
    await index.flush(memtable)
    if (kept === 'elsewhere') index.handOver(flushed)
  }
  await index.calibrate()
  return index
}

/** Against every row, compared exactly. */
async function recallAt(
  index: VectorIndex,
  rows: Float32Array,
  queries: Float32Array,
  k: number,
  recall: number,
): Promise<number> {
  const { dim, metric } = index
  const exact = new VectorIndex({ dim, metric })
  exact.upsert(numbers(rows.length / dim), rows)
  let hits = 0
  for (let at = 0; at < queries.length; at += dim) {
    const query = queries.subarray(at, at + dim)
    const truth = new Set(exact.exactSync(query, k).ids)
    for (const id of index.searchSync(query, { k, recall }).ids) if (truth.has(id)) hits++
  }
  return hits / ((k * queries.length) / dim)
}

// With floors that cannot go below a 64th of the prior 0.96, whatever is asked for.
it('more rows than a topic has are found as asked for', async () => {
  const draw = topics(200, 7, 0.1)(0, 200)
  const rows = draw(8_000)
  const index = await filled(200, 'cosine', rows)
  expect(await recallAt(index, rows, draw(200), 100, 0.99)).toBeGreaterThan(0.98)
})

// By the floor of all data 0.80 and 0.82 without vectors; elsewhere, when what scans lose is not measured, 0.928 and 0.985.
it.each<['none' | 'elsewhere', Metric, number, number]>([
  ['none', 'l2', 0.9, 0.88],
  ['none', 'ip', 0.9, 0.875],
  ['elsewhere', 'ip', 0.95, 0.937],
  ['elsewhere', 'ip', 0.99, 0.99],
])(
  'with vectors %s, under %s, rows that fill their space are found as asked for: %d',
  async (kept, metric, recall, least) => {
    const draw = cloud(48, 31)
    const rows = draw(ROWS)
    const index = await filled(48, metric, rows, kept)
    expect(index.isCalibrated).toBe(true)
    expect(await recallAt(index, rows, draw(QUERIES), 10, recall)).toBeGreaterThan(least)
  },
)

describe('queries that are unlike all rows', () => {
  const asked = [
    ['l2', 0.9],
    ['cosine', 0.9],
    ['l2', 0.95],
  ] as const

  // Without a floor of their own 0.7 to 0.8 is found for 0.9.
  it.each(asked)(
    'of topics that no row has are answered as asked for, under %s for %d',
    async (metric, recall) => {
      const of = topics(48, 5, 0.7)
      const rows = of(0, 100)(ROWS)
      const index = await filled(48, metric, rows)
      const found = await recallAt(index, rows, of(100, 200)(QUERIES), 10, recall)
      expect(found).toBeGreaterThan(recall - 0.03)
    },
  )

  it.each(asked)('and noise is, under %s for %d', async (metric, recall) => {
    const rows = topics(48, 6, 0.7)(0, 100)(ROWS)
    const index = await filled(48, metric, rows)
    const noise = cloud(48, 7)(QUERIES)
    const found = await recallAt(
      index,
      rows,
      noise.map(value => 1.2 * value),
      10,
      recall,
    )
    expect(found).toBeGreaterThan(recall - 0.03)
  })

  it('cost the others nothing', async () => {
    const of = topics(48, 5, 0.7)(0, 100)
    const rows = of(ROWS)
    const index = await filled(48, 'l2', rows)
    let scanned = 0
    const queries = of(QUERIES)
    for (let at = 0; at < queries.length; at += 48) {
      scanned += index.searchSync(queries.subarray(at, at + 48), { k: 10, recall: 0.9 }).scannedRows
    }
    expect(scanned / QUERIES).toBeLessThan(240)
  })
})
