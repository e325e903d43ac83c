/**
 * Compaction of segments: choose, write, commit, swap. Searches and writes go on: a row keeps its number and what memory holds of it, only
 * its place in the files changes. Replaced files stay readable for whoever still reads an older moment, and are removed one manifest
 * later. Cut short by a crash, nothing has changed, and the same run is chosen again.
 */
import { type Id, ownTurn } from '@drift/core'
import type { CollectionEntry, SegmentReader, TombstoneEntry } from '@drift/storage'
import { anyRun, type Candidate, dueRun, type Run, streamRun } from './compaction-policy.js'
import { currentState, type Engine } from './engine.js'
import { type LiveBits, livePlaces, liveRows, PIECE_ROWS } from './live-rows.js'
import { type CompactResult, directOrigins, placesOf } from './persistence/compact.js'
import type { Packed } from './persistence/packed.js'
import { pack, packIds } from './persistence/packing.js'
import { quantizerOf } from './quantizer.js'
import type { LiveSegment, Store } from './store.js'

export interface CompactionOptions {
  /** Do all there is to do, not only what is due. */
  readonly all?: boolean
  /** Leave half of the time to others. */
  readonly rests?: boolean
  readonly signal?: AbortSignal | undefined
}

/** What is to be written, all of one moment. */
interface Plan {
  readonly entry: CollectionEntry
  readonly inputs: readonly LiveSegment[]
  readonly others: readonly LiveSegment[]
  /** Of each input: 1 for each row that counts. */
  readonly lives: readonly Uint8Array[]
  readonly pending: Packed
}

/** One compaction. @returns whether it changed anything, so that there may be more to do. */
export function compactOnce(engine: Engine, store: Store, options: CompactionOptions = {}): Promise<boolean> {
  return store.alone(async () => {
    if (store.dropped || engine.closed) return false
    options.signal?.throwIfAborted()
    const plan = await planOf(
      engine,
      store,
      options.all ? anyRun : store.frozen.length > 0 ? streamRun : dueRun,
    )
    if (!plan) return false
    options.signal?.throwIfAborted()
    return compactRun(engine, store, plan, options)
  })
}

/** In pieces: a pin keeps the moment. Where live rows are in those files changes with nothing that may run meanwhile. */
async function planOf(
  engine: Engine,
  store: Store,
  choose: (segments: readonly Candidate[]) => Run | undefined,
): Promise<Plan | undefined> {
  const { live, release } = store.index.pin()
  try {
    const segments = [...store.segments]
    const entry = entryOf(engine, store)
    const written = pendingOf(store)
    const lives: Uint8Array[] = []
    for (const segment of segments) lives.push(await liveRows(store, segment, live))
    const run = choose(segments.map((segment, i) => candidate(store, segment, lives[i]!)))
    if (!run || !entry) return undefined
    const { first, count } = run
    const inputs = segments.slice(first, first + count)
    const theirs = lives.slice(first, first + count)
    return {
      entry,
      inputs,
      others: segments.filter(segment => !inputs.includes(segment)),
      lives: theirs,
      // A row that counts stays whatever was written since.
      pending: theirs.some(one => one.includes(0)) ? await encoded(store, written) : pack([]),
    }
  } finally {
    release()
  }
}

async function compactRun(
  engine: Engine,
  store: Store,
  plan: Plan,
  options: CompactionOptions,
): Promise<boolean> {
  const { entry, inputs } = plan
  const result = await writeRun(engine, store, plan, options)
  const { segment } = result
  // Rows whose end is only in the log stay, so a rewrite may win nothing: doing it again would not either.
  const isFutile = inputs.length === 1 && segment?.rows === inputs[0]!.entry.rows
  if (store.dropped || isFutile) {
    await engine.persistence.discard(newFiles(entry, result))
    return false
  }
  let reader: SegmentReader | undefined
  let origins: LiveSegment['origins']
  let isNamed = false
  try {
    reader = segment && store.openSegment(engine.fs, engine.folder, segment)
    // Before the commit: nothing that may fail comes after it.
    origins = reader?.origins()
    isNamed = await engine.persistence.commit(() => ({
      ...currentState(engine),
      changed: store.number,
      change: current => replaced(current, inputs, entry.tombstones, result),
    }))
  } finally {
    if (!isNamed) {
      reader?.close()
      await engine.persistence.discard(newFiles(entry, result))
    }
  }
  if (!isNamed) return false
  await swap(store, inputs, result, reader, origins)
  return true
}

/** Names of the files that were written. @param entry - of the collection before. */
function newFiles(entry: CollectionEntry, { segment, tombstones }: CompactResult): string[] {
  // By name: what crossed from a thread is a copy.
  const named = new Set(entry.tombstones.map(({ name }) => name))
  return [segment, ...tombstones].flatMap(file => (file && !named.has(file.name) ? [file.name] : []))
}

