/**
 * Split a bucket that grew too large, and bring its neighbourhood to rest: the children's rows and those of the buckets around go to
 * whatever is nearest now.
 * Rule: planned on a copy and verified with the sizes that would come of it; a split that leaves a child with too few rows is dropped
 * before anything changed, and rows that are all one point are not tried again until the bucket changes.
 */
import type { IndexState } from '../index-state.js'
import type { Job } from './assign.js'
import { publishAdded, publishCentroids, redrawn } from './publish.js'
import type { Slices } from './slices.js'
import { type Moves, NO_MOVES, steal } from './steal.js'

/** A bucket splits above this many times the target. */
export const TOO_LARGE = 1.8

/** Children of one split, at most: a bucket that got a whole flush of one topic. */
const MAX_CHILDREN = 8

/** @param limit - rows that may move: with fewer than the bucket has it stays whole. */
export async function splitAround(
  state: IndexState,
  bucket: number,
  limit: number,
  slices: Slices,
  job: Job,
): Promise<Moves & { readonly children: number }> {
  const { directory, health } = state
  if (directory.homesIn(bucket) > limit) return { ...NO_MOVES, children: 1 }
  const wanted = Math.round(directory.homesIn(bucket) / state.shape.bucketRows)
  const parts = Math.min(MAX_CHILDREN, Math.max(2, wanted))
  const found = await redrawn(state, { how: 'split', bucket, parts }, slices, job)
  if (found.sizes.length === 0) {
    health.markSingular(bucket, directory.changes[bucket]!)
    const done = found.rows.length === 0 ? NO_MOVES : await steal(state, found.rows, limit, slices, job)
    return { ...done, children: 1 }
  }
  const entries = directory.rowsOf(bucket)
  publishAdded(state, found)
  await publishCentroids(state, found, slices)
  // Rows with their second entry here may want it in a child.
  const rows = Uint32Array.from(new Set([...found.rows, ...entries]))
  const done = await steal(state, rows, limit, slices, job)
  return { ...done, children: found.sizes.length + 1 }
}
