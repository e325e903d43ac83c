/**
 * The partitioned index as the kernels see it: typed arrays over shared slabs. The layout of a block is in src/index.h; D is the padded
 * dimension. Everything but `vectors` is in the rotated space.
 *
 * A row x is coded as SQ8 of the rotated vector, once; and as an entry of 1 bit a dimension in each of its buckets, the signs of the
 * residual to the centroid. From an entry follows an unbiased estimate of the distance and how far it may be off (RaBitQ, Gao and Long
 * 2024), so a query reads the codes only of rows that may be near enough, and exact vectors only of the best.
 */
import { describe, kindOf, requireObject, wrong } from './argument.js'
import type { NativeError } from './error.js'
import type { KernelMetric } from './kernels.js'

/** Entries of a block. */
export const BLOCK_ENTRIES = 32

export interface IndexSlabs {
  readonly metric: KernelMetric
  /** By which buckets are ranked. */
  readonly routing: KernelMetric
  readonly dim: number
  /** D: `paddedDim(dim)`. */
  readonly padded: number
  /** Of the rotation: see `Kernels.rotate`. */
  readonly flips: Uint32Array
  /** dim values a row, not rotated; undefined: distances come from the codes. */
  readonly vectors: Float32Array | undefined
  /** D a row: SQ8 of the rotated row. */
  readonly codes: Uint8Array
  /** Two a row: scale, squared norm. */
  readonly factors: Float32Array
  /** One bit a row: word r >>> 5, bit r & 31. */
  readonly live: Uint32Array
  /** D a bucket, rotated, and as SQ8. */
  readonly centroids: Float32Array
  readonly centroidCodes: Uint8Array
  readonly centroidFactors: Float32Array
  /** Blocks of 32 centroids in order, entries around `center`, whatever the metric under l2. */
  readonly router: Uint8Array
  readonly center: Float32Array
  /** First block of every bucket; one that `next` does not have: none. */
  readonly heads: Uint32Array
  /** Entries of every bucket, dead ones included: what a scan reads. */
  readonly sizes: Uint32Array
  /** Of those, the ones that count. */
  readonly lives: Uint32Array
  /** The block after each block; one that `next` does not have ends the chain. */
  readonly next: Uint32Array
  readonly blocks: Uint8Array
  /**
   * The buckets in groups, so that not every bucket is looked at to find the nearest: the same structure one level up, under l2, whose rows
   * are the buckets and whose buckets are the groups. `codes` and `factors` are `centroidCodes` and `centroidFactors`; nothing is live.
   * Absent: there are none.
   */
  readonly groups?: IndexSlabs | undefined
  /**
   * By which entries are coded, instead of signs: `codebookLength(D)` floats, groups of 16 codewords of 4 values, value b of word m of group g at
   * 64 g + 16 b + m; at last what a residual's length is brought to before its words are chosen. Words are scaled so that the estimate's error
   * spreads as that of signs: as 0.6 of D^0.5 * |r| / <s, r>, s the vector of words. Absent: entries are signs.
   */
  readonly codebooks?: Float32Array | undefined
  /** Of what is scanned every row's codes are compared, whatever its entry says. Absent: only of those that may be near enough. */
  readonly readsAll?: boolean
  /** Rows from here on are not seen. */
  rowLimit: number
  bucketCount: number
}

/** Rows that a search may find, and what searches find out about them, kept by who asks while neither the bits nor any entry changes. */
export interface AllowedRows {
  /** One bit a row, of live rows alone. */
  readonly bits: Uint32Array
  /** By bucket, its entries of these rows; NOT_COUNTED: nobody looked yet. Searches fill it in. */
  readonly counts: Uint32Array
  /** By block of a bucket that is counted, bit i: entry i is of one of these rows. Searches fill it in. */
  readonly masks: Uint32Array
}

export const NOT_COUNTED = 0xffff_ffff

