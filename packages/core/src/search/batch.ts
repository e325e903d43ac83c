/**
 * Many queries, or one wide query, as units of work that any thread can do over a view.
 * Rule: the result of a slice does not depend on how the batch was cut, and the shares of one scan add up to the whole.
 */
import { kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import type { Scratch } from './scratch.js'
import { estimate, finalistsOf, searchView } from './search.js'
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

/** The nearest of a share of the candidate rows by SQ8, nearest first. */
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
  const best = finalistsOf(k)
  scratch.query.set(query)
  scratch.reserveRows(rows.length).set(rows)
  scratch.reserveFinalists(best)
  kernels.sq8Query(scratch.query, scratch.codes, scratch.codeFactors)
  const near = estimate(view, rows.length, best, scratch)
  return {
    rows: Uint32Array.from(scratch.positions.subarray(0, near), position => rows[position]!),
    estimates: scratch.ordered.slice(0, near),
  }
}

/** The finalists of the whole: what one scan over all shares, in their order, would have chosen. */
export function mergeShares(shares: readonly Share[], k: number): Uint32Array {
  const count = shares.reduce((sum, share) => sum + share.rows.length, 0)
  const rows = new Uint32Array(count)
  const estimates = new Float32Array(count)
  let at = 0
  for (const share of shares) {
    rows.set(share.rows, at)
    estimates.set(share.estimates, at)
    at += share.rows.length
  }
  const best = Math.min(count, finalistsOf(k))
  const positions = new Uint32Array(best)
  const near = kernels.topK(estimates, count, best, positions, new Float32Array(best))
  return positions.subarray(0, near).map(position => rows[position]!)
}
