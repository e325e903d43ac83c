/**
 * Many queries, or one wide query, as units of work that any thread can do over a view.
 * Rule: the result of a slice does not depend on how the batch was cut, and the parts of one query add up to the whole.
 */
import { NONE } from '../bucket/extent.js'
import type { Scratch } from './scratch.js'
import { searchView, searchViewMany } from './search.js'
import type { SearchView, SearchWidth } from './view.js'

export interface FoundSlice {
  /** k per query, NONE behind the last. */
  readonly rows: Uint32Array
  /** Kernel distances, +Infinity behind the last. */
  readonly distances: Float32Array
  /** Found per query. */
  readonly counts: Uint32Array
}

/** Queries between two looks at the cancel flag, and between two turns of the event loop: about a millisecond. */
export const SLICE_QUERIES = 16

export function emptySlice(queries: number, k: number): FoundSlice {
  return sliceIn(bytes => new ArrayBuffer(bytes), queries, k)
}

/** In shared memory, for several threads to fill. */
export function sharedSlice(queries: number, k: number): FoundSlice {
  return sliceIn(bytes => new SharedArrayBuffer(bytes), queries, k)
}

function sliceIn(memory: (bytes: number) => ArrayBufferLike, queries: number, k: number): FoundSlice {
  return {
    rows: new Uint32Array(memory(4 * queries * k)).fill(NONE),
    distances: new Float32Array(memory(4 * queries * k)).fill(Number.POSITIVE_INFINITY),
    counts: new Uint32Array(memory(4 * queries)),
  }
}

/** Queries of a batch that are searched for in one go; an exact search of one takes longer than a slice of others. */
export function sliceOf({ probes }: SearchWidth): number {
  return probes === Number.POSITIVE_INFINITY ? 1 : SLICE_QUERIES
}

/** The first query of the next slice that nobody has taken. @param taken - one word of shared memory: queries taken so far. */
export function takeSlice(taken: Int32Array, slice: number): number {
  return Atomics.add(taken, 0, slice)
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
  const { rows, distances, counts } = found
  searchViewMany(view, width, scratch, queries, first, count, rows, distances, counts)
}

/** What one part of a query found, nearest first. */
export interface Part {
  readonly rows: Uint32Array
  readonly distances: Float32Array
  readonly scannedRows: number
  readonly scannedBuckets: number
}

export function searchPart(
  view: SearchView,
  query: Float32Array,
  width: SearchWidth,
  part: number,
  parts: number,
  scratch: Scratch,
): Part {
  scratch.query.set(query)
  const rows = new Uint32Array(width.k)
  const distances = new Float32Array(width.k)
  const found = searchView(view, width, scratch, rows, distances, 0, part, parts)
  const { scannedRows, scannedBuckets } = scratch
  return { rows: rows.slice(0, found), distances: distances.slice(0, found), scannedRows, scannedBuckets }
}

/** The nearest of all parts, each row once. @returns how many were written: at most outRows.length. */
export function mergeParts(parts: readonly Part[], outRows: Uint32Array, outDistances: Float32Array): number {
  const all = parts.flatMap(({ rows, distances }) =>
    Array.from(rows, (row, i) => ({ row, distance: distances[i]! })),
  )
  all.sort((a, b) => a.distance - b.distance || a.row - b.row)
  let written = 0
  for (const { row, distance } of all) {
    // A row met by two parts has the same distance in both, so it follows itself.
    if (written === outRows.length || (written > 0 && outRows[written - 1] === row)) continue
    outRows[written] = row
    outDistances[written++] = distance
  }
  return written
}
