/**
 * `mode: 'paper'`: the buckets of a query as "Drift-Aware Vector Indexing" (December 2025) chooses them. With n the entries of a bucket
 * that count and C its centroid,
 *
 *   P_eff = exp(-lambda * ||q - C||) * (1 - exp(-n / tau))
 *
 * best first, until the sum of those taken reaches the confidence: the sum as it is, which may pass 1, or as a share of the sum over all buckets.
 * Rule: exactly the formula, over exact centroids; logarithms are compared, so that a large lambda underflows nowhere. All entries of a bucket
 * that is taken are compared by their 8-bit codes. The paper has one bucket a row, this index two, so n is twice as many at equal size.
 */
import { BLOCK_ENTRIES, blockBytes, blockRowsAt, type IndexSlabs, kernels, PROBE_WORDS } from '@drift/native'
import type { Scratch } from './scratch.js'
import type { SearchView } from './view.js'

export interface PaperRule {
  /** In units of 1 / distance. Undefined: 1 / distance of the nearest centroid that the query does not lie on, whose full bucket then counts 1 / e. */
  readonly lambda: number | undefined
  /** Entries. Undefined: a tenth of a bucket's target, as the paper has it. */
  readonly tau: number | undefined
  readonly confidence: number
  readonly normalised: boolean
}

const TAU_SHARE = 0.1
/** A row has an entry in each of its two buckets. */
const ENTRIES_PER_ROW = 2
/**
 * Of the squared distance of the next nearest centroid: nearer to one, a query lies on it. In units of its distance any other bucket would count
 * less than e^-32, and all would be taken before their sum is anything.
 */
const ON_CENTROID = 1 / 32 ** 2

/** @param distance - Euclidean, not squared. @param live - rows that count. */
export function effectiveProbability(distance: number, live: number, lambda: number, tau: number): number {
  return Math.exp(-shortfall(distance, live, lambda, tau))
}

/**
 * For the prepared query in scratch.query: rows of the buckets taken that are set in `bits` go to scratch.rows, from scratch.rowCount on.
 * With scratch.ask.trace the buckets are noted there, best first.
 *
 * @returns how many buckets were taken.
 */
export function gatherPaper(view: SearchView, rule: PaperRule, bits: Uint32Array, scratch: Scratch): number {
  const { slabs, bucketRows } = view
  const { bucketCount, padded, dim } = slabs
  if (bucketCount === 0) return 0
  // A filter is bits of its own.
  const lives = bits === slabs.live ? slabs.lives : allowedIn(slabs, bits, scratch)
  kernels.rotate(scratch.query, dim, padded, 0, 1, slabs.flips, scratch.rotated)
  scratch.reserveExact(bucketCount, bucketCount)
  const { distances, positions, ordered } = scratch
  kernels.distances('l2', scratch.rotated, slabs.centroids, padded, 0, bucketCount, distances)
  const lambda = rule.lambda ?? 1 / nearestApart(distances, lives, bucketCount)
  const tau = rule.tau ?? TAU_SHARE * ENTRIES_PER_ROW * bucketRows
  const lacks = scratch.reserveLacks(bucketCount)
  let least = Number.POSITIVE_INFINITY
  for (let bucket = 0; bucket < bucketCount; bucket++) {
    // Rounding may leave less than nothing.
    const distance = Math.sqrt(Math.max(0, distances[bucket]!))
    lacks[bucket] = shortfall(distance, lives[bucket]!, lambda, tau)
    if (lacks[bucket]! < least) least = lacks[bucket]!
  }
  // As a share of all, every term may be divided by the largest.
  const unit = rule.normalised ? least : 0
  const needed = rule.confidence * (rule.normalised ? sumOf(lacks, bucketCount, unit) : 1)
  kernels.topK(lacks, bucketCount, bucketCount, positions, ordered)
  let taken = 0
  for (let sum = 0; taken < bucketCount && sum < needed; taken++) {
    const bucket = positions[taken]!
    if (lacks[bucket] === Number.POSITIVE_INFINITY) break
    sum += Math.exp(unit - lacks[bucket]!)
    gatherBucket(slabs, bucket, bits, scratch)
  }
  if (scratch.ask.trace !== undefined) note(scratch.ask.trace, taken, bucketCount, scratch)
  return taken
}

