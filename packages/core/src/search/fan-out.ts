/**
 * Searches that may leave the thread: batches always do when there is a pool, one query only when its scan is wide.
 * Rule: the view is pinned before the first task and released after the last, so a batch sees one moment of the index.
 * Without a pool a batch runs here, and the event loop turns every 32 queries.
 */
import { setImmediate } from 'node:timers/promises'
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import type { PartTask, SearchTask } from '../pool/tasks.js'
import { emptySlice, type FoundSlice, mergeParts, type Part, SLICE_QUERIES, searchSlice } from './batch.js'
import type { Scratch } from './scratch.js'
import { attach, type Snapshot } from './snapshot.js'
import type { SearchView, SearchWidth } from './view.js'

/** A scan of this many entries, or of the codes of this many rows, takes about a millisecond (384 dimensions), against 0.1 ms for the hop. */
const SPLIT_ENTRIES = 131_072
const SPLIT_ROWS = 32_768

/** Tasks per thread and batch: enough to even out threads that are late, few enough to keep the queue short. */
const TASKS_PER_THREAD = 4

/** @param queries - prepared, in shared memory. `check` throws when the result is no longer wanted. */
export async function searchMany(
  snapshot: Snapshot,
  pool: IndexPool | undefined,
  queries: Float32Array,
  width: SearchWidth,
  scratch: Scratch,
  check: () => void,
  signal: AbortSignal | undefined,
): Promise<FoundSlice> {
  const count = queries.length / snapshot.dim
  if (pool === undefined) return searchHere(snapshot, queries, count, width, scratch, check)
  const perTask = Math.max(SLICE_QUERIES, Math.ceil(count / (TASKS_PER_THREAD * pool.threads)))
  const tasks: SearchTask[] = []
  for (let first = 0; first < count; first += perTask) {
    const part = queries.subarray(first * snapshot.dim, (first + perTask) * snapshot.dim)
    tasks.push({ kind: 'search', snapshot, queries: part, ...width })
  }
  const slices = await pool.runAll(tasks, signal)
  check()
  const found = emptySlice(count, width.k)
  slices.forEach((slice, i) => {
    found.rows.set(slice.rows, i * perTask * width.k)
    found.distances.set(slice.distances, i * perTask * width.k)
    found.counts.set(slice.counts, i * perTask)
  })
  return found
}

/**
 * Search for one prepared query in all threads of the pool.
 *
 * @returns at most k rows, in memory of their own: a scratch serves one search at a time, and others run before this one ends.
 */
export async function searchParts(
  state: IndexState,
  pool: IndexPool,
  query: Float32Array,
  width: SearchWidth,
  check: () => void,
  signal: AbortSignal | undefined,
): Promise<Part> {
  const { snapshot, release } = state.pin()
  try {
    const tasks = Array.from(
      { length: pool.threads },
      (_, part): PartTask => ({ kind: 'part', snapshot, query, part, parts: pool.threads, ...width }),
    )
    const parts = await pool.runAll(tasks, signal)
    check()
    const rows = new Uint32Array(width.k)
    const distances = new Float32Array(width.k)
    const found = mergeParts(parts, rows, distances)
    return {
      rows: rows.slice(0, found),
      distances: distances.slice(0, found),
      scannedRows: parts.reduce((sum, part) => sum + part.scannedRows, 0),
      scannedBuckets: parts.reduce((sum, part) => sum + part.scannedBuckets, 0),
    }
  } finally {
    release()
  }
}

/** Is the scan worth the hop to other threads? */
export function isWide(
  { slabs, bucketRows, memtables, unassigned }: SearchView,
  { probes, allow }: SearchWidth,
): boolean {
  if (probes === undefined || allow !== undefined || probes === Number.POSITIVE_INFINITY) return false
  const tails = memtables.reduce((sum, { count, linked }) => sum + count - linked, unassigned.count)
  return 2 * bucketRows * Math.min(probes, slabs.bucketCount) > SPLIT_ENTRIES || tails > SPLIT_ROWS
}

async function searchHere(
  snapshot: Snapshot,
  queries: Float32Array,
  count: number,
  width: SearchWidth,
  scratch: Scratch,
  check: () => void,
): Promise<FoundSlice> {
  const view = attach(snapshot)
  const found = emptySlice(count, width.k)
  for (let first = 0; first < count; first += SLICE_QUERIES) {
    if (first > 0) {
      await setImmediate()
      check()
    }
    searchSlice(view, queries, first, Math.min(SLICE_QUERIES, count - first), width, scratch, found)
  }
  return found
}
