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
  type Cut,
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

/** Where a batch is searched. */
export interface Place {
  readonly state: IndexState
  /** Of a pin that is open until the answer is there. */
  readonly snapshot: Snapshot
  readonly pool: IndexPool | undefined
  readonly scratch: Scratch
  /** Throws when the result is no longer wanted; no slice is begun then. */
  readonly check: () => void
  readonly signal: AbortSignal | undefined
}

export interface Told {
  /** Answers from .. to - 1 are there; the batch is not over. */
  readonly told: (found: FoundSlice, from: number, to: number) => void
  /** Nobody looks at the batch any more, which may be later than the answer. */
  readonly left: () => void
}

const NOBODY: Told = { told() {}, left() {} }

/**
 * The caller's thread waits for no other that is late: what of the batch nobody has begun it does, and at last what another has begun.
 *
 * @param batch - its queries, prepared.
 * @param width - bits of `allow`, if any, that never change.
 * @returns in memory that is the caller's.
 */
export async function searchMany(
  place: Place,
  batch: Batch,
  width: SearchWidth,
  { told, left }: Told = NOBODY,
): Promise<FoundSlice> {
  const { state, pool, check } = place
  const { cut, threads, helps } = sharedOut(batch, width, pool)
  const answers = new Answers(batch, cut, width, told)
  const others = new Others(place, batch, cut, width, threads)
  const reading = state.pins.open()
  try {
    if (helps) await help(place, answers, others, reading)
    if (answers.isAnyUndone) await others.ended
    answers.collectAll()
    check()
    return answers.found
  } catch (error) {
    stopTaking(batch, cut)
    await others.gone // the first error is the one that counts
    throw error
  } finally {
    const isLate = !others.areGone && pool !== undefined
    if (isLate) pool.late++
    void others.gone.then(() => {
      if (isLate) pool.late--
      reading()
      left()
    })
  }
}

/** @returns how the batch is cut, threads of the pool that are asked, and whether the caller's thread takes slices too. */
function sharedOut(
  { counts }: Batch,
  width: SearchWidth,
  pool: IndexPool | undefined,
): { readonly cut: Cut; readonly threads: number; readonly helps: boolean } {
  const count = counts.length
  const { size } = cutOf(count, width, 1)
  // Exact answers take a thread for long, and the caller's has an event loop to turn.
  const helps = pool === undefined || size > 1
  const isAlone = pool === undefined || (helps && pool.late >= MOST_LATE)
  const own = helps ? 1 : 0
  const threads = isAlone ? 0 : Math.min(pool.threads, Math.ceil(count / size) - own)
  return { cut: cutOf(count, width, threads + own), threads, helps }
}

/** The share of the caller's thread. @param reading - closes the batch's pin: once all answers are there, before the last tasks have ended. */
async function help(
  { snapshot, pool, scratch, check }: Place,
  answers: Answers,
  others: Others,
  reading: () => void,
): Promise<void> {
  const turn = async (): Promise<void> => {
    await setImmediate()
    check()
    if (others.threads > 0) pool!.requireOpen()
  }
  const view = attach(snapshot)
  for (let more = true; more; ) {
    more = answers.takeNext(view, scratch)
    await turn() // also when others were sooner with all of them
  }
  for (const since = performance.now(); !others.areGone && performance.now() - since < LOOK_MS; ) {
    answers.collectDone()
    if (answers.missing.size === 0) break
    giveWay()
    await turn()
  }
  if (answers.missing.size === 0) reading()
  for (const slice of answers.missing) {
    if (others.areGone || answers.isDone(slice)) continue
    answers.search(slice, view, scratch) // its thread waits for a processor
    await turn()
  }
}

/** What of a batch is found, and which slices are missing. */
class Answers {
  readonly found: FoundSlice
  readonly missing: Set<number>
  readonly #batch: Batch
  readonly #cut: Cut
  readonly #width: SearchWidth
  readonly #told: Told['told']

  constructor(batch: Batch, cut: Cut, width: SearchWidth, told: Told['told']) {
    this.found = emptySlice(cut.count, width.k)
    this.missing = slicesOf(cut)
    this.#batch = batch
    this.#cut = cut
    this.#width = width
    this.#told = told
  }

  /** Whether some missing slice is not done by anybody. */
  get isAnyUndone(): boolean {
    return [...this.missing].some(slice => !this.isDone(slice))
  }

  isDone(slice: number): boolean {
    return isDone(this.#batch, slice)
  }

  /** A slice that nobody has taken. @returns whether there was one. */
  takeNext(view: SearchView, scratch: Scratch): boolean {
    const slice = searchSlice(() => view, this.#batch, this.#cut, this.#width, scratch)
    if (slice !== undefined) this.#collect(slice)
    return slice !== undefined
  }

  /** A slice that another has taken: the same answers, into other memory. */
  search(slice: number, view: SearchView, scratch: Scratch): void {
    const first = firstOf(this.#cut, slice)
    const count = firstOf(this.#cut, slice + 1) - first
    const { rows, distances, counts } = this.found
    searchViewMany(view, this.#width, scratch, this.#batch.queries, first, count, rows, distances, counts)
    this.#tell(slice)
  }

  collectDone(): void {
    for (const slice of this.missing) if (this.isDone(slice)) this.#collect(slice)
  }

  collectAll(): void {
    for (const slice of this.missing) this.#collect(slice)
  }

  #collect(slice: number): void {
    copySlice(this.#batch, this.found, firstOf(this.#cut, slice), firstOf(this.#cut, slice + 1))
    this.#tell(slice)
  }

  #tell(slice: number): void {
    this.missing.delete(slice)
    const { k } = this.#width
    this.#told(this.found, firstOf(this.#cut, slice) * k, firstOf(this.#cut, slice + 1) * k)
  }
}

/** The threads of the pool that are at a batch. */
class Others {
  readonly threads: number
  /** Rejects with what failed in them. */
  readonly ended: Promise<unknown>
  /** Resolves when none of them looks at the batch any more; what failed in them ends it for all. */
  readonly gone: Promise<void>
  areGone = false

  constructor(
    { pool, snapshot, signal }: Place,
    batch: Batch,
    cut: Cut,
    width: SearchWidth,
    threads: number,
  ) {
    this.threads = threads
    const { memory } = batch
    const task: SearchTask = { kind: 'search', snapshot, memory, cut, ...width }
    this.ended =
      threads > 0 ? pool!.runAll(new Array<SearchTask>(threads).fill(task), signal) : Promise.resolve()
    this.gone = this.ended
      .catch(() => stopTaking(batch, cut))
      .then(() => {
        this.areGone = true
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
