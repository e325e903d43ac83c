/** One query over the partitioned index, stage by stage as src/search.c: without tables, prefetches and thresholds. */
import {
  type AllowedRows,
  BLOCK_ENTRIES,
  blockBytes,
  FLAT_BUCKETS,
  type IndexQuery,
  type IndexSlabs,
  NOT_COUNTED,
  PROBE_WORDS,
} from '../index-slabs.js'
import type { KernelMetric } from '../kernels.js'
import { distancesGather } from './distance.js'
import { rotate } from './rotate.js'
import { type PreparedQuery, prepareRotated, type Routed, route } from './route.js'
import { rowsOfBlock, scanSigns } from './signs.js'
import { sq8DistancesGather } from './sq8.js'

const BOUND = 0.6
const TAIL_BOUND = 1.5
const TAIL_BOUND_IP = 2
const OPENING = 16
const SPARSE = 4
const FLT_MIN = 2 ** -126
const FLT_MAX = (2 - 2 ** -23) * 2 ** 127

interface Found {
  readonly row: number
  readonly distance: number
}

export function indexSearch(
  index: IndexSlabs,
  ask: IndexQuery,
  query: Float32Array,
  outRow: Uint32Array,
  outDistance: Float32Array,
  at: number,
  effort: Uint32Array,
): number {
  const rotated = new Float32Array(index.padded)
  rotate(query, index.dim, index.padded, 0, 1, index.flips, rotated)
  const tails = tailsOf(index, ask)
  const times = lengthen(index, tails, rotated)
  for (let i = 0; i < rotated.length; i++) rotated[i]! *= times
  const prepared = prepareRotated(rotated)
  const best = new Best(index, ask, prepared)
  for (const row of ask.extra.subarray(0, ask.extraCount)) best.score(row)
  effort.fill(0, 0, 2)
  const bounds = new Float32Array(BLOCK_ENTRIES)
  const words = ask.trace ?? new Uint32Array(0)
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length)
  probeList(index, ask, prepared).forEach(({ bucket, distance, rank, hits }, place) => {
    if (place % ask.parts !== ask.part % ask.parts) return
    const at = PROBE_WORDS * effort[0]!++
    if (at + PROBE_WORDS <= words.length) {
      words.set([bucket, rank], at)
      floats.set([distance / times, hits], at + 2)
    }
    effort[1]! += index.sizes[bucket]!
    const { base, squared } = centroidTerms(index, prepared, bucket, distance)
    const slack = squared > 0 ? BOUND * Math.sqrt(squared) : 0
    for (let block = index.heads[bucket]!; block < index.next.length; block = index.next[block]!) {
      const rows = rowsOfBlock(index.blocks, block, index.padded)
      const allowed = ask.allow === undefined ? BLOCK_ENTRIES : bitsIn(ask.allow.masks[block]!)
      if (allowed <= SPARSE || index.readsAll === true) bounds.fill(Number.NEGATIVE_INFINITY)
      else
        scanSigns(
          rotated,
          index.blocks,
          block * blockBytes(index.padded),
          base,
          slack,
          bounds,
          index.codebooks,
        )
      for (let slot = 0; slot < BLOCK_ENTRIES; slot++) if (bounds[slot]! < best.limit) best.score(rows[slot]!)
    }
  })
  const bound = index.routing === 'ip' ? TAIL_BOUND_IP : TAIL_BOUND
  for (const { reference, blocks } of tails) {
    const [squared] = distanceOf('l2', rotated, reference)
    const base = distanceOf(index.metric, rotated, reference)[0]! - tailMargin(index, prepared, blocks)
    const isTold = index.readsAll !== true && squared! <= FLT_MAX && base >= -FLT_MAX
    for (const block of blocks) {
      if (block >= index.next.length) continue
      const rows = rowsOfBlock(index.blocks, block, index.padded)
      if (ask.allow !== undefined) effort[1]! += rows.filter(row => has(ask.allow!.bits, row)).length
      const start = block * blockBytes(index.padded)
      if (isTold) {
        const slack = bound * Math.sqrt(squared!)
        scanSigns(rotated, index.blocks, start, base, slack, bounds, index.codebooks)
      } else bounds.fill(Number.NEGATIVE_INFINITY)
      for (let slot = 0; slot < BLOCK_ENTRIES; slot++) if (bounds[slot]! < best.limit) best.score(rows[slot]!)
    }
  }
  effort[2] = best.met.size
  const found = exact(index, query, best.list, times).slice(0, ask.k)
  found.forEach(({ row, distance }, i) => {
    outRow[at + i] = row
    outDistance[at + i] = distance
  })
  return found.length
}

