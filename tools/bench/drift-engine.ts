// Drift behind the engine interface: a collection whose ids are row numbers.
import { type Collection, Drift } from '@drift/server'
import type { Engine } from './engine.js'

/** Rows of one upsert while an engine is filled. */
const BATCH_ROWS = 1_000

/** An engine over a collection that is already filled; closing it leaves the collection open. */
export function overCollection(collection: Collection): Engine {
  return {
    name: 'drift',
    knob: 'probes',
    async search(query, k, setting) {
      const hits = await collection.search(query, setting === undefined ? { k } : { k, probes: setting })
      return hits.map(hit => hit.id as number)
    },
    close() {},
  }
}

/** A collection in memory with every row in its buckets. */
export async function buildDrift(
  rows: Float32Array,
  dim: number,
): Promise<{ engine: Engine; collection: Collection; buildMs: number }> {
  const start = performance.now()
  const db = await Drift.open(':memory:')
  const collection = await db.collection('rows', { dim, metric: 'cosine' })
  await fill(collection, rows, dim, BATCH_ROWS)
  await collection.flush()
  await collection.maintain()
  const buildMs = performance.now() - start
  return { engine: { ...overCollection(collection), close: () => db.close() }, collection, buildMs }
}

/** Upserts rows first .. end - 1 with their numbers as ids, batch after batch. */
export async function fill(
  collection: Collection,
  rows: Float32Array,
  dim: number,
  batchRows: number,
  onProgress: (rows: number) => void = () => {},
): Promise<void> {
  const total = rows.length / dim
  for (let first = 0; first < total; first += batchRows) {
    const count = Math.min(batchRows, total - first)
    const ids = Array.from({ length: count }, (_, i) => first + i)
    await collection.upsert({ ids, vectors: rows.slice(first * dim, (first + count) * dim) })
    onProgress(first + count)
  }
}
