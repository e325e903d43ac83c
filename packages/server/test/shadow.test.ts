// Proves that a database measures the recall of its own queries, tells it with an interval that holds the truth, and that nothing is
// sampled when nobody asked for it.
import { setImmediate as turn } from 'node:timers/promises'
import { SimFs } from '@drift/fs'
import { afterEach, describe, expect, it, vi } from 'vitest'
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

  it('takes no more than a fifth of the time where exact answers take longer than a period', async () => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
    })
    try {
      let readMs = 0
      let busyMs = 0
      const fs = new SimFs({
        before(operation) {
          if (operation !== 'read') return
          busyMs += readMs
          vi.advanceTimersByTime(readMs)
        },
      })
      db = await Drift.open('/db', { fs, shadow: 1, threads: 0, maintenance: 'off', pageCacheBytes: 0 })
      const docs = await db.collection('docs', { dim: DIM, metric: 'l2', cold: 'disk' })
      await docs.upsert({ ids: Array.from({ length: 64 }, (_, i) => i), vectors: scattered(64, 1) })
      await docs.flush()
      await docs.searchBatch(scattered(40, 2), { k: 10, recall: 0.9 })
      readMs = 300
      const began = performance.now()
      for (let samples = 0; samples < 35; samples = (await docs.stats()).recall[0]?.samples ?? 0) {
        vi.advanceTimersByTime(1_000)
        for (let turns = 0; turns < 100; turns++) await turn()
      }
      expect(busyMs).toBeGreaterThan(2_000)
      expect(busyMs / (performance.now() - began)).toBeLessThan(0.25)
    } finally {
      vi.useRealTimers()
    }
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
