/**
 * A Lloyd pass over a bucket and the 24 nearest: centroids to the means, rows to the nearest buckets.
 * Rule: the centroids move only when that lowers the sum of squared distances by half a percent; the rows are looked at anyway, because
 * centroids around them may have moved since the last time.
 */
import type { IndexState } from '../index-state.js'
import type { Job } from './assign.js'
import { lloyd, publishCentroids, REGION_BUCKETS, regionAround } from './region.js'
import type { Slices } from './slices.js'
import { type Moves, steal } from './steal.js'

/** Passes over the copy: a second one saves coming back. */
const PASSES = 2
const WORTH_IT = 0.005

/** @returns also whether the centroids moved. */
export async function refineAround(
  state: IndexState,
  bucket: number,
  slices: Slices,
  job: Job,
): Promise<Moves & { readonly moved: boolean }> {
  const { directory, health, router } = state
  const region = regionAround(state, bucket, REGION_BUCKETS)
  const { before, after } = await lloyd(region, router.padded, PASSES, slices)
  const moved = after <= before * (1 - WORTH_IT)
  if (moved) await publishCentroids(state, region, after / Math.max(1, region.rows.length), slices)
  const done = await steal(state, region.rows, slices, job)
  for (const other of region.buckets) health.tend(other, directory.changes[other]!)
  return { ...done, moved }
}
