/**
 * Entries around centroids that no bucket has yet, coded in any thread into blocks of their own, which a bucket takes over as they are
 * (`Directory.adopt`). Rule: nothing of the partition is read or changed.
 */
import { BLOCK_ENTRIES, blockBytes, clearBlock, type IndexSlabs, kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'

/** Centroids at once: a block of the router, whose place is beside these. */
const MOST = BLOCK_ENTRIES

/** The group of each centroid, or NONE where there are no groups. @param centroids - rotated. */
export function groupsOf({ groups, padded }: IndexSlabs, centroids: Float32Array): Uint32Array {
  const count = centroids.length / padded
  const found = new Uint32Array(count).fill(NONE)
  if (groups === undefined || count === 0) return found
  const all = Uint32Array.from(found.keys())
  // biome-ignore format: one call
  kernels.nearest(centroids, padded, all, count, groups.centroids, groups.bucketCount, found, new Float32Array(count))
  return found
}

/**
 * The entries of the rows around their centroids, in whole blocks for each of them.
 *
 * @param centroids - at most 32, rotated, in memory that threads share.
 * @param counts - of each centroid, how many of `rows` it has; those of the first come first.
 */
export function codeEntries(
  slabs: IndexSlabs,
  centroids: Float32Array,
  counts: Uint32Array,
  rows: Uint32Array,
): Uint8Array {
  const { padded } = slabs
  const bytes = blockBytes(padded)
  const blockCount = counts.reduce((sum, count) => sum + Math.ceil(count / BLOCK_ENTRIES), 0)
  const blocks = new Uint8Array(new SharedArrayBuffer(blockCount * bytes))
  const words = new Uint32Array(blocks.buffer)
  for (let block = 0; block < blockCount; block++) {
    clearBlock(words.subarray((block * bytes) / 4, ((block + 1) * bytes) / 4), padded)
  }
  const buckets = new Uint32Array(rows.length)
  const slots = new Uint32Array(rows.length)
  let at = 0
  let block = 0
  for (const [bucket, count] of counts.entries()) {
    buckets.fill(bucket, at, at + count)
    for (let i = 0; i < count; i++) slots[at + i] = block * BLOCK_ENTRIES + i
    at += count
    block += Math.ceil(count / BLOCK_ENTRIES)
  }
  const beside: IndexSlabs = {
    ...slabs,
    ...besideOf(padded),
    centroids,
    next: new Uint32Array(new SharedArrayBuffer(4 * blockCount)),
    blocks,
    groups: undefined,
    bucketCount: counts.length,
  }
  kernels.indexAppend(beside, rows, buckets, slots, rows.length)
  return blocks
}

/** What buckets have besides centroids and entries: never read. By padded dimension. */
const besides = new Map<
  number,
  Pick<IndexSlabs, 'centroidCodes' | 'centroidFactors' | 'router' | 'heads' | 'sizes' | 'lives'>
>()

function besideOf(padded: number) {
  let beside = besides.get(padded)
  if (beside === undefined) {
    const words = () => new Uint32Array(new SharedArrayBuffer(4 * MOST))
    beside = {
      centroidCodes: new Uint8Array(new SharedArrayBuffer(MOST * padded)),
      centroidFactors: new Float32Array(new SharedArrayBuffer(MOST * 8)),
      router: new Uint8Array(new SharedArrayBuffer(blockBytes(padded))),
      heads: words(),
      sizes: words(),
      lives: words(),
    }
    besides.set(padded, beside)
  }
  return beside
}
