/**
 * Where k-means starts: rows of the data, each drawn with a chance in proportion to its squared distance from those drawn
 * before (k-means++, Arthur and Vassilvitskii 2007). One pass over the sample per centroid: O(n k), not O(n k^2).
 */
import { kernels } from '@drift/native'

/** k * dim values; fewer when `index` names fewer than k distinct rows. Draws from a sample when `index` is long. */
export function seedCentroids(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  k: number,
  random: () => number,
): Float32Array {
  const some = sample(index, Math.max(SEED_ROWS_MIN, SEED_ROWS_PER_CLUSTER * k), random)
  const centroids = drawDistant(rows, dim, some, k, random)
  // A sample may lack rare rows; then all of them are worth the pass.
  const isEnough = centroids.length === k * dim || some === index
  return isEnough ? centroids : drawDistant(rows, dim, index, k, random)
}

/** One entry of each of `count` equal stretches of `index`; `index` itself when that is all. */
export function sample(index: Uint32Array, count: number, random: () => number): Uint32Array {
  if (count >= index.length) return index
  const taken = Math.max(1, Math.floor(count))
  const stretch = index.length / taken
  // Somewhere in the stretch, not at its start: a fixed step would see one phase of periodic data.
  return Uint32Array.from({ length: taken }, (_, j) => index[Math.floor((j + random()) * stretch)]!)
}

/** Seeding looks at this many rows per cluster, so it costs about as much as this many rows' assignment. */
const SEED_ROWS_PER_CLUSTER = 32
const SEED_ROWS_MIN = 1024

/** Up to k distinct rows, each drawn with a chance in proportion to its squared distance from those drawn before. */
function drawDistant(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  k: number,
  random: () => number,
): Float32Array {
  const count = index.length
  const wanted = Math.min(k, count)
  const centroids = new Float32Array(wanted * dim)
  const nearest = new Float32Array(count).fill(Number.POSITIVE_INFINITY)
  const distance = new Float32Array(count)
  let chosen = Math.floor(random() * count)
  for (let drawn = 0; ; ) {
    const row = index[chosen]!
    const centroid = rows.subarray(row * dim, (row + 1) * dim)
    centroids.set(centroid, drawn * dim)
    if (++drawn === wanted) return centroids
    kernels.distancesGather('l2', centroid, rows, dim, index, count, distance)
    let total = 0
    for (let j = 0; j < count; j++) {
      if (distance[j]! < nearest[j]!) nearest[j] = distance[j]!
      total += nearest[j]!
    }
    nearest[chosen] = 0 // whatever rounding makes of a row's distance to itself
    if (!(total > 0)) return centroids.slice(0, drawn * dim)
    chosen = drawByWeight(nearest, random() * total)
  }
}

/** The position where the running sum passes `target`; the last one of weight when rounding keeps it below. */
function drawByWeight(weights: Float32Array, target: number): number {
  let last = 0
  let sum = 0
  for (let j = 0; j < weights.length; j++) {
    if (!(weights[j]! > 0)) continue
    last = j
    sum += weights[j]!
    if (sum > target) break
  }
  return last
}
