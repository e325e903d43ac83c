// The exact answer: every distance computed, the k smallest kept. It is what recall is measured against, and, run on
// the same kernels, the brute force that an index has to beat.
import { type KernelMetric, kernels } from '@drift/native'

export interface Truth {
  /** Row numbers, nearest first: queries * k. */
  readonly rows: Uint32Array
  readonly distances: Float32Array
  /** Results of each query: k, or the number of rows when there are fewer. */
  readonly k: number
}

/** A reusable exact search over `rows` (row-major, unit length for cosine). Not reentrant: it owns one scratch buffer. */
export interface ExactScan {
  readonly k: number
  /** Writes k row numbers and distances, nearest first, ties by lower row number. */
  search(query: Float32Array, outRow: Uint32Array, outDistance: Float32Array): void
}

export function exactScan(rows: Float32Array, dim: number, metric: KernelMetric, k: number): ExactScan {
  const count = rows.length / dim
  const distances = new Float32Array(count)
  return {
    k: Math.min(k, count),
    search(query, outRow, outDistance) {
      kernels.distances(metric, query, rows, dim, 0, count, distances)
      kernels.topK(distances, count, Math.min(k, count), outRow, outDistance)
    },
  }
}

/** Bytes of rows that are compared with every query before the next rows are read: half of a small second-level cache. */
const BLOCK_BYTES = 256 * 1024

/** The k nearest rows of every query, ties by lower row number. Block by block, so that memory is read once, not once a query. */
export function truth(
  rows: Float32Array,
  queries: Float32Array,
  dim: number,
  metric: KernelMetric,
  k: number,
): Truth {
  const total = rows.length / dim
  const depth = Math.min(k, total)
  const count = queries.length / dim
  const outRow = new Uint32Array(count * depth)
  const outDistance = new Float32Array(count * depth).fill(Number.POSITIVE_INFINITY)
  const blockRows = Math.max(1, Math.floor(BLOCK_BYTES / (4 * dim)))
  const block = new Float32Array(blockRows)
  for (let first = 0; first < total; first += blockRows) {
    const taken = Math.min(blockRows, total - first)
    for (let q = 0; q < count; q++) {
      kernels.distances(metric, queries.subarray(q * dim, (q + 1) * dim), rows, dim, first, taken, block)
      const [from, last] = [q * depth, (q + 1) * depth - 1]
      for (let j = 0; j < taken; j++) {
        if (block[j]! < outDistance[last]!) insert(outRow, outDistance, from, last, first + j, block[j]!)
      }
    }
  }
  return { rows: outRow, distances: outDistance, k: depth }
}

/** Into the sorted places from..last, behind its equals; the last one falls out. */
function insert(
  rows: Uint32Array,
  distances: Float32Array,
  from: number,
  last: number,
  row: number,
  distance: number,
): void {
  let at = last
  for (; at > from && distances[at - 1]! > distance; at--) {
    distances[at] = distances[at - 1]!
    rows[at] = rows[at - 1]!
  }
  distances[at] = distance
  rows[at] = row
}

/** Share of the exact k nearest that `found` names, over all queries. `found[q]`: row numbers in any order. */
export function recall(exact: Truth, found: readonly Iterable<number>[]): number {
  let hits = 0
  found.forEach((rows, q) => {
    const wanted = new Set(exact.rows.subarray(q * exact.k, (q + 1) * exact.k))
    for (const row of new Set(rows)) if (wanted.has(row)) hits++
  })
  return hits / (found.length * exact.k)
}

/** Rounding differs between ways to add up the same distance; this much of it is a tie. */
const TIE = 1e-6

/**
 * Share of the k places that were filled with a row as near as the true k-th: which of equally near rows an engine names is
 * its own affair.
 *
 * @param exact - of depth k or more: what lies behind k are the ties that need no arithmetic.
 * @param found - row numbers of query q in any order; of equal ones the first counts.
 * @param distanceOf - the exact distance, asked only for a row that `exact` does not list and that may be a tie.
 */
export function recallByDistance(
  exact: Truth,
  found: readonly ArrayLike<number>[],
  k: number,
  distanceOf: (query: number, row: number) => number,
): number {
  let hits = 0
  found.forEach((rows, q) => {
    const from = q * exact.k
    const known = new Map<number, number>()
    for (let i = from; i < from + exact.k; i++) known.set(exact.rows[i]!, exact.distances[i]!)
    const kth = exact.distances[from + k - 1]!
    const limit = kth + TIE * Math.abs(kth)
    const beyond = exact.distances[from + exact.k - 1]!
    for (const row of new Set(Array.from(rows).slice(0, k))) {
      const distance = known.get(row) ?? (beyond > limit ? beyond : distanceOf(q, row))
      if (distance <= limit) hits++
    }
  })
  return hits / (found.length * k)
}
