/**
 * The two halves of buckets that grew too large, found in any thread: centroids, rows, and the blocks of the new chains, ready to be taken over.
 * Rule: only reads the index, all of it shared; what changes meanwhile is that rows die, and who publishes the halves (split.ts) leaves them out.
 */
import { BLOCK_ENTRIES, blockBytes, blocksOfHalves, type IndexSlabs, kernels } from '@drift/native'
import { Extents } from '../bucket/extent.js'
import { joined } from '../joined.js'
import { seededRandom } from '../random.js'
import type { RowBuckets } from '../search/snapshot.js'
import { groupsOf } from './coded.js'

/** Passes over the rows that a split is worth, the kernel's and coding their entries; one of 50 rows of 384 dimensions takes 50 us. */
const PASSES = 40

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
    const rows = (halves ?? []).reduce((sum, { rows }) => sum + rows.length, 1)
    yield rows * slabs.dim * PASSES
  }
  const all = found.flat()
  const centroids = joined(
    Float32Array,
    all.map(({ centroid }) => centroid),
  )
  return {
    buckets: Uint32Array.from(halved),
    centroids,
    groups: groupsOf(slabs, centroids),
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

interface Half {
  readonly centroid: Float32Array
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
  const { padded } = slabs
  const members: number[] = []
  const guests: number[] = []
  for (const row of new Set(Extents.rowsIn(slabs, bucket))) {
    if (home[row] === bucket) members.push(row)
    else if (second[row] === bucket) guests.push(row)
  }
  const own = members.length
  const rows = Uint32Array.from([...members, ...guests])
  rows.subarray(0, own).sort()
  rows.subarray(own).sort()
  const random = seededRandom((seed ^ Math.imul(bucket, 0x9e3779b1)) >>> 0)
  const sides = new Uint32Array(rows.length)
  const centroids = new Float32Array(2 * padded)
  const bytes = blockBytes(padded)
  const blocks = new Uint8Array(blocksOfHalves(rows.length) * bytes)
  const [from, to] = [random(), random()]
  // biome-ignore format: one call
  const stays = kernels.indexHalve(slabs, rows, own, rows.length, from, to, sides, centroids, blocks)
  if (stays === 0) return undefined
  return [0, 1].map(half => {
    const inHalf = rows.filter((_, i) => sides[i] === half)
    const first = half * stays
    return {
      centroid: centroids.subarray(half * padded, (half + 1) * padded),
      rows: inHalf,
      blocks: blocks.subarray(first * bytes, (first + Math.ceil(inHalf.length / BLOCK_ENTRIES)) * bytes),
    }
  })
}