/** Writes the files, in another thread. @throws the signal's reason. */
async function writeRun(
  engine: Engine,
  store: Store,
  { entry, inputs, others, lives, pending }: Plan,
  { rests = false, signal }: CompactionOptions,
): Promise<CompactResult> {
  const { dim, metric } = store.config
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const abort = (): void => {
    Atomics.store(stop, 0, 1)
    Atomics.notify(stop, 0)
  }
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await engine.persistence.compact({
      dim,
      metric,
      quantizer: quantizerOf(dim),
      inputs: inputs.map((segment, i) => ({
        entry: segment.entry,
        live: lives[i]!,
        origins: knownOrigins(store, segment),
      })),
      others: others.map(({ entry }) => entry),
      tombstones: entry.tombstones,
      pending,
      stop,
      rests,
    })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}

/** The new segment, if any row was left, takes the place of its inputs in memory. */
async function swap(
  store: Store,
  inputs: readonly LiveSegment[],
  { segment, sources }: CompactResult,
  reader: SegmentReader | undefined,
  origins: LiveSegment['origins'],
): Promise<void> {
  // A closed one gives no number to another row, and may not be asked any more. One that is to be closed still takes writes.
  const pin = store.isClosed ? undefined : store.index.pin()
  try {
    const rows = segment && (await rowsNow(store, inputs, sources, pin?.live))
    const swapped = segment && reader && rows && { entry: segment, reader, rows, origins }
    store.segments.splice(store.segments.indexOf(inputs[0]!), inputs.length, ...(swapped ? [swapped] : []))
    if (swapped) store.moveToSegment(swapped)
  } finally {
    pin?.release()
  }
  store.retire(inputs)
}

function candidate(store: Store, segment: LiveSegment, lives: Uint8Array): Candidate {
  const { bytes, rows } = segment.entry
  let live = 0
  for (let i = 0; i < lives.length; i++) live += lives[i]!
  return { bytes, rows, live, isKnown: isKnown(store, segment) }
}

function isKnown(store: Store, { entry, origins }: LiveSegment): boolean {
  return origins !== undefined || store.covered.has(entry.uuid)
}

function knownOrigins(store: Store, { entry, origins }: LiveSegment): LiveSegment['origins'] {
  return origins ?? (store.covered.has(entry.uuid) ? directOrigins(entry) : undefined)
}

/** Rows and ids that records have written or deleted which are in no file yet. */
interface Pending {
  readonly rows: readonly Uint32Array[]
  readonly deleted: readonly Id[]
}

function pendingOf(store: Store): Pending {
  const generations = [...store.frozen, store.active].filter(({ committed }) => !committed)
  return {
    rows: generations.map(generation => store.rowsOf(generation)),
    deleted: generations.flatMap(({ deleted }) => deleted.flat()),
  }
}

function encoded(store: Store, { rows, deleted }: Pending): Promise<Packed> {
  const written = new Uint32Array(rows.reduce((count, { length }) => count + length, 0))
  let at = 0
  for (const some of rows) {
    written.set(some, at)
    at += some.length
  }
  return packIds(written, store.idAt, deleted)
}

/**
 * Where the rows are in the index now: some may have died while the files were written, and their numbers gone to others. One that died is
 * read where it was, by whoever has an older view.
 */
async function rowsNow(
  store: Store,
  inputs: readonly LiveSegment[],
  sources: Uint32Array,
  live: LiveBits,
): Promise<Uint32Array> {
  const current: Uint32Array[] = []
  for (const input of inputs) current.push(await livePlaces(store, input, live))
  const rows = new Uint32Array(sources.length / 2)
  for (let first = 0; first < rows.length; first += PIECE_ROWS) {
    await ownTurn()
    rows.set(placesOf(sources.subarray(2 * first, 2 * (first + PIECE_ROWS)), current), first)
  }
  return rows
}

function replaced(
  current: CollectionEntry,
  inputs: readonly LiveSegment[],
  swept: readonly TombstoneEntry[],
  { segment, tombstones }: CompactResult,
): CollectionEntry {
  const gone = new Set(inputs.map(({ entry }) => entry.uuid))
  const at = current.segments.findIndex(({ uuid }) => gone.has(uuid))
  const segments = current.segments.filter(({ uuid }) => !gone.has(uuid))
  if (segment) segments.splice(at, 0, segment)
  const instead = new Map(swept.map(({ uuid }, i) => [uuid, tombstones[i]]))
  return {
    ...current,
    segments,
    tombstones: current.tombstones.flatMap(entry => {
      if (!instead.has(entry.uuid)) return [entry]
      const other = instead.get(entry.uuid)
      return other ? [other] : []
    }),
  }
}

function entryOf({ persistence }: Engine, { number }: Store): CollectionEntry | undefined {
  return persistence.manifest.collections.find(entry => entry.number === number)
}
