/** The second half of a Lloyd pass over vectors that lie in one piece. */
import { kernels } from '@drift/native'

/**
 * The first `free` centroids become the means of the vectors that `homes` gives them; one without any stays.
 *
 * @param homes - of each vector the number of its centroid; those from `free` on stand still.
 */
export function moveToMeans(
  vectors: Float32Array,
  homes: Uint32Array,
  dim: number,
  centroids: Float32Array,
  free: number,
): void {
  const moving = Uint32Array.from(homes.keys()).filter(i => homes[i]! < free)
  const to = moving.map(i => homes[i]!)
  const sums = new Float64Array(free * dim)
  const counts = new Uint32Array(free)
  kernels.sumRows(vectors, dim, moving, to, moving.length, sums)
  for (const home of to) counts[home]!++
  for (let home = 0; home < free; home++) {
    if (counts[home] === 0) continue
    for (let j = home * dim; j < (home + 1) * dim; j++) centroids[j] = sums[j]! / counts[home]!
  }
}
