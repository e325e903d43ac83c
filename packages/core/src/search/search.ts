/**
 * One query over L0 and L1: what the graphs find, rows in no bucket, and the buckets, in one native call -> k rows.
 * Rule: whatever found a row, its distance comes from the same exact kernel, and it counts once. Equal distances are ordered by row
 * number.
 */
import { type AllowedRows, BLOCK_ENTRIES, kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import type { TailViews } from '../coded-tail.js'
import type { MemtableViews } from '../memtable.js'
import { liveRowsOf } from '../row-store.js'
import { gatherPaper, type PaperRule } from './paper.js'
import type { Scratch } from './scratch.js'
import type { SearchView, SearchWidth } from './view.js'

/** Up to here a scan of every row's codes costs hardly more than routing and finds all. */
const SCAN_ALL_ROWS = 400

/** The same among allowed rows, which are spread over so many buckets that probing for them costs more. */
const SCAN_ALLOWED_ROWS = 4000

const MIN_EF = 64

/** Entries of the scanned buckets, in units of k: rows have two each. */
const LEAST_ENTRIES = 3

/**
 * Search for the prepared query in scratch.query.
 *
 * @param outRows - gets min(k, rows that count) row numbers from `at` on, nearest first; fewer only when `probes` is given.
 * @param outDistances - their kernel distances.
 * @param part, parts - scan only every parts-th bucket, from `part` on.
 * @returns how many were written.
 */
export function searchView(
  view: SearchView,
  width: SearchWidth,
  scratch: Scratch,
  outRows: Uint32Array,
  outDistances: Float32Array,
  at = 0,
  part = 0,
  parts = 1,
): number {
  const { slabs } = view
  const allowed = width.allow && scratch.allowedIn(view, width.allow)
  const countable = allowed?.rows ?? view.liveRows
  const bits = allowed?.bits ?? slabs.live
  const k = Math.min(width.k, countable)
  scratch.scannedRows = 0
  scratch.scannedBuckets = 0
  scratch.scannedAll = false
  if (k === 0) return 0
  const isExact = width.probes === Number.POSITIVE_INFINITY
  if (isExact && slabs.vectors !== undefined) {
    return searchExactly(view, bits, k, scratch, outRows, outDistances, at)
  }
  if (width.paper !== undefined && !isExact) {
    return searchByPaper(view, width.paper, width, bits, k, scratch, outRows, outDistances, at)
  }
  if (isExact || scansAll(width, countable)) {
    return scanEverything(view, bits, k, width.rerank, scratch, outRows, outDistances, at)
  }
  gatherExtra(view, width, bits, k, part, parts, scratch)
  askFor(view, width, countable, k, allowed, part, parts, scratch)
  const written = searchIndex(view, scratch, outRows, outDistances, at)
  // Fewer than k only when the probed buckets hold too few rows; asked without a width, k rows are owed.
  if (written >= Math.min(width.owed, k) || parts > 1 || width.probes !== undefined) return written
  return scanEverything(view, bits, k, width.rerank, scratch, outRows, outDistances, at)
}

/**
 * Search for prepared queries first .. first + count - 1, in one native call where nothing but buckets is asked query by query: a call costs
 * some microseconds, as the searches between drive all that belongs to it out of the caches.
 *
 * @param rows, distances - get the results of query q from q * width.k on. @param counts - how many these are.
 */
export function searchViewMany(
  view: SearchView,
  width: SearchWidth,
  scratch: Scratch,
  queries: Float32Array,
  first: number,
  count: number,
  rows: Uint32Array,
  distances: Float32Array,
  counts: Uint32Array,
): void {
  const { slabs, memtables } = view
  const { dim } = slabs
  const allowed = width.allow && scratch.allowedIn(view, width.allow)
  const countable = allowed?.rows ?? view.liveRows
  const k = Math.min(width.k, countable)
  const end = first + count
  const hasOneCall =
    k > 0 &&
    width.probes !== Number.POSITIVE_INFINITY &&
    width.paper === undefined &&
    !scansAll(width, countable) &&
    memtables.every(({ linked }) => linked === 0)
  if (hasOneCall) {
    gatherExtra(view, width, allowed?.bits ?? slabs.live, k, 0, 1, scratch)
    askFor(view, width, countable, k, allowed, 0, 1, scratch)
    kernels.indexSearchMany(slabs, scratch.ask, queries, first, count, width.k, rows, distances, counts)
  }
  for (let q = first; q < end; q++) {
    // Those that came back short are asked again, as `searchView` knows what else to scan.
    if (hasOneCall && (counts[q]! >= Math.min(width.owed, k) || width.probes !== undefined)) continue
    scratch.query.set(queries.subarray(q * dim, (q + 1) * dim))
    counts[q] = searchView(view, width, scratch, rows, distances, q * width.k)
  }
}

/** Whether so few rows count that all of their codes are looked at. */
function scansAll({ probes, allow }: SearchWidth, countable: number): boolean {
  return probes === undefined && countable <= (allow === undefined ? SCAN_ALL_ROWS : SCAN_ALLOWED_ROWS)
}

/** What the kernel is asked for, beside what `gatherExtra` has found. */
function askFor(
  view: SearchView,
  width: SearchWidth,
  countable: number,
  k: number,
  allowed: AllowedRows | undefined,
  part: number,
  parts: number,
  { ask, rows, rowCount, tails, tailWords }: Scratch,
): void {
  ask.k = k
  weigh(view, width, countable, ask)
  ask.rerank = width.rerank
  ask.part = part
  ask.parts = parts
  ask.allow = allowed
  ask.extra = rows
  ask.extraCount = rowCount
  ask.tails = tails
  ask.tailWords = tailWords
}

/** By what the buckets are chosen. The masses of those rows that count are smaller throughout: the estimate's unit follows them. */
function weigh(view: SearchView, width: SearchWidth, countable: number, ask: Scratch['ask']): void {
  const share = countable / view.liveRows
  ask.probes = width.probes === undefined ? 0 : Math.min(width.probes, view.slabs.bucketCount)
  ask.byRank = width.weights.byRank
  ask.byRatio = width.weights.byRatio
  ask.bySize = width.weights.bySize
  ask.meanLives = view.meanLives * share
  ask.near = width.near
  ask.flat = width.flat.below
  ask.flatTimes = width.flat.times
  ask.far = width.far.beyond
  ask.farTimes = width.far.times
  ask.floor = width.floor * share ** ask.bySize
  ask.least = LEAST_ENTRIES * width.owed
}

/** Of the buckets that the paper's rule takes; fewer than k when these hold no more. */
function searchByPaper(
  view: SearchView,
  rule: PaperRule,
  width: SearchWidth,
  bits: Uint32Array,
  k: number,
  scratch: Scratch,
  outRows: Uint32Array,
  outDistances: Float32Array,
  at: number,
): number {
  gatherExtra(view, width, bits, k, 0, 1, scratch, false)
  const taken = gatherPaper(view, rule, bits, scratch)
  const written = searchNamed(view, k, width.rerank, scratch, outRows, outDistances, at)
  scratch.scannedBuckets = taken
  scratch.effort[0] = taken
  return written
}

/** The k nearest of all live rows by the exact kernel: the truth that recall is measured against. */
function searchExactly(
  { slabs, liveRows }: SearchView,
  bits: Uint32Array,
  k: number,
  scratch: Scratch,
  outRows: Uint32Array,
  outDistances: Float32Array,
  at: number,
): number {
  const { metric, vectors, dim, rowLimit, bucketCount } = slabs
  const rows = scratch.reserveRows(liveRows)
  const count = liveRowsOf(bits, rowLimit, rows)
  scratch.scannedRows = count
  scratch.scannedBuckets = bucketCount
  scratch.reserveExact(count, k)
  const { distances, positions, ordered } = scratch
  kernels.distancesGather(metric, scratch.query, vectors!, dim, rows, count, distances)
  const found = kernels.topK(distances, count, k, positions, ordered)
  for (let i = 0; i < found; i++) {
    outRows[at + i] = rows[positions[i]!]!
    outDistances[at + i] = ordered[i]!
  }
  return found
}

/** The k nearest by the codes of every row that counts: where no vectors are kept, all that `searchExactly` could do. */
function scanEverything(
  view: SearchView,
  bits: Uint32Array,
  k: number,
  rerank: number,
  scratch: Scratch,
  outRows: Uint32Array,
  outDistances: Float32Array,
  at: number,
): number {
  scratch.scannedAll = true
  scratch.rowCount = liveRowsOf(bits, view.slabs.rowLimit, scratch.reserveRows(view.liveRows))
  return searchNamed(view, k, rerank, scratch, outRows, outDistances, at)
}

/** The k nearest of scratch.rows alone. */
function searchNamed(
  view: SearchView,
  k: number,
  rerank: number,
  scratch: Scratch,
  outRows: Uint32Array,
  outDistances: Float32Array,
  at: number,
): number {
  const { ask } = scratch
  ask.k = k
  ask.rerank = rerank
  ask.allow = undefined
  // Every row that counts is named: no bucket has to be scanned.
  ask.probes = 0
  ask.floor = 0
  ask.part = 0
  ask.parts = 1
  ask.extra = scratch.rows
  ask.extraCount = scratch.rowCount
  ask.tailWords = 0
  scratch.tailEntries = 0
  return searchIndex(view, scratch, outRows, outDistances, at)
}

function searchIndex(
  view: SearchView,
  scratch: Scratch,
  outRows: Uint32Array,
  outDistances: Float32Array,
  at: number,
): number {
  const { ask, effort } = scratch
  const written = kernels.indexSearch(view.slabs, ask, scratch.query, outRows, outDistances, at, effort)
  scratch.scannedBuckets += effort[0]!
  // With a filter the kernel counts those of a tail that it allows, as `gatherList` does.
  const ofTails = ask.allow === undefined ? scratch.tailEntries : 0
  scratch.scannedRows += effort[1]! + scratch.rowCount + ofTails
  return written
}

/** Rows of graphs, tails and the unassigned, a part of them: into scratch.rows[0 .. rowCount), or, `byEntries`, tails that have some into scratch.tails. */
function gatherExtra(
  view: SearchView,
  width: SearchWidth,
  bits: Uint32Array,
  k: number,
  part: number,
  parts: number,
  scratch: Scratch,
  byEntries = true,
): void {
  scratch.rowCount = 0
  scratch.tailWords = 0
  scratch.tailEntries = 0
  const { memtables, unassigned } = view
  if (memtables.some(({ linked }) => linked > 0)) {
    const { dim, padded, flips } = view.slabs
    kernels.rotate(scratch.query, dim, padded, 0, 1, flips, scratch.rotated)
    kernels.sq8Query(scratch.rotated, scratch.codes, scratch.codeFactors)
  }
  for (let i = 0; i < memtables.length; i++) {
    const memtable = memtables[i]!
    if (part === 0) searchGraph(view, memtable, bits, k, width.ef ?? Math.max(MIN_EF, 2 * k), scratch)
    const from = tailOf(memtable)
    const { tail } = memtable
    const isCoded = byEntries && tail.reference !== undefined && tail.end > from
    if (isCoded) gatherTail(tail, tail.reference, from, part, parts, scratch)
    gatherList(bits, memtable, isCoded ? tail.end : from, part, parts, scratch)
  }
  if (unassigned.count > 0) gatherList(bits, unassigned, 0, part, parts, scratch, view.home)
}

/** Where the rows of a memtable begin that are looked at one by one: those before are in its graph or in buckets. */
export function tailOf({ linked, placed }: Pick<MemtableViews, 'linked' | 'placed'>): number {
  return Math.max(linked, placed)
}

/** Up to k live rows of the graph. */
function searchGraph(
  { slabs }: SearchView,
  { graph, linked }: MemtableViews,
  bits: Uint32Array,
  k: number,
  ef: number,
  scratch: Scratch,
): void {
  if (graph === undefined || linked === 0) return
  const beam = Math.min(linked, Math.max(ef, k))
  const wanted = Math.min(beam, k)
  scratch.reserveGraph(wanted)
  const { metric, vectors, dim, codes, factors } = slabs
  const near = kernels.hnswSearch(
    graph,
    metric,
    vectors!,
    dim,
    scratch.query,
    beam,
    bits,
    scratch.graphRows.subarray(0, wanted),
    scratch.graphDistances,
    scratch.codes,
    scratch.codeFactors,
    codes,
    factors,
  )
  const rows = scratch.reserveRows(scratch.rowCount + near)
  for (let j = 0; j < near; j++) rows[scratch.rowCount++] = scratch.graphRows[j]!
  scratch.scannedRows += beam
}

/** Blocks with entries of rows from `from` on. */
function gatherTail(
  tail: TailViews,
  reference: Float32Array,
  from: number,
  part: number,
  parts: number,
  scratch: Scratch,
): void {
  const first = Math.floor((from - tail.from) / BLOCK_ENTRIES)
  const end = Math.ceil((tail.end - tail.from) / BLOCK_ENTRIES)
  const lack = tail.from + BLOCK_ENTRIES * end - tail.end
  scratch.addTail(reference, tail.blocks.subarray(first, end), lack, part, parts)
}

/** Live rows list[from ...]; with `home`, only those that no bucket holds. */
function gatherList(
  bits: Uint32Array,
  { rows, count }: Pick<MemtableViews, 'rows' | 'count'>,
  from: number,
  part: number,
  parts: number,
  scratch: Scratch,
  home?: Uint32Array,
): void {
  const out = scratch.reserveRows(scratch.rowCount + count - from)
  let end = scratch.rowCount
  for (let i = from + part; i < count; i += parts) {
    const row = rows[i]!
    if (((bits[row >>> 5]! >>> (row & 31)) & 1) === 0) continue
    if (home !== undefined && home[row] !== NONE) continue
    out[end++] = row
  }
  scratch.rowCount = end
}
