/** Distances of one query to rows of the index: exact ones where vectors are resident, or else those of the codes. */
import { type IndexSlabs, kernels } from '@drift/native'

/** Kernel distances of the first `count` of `rows`, into `out`. */
export type Measure = (rows: Uint32Array, count: number, out: Float32Array) => void

/** @param query - prepared; not to be changed meanwhile. */
export function measureOf(slabs: IndexSlabs, query: Float32Array): Measure {
  return slabs.vectors === undefined ? byCodes(slabs, query) : byVectors(slabs, slabs.vectors, query)
}

function byVectors({ metric, dim }: IndexSlabs, vectors: Float32Array, query: Float32Array): Measure {
  return (rows, count, out) => kernels.distancesGather(metric, query, vectors, dim, rows, count, out)
}

function byCodes({ metric, dim, padded, flips, codes, factors }: IndexSlabs, query: Float32Array): Measure {
  const rotated = new Float32Array(padded)
  const queryCodes = new Int8Array(padded)
  const queryFactors = new Float32Array(3)
  kernels.rotate(query, dim, padded, 0, 1, flips, rotated)
  kernels.sq8Query(rotated, queryCodes, queryFactors)
  return (rows, count, out) =>
    kernels.sq8DistancesGather(metric, queryCodes, queryFactors, codes, factors, padded, rows, count, out)
}
