/**
 * Ranking by exact vectors that lie elsewhere (cold-vectors.ts). Codes choose the rows: a few more than are wanted when the answer may be
 * approximate, as many as their bounds leave when it must be exact (bounds.ts). Equal distances are ordered by row number.
 */
import { type KernelMetric, kernels } from '@drift/native'
import type { ColdVectors } from '../cold-vectors.js'
import type { Candidates } from './bounds.js'

export interface Ranked {
  readonly rows: Uint32Array
  /** Kernel distances. */
  readonly distances: Float32Array
}

/** Rows read between two looks at how many more are needed, and at the clock. */
const STEP_ROWS = 32
/** Reading a row, in multiply-adds: mostly it costs a page. */
const READ_WORK = 100_000

export class ExactRanking {
  readonly #metric: KernelMetric
  readonly #dim: number
  readonly #cold: ColdVectors
  #vectors: Float32Array = new Float32Array(0)
  #distances: Float32Array = new Float32Array(0)

  constructor(metric: KernelMetric, dim: number, cold: ColdVectors) {
    this.#metric = metric
    this.#dim = dim
    this.#cold = cold
  }

  /**
   * The first `found` of `rows` and `distances` from `at` on, ranked.
   *
   * @param query - prepared.
   * @returns how many are left: at most k.
   */
  rerank(
    query: Float32Array,
    k: number,
    rows: Uint32Array,
    distances: Float32Array,
    at: number,
    found: number,
  ): number {
    const some = rows.subarray(at, at + found)
    const ranked = nearestOf(some, this.#measure(query, some), k)
    rows.set(ranked.rows, at)
    distances.set(ranked.distances, at)
    return ranked.rows.length
  }

  /** The k nearest of the candidates. Yields multiply-adds done. @param query - prepared; not to be changed meanwhile. */
  *nearest(query: Float32Array, k: number, { rows, least }: Candidates): Generator<number, Ranked> {
    const distances = new Float32Array(rows.length)
    const wanted = Math.min(k, rows.length)
    const positions = new Uint32Array(wanted)
    const ordered = new Float32Array(wanted)
    let read = 0
    while (read < rows.length) {
      const some = rows.subarray(read, read + STEP_ROWS)
      distances.set(this.#measure(query, some), read)
      read += some.length
      yield some.length * READ_WORK
      if (kernels.topK(distances, read, wanted, positions, ordered) < wanted) continue
      if (read < rows.length && least[read]! > ordered[wanted - 1]!) break
    }
    return nearestOf(rows.subarray(0, read), distances.subarray(0, read), k)
  }

  /** The candidates that are near, nearest first. Yields multiply-adds done. */
  *near(
    query: Float32Array,
    isNear: (distance: number) => boolean,
    { rows }: Candidates,
  ): Generator<number, Ranked> {
    const all = new Float32Array(rows.length)
    for (let first = 0; first < rows.length; first += STEP_ROWS) {
      const some = rows.subarray(first, first + STEP_ROWS)
      all.set(this.#measure(query, some), first)
      yield some.length * READ_WORK
    }
    const ranked = nearestOf(rows, all, rows.length)
    let count = ranked.rows.length
    while (count > 0 && !isNear(ranked.distances[count - 1]!)) count--
    return { rows: ranked.rows.subarray(0, count), distances: ranked.distances.subarray(0, count) }
  }

  /** Good until the next call. */
  #measure(query: Float32Array, rows: Uint32Array): Float32Array {
    const dim = this.#dim
    if (this.#distances.length < rows.length) {
      this.#vectors = new Float32Array(2 * rows.length * dim)
      this.#distances = new Float32Array(2 * rows.length)
    }
    const vectors = this.#vectors.subarray(0, rows.length * dim)
    const distances = this.#distances.subarray(0, rows.length)
    this.#cold.read(rows, vectors)
    kernels.distances(this.#metric, query, vectors, dim, 0, rows.length, distances)
    return distances
  }
}

function nearestOf(rows: Uint32Array, distances: Float32Array, k: number): Ranked {
  const order = Uint32Array.from(rows.keys()).sort(
    (a, b) => distances[a]! - distances[b]! || rows[a]! - rows[b]!,
  )
  const first = order.subarray(0, k)
  return { rows: first.map(i => rows[i]!), distances: Float32Array.from(first, i => distances[i]!) }
}