export function indexSearchMany(
  index: IndexSlabs,
  ask: IndexQuery,
  queries: Float32Array,
  first: number,
  count: number,
  stride: number,
  outRow: Uint32Array,
  outDistance: Float32Array,
  outCount: Uint32Array,
): void {
  const effort = new Uint32Array(3)
  for (let q = first; q < first + count; q++) {
    const query = queries.subarray(q * index.dim, (q + 1) * index.dim)
    outCount[q] = indexSearch(index, ask, query, outRow, outDistance, q * stride, effort)
  }
}

const LENGTHS = 64

interface Tail {
  readonly reference: Float32Array
  readonly blocks: Uint32Array
}

function tailsOf({ padded }: IndexSlabs, { tails, tailWords }: IndexQuery): Tail[] {
  const found: Tail[] = []
  for (let at = 0; at < tailWords; ) {
    const from = at + 1 + padded
    const reference = new Float32Array(tails.buffer, tails.byteOffset + 4 * (at + 1), padded)
    const end = from + tails[at]!
    found.push({ reference, blocks: tails.subarray(from, end) })
    at = end
  }
  return found
}

/** As src/search.c. */
function tailMargin(
  index: IndexSlabs,
  { factors: [step, squares] }: PreparedQuery,
  blocks: Uint32Array,
): number {
  if (blocks.length === 0 || blocks[0]! >= index.next.length) return 0
  const row = rowsOfBlock(index.blocks, blocks[0]!, index.padded)[0]!
  if (row >= index.rowLimit) return 0
  const [rowStep, rowSquares] = index.factors.subarray(2 * row, 2 * row + 2)
  const times = index.metric === 'l2' ? 8 : 4
  return times * Math.sqrt((step! ** 2 * rowSquares! + rowStep! ** 2 * squares!) / 6)
}

function distanceOf(metric: KernelMetric, a: Float32Array, b: Float32Array): Float32Array {
  const out = new Float32Array(1)
  distancesGather(metric, a, b, a.length, Uint32Array.of(0), 1, out)
  return out
}

/** As src/search.c. */
function lengthen(
  { routing, bucketCount, centroidFactors }: IndexSlabs,
  tails: readonly Tail[],
  rotated: Float32Array,
): number {
  const own = rotated.reduce((sum, value) => sum + value * value, 0)
  if (routing !== 'ip' || !hasExponent(own)) return 1
  const step = Math.floor(bucketCount / LENGTHS) + 1
  const exponents: number[] = []
  for (let b = 0; b < bucketCount; b += step) {
    const squared = centroidFactors[2 * b + 1]!
    if (hasExponent(squared)) exponents.push(exponentOf(squared))
  }
  for (const { reference } of bucketCount === 0 ? tails : []) {
    const squared = reference.reduce((sum, value) => sum + value * value, 0)
    if (hasExponent(squared)) exponents.push(exponentOf(squared))
  }
  if (exponents.length === 0) return 1
  const mean = Math.trunc(exponents.reduce((sum, exponent) => sum + exponent, 0) / exponents.length)
  return 2 ** Math.floor((mean - exponentOf(own)) / 2)
}

/** As a float32. */
function hasExponent(squared: number): boolean {
  return squared > FLT_MIN && Math.fround(squared) < Number.POSITIVE_INFINITY
}

function exponentOf(value: number): number {
  return Math.floor(Math.log2(value))
}

/** A routed bucket, its place by distance, and its expected hits. */
interface Candidate extends Routed {
  readonly rank: number
  readonly hits: number
}

