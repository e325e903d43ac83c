/**
 * Compaction of segments: choose, write, commit, swap. Searches and writes go on: a row keeps its number and what memory holds of it, only
 * its place in the files changes. Replaced files stay readable for whoever still reads an older moment, and are removed one manifest
 * later. Cut short by a crash, nothing has changed, and the same run is chosen again.
 */
import { encodeId } from '@drift/core'
import { type CollectionEntry, NO_ROW, type TombstoneEntry } from '@drift/storage'
import { anyRun, type Candidate, dueRun, type Run } from './compaction-policy.js'
import { catalog, type Engine, floorLsn } from './engine.js'
import { type CompactResult, directOrigins, placesOf } from './persistence/compact.js'
import { pack } from './persistence/packed.js'
import { quantizerOf } from './quantizer.js'
import type { LiveSegment, Store } from './store.js'

export interface CompactionOptions {
  /** Do all there is to do, not only what is due. */
  readonly all?: boolean
  /** Leave half of the time to others. */
  readonly rests?: boolean
  readonly signal?: AbortSignal | undefined
}

/** One compaction. @returns whether it changed anything, so that there may be more to do. */
export function compactOnce(engine: Engine, store: Store, options: CompactionOptions = {}): Promise<boolean> {
  return store.alone(async () => {
    if (store.dropped || engine.closed) return false
    options.signal?.throwIfAborted()
    const choose = options.all ? anyRun : dueRun
    const run = choose(store.segments.map(segment => candidate(store, segment)))
    if (!run) return false
    return compactRun(engine, store, run, options)
  })
}

async function compactRun(
  engine: Engine,
  store: Store,
  { first, count }: Run,
  { rests = false, signal }: CompactionOptions,
): Promise<boolean> {
  const inputs = store.segments.slice(first, first + count)
  const others = store.segments.filter(segment => !inputs.includes(segment))
  const entry = entryOf(engine, store)
  if (!entry) return false
  const { dim, metric } = store.config
  const lives = inputs.map(segment => liveRows(store, segment))
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const abort = (): void => {
    Atomics.store(stop, 0, 1)
    Atomics.notify(stop, 0)
  }
  signal?.addEventListener('abort', abort, { once: true })
  let result: CompactResult
  try {
    result = await engine.persistence.compact({
      createdMs: Date.now(),
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
      // A row that counts stays whatever was written since.
      pending: pack(lives.some(live => live.includes(0)) ? pendingIds(store) : []),
      stop,
      rests,
    })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
  const { segment, sources } = result
  // Rows whose end is only in the log stay, so a rewrite may win nothing: doing it again would not either.
  const isFutile = count === 1 && segment?.rows === inputs[0]!.entry.rows
  if (store.dropped || isFutile) {
    // By name: what crossed from a thread is a copy.
    const named = new Set(entry.tombstones.map(({ name }) => name))
    const written = [segment, ...result.tombstones.filter(other => other && !named.has(other.name))]
    await engine.persistence.discard(written.flatMap(file => (file ? [file.name] : [])))
    return false
  }
  const reader = segment && store.openSegment(engine.fs, engine.folder, segment)
  try {
    await engine.persistence.commit(() => ({
      floorLsn: floorLsn(engine),
      durableLsn: engine.journal.durableLsn,
      collections: catalog(engine),
      changed: store.number,
      change: current => replaced(current, inputs, entry.tombstones, result),
    }))
  } catch (error) {
    reader?.close()
    throw error
  }
  const origins = reader?.origins()
  const live = segment && reader && { entry: segment, reader, rows: rowsNow(store, inputs, sources), origins }
  store.segments.splice(store.segments.indexOf(inputs[0]!), count, ...(live ? [live] : []))
  if (live) store.moveToSegment(live)
  letGo(engine, store, inputs)
  return true
}

function candidate(store: Store, segment: LiveSegment): Candidate {
  const { bytes, rows } = segment.entry
  const live = liveRows(store, segment).reduce((sum, bit) => sum + bit, 0)
  return { bytes, rows, live, isKnown: isKnown(store, segment) }
}

/** 1 for each row of the segment that counts. */
function liveRows(store: Store, { reader, rows }: LiveSegment): Uint8Array {
  const live = new Uint8Array(rows.length)
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!
    if (row !== NO_ROW && store.payloads.rowIsAt(row, reader, i) && store.index.isLive(row)) live[i] = 1
  }
  return live
}

function isKnown(store: Store, { entry, origins }: LiveSegment): boolean {
  return origins !== undefined || store.covered.has(entry.uuid)
}

function knownOrigins(store: Store, { entry, origins }: LiveSegment): LiveSegment['origins'] {
  return origins ?? (store.covered.has(entry.uuid) ? directOrigins(entry) : undefined)
}

/** Ids written or deleted by records that are in no file yet. */
function pendingIds(store: Store): Uint8Array[] {
  const ids: Uint8Array[] = []
  for (const generation of [...store.frozen, store.active]) {
    if (generation.committed) continue
    for (const row of store.rowsOf(generation)) ids.push(encodeId(store.index.idAt(row)))
    for (const id of generation.deleted) ids.push(encodeId(id))
  }
  return ids
}

/**
 * Where the rows are in the index now: some may have died while the files were written, and their numbers gone to others. A number that has
 * gone to a row which is not acknowledged yet still stands for the old one here; publishing ends that.
 */
function rowsNow(store: Store, inputs: readonly LiveSegment[], sources: Uint32Array): Uint32Array {
  const current = inputs.map(({ reader, rows }) =>
    rows.map((row, i) => (row !== NO_ROW && store.payloads.rowIsAt(row, reader, i) ? row : NO_ROW)),
  )
  return placesOf(sources, current)
}

/** The readers stay open for whoever began to read before now. */
function letGo(engine: Engine, store: Store, segments: readonly LiveSegment[]): void {
  const free = (): void => {
    for (const { reader } of segments) {
      store.payloads.release(reader)
      reader.close()
    }
  }
  if (engine.closed) free()
  else store.index.whenUnpinned(free)
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
