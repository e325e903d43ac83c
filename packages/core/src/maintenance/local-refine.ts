/**
 * A neighbourhood brought to rest: as many buckets as its rows are worth, centroids in the means of their rows (redraw.ts), rows in the
 * nearest buckets.
 * Rule: the rows are looked at whether or not a centroid of theirs moved, because centroids around them may have moved since the last time.
 */
import type { IndexState } from '../index-state.js'
import type { Job } from './assign.js'
import { compactBucket, isStale } from './compact.js'
import { mergeBucket } from './merge.js'
import { publishAdded, publishCentroids, redrawn } from './publish.js'
import type { Slices } from './slices.js'
import { type Moves, NO_MOVES, steal } from './steal.js'

/** Multiply-adds that moving a row, or copying an entry, is worth. */
const ROW_WORK = 10_000

/** @param limit - rows that may move: with more to move the neighbourhood is looked at again, and gets no new buckets. @returns also whether the partition changed. */
export async function refineAround(
  state: IndexState,
  bucket: number,
  limit: number,
  slices: Slices,
  job: Job,
): Promise<Moves & { readonly moved: boolean }> {
  const { directory, health } = state
  let found = await redrawn(state, { how: 'even', bucket }, slices, job)
  let gone: Awaited<ReturnType<typeof giveUp>> = { ...NO_MOVES, bucket, dropped: false }
  if (found.surplus.length > 0) {
    gone = await giveUp(state, bucket, found.surplus, limit, slices)
    found = await redrawn(state, { how: 'keep', bucket: gone.bucket }, slices, job)
  }
  const left = limit - gone.moves
  // Buckets that cannot be filled would be merged away again, and be added by the next plan.
  if (found.sizes.reduce((sum, size) => sum + size, 0) > left) {
    return { moves: gone.moves, seconds: gone.seconds, moved: gone.dropped }
  }
  publishAdded(state, found)
  await publishCentroids(state, found, slices)
  const done = await steal(state, found.rows, left, slices, job)
  for (const other of found.buckets) {
    // Rows that left are entries that a query still reads.
    if (isStale(state, other)) {
      const entries = directory.sizes[other]!
      compactBucket(state, other)
      await slices.spend(entries * ROW_WORK)
    }
    if (done.moves < left) health.tend(other, directory.changes[other]!)
  }
  return {
    moves: gone.moves + done.moves,
    seconds: gone.seconds + done.seconds,
    moved: gone.dropped || found.sizes.length + found.moved.buckets.length > 0,
  }
}

/** Merges some buckets away, but never `centre`. @returns also the number that `centre` has afterwards. */
async function giveUp(
  state: IndexState,
  centre: number,
  buckets: Uint32Array,
  limit: number,
  slices: Slices,
): Promise<Moves & { readonly bucket: number; readonly dropped: boolean }> {
  const { directory, health, router } = state
  const serial = health.serialOf(centre)
  const leaving = Array.from(buckets.filter(bucket => bucket !== centre)).map(bucket =>
    health.serialOf(bucket),
  )
  let [moves, seconds, dropped] = [0, 0, false]
  for (const one of leaving) {
    const bucket = health.bucketOf(one)
    if (bucket === undefined || moves + directory.homesIn(bucket) > limit || router.count < 3) continue
    const rows = directory.sizes[bucket]!
    const done = await mergeBucket(state, bucket, limit - moves, slices)
    moves += done.moves
    seconds += done.seconds
    dropped ||= done.dropped
    await slices.spend(rows * ROW_WORK)
  }
  return { bucket: health.bucketOf(serial)!, moves, seconds, dropped }
}