function probeList(index: IndexSlabs, ask: IndexQuery, query: PreparedQuery): Candidate[] {
  const { bucketCount, routing } = index
  if (bucketCount === 0 || (ask.probes === 0 && ask.floor === 0)) return []
  const isEmpty = (bucket: number) => ask.allow !== undefined && countable(index, ask, bucket) === 0
  if (ask.probes > 0) {
    const wanted = withSpare(index, ask.probes) + Math.floor((64 * ask.probes) / index.padded) + 8
    const list = route(index, routing, query, wanted, isEmpty).slice(0, ask.probes)
    return expectHits(index, ask, query, list).list
  }
  for (let wanted = firstWidth(index, ask); ; ) {
    const routed = route(index, routing, query, withSpare(index, wanted), isEmpty).slice(0, wanted)
    const { list, floor } = expectHits(index, ask, query, routed)
    let entries = 0
    const worthy = list.filter(candidate => {
      const { bucket, hits } = candidate
      const worth = entries < ask.least || hits >= floor * costOf(index, candidate)
      if (hits > 0 && worth) entries += countable(index, ask, bucket)
      return hits > 0 && worth
    })
    const last = worthy.at(-1)?.rank ?? -1
    const enough = entries >= ask.least && 3 * last < 2 * list.length
    if (list.length < wanted || wanted >= bucketCount || enough) return worthy
    wanted = nextWidth(index, floor, list)
  }
}

function costOf({ sizes }: IndexSlabs, { bucket }: Candidate): number {
  return OPENING + sizes[bucket]!
}

function withSpare({ padded }: IndexSlabs, wanted: number): number {
  return wanted + Math.floor(wanted / 4) + Math.floor((32 * wanted) / padded) + 8
}

/** As first_width of src/estimate.h. */
function firstWidth(
  { routing, groups }: IndexSlabs,
  { floor, byRank, bySize, meanLives }: IndexQuery,
): number {
  const n = Math.max(1, meanLives)
  const ranks = byRank < 0 ? ((floor * (OPENING + n)) / n ** bySize) ** (1 / byRank) / 3 : 64
  const least = groups !== undefined && routing === 'l2' ? 48 : 16
  return Math.floor(Math.min(64, Math.max(least, ranks)))
}

/** As next_width of src/estimate.h. */
function nextWidth(index: IndexSlabs, floor: number, list: readonly Candidate[]): number {
  const third = (part: number) => Math.floor((list.length * part) / 3)
  const perCost = (part: number) => {
    const some = list.slice(third(part), third(part + 1))
    return sumOf(some.map(({ hits }) => hits)) / sumOf(some.map(candidate => costOf(index, candidate)))
  }
  const power = Math.max(0.25, Math.log2(perCost(1) / perCost(2)) / Math.log2(5 / 3))
  const halves = 2.5 * (perCost(2) / floor) ** (1 / power)
  const more = halves >= 8 ? 8 : halves >= 3 ? Math.floor(halves) + 1 : 3
  return Math.floor((list.length * more) / 2) + 1
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}

/** As src/estimate.h, with exact logarithms; and the floor that holds for them. */
function expectHits(
  index: IndexSlabs,
  ask: IndexQuery,
  query: PreparedQuery,
  list: readonly Routed[],
): { list: Candidate[]; floor: number } {
  const longest = Math.max(
    ...list.slice(0, FLAT_BUCKETS).map(({ bucket }) => index.centroidFactors[2 * bucket + 1]!),
  )
  const own = query.factors[1]!
  const times = own > 0 ? 2 * Math.sqrt(longest / own) : 0
  const squared = list.map(({ distance }) =>
    index.routing === 'l2' ? distance : 2 * longest + times * distance,
  )
  const masses = list.map(({ bucket }) => countable(index, ask, bucket))
  const nearest = Math.max(FLT_MIN, nearSquare(ask, squared, masses))
  const farthest = squared.slice(0, FLAT_BUCKETS).at(-1) ?? 0
  let nearer = 0
  const candidates = list.map(({ bucket, distance }, rank) => {
    const mass = 1 + nearer / (ask.meanLives > 0 ? ask.meanLives : 1)
    const n = masses[rank]!
    nearer += n
    const ratio = Math.max(1, squared[rank]! / nearest)
    const hits = n === 0 ? 0 : mass ** ask.byRank * ratio ** ask.byRatio * n ** ask.bySize
    return { bucket, distance, rank, hits }
  })
  const ofFlat = farthest < ask.flat * nearest ? ask.flatTimes : 1
  const ofFar = nearest > ask.far ? ask.farTimes : 1
  return { list: candidates, floor: ask.floor * Math.min(ofFlat, ofFar) }
}

