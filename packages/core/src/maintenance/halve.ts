/**
 * The two halves of buckets that grew too large, found in any thread: centroids, rows, and the blocks of the new chains, ready to be taken over.
 * Rule: only reads the index, all of it shared; what changes meanwhile is that rows die, and who publishes the halves (split.ts) leaves them out.
 */
import { BLOCK_ENTRIES, blockBytes, type IndexSlabs, kernels } from '@drift/native'
import { Extents } from '../bucket/extent.js'
import { joined } from '../joined.js'
import { kmeans } from '../kmeans.js'
import { decodeRows } from '../row-store.js'
import type { RowBuckets } from '../search/snapshot.js'
import { codeEntries, groupsOf } from './coded.js'

/** 2-means of about fifty rows has settled by then. */
const ITERATIONS = 8

/** Of each bucket that has two halves, one after the other: buckets whose rows are all the same point are left out. */
export interface Halves {
  readonly buckets: Uint32Array
  /** Two a bucket, rotated. */
  readonly centroids: Float32Array
  /** Two a bucket: the group of each centroid, or NONE where there are no groups. */
  readonly groups: Uint32Array
  /** Two a bucket: rows of each half, in the order of their entries. */
  readonly counts: Uint32Array
  readonly rows: Uint32Array
  /** Of every half as many as its rows fill. */
  readonly blocks: Uint8Array
}

/** @param seed - of the index. Yields multiply-adds. */
export function* halveBuckets(
  slabs: IndexSlabs,
  rowBuckets: RowBuckets,
  buckets: Uint32Array,
  seed: number,
): Generator<number, Halves> {
  const found: Half[][] = []
  const halved: number[] = []
  for (const bucket of buckets) {
    const halves = halvesOf(slabs, rowBuckets, bucket, seed)
    if (halves !== undefined) {
      found.push(halves)
      halved.push(bucket)
    }
    yield splitWork(
      (halves ?? []).reduce((sum, { rows }) => sum + rows.length, 1),
      slabs.dim,
    )
  }
  const all = found.flat()
  return {
    buckets: Uint32Array.from(halved),
    centroids: joined(
      Float32Array,
      all.map(({ centroid }) => centroid),
    ),
    groups: Uint32Array.from(all, ({ group }) => group),
    counts: Uint32Array.from(all, ({ rows }) => rows.length),
    rows: joined(
      Uint32Array,
      all.map(({ rows }) => rows),
    ),
    blocks: joined(
      Uint8Array,
      all.map(({ blocks }) => blocks),
    ),
  }
}

/** Multiply-adds that a split is worth; one of 50 rows of 384 dimensions takes a fifth of a millisecond. */
function splitWork(rows: number, dim: number): number {
  return 2 * rows * dim * 2 * (ITERATIONS + 2)
}

interface Half {
  readonly centroid: Float32Array
  readonly group: number
  readonly rows: Uint32Array
  readonly blocks: Uint8Array
}

/** @returns undefined when all rows that call the bucket home are the same point. */
function halvesOf(
  slabs: IndexSlabs,
  { home, second }: RowBuckets,
  bucket: number,
  seed: number,
): Half[] | undefined {
  const { padded, dim } = slabs
  const rows: number[] = []
  const guests: number[] = []
  for (const row of new Set(Extents.rowsIn(slabs, bucket))) {
    if (home[row] === bucket) rows.push(row)
    else if (second[row] === bucket) guests.push(row)
  }
  const own = Uint32Array.from(rows).sort()
  const visitors = Uint32Array.from(guests).sort()
  const points = pointsOf(slabs, own)
  const pointDim = slabs.vectors === undefined ? padded : dim
  const { centroids, assignment } = kmeans(points.points, pointDim, {
    k: 2,
    seed: (seed ^ Math.imul(bucket, 0x9e3779b1)) >>> 0,
    iterations: ITERATIONS,
    index: points.at,
  })
  if (centroids.length < 2 * pointDim) return undefined
  const leaving = assignment.reduce((sum, half) => sum + half, 0)
  if (leaving === 0 || leaving === own.length) return undefined
  const sides = new Uint32Array(visitors.length)
  const coming = pointsOf(slabs, visitors)
  const distances = new Float32Array(visitors.length)
  // biome-ignore format: one call
  kernels.nearest(coming.points, pointDim, coming.at, visitors.length, centroids, 2, sides, distances)
  const rotated = new Float32Array(new SharedArrayBuffer(4 * 2 * padded))
  if (slabs.vectors === undefined) rotated.set(centroids)
  else kernels.rotate(centroids, dim, padded, 0, 2, slabs.flips, rotated)
  const groups = groupsOf(slabs, rotated)
  const members = [0, 1].map(half =>
    Uint32Array.from([
      ...own.filter((_, i) => assignment[i] === half),
      ...visitors.filter((_, i) => sides[i] === half),
    ]),
  )
  const counts = Uint32Array.from(members, rows => rows.length)
  const blocks = codeEntries(slabs, rotated, counts, joined(Uint32Array, members))
  const first = Math.ceil(counts[0]! / BLOCK_ENTRIES) * blockBytes(padded)
  return members.map((rows, half) => ({
    centroid: rotated.subarray(half * padded, (half + 1) * padded),
    group: groups[half]!,
    rows,
    blocks: half === 0 ? blocks.subarray(0, first) : blocks.subarray(first),
  }))
}

/** Exact vectors where they lie, or else what codes tell: row rows[i] is point at[i]. */
function pointsOf(
  { vectors, codes, factors, padded }: IndexSlabs,
  rows: Uint32Array,
): { points: Float32Array; at: Uint32Array } {
  if (vectors !== undefined) return { points: vectors, at: rows }
  const points = new Float32Array(rows.length * padded)
  decodeRows(codes, factors, padded, rows, points)
  return { points, at: Uint32Array.from(rows.keys()) }
}
