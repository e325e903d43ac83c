// Proves that a database measures the recall of its own queries, tells it with an interval that holds the truth, and that nothing is
// sampled when nobody asked for it.
import { afterEach, describe, expect, it } from 'vitest'
import { Drift } from '../src/index.js'
import { randomNumbers } from './fixture.js'

const DIM = 16
const ROWS = 4_000

let db: Drift | undefined
afterEach(async () => {
  await db?.close()
  db = undefined
})

async function filled(shadow: number | false) {
  db = await Drift.open(':memory:', { shadow, threads: 0 })
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
  const vectors = scattered(ROWS, 1)
  await docs.upsert({ ids: Array.from({ length: ROWS }, (_, i) => i), vectors })
  await docs.flush()
  await docs.maintain()
  return { docs }
}

describe('shadow recall', () => {
  it('measures what was asked, by k and target, and its interval holds the true recall', async () => {
    const { docs } = await filled(1)
    const queries = scattered(120, 2)
    let hits = 0
    for (let q = 0; q < 120; q++) {
      const query = queries.subarray(q * DIM, (q + 1) * DIM)
      const found = await docs.search(query, { k: 10, recall: 0.9 })
      const exact = await docs.search(query, { k: 10, recall: 1 })
      const wanted = new Set(exact.map(({ id }) => id))
      hits += found.filter(({ id }) => wanted.has(id)).length
    }
    await docs.maintain()
    const { recall } = await docs.stats()
    expect(recall).toHaveLength(1)
    const { k, target, measured, low95, high95, samples } = recall[0]!
    expect({ k, target }).toEqual({ k: 10, target: 0.9 })
    expect(samples).toBeGreaterThan(50)
    expect(low95).toBeLessThan(measured)
    expect(high95).toBeGreaterThan(measured)
    // The floors learn while they are measured, so the two differ by what was learned.
    expect(Math.abs(measured - hits / 1200)).toBeLessThan(0.06)
  })

  it('samples each query of a batch that asked for a recall, and none that asked for a width', async () => {
    const { docs } = await filled(1)
    await docs.searchBatch(scattered(40, 3), { k: 10, recall: 0.9 })
    await docs.searchBatch(scattered(40, 4), { k: 10, probes: 3 })
    await docs.searchBatch(scattered(40, 5), { k: 10, mode: 'paper' })
    await docs.maintain()
    const { recall } = await docs.stats()
    expect(recall).toHaveLength(1)
    expect(recall[0]).toMatchObject({ k: 10, target: 0.9 })
    expect(recall[0]!.samples).toBeGreaterThan(30)
    expect(recall[0]!.samples).toBeLessThanOrEqual(41)
    expect(recall[0]!.high95).toBeGreaterThan(0.9)
  })

  it('samples nothing when it is off', async () => {
    const { docs } = await filled(false)
    for (let q = 0; q < 20; q++) await docs.search(scattered(1, q + 10), { k: 5, recall: 0.8 })
    await docs.maintain()
    expect((await docs.stats()).recall).toEqual([])
  })

  it.each([-0.1, 1.5, Number.NaN, 'all'])('refuses a share of %s', async share => {
    await expect(Drift.open(':memory:', { shadow: share as number })).rejects.toMatchObject({
      code: 'DRIFT_OPTION',
    })
  })

  it('explains a query: what was scanned and why it stopped', async () => {
    const { docs } = await filled(false)
    const query = scattered(1, 3)
    const asked = await docs.explain(query, { k: 10, recall: 0.9 })
    expect(asked.stop).toBe('recall')
    expect(asked.expectedRecall).toBe(0.9)
    expect(asked.scannedBuckets).toBe(asked.buckets.length)
    expect(asked.scannedBuckets).toBeGreaterThan(0)
    expect((await docs.explain(query, { k: 10, probes: 3 })).scannedBuckets).toBe(3)
    expect((await docs.explain(query, { k: 10, recall: 1 })).stop).toBe('exact')
  })

  it('explains how a filter is answered', async () => {
    const { docs } = await filled(false)
    const { filter } = await docs.explain(scattered(1, 4), { k: 3, filter: { lang: 'en' } })
    expect(filter).toEqual({ access: 'scan', indexes: [], scanned: ['lang'] })
  })
})

/** Uniform rows: their neighbours lie in many buckets. */
function scattered(rows: number, seed: number): Float32Array {
  const random = randomNumbers(seed)
  return Float32Array.from({ length: rows * DIM }, () => random() * 2 - 1)
}
