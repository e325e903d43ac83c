/**
 * Mini-batch k-means (Sculley 2010): each iteration assigns a batch drawn anew, and a centroid becomes the mean of all that any
 * batch gave it. Rule: time per iteration depends on the batch, not on the data; so inertia may rise from one to the next.
 */
import { kernels } from '@drift/native'
import { normaliseAll } from './clusters.js'
import { sample } from './kmeans-seeding.js'

export interface Batches {
  readonly batchRows: number
  readonly iterations: number
  readonly spherical: boolean
  /** Called between iterations; what it throws ends the work. */
  readonly check: () => void
  /** Its number from 0 and the batch's inertia before the centroids move. */
  readonly onProgress?: ((iteration: number, inertia: number) => void) | undefined
}

/** Moves `centroids` in place. */
export function learnByBatches(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  centroids: Float32Array,
  random: () => number,
  { batchRows, iterations, spherical, check, onProgress }: Batches,
): void {
  const k = centroids.length / dim
  const given = new Float64Array(k)
  for (let iteration = 0; iteration < iterations; iteration++) {
    check()
    const batch = sample(index, batchRows, random)
    const assignment = new Uint32Array(batch.length)
    const distances = new Float32Array(batch.length)
    kernels.nearest(rows, dim, batch, batch.length, centroids, k, assignment, distances)
    let inertia = 0
    for (let j = 0; j < batch.length; j++) {
      inertia += distances[j]!
      const cluster = assignment[j]!
      const share = 1 / ++given[cluster]!
      const [from, to] = [batch[j]! * dim, cluster * dim]
      for (let d = 0; d < dim; d++) centroids[to + d]! += share * (rows[from + d]! - centroids[to + d]!)
    }
    if (spherical) normaliseAll(centroids, dim)
    onProgress?.(iteration, inertia)
  }
}
