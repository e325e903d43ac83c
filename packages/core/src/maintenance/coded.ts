/**
 * Entries around a centroid that no bucket has yet, coded in any thread into blocks of their own, which a bucket takes over as they are
 * (`Directory.adopt`). Rule: nothing of the partition is read or changed.
 */
import { BLOCK_ENTRIES, blockBytes, clearBlock, type IndexSlabs, kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'

/** The group of each centroid, found as a row's bucket is, or NONE where there are no groups. @param centroids - rotated. */
export function groupsOf({ groups, padded }: IndexSlabs, centroids: Float32Array): Uint32Array {
  const count = centroids.length / padded
  const found = new Uint32Array(count).fill(NONE)
  if (groups === undefined || count === 0) return found
  const codes = new Uint8Array(new SharedArrayBuffer(count * padded))
  const factors = new Float32Array(new SharedArrayBuffer(8 * count))
  kernels.sq8Encode(centroids, padded, 0, count, codes, factors)
  const all = Uint32Array.from(found.keys())
  kernels.indexAssign({ ...groups, codes, factors }, all, 0, count, found, undefined)
  return found
}

/** The entries of the rows around a centroid, in whole blocks. @param centroid - rotated, in memory that threads share. */
export function codeEntries(slabs: IndexSlabs, centroid: Float32Array, rows: Uint32Array): Uint8Array {
  const { padded } = slabs
  const bytes = blockBytes(padded)
  const count = Math.ceil(rows.length / BLOCK_ENTRIES)
  const blocks = new Uint8Array(new SharedArrayBuffer(count * bytes))
  const words = new Uint32Array(blocks.buffer)
  for (let block = 0; block < count; block++) {
    clearBlock(words.subarray((block * bytes) / 4, ((block + 1) * bytes) / 4), padded)
  }
  const beside: IndexSlabs = {
    ...slabs,
    ...besideOf(padded),
    centroids: centroid,
    next: new Uint32Array(new SharedArrayBuffer(4 * count)),
    blocks,
    groups: undefined,
    bucketCount: 1,
  }
  const slots = Uint32Array.from(rows.keys())
  kernels.indexAppend(beside, rows, new Uint32Array(rows.length), slots, rows.length)
  return blocks
}

/** What a bucket has besides centroid and entries: never read. By padded dimension. */
const besides = new Map<
  number,
  Pick<IndexSlabs, 'centroidCodes' | 'centroidFactors' | 'router' | 'heads' | 'sizes' | 'lives'>
>()

function besideOf(padded: number) {
  let beside = besides.get(padded)
  if (beside === undefined) {
    const words = () => new Uint32Array(new SharedArrayBuffer(4))
    beside = {
      centroidCodes: new Uint8Array(new SharedArrayBuffer(padded)),
      centroidFactors: new Float32Array(new SharedArrayBuffer(8)),
      router: new Uint8Array(new SharedArrayBuffer(blockBytes(padded))),
      heads: words(),
      sizes: words(),
      lives: words(),
    }
    besides.set(padded, beside)
  }
  return beside
}
