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

/** The k nearest rows of every query. */
export function truth(
  rows: Float32Array,
  queries: Float32Array,
  dim: number,
  metric: KernelMetric,
  k: number,
): Truth {
  const scan = exactScan(rows, dim, metric, k)
  const count = queries.length / dim
  const outRow = new Uint32Array(count * scan.k)
  const outDistance = new Float32Array(count * scan.k)
  for (let q = 0; q < count; q++) {
    const [from, to] = [q * scan.k, (q + 1) * scan.k]
    scan.search(
      queries.subarray(q * dim, (q + 1) * dim),
      outRow.subarray(from, to),
      outDistance.subarray(from, to),
    )
  }
  return { rows: outRow, distances: outDistance, k: scan.k }
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
