/**
 * Searches that may leave the thread: batches of more than a slice, in which the caller's thread takes its share, and one query when its
 * scan is wide. Rule: the view is pinned before the first task, until nobody reads it, so a batch sees one moment of the index.
 * Who works on a batch takes its slices one by one, so a thread that is late or busy with something else takes fewer; in the caller's
 * thread the event loop turns after each, also after the last: who asks in a loop starves nobody.
 */
import { setImmediate } from 'node:timers/promises'
import { giveWay } from '@drift/native'
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import type { PartTask, SearchTask } from '../pool/tasks.js'
import {
  type Batch,
  copySlice,
  cutOf,
  emptySlice,
  type FoundSlice,
  firstOf,
  isDone,
  mergeParts,
  type Part,
  searchSlice,
  slicesOf,
  stopTaking,
} from './batch.js'
import type { Scratch } from './scratch.js'
import { searchViewMany, tailOf } from './search.js'
import { attach, type Snapshot } from './snapshot.js'
import type { SearchView, SearchWidth } from './view.js'

/** A scan of this many entries, or of the codes of this many rows, takes about a millisecond (384 dimensions), against 0.1 ms for the hop. */
const SPLIT_ENTRIES = 131_072
const SPLIT_ROWS = 32_768

/** So long the caller's thread looks for slices that others are at: sleeping until a message comes would cost 0.1 ms and more. */
const LOOK_MS = 1
/** Batches that may be over before their tasks are; beyond, the caller's thread asks the pool for nothing, so that its queue does not grow. */
const MOST_LATE = 4

/**
 * The caller's thread waits for no other that is late: what of the batch nobody has begun it does, and at last what another has begun.
 *
 * @param snapshot - of a pin that is open until the answer is there.
 * @param width - bits of `allow`, if any, that never change.
 * @param batch - its queries, prepared. `check` throws when the result is no longer wanted; no slice is begun then.
 * @param told - answers from .. to - 1 are there; the batch is not over.
 * @param left - nobody looks at the batch any more, which may be later than the answer.
 * @returns in memory that is the caller's.
 */
export async function searchMany(
  state: IndexState,
  snapshot: Snapshot,
  pool: IndexPool | undefined,
  batch: Batch,
  width: SearchWidth,
  scratch: Scratch,
  check: () => void,
  signal: AbortSignal | undefined,
  told: (found: FoundSlice, from: number, to: number) => void = () => {},
  left: () => void = () => {},
): Promise<FoundSlice> {
  const { memory, queries } = batch
  const { k } = width
  const count = batch.counts.length
  const { size } = cutOf(count, width, 1)
  // Exact answers take a thread for long, and the caller's has an event loop to turn.
  const helps = pool === undefined || size > 1
  const isAlone = pool === undefined || (helps && pool.late >= MOST_LATE)
  const threads = isAlone ? 0 : Math.min(pool.threads, Math.ceil(count / size) - (helps ? 1 : 0))
  const cut = cutOf(count, width, threads + (helps ? 1 : 0))
  const found = emptySlice(count, k)
  const missing = slicesOf(cut)
  const task: SearchTask = { kind: 'search', snapshot, memory, cut, ...width }
  const others = threads > 0 ? pool!.runAll(new Array<SearchTask>(threads).fill(task), signal) : undefined
  const reading = state.pins.open()
  const stop = (): void => stopTaking(batch, cut)
  let haveEnded = false
  const gone = (others ?? Promise.resolve()).catch(stop).then(() => {
    haveEnded = true
  })
  const tell = (slice: number): void => {
    missing.delete(slice)
    told(found, firstOf(cut, slice) * k, firstOf(cut, slice + 1) * k)
  }
  const collect = (slice: number): void => {
    copySlice(batch, found, firstOf(cut, slice), firstOf(cut, slice + 1))
    tell(slice)
  }
  const turn = async (): Promise<void> => {
    await setImmediate()
    check()
    if (threads > 0) pool!.requireOpen()
  }
  try {
    if (helps) {
      const view = attach(snapshot)
      let slice: number | undefined
      do {
        slice = searchSlice(() => view, batch, cut, width, scratch)
        if (slice !== undefined) collect(slice)
        await turn() // also when others were sooner with all of them
      } while (slice !== undefined)
      for (const since = performance.now(); !haveEnded && performance.now() - since < LOOK_MS; ) {
        for (const slice of missing) if (isDone(batch, slice)) collect(slice)
        if (missing.size === 0) break
        giveWay()
        await turn()
      }
      if (missing.size === 0) reading()
      for (const slice of missing) {
        if (haveEnded || isDone(batch, slice)) continue
        // Its thread waits for a processor: the same answers, into other memory.
        const first = firstOf(cut, slice)
        const { rows, distances, counts } = found
        const more = firstOf(cut, slice + 1) - first
        searchViewMany(view, width, scratch, queries, first, more, rows, distances, counts)
        tell(slice)
        await turn()
      }
    }
    if ([...missing].some(slice => !isDone(batch, slice))) await others
    for (const slice of missing) collect(slice)
    check()
    return found
  } catch (error) {
    stop()
    await gone // the first error is the one that counts
    throw error
  } finally {
    const isLate = !haveEnded && pool !== undefined
    if (isLate) pool.late++
    void gone.then(() => {
      if (isLate) pool.late--
      reading()
      left()
    })
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
