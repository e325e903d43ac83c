/**
 * Searches that may leave the thread: batches always do when there is a pool, one query only when its scan is wide.
 * Rule: the view is pinned before the first task and released after the last, so a batch sees one moment of the index.
 * Without a pool a batch runs here, and the event loop turns every 16 queries.
 */
import { setImmediate } from 'node:timers/promises'
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import type { ScanTask, SearchTask } from '../pool/tasks.js'
import { emptySlice, type FoundSlice, mergeShares, SLICE_QUERIES, searchSlice } from './batch.js'
import type { Scratch } from './scratch.js'
import { exactOrder, gatherRows, rankRows, searchView } from './search.js'
import { attach, type Snapshot } from './snapshot.js'
import type { SearchWidth } from './view.js'

/** A scan of this many rows takes milliseconds (384 dimensions), against 0.1 ms for the hop. */
const SPLIT_ROWS = 65_536

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
 * Search for the prepared query in scratch.query; `out` has room for k rows.
 *
 * @returns how many were written, and what was scanned.
 */
export async function searchOne(
  state: IndexState,
  pool: IndexPool | undefined,
  width: SearchWidth,
  scratch: Scratch,
  outRows: Uint32Array,
  outDistances: Float32Array,
  check: () => void,
  signal: AbortSignal | undefined,
): Promise<number> {
  const { view } = state
  if (pool === undefined || pool.threads < 2 || width.probes === Number.POSITIVE_INFINITY) {
    return searchView(view, width, scratch, outRows, outDistances)
  }
  const k = Math.min(width.k, view.liveRows)
  gatherRows(view, width, scratch)
  if (scratch.rowCount <= SPLIT_ROWS) {
    const written = rankRows(view, k, scratch, outRows, outDistances, 0)
    return written === k || width.probes !== undefined
      ? written
      : searchView(view, width, scratch, outRows, outDistances)
  }
  // Copies: other searches use the scratch while the workers scan.
  const query = scratch.query.slice()
  const graphRows = scratch.finalists.slice(0, scratch.graphCount)
  const { scannedRows, scannedBuckets } = scratch
  const { snapshot, release } = state.pin()
  try {
    const shares = await pool.runAll(shareTasks(snapshot, query, scratch, k, pool.threads), signal)
    check()
    scratch.query.set(query)
    scratch.reserveFinalists(graphRows.length)
    scratch.finalists.set(graphRows)
    const near = mergeShares(shares, k, scratch, graphRows.length)
    scratch.scannedRows = scannedRows
    scratch.scannedBuckets = scannedBuckets
    return exactOrder(view, k, graphRows.length + near, scratch, outRows, outDistances, 0)
  } finally {
    release()
  }
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

function shareTasks(
  snapshot: Snapshot,
  query: Float32Array,
  { rows, rowCount }: Scratch,
  k: number,
  threads: number,
): ScanTask[] {
  const perTask = Math.ceil(rowCount / threads)
  const tasks: ScanTask[] = []
  for (let first = 0; first < rowCount; first += perTask) {
    tasks.push({
      kind: 'scan',
      snapshot,
      query,
      rows: rows.slice(first, Math.min(rowCount, first + perTask)),
      k,
    })
  }
  return tasks
}