export interface IndexQuery {
  readonly k: number
  /** Buckets to scan, nearest first, with `allow` of those that have allowed rows; 0: by `floor`. */
  readonly probes: number
  /**
   * Instead of `probes`: every bucket is scanned whose expected hits per row of cost (16, and its entries) reach this; both 0: no
   * bucket is scanned. The hits of the j-th nearest bucket: (1 + L)^byRank * (d_j^2 / d_0^2)^byRatio * n^bySize, with n its entries
   * that count (of live rows, and with `allow` of allowed ones), L those of all nearer buckets over `meanLives`, and d_0 how far the nearest
   * `near` entries are, with `allow` the bucket at which `meanLives` are reached; 0 when n is 0. Source: src/estimate.h.
   */
  readonly floor: number
  /** With `floor`: nearest buckets are scanned, whatever they promise, until they have so many entries that count. */
  readonly least: number
  readonly byRank: number
  readonly byRatio: number
  readonly bySize: number
  /** Entries of a bucket that count, the mean over all buckets. */
  readonly meanLives: number
  /** Entries whose buckets' squared distances, in the mean, are d_0^2; those of FLAT_BUCKETS at most. 0: the nearest bucket that has any. */
  readonly near: number
  /** A query is flat when of its nearest FLAT_BUCKETS buckets the last is nearer than this times d_0^2: then `floor` counts `flatTimes`. */
  readonly flat: number
  readonly flatTimes: number
  /** A query is far when its d_0^2 is above this: then `floor` counts `farTimes`; of a query that is both, the lower counts. */
  readonly far: number
  readonly farTimes: number
  /** Rows beyond k whose exact distance may be computed. */
  readonly rerank: number
  /** Scan every parts-th bucket of the probe list, from `part` on: several threads share one query so. */
  readonly part: number
  readonly parts: number
  /** Only these rows count. */
  readonly allow: AllowedRows | undefined
  /** Rows to look at besides those in buckets: the first `extraCount` of `extra`. */
  readonly extra: Uint32Array
  readonly extraCount: number
  /**
   * Rows in no bucket that have entries all the same: tails, each around a reference of its own. One after the other, in the first `tailWords`
   * words: how many blocks a tail has, the D floats of its reference, its blocks. All of them are scanned, after the buckets.
   */
  readonly tails: Uint32Array
  readonly tailWords: number
  /**
   * Gets PROBE_WORDS words for every scanned bucket, in order, as many as fit: bucket, rank by distance from 0, then as float32 bits the
   * distance of the centroid in the routing metric and the expected hits. Undefined: nobody asks.
   */
  readonly trace: Uint32Array | undefined
}

/** Buckets that tell whether a query is flat. */
export const FLAT_BUCKETS = 16

/** Of a bucket in `IndexQuery.trace`. */
export const PROBE_WORDS = 4

/** The least multiple of 64 that holds `dim` values. */
export function paddedDim(dim: number): number {
  return (dim + 63) & ~63
}

/** Codewords of a group of entries, and values of each. */
export const CODEWORDS = 16
export const CODEWORD_VALUES = 4

export function codebookLength(padded: number): number {
  return CODEWORDS * padded + 1
}

/** Per entry: a bit a dimension, and three words. */
export function blockBytes(padded: number): number {
  return 4 * padded + BLOCK_ENTRIES * 12
}

/** Blocks that two parts of so many entries fill at most. */
export function blocksOfHalves(entries: number): number {
  return Math.floor(entries / BLOCK_ENTRIES) + 2
}

/** Where in a block of u32 words its row numbers start. */
export function blockRowsAt(padded: number): number {
  return padded + 2 * BLOCK_ENTRIES
}

/** An empty block: no entry is there, whatever its signs. @param words - the block as u32. */
export function clearBlock(words: Uint32Array, padded: number): void {
  words.fill(0)
  words.fill(INFINITY_BITS, padded, padded + BLOCK_ENTRIES)
  words.fill(0xffff_ffff, blockRowsAt(padded))
}

/** The entry is no more. @param words - its block. */
export function clearEntry(words: Uint32Array, padded: number, entry: number): void {
  words[padded + entry] = INFINITY_BITS
  words[blockRowsAt(padded) + entry] = 0xffff_ffff
}

