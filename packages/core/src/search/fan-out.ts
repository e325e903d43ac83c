/**
 * Searches that may leave the thread: batches of more than a slice, in which the caller's thread takes its share, and one query when its
 * scan is wide. Rule: the view is pinned before the first task and released after the last, so a batch sees one moment of the index.
 * Who works on a batch takes its slices one by one, so a thread that is late or busy with something else takes fewer; in the caller's
 * thread the event loop turns after each, also after the last: who asks in a loop starves nobody.
 */
import { setImmediate } from 'node:timers/promises'
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import type { PartTask, SearchTask } from '../pool/tasks.js'
import { fixRows } from './allowed.js'
import {
  type FoundSlice,
  mergeParts,
  type Part,
  searchSlice,
  sharedSlice,
  sliceOf,
  takeSlice,
} from './batch.js'
import type { Scratch } from './scratch.js'
import { tailOf } from './search.js'
import { attach, type Snapshot } from './snapshot.js'
import type { SearchView, SearchWidth } from './view.js'

/** A scan of this many entries, or of the codes of this many rows, takes about a millisecond (384 dimensions), against 0.1 ms for the hop. */
const SPLIT_ENTRIES = 131_072
const SPLIT_ROWS = 32_768

/** @param queries - prepared, in shared memory. `check` throws when the result is no longer wanted; nothing runs on then. */
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
  const slice = sliceOf(width)
  const found = sharedSlice(count, width.k)
  const taken = new Int32Array(new SharedArrayBuffer(4))
  // Exact answers take a thread for long, and the caller's has an event loop to turn.
  const helps = pool === undefined || slice > 1
  const threads = pool === undefined ? 0 : Math.min(pool.threads, Math.ceil(count / slice) - (helps ? 1 : 0))
  const task: SearchTask = { kind: 'search', snapshot, queries, taken, found, ...width }
  const others = threads > 0 ? pool!.runAll(new Array<SearchTask>(threads).fill(task), signal) : undefined
  const stop = (): void => void Atomics.store(taken, 0, count)
  others?.catch(stop)
  try {
    if (helps) await takeShare(attach(snapshot), task, count, scratch, check)
  } catch (error) {
    stop()
    await others?.catch(() => undefined) // the first error is the one that counts
    throw error
  }
  await others
  check()
  // The caller's memory is not shared with anybody.
  return { rows: found.rows.slice(), distances: found.distances.slice(), counts: found.counts.slice() }
}

async function takeShare(
  view: SearchView,
  { queries, taken, found, ...asked }: SearchTask,
  count: number,
  scratch: Scratch,
  check: () => void,
): Promise<void> {
  const width = { ...asked, allow: asked.allow && fixRows(asked.allow.slice()) }
  const slice = sliceOf(width)
  for (let first = takeSlice(taken, slice); first < count; first = takeSlice(taken, slice)) {
    searchSlice(view, queries, first, Math.min(slice, count - first), width, scratch, found)
    await setImmediate()
    check()
  }
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
  let entries = 2 * bucketRows * Math.min(probes, slabs.bucketCount)
  let rows = unassigned.count
  for (const memtable of memtables) {
    const from = tailOf(memtable)
    const coded = Math.max(from, memtable.tail.end)
    entries += coded - from
    rows += memtable.count - coded
  }
  return entries > SPLIT_ENTRIES || rows > SPLIT_ROWS
}
