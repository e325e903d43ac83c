/**
 * A bucket brought up to date with the partition around it: each of its rows gets the buckets that are best for it now, the centroid goes
 * to the mean of those that stay, and dead entries go.
 * Rule: in turn, for every bucket, whether its own rows changed or not. What ages is the choice of second buckets: in many dimensions they
 * are no neighbours of a row's home, so no operation on a neighbourhood finds the rows elsewhere whose choice it makes stale.
 */
import type { IndexState } from '../index-state.js'
import type { Job } from './assign.js'
import { compactBucket } from './compact.js'
import { recentreBucket } from './recentre.js'
import { homeRows, STANDS_STILL, seenIn } from './region.js'
import type { Slices } from './slices.js'
import { type Moves, steal } from './steal.js'

/** @param limit - rows that may move: with more to move the bucket is not settled yet. */
export async function settleBucket(
  state: IndexState,
  bucket: number,
  limit: number,
  slices: Slices,
  job: Job,
): Promise<Moves> {
  const done = await steal(state, homeRows(seenIn(state), bucket), limit, slices, job)
  if (done.moves < limit) state.health.settle(bucket, state.store.version)
  recentreBucket(state, bucket, STANDS_STILL)
  compactBucket(state, bucket)
  return done
}
