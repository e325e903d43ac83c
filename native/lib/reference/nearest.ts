/**
 * Assignment of rows to centroids: all pairs, no pruning.
 */
import { squaredL2 } from './distance.js'

export function nearest(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  count: number,
  centroids: Float32Array,
  k: number,
  outCentroid: Uint32Array,
  outDistance: Float32Array,
): void {
  for (let j = 0; j < count; j++) {
    const row = index[j]! * dim
    let best = squaredL2(rows, row, centroids, 0, dim)
    let centroid = 0
    // A row with a NaN has only NaN distances: none is less, so centroid 0 and NaN stay.
    for (let c = 1; c < k; c++) {
      const distance = squaredL2(rows, row, centroids, c * dim, dim)
      if (distance < best) {
        best = distance
        centroid = c
      }
    }
    outCentroid[j] = centroid
    outDistance[j] = best
  }
}

/** What the heads could exclude is computed all the same: they change the time, not the result. */
export function nearestByHeads(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  count: number,
  centroids: Float32Array,
  k: number,
  _heads: Float32Array,
  _headDim: number,
  _centroidHeads: Float32Array,
  _slack: number,
  centroid: Uint32Array,
  outDistance: Float32Array,
): number {
  nearest(rows, dim, index, count, centroids, k, centroid, outDistance)
  return count * k
}
