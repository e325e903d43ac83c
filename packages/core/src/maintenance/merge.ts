/**
 * Scatter merge: the few rows of a bucket that lost most of them go each to its own nearest bucket, and the bucket goes.
 * Rule: it goes only when no row calls it home or second; one that holds more rows than may move now is `draining` meanwhile: no other
 * merge sends rows there, and it is the first to be merged next. Each row moves in one step, and the event loop turns between some of them.
 * Source: "Drift-Aware Vector Indexing", Scatter Merge; unlike there, to the nearest of 64 buckets instead of 3.
 */
import type { IndexState } from '../index-state.js'
import { homeRows, seenIn } from './region.js'
import type { Slices } from './slices.js'
import { type Moves, scatter } from './steal.js'

/** A bucket with fewer rows than this share of the target is not worth opening. */
export const TOO_SMALL = 0.2

/** Nearest buckets that take the rows; the paper has 3. */
export const TARGETS = 64
export const PAPER_TARGETS = 3

/** @param limit - rows that may move. @returns `dropped`: whether the bucket has gone. */
export async function mergeBucket(
  state: IndexState,
  bucket: number,
  limit: number,
  slices: Slices,
  targets: number = TARGETS,
): Promise<Moves & { readonly dropped: boolean }> {
  const { directory, health, store, router } = state
  if (router.count < 2) return { moves: 0, seconds: 0, dropped: false }
  const survivors = homeRows(seenIn(state), bucket).subarray(0, Math.max(0, Math.floor(limit)))
  const { moves } = await scatter(state, survivors, limit, bucket, targets, health.draining, slices)
  if (directory.homesIn(bucket) > 0) {
    health.draining.add(bucket)
    return { moves, seconds: 0, dropped: false }
  }
  const guests = directory.rowsOf(bucket).filter(row => store.second[row] === bucket)
  const { moves: more, seconds } = await scatter(
    state,
    guests,
    limit - moves,
    bucket,
    TARGETS,
    health.draining,
    slices,
  )
  for (const row of directory.rowsOf(bucket)) if (store.second[row] === bucket) state.leaveSecond(row)
  state.dropBucket(bucket)
  return { moves: moves + more, seconds, dropped: true }
}
