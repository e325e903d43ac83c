/**
 * A neighbourhood brought to rest: as many buckets as its rows are worth, centroids in the means of their rows, rows in the nearest
 * buckets.
 * Rule: each bucket may be within its bounds and the partition be bad all the same: where rows went, buckets are many and small, where
 * they came, few and large, and queries ask where they came. So a neighbourhood gives up its lightest buckets or parts its heaviest ones
 * until it has one for every `bucketRows` rows; the weight is the sum of squared distances, so that it ends as k-means would have it.
 * Centroids move only when that lowers the sum by half a percent; the rows are looked at anyway, because centroids around them may have
 * moved since the last time.
 */
import type { IndexState } from '../index-state.js'
import type { Job } from './assign.js'
import { compactBucket, isStale } from './compact.js'
import { childrenOf } from './heal-split.js'
import { mergeBucket } from './merge.js'
import { spreadOf } from './recentre.js'
import {
  lloyd,
  nearestBuckets,
  publishAdded,
  publishCentroids,
  REGION_BUCKETS,
  regionAround,
  replaceCentroid,
} from './region.js'
import type { Slices } from './slices.js'
import { type Moves, NO_MOVES, steal } from './steal.js'

/** Passes over the copy: a second one saves coming back. */
const PASSES = 2
const WORTH_IT = 0.005

/** Buckets that a neighbourhood may have too many or too few: sizes differ by nature, and evening costs moves. */
const SLACK = 3

/** Multiply-adds that weighing or moving a row is worth. */
const ROW_WORK = 10_000

/** @param limit - rows that may leave buckets which are given up. @returns also whether the partition changed. */
export async function refineAround(
  state: IndexState,
  bucket: number,
  limit: number,
  slices: Slices,
  job: Job,
): Promise<Moves & { readonly moved: boolean }> {
  const { directory, health, router } = state
  const near = nearestBuckets(state, bucket, REGION_BUCKETS)
  const surplus = surplusOf(state, near)
  const order = Math.abs(surplus) < SLACK ? [] : await byWeight(state, near, slices)
  const gone =
    surplus > 0
      ? await giveUp(state, bucket, order.slice(0, Math.floor(surplus)), limit, slices)
      : { ...NO_MOVES, bucket, dropped: false }
  const heaviest = surplus < 0 ? order.toReversed() : []
  const parted = await partsOf(state, heaviest, Math.floor(-surplus), slices)
  await slices.turn()
  const added = parted.map(({ other }) => other)
  const region = regionAround(state, gone.bucket, REGION_BUCKETS, added)
  for (const { bucket: whole, own } of parted) replaceCentroid(region, router.padded, whole, own)
  await slices.turn()
  const { before, after, sizes } = await lloyd(region, router.padded, PASSES, slices)
  const moved = added.length > 0 || after <= before * (1 - WORTH_IT)
  if (moved) {
    publishAdded(state, region, sizes)
    await publishCentroids(state, region, after / Math.max(1, region.rows.length), slices)
  }
  const done = await steal(state, region.rows, slices, job)
  for (const other of region.buckets) {
    // Rows that left are entries that a query still reads.
    if (isStale(state, other)) {
      const entries = directory.sizes[other]!
      compactBucket(state, other)
      await slices.spend(entries * ROW_WORK)
    }
    health.tend(other, directory.changes[other]!)
  }
  return {
    moves: gone.moves + done.moves,
    seconds: gone.seconds + done.seconds,
    moved: moved || gone.dropped,
  }
}

/** Buckets over those that the rows in them are worth; below 0: under. */
function surplusOf({ directory, shape }: IndexState, buckets: readonly number[]): number {
  const rows = buckets.reduce((sum, bucket) => sum + directory.homesIn(bucket), 0)
  return buckets.length - rows / shape.bucketRows
}

/** The lightest first. */
async function byWeight(state: IndexState, buckets: readonly number[], slices: Slices): Promise<number[]> {
  const weights = new Map<number, number>()
  for (const bucket of buckets) {
    const rows = state.directory.homesIn(bucket)
    weights.set(bucket, rows * spreadOf(state, bucket))
    await slices.spend(rows * ROW_WORK)
  }
  return buckets.toSorted((a, b) => weights.get(a)! - weights.get(b)!)
}

/** Merges some buckets away, but never `centre`. @returns also the number that `centre` has afterwards. */
async function giveUp(
  state: IndexState,
  centre: number,
  buckets: readonly number[],
  limit: number,
  slices: Slices,
): Promise<Moves & { readonly bucket: number; readonly dropped: boolean }> {
  const { directory, router } = state
  const serial = state.health.serialOf(centre)
  const leaving = buckets.filter(bucket => bucket !== centre).map(bucket => state.health.serialOf(bucket))
  let [moves, seconds, dropped] = [0, 0, false]
  for (const one of leaving) {
    const bucket = state.health.bucketOf(one)
    if (bucket === undefined || moves + directory.homesIn(bucket) > limit || router.count < 3) continue
    const rows = directory.sizes[bucket]!
    const done = await mergeBucket(state, bucket, limit - moves, slices)
    moves += done.moves
    seconds += done.seconds
    dropped ||= done.dropped
    await slices.spend(rows * ROW_WORK)
  }
  return { bucket: state.health.bucketOf(serial)!, moves, seconds, dropped }
}

/** Two rotated centroids in the place of one: the bucket's own, and that of a new one. */
interface Parted {
  readonly bucket: number
  readonly own: Float32Array
  readonly other: Float32Array
}

async function partsOf(
  state: IndexState,
  buckets: readonly number[],
  most: number,
  slices: Slices,
): Promise<Parted[]> {
  const { padded } = state.router
  const found: Parted[] = []
  for (const bucket of buckets) {
    if (found.length >= most) break
    if (state.directory.homesIn(bucket) < state.shape.bucketRows) continue
    const halves = childrenOf(state, bucket, 2)
    await slices.turn()
    if (halves === undefined) continue
    found.push({ bucket, own: halves.slice(0, padded), other: halves.slice(padded, 2 * padded) })
  }
  return found
}
