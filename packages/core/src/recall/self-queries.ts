/**
 * Self-queries: rows of the index that are asked for as if they were queries. Here is what is done for them in whatever thread has the view:
 * finding their nearest rows, by comparing or by searching, and telling at which floors these would have been met (meeting.ts).
 * Rule: a generator yields the multiply-adds of each piece, so that whoever runs it can stop or let others run.
 */
import { NONE } from '../bucket/extent.js'
import { type Measure, measureOf } from '../search/measure.js'
import type { Scratch } from '../search/scratch.js'
import { searchView } from '../search/search.js'
import type { RowBuckets } from '../search/snapshot.js'
import type { SearchView, SearchWidth } from '../search/view.js'
import { bucketDistances, distanceWithout, meetingsOf } from './meeting.js'
import { NearestRows, type Neighbours } from './nearest-rows.js'

export interface SelfQueries {
  /** NONE: a query that is no row. */
  readonly rows: Uint32Array
  /** Their vectors as the index prepared them, dim values each. */
  readonly queries: Float32Array
  /** Of each: the rows in its home, itself included. A count of 0 or 1 leaves the centroid as it is. */
  readonly homeRows: Uint32Array
}

/** What `meet` tells. */
export interface Met {
  /** For each self-query, MEETING_FACTS of each of its neighbours. */
  readonly meetings: Float32Array[]
  /** Entries that the searches for their neighbours scanned. */
  readonly scanned: number
}

/** Bytes of rows that stay in a core's cache while all queries are compared with them. */
const TILE_BYTES = 192 * 1024

/**
 * Of the rows in [first, end) that are in buckets, up to k that are nearest to each query.
 *
 * @param limits - of each query: only nearer rows are wanted.
 */
export function* compareRows(
  { slabs }: SearchView,
  { home }: RowBuckets,
  queries: Float32Array,
  first: number,
  end: number,
  k: number,
  limits: Float32Array,
): Generator<number, Neighbours[]> {
  const { dim, live } = slabs
  const tile = Math.max(32, Math.floor(TILE_BYTES / (4 * dim)))
  const rows = new Uint32Array(tile)
  const distances = new Float32Array(tile)
  const nearest = Array.from(limits, limit => new NearestRows(k, limit))
  const measures: Measure[] = nearest.map((_, q) => measureOf(slabs, queries.slice(q * dim, (q + 1) * dim)))
  for (let from = first; from < end; from += tile) {
    let count = 0
    for (let row = from; row < Math.min(end, from + tile); row++) {
      if (((live[row >>> 5]! >>> (row & 31)) & 1) === 1 && home[row] !== NONE) rows[count++] = row
    }
    for (const [q, ofQuery] of nearest.entries()) {
      measures[q]!(rows, count, distances)
      ofQuery.add(rows, distances, count)
    }
    yield nearest.length * count * dim
  }
  return nearest.map(ofQuery => ofQuery.nearest())
}

/**
 * Where the neighbours of each self-query are. The row itself is none of them, and is left out of the centroid of its home, as a query is not
 * in it.
 *
 * @param by - their neighbours, known already, or the width of a search that finds them.
 */
export function* meet(
  view: SearchView,
  buckets: RowBuckets,
  { rows, queries, homeRows }: SelfQueries,
  by: readonly Uint32Array[] | SearchWidth,
  scratch: Scratch,
): Generator<number, Met> {
  const { dim, bucketCount } = view.slabs
  const distances = bucketDistances(view, queries)
  yield queries.length * bucketCount
  const meetings: Float32Array[] = []
  let scanned = 0
  for (const [i, row] of rows.entries()) {
    const query = queries.subarray(i * dim, (i + 1) * dim)
    const found = 'k' in by ? search(view, query, by, scratch) : by[i]!
    const most = 'k' in by ? by.k - 1 : found.length
    const neighbours = found.filter(other => other !== row).subarray(0, most)
    const toBuckets = distances.subarray(i * bucketCount, (i + 1) * bucketCount)
    const count = homeRows[i]!
    const home = count > 1 ? buckets.home[row]! : NONE
    if (home < bucketCount) toBuckets[home] = distanceWithout(view, query, toBuckets[home]!, count)
    meetings.push(meetingsOf(view, buckets, query, toBuckets, neighbours))
    if ('k' in by) scanned += scratch.scannedRows
    yield (scratch.scannedRows + neighbours.length) * dim
  }
  return { meetings, scanned }
}

function search(view: SearchView, query: Float32Array, width: SearchWidth, scratch: Scratch): Uint32Array {
  scratch.query.set(query)
  const { outRows, outDistances } = scratch.reserveResult(width.k)
  const count = searchView(view, width, scratch, outRows, outDistances)
  return outRows.slice(0, count)
}