const INFINITY_BITS = 0x7f80_0000

const checkedSlabs = new WeakSet<IndexSlabs>()

/** The arrays of an index fit each other and lie in shared memory, which nobody can detach. Constant time after the first call. */
export function requireSlabs(index: IndexSlabs): void {
  if (!checkedSlabs.has(index)) {
    requireObject('index', index)
    checkArrays(index)
    checkedSlabs.add(index)
  }
  const { dim, padded, vectors, codes, factors, live, rowLimit, bucketCount } = index
  const rows = Math.min(codes.length / padded, factors.length / 2, live.length * 32)
  requireCount('rowLimit', rowLimit, Math.min(rows, vectors === undefined ? rows : vectors.length / dim))
  const { centroids, centroidCodes, centroidFactors, router, heads, sizes, lives } = index
  const buckets = Math.min(
    centroids.length / padded,
    centroidCodes.length / padded,
    centroidFactors.length / 2,
    (router.length / blockBytes(padded)) * BLOCK_ENTRIES,
    heads.length,
    sizes.length,
    lives.length,
  )
  requireCount('bucketCount', bucketCount, buckets)
  const { groups } = index
  if (groups === undefined) return
  requireSlabs(groups)
  if (groups.padded !== padded) throw wrongPart('padded of groups', groups.padded, `${padded}`)
}

const ARRAYS = {
  flips: 'Uint32Array',
  vectors: 'Float32Array',
  codes: 'Uint8Array',
  factors: 'Float32Array',
  live: 'Uint32Array',
  centroids: 'Float32Array',
  centroidCodes: 'Uint8Array',
  centroidFactors: 'Float32Array',
  router: 'Uint8Array',
  center: 'Float32Array',
  heads: 'Uint32Array',
  sizes: 'Uint32Array',
  lives: 'Uint32Array',
  next: 'Uint32Array',
  blocks: 'Uint8Array',
  codebooks: 'Float32Array',
} as const satisfies Partial<Record<keyof IndexSlabs, string>>

function checkArrays(index: IndexSlabs): void {
  const { metric, routing, dim, padded } = index
  for (const [name, value] of Object.entries({ metric, routing })) {
    if (value !== 'l2' && value !== 'ip') throw wrongPart(name, value, "'l2' or 'ip'")
  }
  if (!Number.isInteger(dim)) throw wrongPart('dim', dim, 'an integer')
  if (padded !== paddedDim(dim)) throw wrongPart('padded', padded, `${paddedDim(dim)}`)
  for (const name of Object.keys(ARRAYS) as (keyof typeof ARRAYS)[]) {
    const value = index[name]
    if ((name === 'vectors' || name === 'codebooks') && value === undefined) continue
    if (value === undefined || kindOf(value) !== ARRAYS[name])
      throw wrongPart(name, value, `a ${ARRAYS[name]}`)
    if (!(value.buffer instanceof SharedArrayBuffer)) throw wrongPart(name, value, 'one over shared memory')
    if (value.byteOffset % 4 !== 0) {
      throw wrongPart(`byteOffset of ${name}`, value.byteOffset, 'a multiple of 4')
    }
  }
  const { flips, center, next, blocks, codebooks } = index
  if (flips.length === 0 || flips.length % padded !== 0) {
    throw wrongPart('length of flips', flips.length, 'whole rounds')
  }
  if (center.length < padded) throw wrongPart('length of center', center.length, `${padded} values`)
  if (codebooks !== undefined && codebooks.length < codebookLength(padded)) {
    throw wrongPart('length of codebooks', codebooks.length, `${codebookLength(padded)} values`)
  }
  if (blocks.length < next.length * blockBytes(padded)) {
    throw wrongPart('length of blocks', blocks.length, 'a block for each of next')
  }
}

function requireCount(name: string, count: number, most: number): void {
  if (!Number.isInteger(count) || count < 0 || count > most)
    throw wrongPart(name, count, `0..${Math.floor(most)}`)
}

function wrongPart(name: string, value: unknown, expected: string): NativeError {
  return wrong(`${name} of the index`, describe(value), expected)
}
