/**
 * A few neighbouring buckets, copied, to see where their centroids should be. Splitting has a centroid more, recentring and refining
 * have other ones.
 * Rule: everything here works on copies in the rotated space and by exact distances, so a plan that does not pay is dropped, not undone.
 * Source: Lloyd (1982) over a neighbourhood, as Quake refines after a split (Mohoney et al., OSDI 2025).
 */
import { kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import type { IndexState } from '../index-state.js'
import { moveToMeans } from './means.js'
import type { Slices } from './slices.js'

export interface Region {
  /** Buckets whose centroids may move. Those of `added` centroids come before them and are not there yet. */
  readonly buckets: readonly number[]
  /** Of new buckets, of `buckets`, and of the fringe around, which stands still: `padded` values each. */
  readonly centroids: Float32Array
  /** How many are new. */
  readonly added: number
  /** Rows at home in `buckets`, in their order. */
  readonly rows: Uint32Array
  /** Their vectors, rotated. */
  readonly vectors: Float32Array
}

/** Buckets of a region, and those around it whose centroids keep its rows from being drawn too far out. */
export const REGION_BUCKETS = 25
const FRINGE_BUCKETS = 39

/** The nearest buckets of one, itself first; fewer when there are fewer. */
export function nearestBuckets(state: IndexState, bucket: number, width: number): number[] {
  const out = new Uint32Array(Math.min(width, state.router.count))
  kernels.indexNeighbours(state.slabs, bucket, 1, out.length, out)
  return [bucket, ...out.filter(other => other !== NONE && other !== bucket)].slice(0, width)
}

/** The rotated centroid, as it lies in the router. */
export function centroidAt({ router }: IndexState, bucket: number): Float32Array {
  return router.centroids.subarray(bucket * router.padded, (bucket + 1) * router.padded)
}

/** Rows whose home the bucket is, ascending. */
export function homeRows({ store, directory }: IndexState, bucket: number): Uint32Array {
  return directory.rowsOf(bucket).filter(row => store.home[row] === bucket)
}

/** The region around a bucket. @param added - rotated centroids of buckets to be made. */
export function regionAround(
  state: IndexState,
  bucket: number,
  width: number,
  added: readonly Float32Array[] = [],
): Region {
  const { padded } = state.router
  const near = nearestBuckets(state, bucket, width + FRINGE_BUCKETS)
  const buckets = near.slice(0, width)
  const centroids = new Float32Array((added.length + near.length) * padded)
  for (const [i, centroid] of added.entries()) centroids.set(centroid, i * padded)
  for (const [i, other] of near.entries())
    centroids.set(centroidAt(state, other), (added.length + i) * padded)
  const rows = Uint32Array.from(buckets.flatMap(other => [...homeRows(state, other)]))
  return { buckets, centroids, added: added.length, rows, vectors: state.store.rotatedRows(rows) }
}

/** Sums of the squared distances of the rows to their nearest centroids, before the first pass and after the last. */
export interface Passes {
  readonly before: number
  readonly after: number
  /** Rows that each centroid has in the end. */
  readonly sizes: Uint32Array
}

/** Summing a row costs as much as comparing it with so many centroids. */
const MEAN_WORK = 8

/** Rows that are compared at once, with all centroids of a region: half a millisecond at 512 dimensions. */
const PART_ROWS = 256

/** Lloyd passes over the centroids that may move, in place. */
export async function lloyd(
  { rows, vectors, centroids, buckets, added }: Region,
  padded: number,
  passes: number,
  slices: Slices,
): Promise<Passes> {
  const all = Uint32Array.from(rows.keys())
  const count = centroids.length / padded
  const homes = new Uint32Array(rows.length)
  const distances = new Float32Array(rows.length)
  const sizes = new Uint32Array(count)
  let before = 0
  let after = 0
  for (let pass = 0; pass <= passes; pass++) {
    for (let first = 0; first < rows.length; first += PART_ROWS) {
      const part = all.subarray(first, first + PART_ROWS)
      // biome-ignore format: one call
      kernels.nearest(vectors, padded, part, part.length, centroids, count, homes.subarray(first), distances.subarray(first))
      await slices.spend(part.length * padded * count)
    }
    after = distances.reduce((sum, distance) => sum + distance, 0)
    if (pass === 0) before = after
    if (pass < passes) moveToMeans(vectors, homes, padded, centroids, added + buckets.length)
    await slices.spend(rows.length * padded * MEAN_WORK)
  }
  for (const home of homes) sizes[home]!++
  return { before, after, sizes }
}

/** A centroid that moved by less than this share of its rows' mean squared distance stays: its entries need no new codes. */
export const STANDS_STILL = 0.002

/** The centroids of the region, and the codes of the entries there, one bucket a step. @param spread - mean squared distance of its rows. */
export async function publishCentroids(
  state: IndexState,
  { buckets, centroids, added }: Region,
  spread: number,
  slices: Slices,
): Promise<void> {
  const { padded } = state.router
  for (const [i, bucket] of buckets.entries()) {
    const at = (added + i) * padded
    if (squared(centroidAt(state, bucket), centroids, at) <= STANDS_STILL * spread) continue
    const entries = state.directory.sizes[bucket]!
    state.recentre(bucket, centroids.slice(at, at + padded))
    await slices.spend(entries * ENTRY_WORK)
  }
}

/** Multiply-adds that coding an entry is worth. */
export const ENTRY_WORK = 20_000

/** Another centroid for a bucket of the region. */
export function replaceCentroid(
  { buckets, centroids, added }: Region,
  padded: number,
  bucket: number,
  centroid: Float32Array,
): void {
  const at = buckets.indexOf(bucket)
  if (at >= 0) centroids.set(centroid, (added + at) * padded)
}

/** Buckets for those new centroids to which rows will go. @param sizes - of the last pass. */
export function publishAdded(state: IndexState, { added, centroids }: Region, sizes: Uint32Array): void {
  const { padded } = state.router
  for (let child = 0; child < added; child++) {
    if (sizes[child] === 0) continue
    state.addRotated(centroids.slice(child * padded, (child + 1) * padded))
  }
}

/** Squared distance of a vector to the one at `at`. */
export function squared(a: Float32Array, b: Float32Array, at: number): number {
  let total = 0
  for (let i = 0; i < a.length; i++) total += (a[i]! - b[at + i]!) ** 2
  return total
}
