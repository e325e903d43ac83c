/** Seeded data and the checks that several tests share. */
import { expect } from 'vitest'
import { gaussian, type Id, seededRandom, type VectorIndex } from '../src/index.js'

/** `count` vectors around `clusters` centres, with a spread of half the distance between centres. */
export function clustered(count: number, dim: number, clusters: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  const centres = Float32Array.from({ length: clusters * dim }, () => gaussian(random))
  const vectors = new Float32Array(count * dim)
  for (let i = 0; i < count; i++) {
    const centre = Math.floor(random() * clusters)
    for (let j = 0; j < dim; j++) vectors[i * dim + j] = centres[centre * dim + j]! + 0.5 * gaussian(random)
  }
  return vectors
}

/** Vectors near rows of `vectors`, as queries. */
export function nearby(vectors: Float32Array, dim: number, count: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  const rows = vectors.length / dim
  const queries = new Float32Array(count * dim)
  for (let i = 0; i < count; i++) {
    const row = Math.floor(random() * rows)
    for (let j = 0; j < dim; j++) queries[i * dim + j] = vectors[row * dim + j]! + 0.2 * gaussian(random)
  }
  return queries
}

export function numbers(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, i) => first + i)
}

export function rowOf(vectors: Float32Array, dim: number, row: number): Float32Array {
  return vectors.slice(row * dim, (row + 1) * dim)
}

/** Share of the true k nearest that the default search finds. */
export function recallOf(index: VectorIndex, queries: Float32Array, k: number): number {
  const count = queries.length / index.dim
  let found = 0
  for (let i = 0; i < count; i++) {
    const query = rowOf(queries, index.dim, i)
    const truth = new Set(index.exactSync(query, k).ids)
    for (const id of index.searchSync(query, { k }).ids) if (truth.has(id)) found++
  }
  return found / (count * k)
}

/**
 * Every live id is found exactly once through graphs, tails and buckets (not through the bitmap of live rows), and by an
 * exact scan.
 */
export function expectExactly(index: VectorIndex, ids: Iterable<Id>): void {
  const expected = sorted([...ids])
  expect(index.count).toBe(expected.length)
  const query = new Float32Array(index.dim).fill(1)
  const k = expected.length + 5
  expect(sorted(index.searchSync(query, { k, probes: 1e6, ef: 4096 }).ids)).toEqual(expected)
  expect(sorted(index.exactSync(query, k).ids)).toEqual(expected)
}

function sorted(ids: Id[]): Id[] {
  return ids.sort((a, b) => (String(a) + typeof a < String(b) + typeof b ? -1 : 1))
}
