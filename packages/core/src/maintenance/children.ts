/** The parts that the rows of a bucket fall into: where its centroid should be two or more. Only reads, in any thread. */
import { kernels } from '@drift/native'
import { kmeans } from '../kmeans.js'
import { halvesByDirection } from './principal.js'
import { homeRows, rotatedRows, type Seen } from './region.js'

/** k-means of about fifty rows has settled by then. */
const ITERATIONS = 8
/** A child has at least so many rows, and this share of an even one. */
export const MIN_CHILD_ROWS = 4
const MIN_CHILD_SHARE = 0.2

/**
 * Rotated centroids of the parts, k or two; undefined when all rows are one point.
 *
 * @param seed - of the index.
 */
export function childrenOf(seen: Seen, bucket: number, k: number, seed: number): Float32Array | undefined {
  const { padded } = seen.slabs
  const rows = homeRows(seen, bucket)
  const vectors = rotatedRows(seen.slabs, rows)
  const own = (seed ^ Math.imul(bucket, 0x9e3779b1)) >>> 0
  const { centroids, assignment } = kmeans(vectors, padded, { k, seed: own, iterations: ITERATIONS })
  const children = centroids.length / padded
  if (children < 2) return undefined
  const sizes = new Uint32Array(children)
  for (const child of assignment) sizes[child]!++
  const least = Math.max(MIN_CHILD_ROWS, (MIN_CHILD_SHARE * rows.length) / children)
  if (sizes.every(size => size >= least)) return centroids
  const halves = halvesByDirection(vectors, padded)
  return halves === undefined || isSame(halves, padded) ? undefined : halves
}

function isSame(halves: Float32Array, padded: number): boolean {
  const distance = new Float32Array(1)
  kernels.distances('l2', halves.slice(0, padded), halves, padded, 1, 1, distance)
  return !(distance[0]! > 0)
}
