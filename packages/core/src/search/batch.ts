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

/** What all who work on a batch share. */
export interface Batch extends FoundSlice {
  readonly memory: SharedArrayBuffer
  /** Prepared, count * dim. */
  readonly queries: Float32Array
  /** How many slices are taken; then for each 1 once its answers are there. */
  readonly progress: Int32Array
}

/** Views of `count` queries and of `k` answers each, in any thread. */
export function batchIn(memory: SharedArrayBuffer, dim: number, count: number, k: number): Batch {
  const queries = new Float32Array(memory, 0, count * dim)
  const rows = new Uint32Array(memory, queries.byteLength, count * k)
  const distances = new Float32Array(memory, rows.byteOffset + rows.byteLength, count * k)
  const counts = new Uint32Array(memory, distances.byteOffset + distances.byteLength, count)
  const progress = new Int32Array(memory, counts.byteOffset + counts.byteLength, 1 + count)
  return { memory, queries, progress, rows, distances, counts }
}

/** 4 096 queries of 256 dimensions, about. */
const MOST_KEPT_BYTES = 4 * 1024 * 1024

/** Memory for batches. That of the last one serves the next: fresh pages would take a twentieth of the time of 256 queries. */
export class BatchMemory {
  #spare: SharedArrayBuffer | undefined

  /** Nothing is found yet; the queries mean nothing. */
  take(dim: number, count: number, k: number): Batch {
    const bytes = bytesOf(dim, count, k)
    const spare = this.#spare
    this.#spare = undefined
    const memory = spare !== undefined && spare.byteLength >= bytes ? spare : new SharedArrayBuffer(bytes)
    return emptied(batchIn(memory, dim, count, k))
  }

  /** Nobody will look at it any more. */
  give({ memory }: Batch): void {
    const { byteLength } = memory
    if (byteLength <= MOST_KEPT_BYTES && byteLength > (this.#spare?.byteLength ?? 0)) this.#spare = memory
  }
}

/** In fresh memory: nothing is found yet; the queries mean nothing. */
export function emptyBatch(dim: number, count: number, k: number): Batch {
  return emptied(batchIn(new SharedArrayBuffer(bytesOf(dim, count, k)), dim, count, k))
}

function bytesOf(dim: number, count: number, k: number): number {
  return 4 * count * (dim + 2 * k + 2) + 4
}

function emptied(batch: Batch): Batch {
  batch.progress.fill(0)
  batch.rows.fill(NONE)
  batch.distances.fill(Number.POSITIVE_INFINITY)
  return batch
}

/** In the caller's own memory. */
export function emptySlice(queries: number, k: number): FoundSlice {
  return {
    rows: new Uint32Array(queries * k).fill(NONE),
    distances: new Float32Array(queries * k).fill(Number.POSITIVE_INFINITY),
    counts: new Uint32Array(queries),
  }
}

/** Queries between two looks at the cancel flag, and between two turns of the event loop: about a millisecond. */
export const SLICE_QUERIES = 16
/** The same of the last slices, so that who is done first does not wait for long. */
const LAST_QUERIES = 4

/** How a batch is cut: into `whole` slices of `size` queries, then smaller ones. */
export interface Cut {
  readonly count: number
  readonly size: number
  readonly whole: number
}

/** @param parties - threads that work on it. */
export function cutOf(count: number, { probes }: Pick<SearchWidth, 'probes'>, parties: number): Cut {
  // An exact search of one query takes longer than a slice of others.
  const size = probes === Number.POSITIVE_INFINITY ? 1 : SLICE_QUERIES
  const whole = parties === 1 ? Math.ceil(count / size) : Math.max(0, Math.floor(count / size) - parties)
  return { count, size, whole }
}

/** The first query of a slice; of the one behind the last, how many queries there are. */
export function firstOf({ count, size, whole }: Cut, slice: number): number {
  const small = Math.min(size, LAST_QUERIES)
  return Math.min(count, Math.min(slice, whole) * size + Math.max(0, slice - whole) * small)
}

/** The numbers of all. */
export function slicesOf(cut: Cut): Set<number> {
  const all = new Set<number>()
  for (let slice = 0; firstOf(cut, slice) < cut.count; slice++) all.add(slice)
  return all
}

/** The next slice that nobody has taken, searched for. @returns its number; undefined: there is none left. */
export function searchSlice(
  view: () => SearchView,
  batch: Batch,
  cut: Cut,
  width: SearchWidth,
  scratch: Scratch,
): number | undefined {
  const { queries, progress, rows, distances, counts } = batch
  const slice = Atomics.add(progress, 0, 1)
  const first = firstOf(cut, slice)
  const count = firstOf(cut, slice + 1) - first
  if (count === 0) return undefined
  searchViewMany(view(), width, scratch, queries, first, count, rows, distances, counts)
  Atomics.store(progress, 1 + slice, 1)
  return slice
}

/** The answers to queries first .. end - 1. */
export function copySlice(from: FoundSlice, to: FoundSlice, first: number, end: number): void {
  const k = from.rows.length / from.counts.length
  to.rows.set(from.rows.subarray(first * k, end * k), first * k)
  to.distances.set(from.distances.subarray(first * k, end * k), first * k)
  to.counts.set(from.counts.subarray(first, end), first)
}

/** Whoever works on the batch takes no further slice. */
export function stopTaking({ progress }: Batch, { count }: Cut): void {
  Atomics.store(progress, 0, count)
}

export function isDone({ progress }: Batch, slice: number): boolean {
  return Atomics.load(progress, 1 + slice) === 1
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
