/**
 * A few neighbouring buckets, copied, to see where their centroids should be. Splitting has a centroid more, refining has other ones.
 * Rule: everything here only reads, in any thread, and works on copies in the rotated space by exact distances, so a plan that does not
 * pay is dropped, not undone.
 * Source: Lloyd (1982) over a neighbourhood, as Quake refines after a split (Mohoney et al., OSDI 2025).
 */
import { type IndexSlabs, kernels } from '@drift/native'
import { Extents, NONE } from '../bucket/extent.js'
import type { IndexState } from '../index-state.js'
import { decodeRows } from '../row-store.js'
import type { RowBuckets } from '../search/snapshot.js'
import { moveToMeans } from './means.js'

/** The partition as a thread sees it; the slabs are asked for anew after every turn of the event loop, which may have replaced them. */
export interface Seen {
  readonly slabs: IndexSlabs
  readonly rowBuckets: RowBuckets
}

/** What the caller's thread sees. */
export function seenIn(state: IndexState): Seen {
  return {
    get slabs() {
      return state.slabs
    },
    get rowBuckets() {
      return state.store
    },
  }
}

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

/** Multiply-adds that rotating a row is worth, for each of its values. */
const ROTATE_WORK = 32

/** The nearest buckets of one, itself first; fewer when there are fewer. */
export function nearestBuckets(slabs: IndexSlabs, bucket: number, width: number): number[] {
  const out = new Uint32Array(Math.min(width, slabs.bucketCount))
  kernels.indexNeighbours(slabs, bucket, 1, out.length, out)
  return [bucket, ...out.filter(other => other !== NONE && other !== bucket)].slice(0, width)
}

/** The rotated centroid, as it lies in the router. */
export function centroidAt(
  { centroids, padded }: Pick<IndexSlabs, 'centroids' | 'padded'>,
  bucket: number,
): Float32Array {
  return centroids.subarray(bucket * padded, (bucket + 1) * padded)
}

/** Rows whose home the bucket is, ascending. */
export function homeRows({ slabs, rowBuckets: { home } }: Seen, bucket: number): Uint32Array {
  const rows = Extents.rowsIn(slabs, bucket).filter(row => home[row] === bucket)
  return Uint32Array.from(new Set(rows)).sort()
}

/** Rows with an entry in the bucket that counts, ascending. */
export function entryRows({ slabs, rowBuckets: { home, second } }: Seen, bucket: number): Uint32Array {
  const rows = Extents.rowsIn(slabs, bucket).filter(row => home[row] === bucket || second[row] === bucket)
  return Uint32Array.from(new Set(rows)).sort()
}

/** The rows rotated, `padded` values each: exactly, or, where vectors are not kept, as the codes tell them. */
export function rotatedRows(slabs: IndexSlabs, rows: Uint32Array): Float32Array {
  const { vectors, codes, factors, flips, padded, dim } = slabs
  const out = new Float32Array(rows.length * padded)
  if (vectors === undefined) decodeRows(codes, factors, padded, rows, out)
  else {
    for (let i = 0; i < rows.length; i++) {
      kernels.rotate(vectors, dim, padded, rows[i]!, 1, flips, out.subarray(i * padded, (i + 1) * padded))
    }
  }
  return out
}

/** The region around a bucket. Yields multiply-adds. @param added - rotated centroids of buckets to be made. */
export function* regionAround(
  seen: Seen,
  bucket: number,
  width: number,
  added: readonly Float32Array[] = [],
): Generator<number, Region> {
  const { slabs } = seen
  const { padded } = slabs
  const near = nearestBuckets(slabs, bucket, width + FRINGE_BUCKETS)
  const buckets = near.slice(0, width)
  const centroids = new Float32Array((added.length + near.length) * padded)
  for (const [i, centroid] of added.entries()) centroids.set(centroid, i * padded)
  for (const [i, other] of near.entries())
    centroids.set(centroidAt(slabs, other), (added.length + i) * padded)
  const rowsOf = buckets.map(other => homeRows(seen, other))
  const rows = Uint32Array.from(rowsOf.flatMap(own => [...own]))
  const vectors = new Float32Array(rows.length * padded)
  let at = 0
  for (const own of rowsOf) {
    vectors.set(rotatedRows(seen.slabs, own), at * padded)
    at += own.length
    yield own.length * padded * ROTATE_WORK
  }
  return { buckets, centroids, added: added.length, rows, vectors }
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

/** Lloyd passes over the centroids that may move, in place. Yields multiply-adds. */
export function* lloyd(
  { rows, vectors, centroids, buckets, added }: Region,
  padded: number,
  passes: number,
): Generator<number, Passes> {
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
      yield part.length * padded * count
    }
    after = distances.reduce((sum, distance) => sum + distance, 0)
    if (pass === 0) before = after
    if (pass < passes) moveToMeans(vectors, homes, padded, centroids, added + buckets.length)
    yield rows.length * padded * MEAN_WORK
  }
  for (const home of homes) sizes[home]!++
  return { before, after, sizes }
}

/** A centroid that moved by less than this share of its rows' mean squared distance stays: its entries need no new codes. */
export const STANDS_STILL = 0.002

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

/** Squared distance of a vector to the one at `at`. */
export function squared(a: Float32Array, b: Float32Array, at: number): number {
  let total = 0
  for (let i = 0; i < a.length; i++) total += (a[i]! - b[at + i]!) ** 2
  return total
}
