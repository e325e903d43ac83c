/**
 * What should become of a neighbourhood, found in any thread: as many buckets as its rows are worth, centroids in the means of their rows.
 * Each bucket may be within its bounds and the partition be bad all the same: where rows went away buckets are many and small, where rows
 * came they are few and large, and there queries ask.
 * Rule: a neighbourhood gives up its lightest buckets or parts its heaviest ones until it has one for every `bucketRows` rows. The weight is
 * the sum of squared distances, so that it ends as k-means would have it. Centroids move only when that lowers the sum by half a percent.
 */
import { kernels } from '@drift/native'
import { joined } from '../joined.js'
import { childrenOf, MIN_CHILD_ROWS } from './children.js'
import { codeEntries, groupsOf } from './coded.js'
import {
  centroidAt,
  ENTRY_WORK,
  entryRows,
  homeRows,
  lloyd,
  nearestBuckets,
  type Passes,
  REGION_BUCKETS,
  type Region,
  regionAround,
  replaceCentroid,
  rotatedRows,
  type Seen,
  STANDS_STILL,
  squared,
} from './region.js'

export interface RedrawAsk {
  /** `even`: to the number of buckets that the rows are worth. `keep`: with those that there are. `split`: the bucket into `parts`. */
  readonly how: 'even' | 'keep' | 'split'
  readonly bucket: number
  readonly parts: number
  /** Of the index. */
  readonly bucketRows: number
  readonly seed: number
}

export interface Redrawn {
  /** To be given up before anything else, lightest first: nothing else was looked at then. */
  readonly surplus: Uint32Array
  /** Of the region. */
  readonly buckets: Uint32Array
  /** At home there. */
  readonly rows: Uint32Array
  /** Rotated centroids of new buckets, and how many of the rows are nearest to each. */
  readonly added: Float32Array
  readonly sizes: Uint32Array
  /** Buckets that get another centroid. */
  readonly moved: Recoded
}

/** Other centroids for buckets, and their entries coded around them. */
interface Recoded {
  readonly buckets: Uint32Array
  readonly centroids: Float32Array
  /** Of each centroid, or NONE. */
  readonly groups: Uint32Array
  /** Rows with an entry in each bucket, and these rows, bucket after bucket. */
  readonly counts: Uint32Array
  readonly rows: Uint32Array
  /** Of every bucket as many as its rows fill. */
  readonly blocks: Uint8Array
}

/** Passes over the copy: a second one saves coming back. After a split all rows are looked at again anyway. */
const PASSES = 2
const SPLIT_PASSES = 1
const WORTH_IT = 0.005

/** Buckets that a neighbourhood may have too many or too few: sizes differ by nature, and evening costs moves. */
const SLACK = 3

/** Multiply-adds that weighing a row, or finding the parts of a bucket, is worth for each row. */
const WEIGHT_WORK = 10_000
const PART_WORK = 40_000

const NOTHING_MOVED: Recoded = {
  buckets: new Uint32Array(0),
  centroids: new Float32Array(0),
  groups: new Uint32Array(0),
  counts: new Uint32Array(0),
  rows: new Uint32Array(0),
  blocks: new Uint8Array(0),
}

export const NOT_DRAWN: Redrawn = {
  surplus: new Uint32Array(0),
  buckets: new Uint32Array(0),
  rows: new Uint32Array(0),
  added: new Float32Array(0),
  sizes: new Uint32Array(0),
  moved: NOTHING_MOVED,
}

/**
 * Yields multiply-adds.
 *
 * @returns of a split without `added`: the rows are all one point when it has no rows either, or else the neighbours would take nearly all
 *   rows of a child.
 */
export function* redraw(seen: Seen, ask: RedrawAsk): Generator<number, Redrawn> {
  if (ask.how === 'split') return yield* split(seen, ask)
  const { bucket } = ask
  const near = nearestBuckets(seen.slabs, bucket, REGION_BUCKETS)
  const surplus = ask.how === 'even' ? surplusOf(seen, near, ask.bucketRows) : 0
  const order = Math.abs(surplus) < SLACK ? [] : yield* byWeight(seen, near)
  if (order.length > 0 && surplus > 0) {
    return { ...NOT_DRAWN, surplus: Uint32Array.from(order.slice(0, Math.floor(surplus))) }
  }
  const parted = yield* partsOf(seen, order.toReversed(), Math.floor(-surplus), ask)
  const { padded } = seen.slabs
  const added = parted.map(({ other }) => other)
  const region = yield* regionAround(seen, bucket, REGION_BUCKETS, added)
  for (const { bucket: whole, own } of parted) replaceCentroid(region, padded, whole, own)
  const passes = yield* lloyd(region, padded, PASSES)
  const pays = added.length > 0 || passes.after <= passes.before * (1 - WORTH_IT)
  return yield* drawn(seen, region, passes, pays)
}