/** As near_square of src/estimate.h. */
function nearSquare(
  { allow, meanLives, near }: IndexQuery,
  squared: readonly number[],
  masses: readonly number[],
): number {
  let reached = 0
  if (allow !== undefined || near === 0) {
    const wanted = allow === undefined ? 0 : meanLives
    const first = masses.findIndex(n => {
      reached += n
      return n > 0 && reached >= wanted
    })
    return squared[first] ?? Number.POSITIVE_INFINITY
  }
  let sum = 0
  for (let j = 0; j < Math.min(FLAT_BUCKETS, masses.length) && reached < near; j++) {
    const n = Math.min(masses[j]!, near - reached)
    sum += n > 0 ? n * squared[j]! : 0
    reached += n
  }
  return reached > 0 ? sum / reached : Number.POSITIVE_INFINITY
}

/** Entries of the bucket that count: of live rows, and of allowed ones when only these count. */
function countable(index: IndexSlabs, { allow }: IndexQuery, bucket: number): number {
  if (allow === undefined) return index.lives[bucket]!
  if (allow.counts[bucket] === NOT_COUNTED) {
    let count = 0
    for (let block = index.heads[bucket]!; block < index.next.length; block = index.next[block]!) {
      let mask = 0
      rowsOfBlock(index.blocks, block, index.padded).forEach((row, slot) => {
        if (counts(index, allow, row)) mask |= 1 << slot
      })
      allow.masks[block] = mask
      count += bitsIn(mask)
    }
    allow.counts[bucket] = count
  }
  return allow.counts[bucket]!
}

function bitsIn(mask: number): number {
  let count = 0
  for (let left = mask; left !== 0; left &= left - 1) count++
  return count
}

function counts({ live, rowLimit }: IndexSlabs, allow: AllowedRows | undefined, row: number): boolean {
  return row < rowLimit && has(live, row) && (allow === undefined || has(allow.bits, row))
}

/** The distance of the centroid in the metric of the rows, and squared. */
function centroidTerms(
  { metric, routing, centroidFactors }: IndexSlabs,
  query: PreparedQuery,
  bucket: number,
  distance: number,
): { base: number; squared: number } {
  if (metric === 'l2' && routing === 'l2') return { base: distance, squared: distance }
  const norms = query.factors[1]! + centroidFactors[2 * bucket + 1]!
  return routing === 'l2'
    ? { base: (distance - norms) / 2, squared: distance }
    : { base: distance, squared: norms + 2 * distance }
}

/** The k + rerank nearest by SQ8 of the rows that were met. */
class Best {
  readonly met: Set<number> = new Set()
  readonly list: Found[] = []
  limit: number = Number.POSITIVE_INFINITY
  readonly #index: IndexSlabs
  readonly #ask: IndexQuery
  readonly #query: PreparedQuery

  constructor(index: IndexSlabs, ask: IndexQuery, query: PreparedQuery) {
    this.#index = index
    this.#ask = ask
    this.#query = query
  }

  score(row: number): void {
    const { metric, codes, factors, padded } = this.#index
    const { allow, k, rerank } = this.#ask
    if (!counts(this.#index, allow, row) || this.met.has(row)) return
    this.met.add(row)
    const out = new Float32Array(1)
    const { codes: query, factors: queryFactors } = this.#query
    sq8DistancesGather(metric, query, queryFactors, codes, factors, padded, Uint32Array.of(row), 1, out)
    const distance = Math.min(out[0]!, FLT_MAX)
    if (!(distance < this.limit)) return
    let at = this.list.length
    while (at > 0 && distance < this.list[at - 1]!.distance) at--
    this.list.splice(at, 0, { row, distance })
    if (this.list.length > k + rerank) this.list.pop()
    if (this.list.length === k + rerank) this.limit = this.list.at(-1)!.distance
  }
}

/** @param times - that `list` is of a query multiplied by. */
function exact(index: IndexSlabs, query: Float32Array, list: readonly Found[], times: number): Found[] {
  const { metric, vectors, dim } = index
  const rows = Uint32Array.from(list, ({ row }) => row)
  const distances = Float32Array.from(list, ({ distance }) => distance / times)
  if (vectors !== undefined) distancesGather(metric, query, vectors, dim, rows, rows.length, distances)
  return Array.from(rows, (row, i) => ({ row, distance: distances[i]! })).sort(
    (a, b) => a.distance - b.distance || a.row - b.row,
  )
}

function has(bits: Uint32Array, row: number): boolean {
  return row >>> 5 < bits.length && ((bits[row >>> 5]! >>> (row & 31)) & 1) === 1
}
