/** Proves that the paper's search reaches the index from every door of a collection: search, batch, explain and filtered. */
import { expect, it } from 'vitest'
import { Drift } from '../src/index.js'
import { randomNumbers } from './fixture.js'

const DIM = 8
const ROWS = 3000

it('a collection searches, explains and filters by P_eff, and refuses what the formula cannot take', async () => {
  const db = await Drift.open(':memory:', { threads: 0, maintenance: 'manual' })
  try {
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    const random = randomNumbers(3)
    const rows = Array.from({ length: ROWS }, (_, id) => ({
      id,
      vector: Array.from({ length: DIM }, () => 2 * random() - 1),
      payload: { even: id % 2 === 0 },
    }))
    await docs.upsert(rows)
    await docs.flush()
    const query = new Float32Array(DIM).fill(0.1)
    const paper = { mode: 'paper', lambda: 4, tau: 5, confidence: 0.5, efSearch: 50, k: 10 } as const
    const few = await docs.explain(query, paper)
    expect(few.stop).toBe('confidence')
    expect(few.scannedBuckets).toBeGreaterThan(0)
    const more = await docs.explain(query, { ...paper, confidence: 1.5 })
    expect(more.scannedBuckets).toBeGreaterThan(few.scannedBuckets)
    const hits = await docs.search(query, paper)
    const batch = await docs.searchBatch(query, paper)
    expect(batch.ids[0]).toEqual(hits.map(({ id }) => id))
    const exact = await docs.search(query, { k: 10, recall: 1 })
    const all = await docs.search(query, { ...paper, confidence: 1e6 })
    expect(all).toEqual(exact)
    const even = await docs.search(query, { ...paper, confidence: 1e6, filter: { even: true } })
    expect(even).toHaveLength(10)
    expect(even.every(({ id }) => (id as number) % 2 === 0)).toBe(true)
    for (const wrong of [{ lambda: 0 }, { tau: -1 }, { lambda: Number.NaN }, { confidence: 0 }]) {
      await expect(docs.search(query, { ...paper, ...wrong })).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
    }
    await expect(docs.search(query, { lambda: 1 })).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
    await expect(docs.search(query, { ...paper, recall: 0.9 })).rejects.toMatchObject({
      code: 'DRIFT_RECALL',
    })
  } finally {
    await db.close()
  }
})