/** -log P_eff: 0 at best, Infinity where nothing counts. */
function shortfall(distance: number, live: number, lambda: number, tau: number): number {
  return live === 0 ? Number.POSITIVE_INFINITY : lambda * distance - Math.log(-Math.expm1(-live / tau))
}

/** Distance of the nearest centroid that the query does not lie on; 1 when there is none. */
function nearestApart(squares: Float32Array, lives: Uint32Array, count: number): number {
  let [nearest, next] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let bucket = 0; bucket < count; bucket++) {
    const square = squares[bucket]!
    if (lives[bucket] === 0 || square <= 0 || square >= next) continue
    if (square < nearest) [nearest, next] = [square, nearest]
    else next = square
  }
  const isOn = next < Number.POSITIVE_INFINITY && nearest <= ON_CENTROID * next
  const apart = isOn ? next : nearest
  return apart < Number.POSITIVE_INFINITY ? Math.sqrt(apart) : 1
}

function sumOf(lacks: Float32Array, count: number, unit: number): number {
  let sum = 0
  for (let bucket = 0; bucket < count; bucket++) {
    if (lacks[bucket] !== Number.POSITIVE_INFINITY) sum += Math.exp(unit - lacks[bucket]!)
  }
  return sum
}

/** Entries of each bucket whose rows are set in `bits`. */
function allowedIn(slabs: IndexSlabs, bits: Uint32Array, scratch: Scratch): Uint32Array {
  const counts = new Uint32Array(slabs.bucketCount)
  const { rowCount } = scratch
  for (let bucket = 0; bucket < slabs.bucketCount; bucket++) {
    scratch.rowCount = rowCount
    gatherBucket(slabs, bucket, bits, scratch)
    // A row that left its bucket may still have an entry there.
    counts[bucket] = Math.min(slabs.lives[bucket]!, scratch.rowCount - rowCount)
  }
  scratch.rowCount = rowCount
  return counts
}

function gatherBucket(
  { heads, next, blocks, padded }: IndexSlabs,
  bucket: number,
  bits: Uint32Array,
  scratch: Scratch,
): void {
  const wordsPerBlock = blockBytes(padded) / 4
  const words = scratch.wordsOf(blocks)
  for (let block = heads[bucket]!; block < next.length; block = next[block]!) {
    const at = block * wordsPerBlock + blockRowsAt(padded)
    const rows = scratch.reserveRows(scratch.rowCount + BLOCK_ENTRIES)
    for (let entry = at; entry < at + BLOCK_ENTRIES; entry++) {
      const row = words[entry]!
      // Beyond the bits there is no row, and no entry.
      if (row >>> 5 >= bits.length || ((bits[row >>> 5]! >>> (row & 31)) & 1) === 0) continue
      rows[scratch.rowCount++] = row
    }
  }
}

/** As `IndexQuery.trace` has it, with P_eff as the hits. */
function note(trace: Uint32Array, taken: number, bucketCount: number, scratch: Scratch): void {
  const { positions, distances, ordered, lacks } = scratch
  const room = Math.min(taken, Math.floor(trace.length / PROBE_WORDS))
  const floats = new Float32Array(trace.buffer, trace.byteOffset, trace.length)
  for (let i = 0; i < room; i++) {
    const bucket = positions[i]!
    trace[PROBE_WORDS * i] = bucket
    floats[PROBE_WORDS * i + 2] = distances[bucket]!
    floats[PROBE_WORDS * i + 3] = Math.exp(-lacks[bucket]!)
  }
  kernels.topK(distances, bucketCount, bucketCount, positions, ordered)
  const ranks = new Uint32Array(bucketCount)
  for (let rank = 0; rank < bucketCount; rank++) ranks[positions[rank]!] = rank
  for (let i = 0; i < room; i++) trace[PROBE_WORDS * i + 1] = ranks[trace[PROBE_WORDS * i]!]!
}
