/**
 * Split a bucket that grew too large, and bring its neighbourhood to rest: the children's rows and those of the buckets around go to
 * whatever is nearest now.
 * Rule: planned on a copy and verified with the sizes that would come of it; a split that leaves a child with too few rows is dropped
 * before anything changed, and rows that are all one point are not tried again until the bucket changes.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { kmeans } from '../kmeans.js'
import type { Job } from './assign.js'
import { halvesByDirection } from './principal.js'
import {
  homeRows,
  lloyd,
  publishAdded,
  publishCentroids,
  REGION_BUCKETS,
  regionAround,
  replaceCentroid,
} from './region.js'
import type { Slices } from './slices.js'
import { type Moves, NO_MOVES, steal } from './steal.js'

/** A bucket splits above this many times the target. */
export const TOO_LARGE = 1.8

const ITERATIONS = 8
/** Children of one split, at most: a bucket that got a whole flush of one topic. */
const MAX_CHILDREN = 8
/** A child has at least so many rows, and this share of an even one. */
const MIN_CHILD_ROWS = 4
const MIN_CHILD_SHARE = 0.2

export async function splitAround(
  state: IndexState,
  bucket: number,
  slices: Slices,
  job: Job,
): Promise<Moves & { readonly children: number }> {
  const { directory, health, router } = state
  const { padded } = router
  const parts = Math.round(directory.homesIn(bucket) / state.shape.bucketRows)
  const centroids = childrenOf(state, bucket, Math.min(MAX_CHILDREN, Math.max(2, parts)))
  if (centroids === undefined) {
    health.markSingular(bucket, directory.changes[bucket]!)
    return { ...NO_MOVES, children: 1 }
  }
  await slices.turn()
  const added: Float32Array[] = []
  for (let at = padded; at < centroids.length; at += padded) added.push(centroids.slice(at, at + padded))
  const region = regionAround(state, bucket, REGION_BUCKETS, added)
  replaceCentroid(region, padded, bucket, centroids.subarray(0, padded))
  await slices.turn()
  const { after, sizes } = await lloyd(region, padded, 1, slices)
  for (let child = 0; child <= added.length; child++) {
    if (sizes[child]! >= MIN_CHILD_ROWS) continue
    // The neighbours take nearly all of a child: they have room for it, so refining does what a split would.
    health.markSingular(bucket, directory.changes[bucket]!)
    return { ...(await steal(state, region.rows, slices, job)), children: 1 }
  }
  const entries = directory.rowsOf(bucket)
  publishAdded(state, region, sizes)
  await publishCentroids(state, region, after / region.rows.length, slices)
  // Rows with their second entry here may want it in a child.
  const rows = Uint32Array.from(new Set([...region.rows, ...entries]))
  const done = await steal(state, rows, slices, job)
  return { ...done, children: added.length + 1 }
}

/** Rotated centroids of the parts, k or two, that the rows fall into; undefined when they are all one point. */
export function childrenOf(state: IndexState, bucket: number, k: number): Float32Array | undefined {
  const { shape, router } = state
  const { padded } = router
  const rows = homeRows(state, bucket)
  const vectors = state.store.rotatedRows(rows)
  const seed = (shape.seed ^ Math.imul(bucket, 0x9e3779b1)) >>> 0
  const { centroids, assignment } = kmeans(vectors, padded, { k, seed, iterations: ITERATIONS })
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
