/**
 * What calibration asks of a view, in any thread: which rows are nearest to some of its own rows, by comparing or by searching, and at
 * which floors these would have been met. Rule: generators that yield the multiply-adds of each piece, so that who runs them can stop or
 * let others run; a row asked for is left out of the centroid of its home, as a query is not in it.
 */
import { kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import { type Measure, measureOf } from '../search/measure.js'
import type { Scratch } from '../search/scratch.js'
import { searchView } from '../search/search.js'
import type { RowBuckets } from '../search/snapshot.js'
import type { SearchView, SearchWidth } from '../search/view.js'
import { bucketDistances, distanceWithout, meetingsOf } from './meeting.js'

/** Rows of the index that are asked for as if they were queries. */
export interface Asked {
  readonly rows: Uint32Array
  /** As the index prepared them, dim values each. */
  readonly queries: Float32Array
  /** Of each: rows that call its home theirs, itself included. */
  readonly mates: Uint32Array
}

/** Rows near to one query, in no order, and how far they are. */
export interface Near {
  readonly rows: Uint32Array
  readonly distances: Float32Array
}

/** Bytes of rows that stay in a core's cache while all queries are compared with them. */
const TILE_BYTES = 192 * 1024

/**
 * Of the rows in [first, end) that are in buckets, up to k that are nearest to each query.
 *
 * @param limits - of each query, as far as a row may be to be worth telling.
 */
export function* compareRows(
  { slabs }: SearchView,
  { home }: RowBuckets,
  queries: Float32Array,
  first: number,
  end: number,
  k: number,
  limits: Float32Array,
): Generator<number, Near[]> {
  const { dim, live } = slabs
  const tile = Math.max(32, Math.floor(TILE_BYTES / (4 * dim)))
  const rows = new Uint32Array(tile)
  const distances = new Float32Array(tile)
  const best = Array.from(limits, limit => new Best(k, limit))
  const measures: Measure[] = best.map((_, q) => measureOf(slabs, queries.slice(q * dim, (q + 1) * dim)))
  for (let from = first; from < end; from += tile) {
    let count = 0
    for (let row = from; row < Math.min(end, from + tile); row++) {
      if (((live[row >>> 5]! >>> (row & 31)) & 1) === 1 && home[row] !== NONE) rows[count++] = row
    }
    for (const [q, one] of best.entries()) {
      measures[q]!(rows, count, distances)
      one.take(rows, distances, count)
    }
    yield best.length * count * dim
  }
  return best.map(one => one.near())
}

/**
 * For each row asked for, MEETING_FACTS of each of its nearest rows.
 *
 * @param by - these rows, known already, or a search of this width.
 */
export function* meet(
  view: SearchView,
  buckets: RowBuckets,
  { rows, queries, mates }: Asked,
  by: readonly Uint32Array[] | SearchWidth,
  scratch: Scratch,
): Generator<number, Float32Array[]> {
  const { dim, bucketCount } = view.slabs
  const distances = bucketDistances(view, queries)
  yield queries.length * bucketCount
  const meetings: Float32Array[] = []
  for (const [i, row] of rows.entries()) {
    const query = queries.subarray(i * dim, (i + 1) * dim)
    const found = 'k' in by ? searched(view, query, by, scratch) : by[i]!
    const most = 'k' in by ? by.k - 1 : found.length
    const others = found.filter(other => other !== row).subarray(0, most)
    const own = distances.subarray(i * bucketCount, (i + 1) * bucketCount)
    const home = buckets.home[row]!
    const count = mates[i]!
    if (home < bucketCount && count > 1) own[home] = distanceWithout(view, query, own[home]!, count)
    meetings.push(meetingsOf(view, buckets, query, own, others))
    yield (scratch.scannedRows + others.length) * dim
  }
  return meetings
}

function searched(view: SearchView, query: Float32Array, width: SearchWidth, scratch: Scratch): Uint32Array {
  scratch.query.set(query)
  const { outRows, outDistances } = scratch.reserveResult(width.k)
  const count = searchView(view, width, scratch, outRows, outDistances)
  return outRows.slice(0, count)
}

/** The nearest rows so far, and some more: thinned when the room is full. */
export class Best {
  readonly #k: number
  #rows: Uint32Array
  #distances: Float32Array
  #count = 0
  #limit: number

  constructor(k: number, limit: number = Number.POSITIVE_INFINITY) {
    this.#k = k
    this.#rows = new Uint32Array(4 * k)
    this.#distances = new Float32Array(4 * k)
    this.#limit = limit
  }

  /** What a row has to be below to count. */
  get limit(): number {
    this.#thin()
    return this.#limit
  }

  take(rows: Uint32Array, distances: Float32Array, count: number = rows.length): void {
    for (let i = 0; i < count; i++) {
      if (!(distances[i]! < this.#limit)) continue
      this.#rows[this.#count] = rows[i]!
      this.#distances[this.#count++] = distances[i]!
      if (this.#count === this.#rows.length) this.#thin()
    }
  }

  /** The k nearest, nearest first. */
  near(): Near {
    this.#thin()
    return { rows: this.#rows.slice(0, this.#count), distances: this.#distances.slice(0, this.#count) }
  }

  #thin(): void {
    const positions = new Uint32Array(this.#k)
    const nearest = new Float32Array(this.#k)
    const found = kernels.topK(this.#distances, this.#count, this.#k, positions, nearest)
    const rows = positions.subarray(0, found).map(at => this.#rows[at]!)
    this.#rows.set(rows)
    this.#distances.set(nearest.subarray(0, found))
    this.#count = found
    if (found === this.#k) this.#limit = nearest[found - 1]!
  }
}
