/**
 * One query over L0 and L1: what the graphs find, rows in no bucket, and the buckets, in one native call -> k rows.
 * Rule: whatever found a row, its distance comes from the same exact kernel, and it counts once. Equal distances are ordered by row
 * number.
 */
import { kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import type { MemtableViews } from '../memtable.js'
import { liveRowsOf } from '../row-store.js'
import type { Scratch } from './scratch.js'
import type { SearchView, SearchWidth } from './view.js'

/** Up to here a scan of every row's codes costs no more than routing and finds all. */
const SCAN_ALL_ROWS = 1500

/** The same among allowed rows, which are spread over so many buckets that probing for them costs more. */
const SCAN_ALLOWED_ROWS = 4000

/** Of the live rows: with more allowed, the nearest buckets hold them too, though the filter go with the query. */
const MANY_ALLOWED = 0.45

const MIN_EF = 64

/**
 * Share of the expected hits, for recall@10 of about 0.95: see docs/bench/notes.md.
 */
const SHARE = 0.84

/** Rows beyond k that may get an exact distance: SQ8 is off by less than what tells the k-th from those behind. */
function rerankOf(k: number): number {
  return Math.max(8, k >>> 2)
}

/**
 * Search for the prepared query in scratch.query.
 *
 * @param outRows - gets min(k, rows that count) row numbers from `at` on, nearest first; fewer only when `probes` or `share` is given.
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
  const countable =
    width.allow === undefined ? view.liveRows : bitsSet(scratch.allowedOf(slabs.live, width.allow))
  const k = Math.min(width.k, countable)
  scratch.scannedRows = 0
  scratch.scannedBuckets = 0
  if (k === 0) return 0
  if (width.probes === Number.POSITIVE_INFINITY) {
    return searchExactly(view, width.allow, k, scratch, outRows, outDistances, at)
  }
  const scanAll = width.allow === undefined ? SCAN_ALL_ROWS : SCAN_ALLOWED_ROWS
  if (width.probes === undefined && countable <= scanAll) {
    return scanEverything(view, width, k, scratch, outRows, outDistances, at)
  }
  gatherExtra(view, width, k, part, parts, scratch)
  const { ask } = scratch
  ask.k = k
  ask.probes = probesOf(view, width, k, countable)
  ask.share = width.share ?? SHARE
  ask.rerank = rerankOf(k)
  ask.part = part
  ask.parts = parts
  ask.allow = width.allow
  const written = searchIndex(view, scratch, outRows, outDistances, at)
  // Fewer than k only when the probed buckets hold too few rows; asked without a width, k rows are owed.
  if (written === k || parts > 1 || width.probes !== undefined || width.share !== undefined) return written
  return scanEverything(view, width, k, scratch, outRows, outDistances, at)
}

/** Buckets to scan; 0: by share. A wide k, or few rows that count, need more than the nearest ten rows do. */
function probesOf(
  { slabs, bucketRows, liveRows }: SearchView,
  width: SearchWidth,
  k: number,
  countable: number,
): number {
  if (width.probes !== undefined) return Math.min(width.probes, slabs.bucketCount)
  const expected = Math.ceil((3 * k * liveRows) / (countable * bucketRows))
  const wide =
    width.allow === undefined ? expected : Math.max(expected, probesAllowed(slabs, liveRows, countable))
  // An inner product is no distance: there is no ratio to go by.
  if (slabs.routing === 'ip')
    return Math.min(slabs.bucketCount, Math.max(wide, 24 + Math.ceil(Math.sqrt(slabs.bucketCount) / 4)))
  return width.share === undefined && wide > 32 ? Math.min(slabs.bucketCount, wide) : 0
}

/**
 * Buckets for recall@10 of about 0.95 under a filter. Neighbours among few rows are farther away, and a filter that goes with the query leaves the nearest
 * buckets empty: measured for shares of 0.03 to 0.5, at random and by time and topic (docs/adr/0013).
 */
function probesAllowed({ bucketCount }: SearchView['slabs'], liveRows: number, countable: number): number {
  const many = countable > MANY_ALLOWED * liveRows
  return Math.max(33, Math.ceil((many ? 1 : 3.3) * Math.sqrt(bucketCount)))
}

/** The k nearest of all live rows by the exact kernel: the truth that recall is measured against. */
function searchExactly(
  { slabs, liveRows }: SearchView,
  allow: Uint32Array | undefined,
  k: number,
  scratch: Scratch,
  outRows: Uint32Array,
  outDistances: Float32Array,
  at: number,
): number {
  const { metric, vectors, dim, live, rowLimit, bucketCount } = slabs
  const rows = scratch.reserveRows(liveRows)
  const bits = allow === undefined ? live : scratch.allowedOf(live, allow)
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

/** The k nearest by the codes of every row that counts. */
function scanEverything(
  view: SearchView,
  { allow }: SearchWidth,
  k: number,
  scratch: Scratch,
  outRows: Uint32Array,
  outDistances: Float32Array,
  at: number,
): number {
  const { live, rowLimit } = view.slabs
  const bits = allow === undefined ? live : scratch.allowedOf(live, allow)
  scratch.rowCount = liveRowsOf(bits, rowLimit, scratch.reserveRows(view.liveRows))
  const { ask } = scratch
  ask.k = k
  ask.rerank = rerankOf(k)
  ask.allow = undefined
  // All rows are named: no bucket has to be scanned.
  ask.probes = 0
  ask.share = 0
  ask.part = 0
  ask.parts = 1
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
  ask.extra = scratch.rows
  ask.extraCount = scratch.rowCount
  const written = kernels.indexSearch(view.slabs, ask, scratch.query, outRows, outDistances, at, effort)
  scratch.scannedBuckets += effort[0]!
  scratch.scannedRows += effort[1]! + scratch.rowCount
  return written
}

/** Rows of graphs, tails and the unassigned, a part of them, into scratch.rows[0 .. rowCount). */
function gatherExtra(
  view: SearchView,
  width: SearchWidth,
  k: number,
  part: number,
  parts: number,
  scratch: Scratch,
): void {
  scratch.rowCount = 0
  const { memtables, unassigned } = view
  const bits = width.allow === undefined ? view.slabs.live : scratch.allowedOf(view.slabs.live, width.allow)
  if (memtables.some(({ linked }) => linked > 0)) {
    const { dim, padded, flips } = view.slabs
    kernels.rotate(scratch.query, dim, padded, 0, 1, flips, scratch.rotated)
    kernels.sq8Query(scratch.rotated, scratch.codes, scratch.codeFactors)
  }
  for (let i = 0; i < memtables.length; i++) {
    const memtable = memtables[i]!
    if (part === 0) searchGraph(view, memtable, bits, k, width.ef ?? Math.max(MIN_EF, 2 * k), scratch)
    gatherList(bits, memtable, memtable.linked, part, parts, scratch)
  }
  if (unassigned.count > 0) gatherList(bits, unassigned, 0, part, parts, scratch, view.home)
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

function bitsSet(words: Uint32Array): number {
  let count = 0
  for (let i = 0; i < words.length; i++) {
    let word = words[i]!
    word -= (word >>> 1) & 0x5555_5555
    word = (word & 0x3333_3333) + ((word >>> 2) & 0x3333_3333)
    count += Math.imul((word + (word >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
  }
  return count
}
