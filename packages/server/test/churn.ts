/** A database with everything in it: segments, tombstones, a checkpoint, a log with rows; and a model of what it must hold. */
import type { DriftFs } from '@drift/fs'
import { type Collection, Drift, type OpenOptions } from '../src/index.js'
import { clusteredVectors, randomNumbers } from './fixture.js'

export const DIM = 8
export const SMALL = { walFileBytes: 64 * 1024, threads: 0 } as const

/** Id to its row as text. */
export type Contents = Map<string, string>

export function rowText(vector: Float32Array, payload: unknown): string {
  return JSON.stringify([[...vector], payload ?? null])
}

export async function contents(collection: Collection): Promise<Contents> {
  const rows: [string, string][] = []
  for await (const { id, vector, payload } of collection.scan())
    rows.push([`${typeof id} ${id}`, rowText(vector, payload)])
  return new Map(rows.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Upserts, replacements and deletes with flushes between, and rows that are only in the log at the end. */
export async function fill(db: Drift, rounds = 6, seed = 1): Promise<Collection> {
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 400 })
  for (let round = 0; round < rounds; round++) {
    await churn(docs, seed * 1000 + round)
    if (round < rounds - 1) await docs.flush()
  }
  return docs
}

/** One batch of 150 rows out of 600 ids, some with a payload, and 20 deletes. */
export async function churn(docs: Collection, seed: number): Promise<number> {
  const random = randomNumbers(seed)
  const vectors = clusteredVectors(150, DIM, seed)
  const rows = Array.from({ length: 150 }, (_, i) => {
    const n = Math.floor(random() * 600)
    const id = n % 3 === 0 ? n : n % 3 === 1 ? `row-${n}` : BigInt(n)
    const vector = vectors.subarray(i * DIM, (i + 1) * DIM)
    return n % 4 === 0 ? { id, vector } : { id, vector, payload: { n, seed, text: 'x'.repeat(n % 50) } }
  })
  await docs.upsert(rows)
  const { lsn } = await docs.delete(rows.slice(0, 20).map(({ id }) => id))
  return lsn
}

export async function withDatabase<T>(
  path: string,
  options: OpenOptions & { readonly fs?: DriftFs },
  use: (db: Drift) => Promise<T>,
): Promise<T> {
  const db = await Drift.open(path, { ...SMALL, ...options })
  try {
    return await use(db)
  } finally {
    await db.close()
  }
}
