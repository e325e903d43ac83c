/**
 * Many queries, or one wide query, as units of work that any thread can do over a view.
 * Rule: the result of a slice does not depend on how the batch was cut, and the shares of one scan add up to the whole.
 */
import { kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import { chooseFinalists, finalistsOf } from './finalists.js'
import type { Scratch } from './scratch.js'
import { estimate, searchView } from './search.js'
import type { SearchView, SearchWidth } from './view.js'

export interface FoundSlice {
  /** k per query, NONE behind the last. */
  readonly rows: Uint32Array
  /** Kernel distances, +Infinity behind the last. */
  readonly distances: Float32Array
  /** Found per query. */
  readonly counts: Uint32Array
}

/** Queries between two looks at the cancel flag, and between two turns of the event loop: one or two milliseconds. */
export const SLICE_QUERIES = 16

export function emptySlice(queries: number, k: number): FoundSlice {
  return {
    rows: new Uint32Array(queries * k).fill(NONE),
    distances: new Float32Array(queries * k).fill(Number.POSITIVE_INFINITY),
    counts: new Uint32Array(queries),
  }
}

/** Search for prepared queries first .. first + count - 1 of `queries`, into the same places of `found`. */
export function searchSlice(
  view: SearchView,
  queries: Float32Array,
  first: number,
  count: number,
  width: SearchWidth,
  scratch: Scratch,
  found: FoundSlice,
): void {
  const { dim } = view
  for (let i = first; i < first + count; i++) {
    scratch.query.set(queries.subarray(i * dim, (i + 1) * dim))
    found.counts[i] = searchView(view, width, scratch, found.rows, found.distances, i * width.k)
  }
}

/** The finalists of a share of the candidate rows, nearest first, each once. */
export interface Share {
  readonly rows: Uint32Array
  readonly estimates: Float32Array
}

/** The finalists among `rows` for the prepared query. */
export function scanShare(
  view: SearchView,
  query: Float32Array,
  rows: Uint32Array,
  k: number,
  scratch: Scratch,
): Share {
  scratch.query.set(query)
  scratch.reserveRows(rows.length).set(rows)
  kernels.sq8Query(scratch.query, scratch.codes, scratch.codeFactors)
  estimate(view, rows.length, scratch)
  const near = chooseFinalists(scratch, rows.length, finalistsOf(k), 0)
  return { rows: scratch.finalists.slice(0, near), estimates: scratch.ordered.slice(0, near) }
}

/** The finalists of the whole, into scratch.finalists from `at` on. @returns how many. */
export function mergeShares(shares: readonly Share[], k: number, scratch: Scratch, at: number): number {
  const count = shares.reduce((sum, share) => sum + share.rows.length, 0)
  scratch.reserveRows(count)
  let end = 0
  for (const share of shares) {
    scratch.rows.set(share.rows, end)
    scratch.estimates.set(share.estimates, end)
    end += share.rows.length
  }
  return chooseFinalists(scratch, count, finalistsOf(k), at)
}