/** The bucket's own centroid becomes that of its first part. */
function* split(seen: Seen, { bucket, parts, seed }: RedrawAsk): Generator<number, Redrawn> {
  const { padded } = seen.slabs
  const centroids = childrenOf(seen, bucket, parts, seed)
  yield parts * PART_WORK * 25
  if (centroids === undefined) return NOT_DRAWN
  const added: Float32Array[] = []
  for (let at = padded; at < centroids.length; at += padded) added.push(centroids.slice(at, at + padded))
  const region = yield* regionAround(seen, bucket, REGION_BUCKETS, added)
  replaceCentroid(region, padded, bucket, centroids.subarray(0, padded))
  const passes = yield* lloyd(region, padded, SPLIT_PASSES)
  const least = passes.sizes.subarray(0, added.length + 1).reduce((few, size) => Math.min(few, size))
  // The neighbours take nearly all of a child: they have room for it, so refining does what a split would.
  if (least < MIN_CHILD_ROWS) return { ...NOT_DRAWN, rows: region.rows }
  return yield* drawn(seen, region, passes, true)
}

/** @param pays - or else only the rows of the region are told. */
function* drawn(
  seen: Seen,
  { buckets, rows, centroids, added }: Region,
  { after, sizes }: Passes,
  pays: boolean,
): Generator<number, Redrawn> {
  const found = { surplus: NOT_DRAWN.surplus, buckets: Uint32Array.from(buckets), rows }
  if (!pays) return { ...NOT_DRAWN, ...found }
  const { padded } = seen.slabs
  const spread = after / Math.max(1, rows.length)
  const moved = buckets.flatMap((bucket, i) => {
    const at = (added + i) * padded
    const away = squared(centroidAt(seen.slabs, bucket), centroids, at)
    return away <= STANDS_STILL * spread ? [] : [{ bucket, centroid: centroids.subarray(at, at + padded) }]
  })
  return {
    ...found,
    added: centroids.slice(0, added * padded),
    sizes: sizes.slice(0, added),
    moved: yield* recoded(seen, moved),
  }
}

function* recoded(
  seen: Seen,
  moved: readonly { readonly bucket: number; readonly centroid: Float32Array }[],
): Generator<number, Recoded> {
  if (moved.length === 0) return NOTHING_MOVED
  const { padded } = seen.slabs
  const centroids = new Float32Array(new SharedArrayBuffer(4 * moved.length * padded))
  const members: Uint32Array[] = []
  const blocks: Uint8Array[] = []
  for (const [i, { bucket, centroid }] of moved.entries()) {
    const own = centroids.subarray(i * padded, (i + 1) * padded)
    own.set(centroid)
    const rows = entryRows(seen, bucket)
    members.push(rows)
    blocks.push(codeEntries(seen.slabs, own, rows))
    yield rows.length * ENTRY_WORK
  }
  return {
    buckets: Uint32Array.from(moved, ({ bucket }) => bucket),
    centroids,
    groups: groupsOf(seen.slabs, centroids),
    counts: Uint32Array.from(members, rows => rows.length),
    rows: joined(Uint32Array, members),
    blocks: joined(Uint8Array, blocks),
  }
}

/** Buckets over those that the rows in them are worth; below 0: under. */
function surplusOf(seen: Seen, buckets: readonly number[], bucketRows: number): number {
  const rows = buckets.reduce((sum, bucket) => sum + homeRows(seen, bucket).length, 0)
  return buckets.length - rows / bucketRows
}

/** The lightest first. */
function* byWeight(seen: Seen, buckets: readonly number[]): Generator<number, number[]> {
  const weights = new Map<number, number>()
  for (const bucket of buckets) {
    const rows = homeRows(seen, bucket)
    weights.set(bucket, rows.length * spreadOf(seen, bucket, rows))
    yield rows.length * WEIGHT_WORK
  }
  return buckets.toSorted((a, b) => weights.get(a)! - weights.get(b)!)
}

/** Mean squared distance of the rows to the centroid. */
function spreadOf({ slabs }: Seen, bucket: number, rows: Uint32Array): number {
  if (rows.length === 0) return 0
  const distances = new Float32Array(rows.length)
  const centroid = centroidAt(slabs, bucket).slice()
  kernels.distances('l2', centroid, rotatedRows(slabs, rows), slabs.padded, 0, rows.length, distances)
  return distances.reduce((sum, distance) => sum + distance, 0) / rows.length
}

/** Two rotated centroids in the place of one: the bucket's own, and that of a new one. */
interface Parted {
  readonly bucket: number
  readonly own: Float32Array
  readonly other: Float32Array
}

function* partsOf(
  seen: Seen,
  buckets: readonly number[],
  most: number,
  { bucketRows, seed }: RedrawAsk,
): Generator<number, Parted[]> {
  const { padded } = seen.slabs
  const found: Parted[] = []
  for (const bucket of buckets) {
    if (found.length >= most) break
    const rows = homeRows(seen, bucket).length
    if (rows < bucketRows) continue
    const halves = childrenOf(seen, bucket, 2, seed)
    yield rows * PART_WORK
    if (halves === undefined) continue
    found.push({ bucket, own: halves.slice(0, padded), other: halves.slice(padded, 2 * padded) })
  }
  return found
}
