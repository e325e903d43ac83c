/**
 * The files of a collection, brought into memory. What the index file knows is put in place as it was, and the exact vectors follow
 * behind; what is in newer files is indexed here, in the order of the log. Without an index file that can be used, that is everything.
 */
import { setImmediate } from 'node:timers/promises'
import { decodeId, type Id } from '@drift/core'
import {
  type CheckpointEntry,
  type CollectionEntry,
  IndexFile,
  NO_ROW,
  type Origins,
  readTombstones,
  type SegmentEntry,
  type SegmentPlaces,
  type SegmentReader,
  type TombstoneEntry,
} from '@drift/storage'
import type { CollectionConfig } from './operation.js'
import type { OpenOptions } from './options.js'
import { indexPayloads } from './payload-index/declare.js'
import { quantizerId } from './quantizer.js'
import type { Surroundings } from './recovery.js'
import type { LiveSegment, Store } from './store.js'

/** Vectors up to this size are read before the database is open, which takes some ten milliseconds. */
const EAGER_BYTES = 32 * 1024 * 1024

/** Rows of a segment that are indexed at once: a segment may be larger than memory. */
const LOADED_ROWS = 8192

type Around = Pick<Surroundings, 'fs' | 'folder' | 'executor'>
type SegmentFile = Pick<LiveSegment, 'entry' | 'reader'>

export async function loadFiles(
  around: Around,
  store: Store,
  entry: CollectionEntry,
  options: OpenOptions,
): Promise<void> {
  const readers = new Map<string, SegmentReader>()
  try {
    const { fs, folder } = around
    for (const segment of entry.segments) readers.set(segment.uuid, store.openSegment(fs, folder, segment))
    await loadInto(around, store, entry, readers, options)
  } catch (error) {
    // Those that the store does not have yet are nobody's else.
    for (const reader of readers.values()) reader.close()
    throw error
  }
}

async function loadInto(
  around: Around,
  store: Store,
  entry: CollectionEntry,
  readers: ReadonlyMap<string, SegmentReader>,
  options: OpenOptions,
): Promise<void> {
  const { fs, folder } = around
  const total = entry.segments.reduce((rows, segment) => rows + segment.rows, 0)
  const known = isWholeLog(options) ? restoreIndex(around, store, entry, readers) : undefined
  if (known) options.onProgress?.({ stage: `restore ${entry.name}`, done: store.index.count, total })
  let done = 0
  for (const file of inOrder(entry)) {
    options.signal?.throwIfAborted()
    const reader = readers.get(file.uuid)
    if (reader) {
      await loadSegment(
        store,
        { entry: file, reader },
        known?.get(file.uuid),
        known?.origins.get(file.uuid),
        options,
      )
      done += file.rows
      options.onProgress?.({ stage: `open ${entry.name}`, done, total })
    } else {
      // Read also when their effect is known: they are truth, and damage in them is to be told.
      const ids = readTombstones(fs, folder, file)
      if (!known?.has(file.uuid)) store.index.delete(ids.map(decodeId))
    }
  }
  const small =
    options.readOnly === true || store.config.cold === 'disk' || total * store.config.dim * 4 <= EAGER_BYTES
  if (small) await store.index.vectorsReady()
  await placeRows(store, entry, known, small, options)
  indexPayloads(store)
}

/** An index file knows of deletions that are only in the log: where the end of the log may be given up, it may know too much. */
function isWholeLog({ recovery = 'strict' }: OpenOptions): boolean {
  return recovery === 'strict'
}

/**
 * By the newest record. A tombstone file that ends with the record that a segment ends with comes before it: it kills ids in older
 * segments only.
 */
function inOrder({ segments, tombstones }: CollectionEntry): (SegmentEntry | TombstoneEntry)[] {
  return [...tombstones, ...segments].sort((a, b) => a.lsnHigh - b.lsnHigh)
}

async function loadSegment(
  store: Store,
  { entry, reader }: SegmentFile,
  places: Uint32Array | null | undefined,
  origins: Origins | undefined,
  { signal }: OpenOptions,
): Promise<void> {
  let rows = places
  if (!rows) {
    const { dim } = store.config
    const ids: Id[] = reader.ids().map(decodeId)
    rows = new Uint32Array(entry.rows)
    const some = new Float32Array(Math.min(LOADED_ROWS, entry.rows) * dim)
    for (let first = 0; first < entry.rows; first += LOADED_ROWS) {
      const count = Math.min(LOADED_ROWS, entry.rows - first)
      const vectors = some.subarray(0, count * dim)
      reader.readVectors(first, count, vectors)
      rows.set(store.index.load(ids.slice(first, first + count), vectors), first)
      // Between two, a cancellation gets its turn: what tells of it may be a signal to the process.
      await setImmediate()
      signal?.throwIfAborted()
    }
  }
  const segment = { entry, reader, rows, origins }
  store.moveToSegment(segment)
  store.segments.push(segment)
}

/** Rows that the index file did not know, into buckets by routing; without buckets, by a new partition. */
async function placeRows(
  store: Store,
  entry: CollectionEntry,
  known: Known | undefined,
  isReady: boolean,
  { signal, onProgress }: OpenOptions,
): Promise<void> {
  const loose: number[] = []
  for (const { entry, reader, rows } of store.segments) {
    if (known?.get(entry.uuid)) continue
    for (let i = 0; i < rows.length; i++) {
      // A newer segment may have replaced the row, and its number may have gone to another since.
      if (store.payloads.rowIsAt(rows[i]!, reader, i)) loose.push(rows[i]!)
    }
  }
  const rows = Uint32Array.from(loose)
  if (known) store.checkpointRows = store.index.count - rows.length
  if (rows.length === 0) return
  if (known && !isReady) {
    // Behind the vectors. When it fails the rows stay where every search scans them, until the next flush.
    void store.index.assign(rows).catch(() => undefined)
    return
  }
  const place = (done: number, total: number): void =>
    onProgress?.({ stage: `index ${entry.name}`, done, total })
  await store.index.assign(rows, {
    ...(signal ? { signal } : {}),
    ...(onProgress ? { onProgress: place } : {}),
  })
}

/** By uuid of a file that has had its effect: a segment's places, or null for tombstones. */
class Known extends Map<string, Uint32Array | null> {
  /** Of segments that the index file knows by what they were made of. */
  readonly origins = new Map<string, Origins>()
}

/** @returns undefined when there is no index file that can be used; the index holds nothing then. */
function restoreIndex(
  around: Around,
  store: Store,
  entry: CollectionEntry,
  readers: ReadonlyMap<string, SegmentReader>,
): Known | undefined {
  if (!entry.checkpoint) return undefined
  let file: IndexFile | undefined
  try {
    file = openIndexFile(around, entry.checkpoint, store.config)
    return file && restoreFrom(file, around, store, entry, readers)
  } catch {
    // Derived: whatever is wrong with it, the rows are all there.
    return undefined
  } finally {
    file?.close()
  }
}

function restoreFrom(
  file: IndexFile,
  around: Around,
  store: Store,
  entry: CollectionEntry,
  readers: ReadonlyMap<string, SegmentReader>,
): Known | undefined {
  const known = knownFiles(file, entry, readers)
  if (!known) return undefined
  store.index.restoreImage(
    file.sizes,
    liveRows(file.sizes.rows, known),
    (column, into) => file.read(column, into),
    vectors => readVectors(around, store, entry, known, vectors),
  )
  restoreLearned(store, file)
  store.covered = new Set(file.segments.map(({ segment }) => segment))
  return known
}

function restoreLearned(store: Store, file: IndexFile): void {
  try {
    const learned = file.learned()
    if (learned) store.index.restoreLearned(learned)
  } catch {
    // Damaged, or of another version: the index learns it again, and what else the file says is as true.
  }
}

function openIndexFile(
  { fs, folder }: Around,
  entry: CheckpointEntry,
  config: CollectionConfig,
): IndexFile | undefined {
  const file = IndexFile.open(fs, folder, entry)
  if (file.dim === config.dim && file.quantizerId === quantizerId(config)) return file
  file.close()
  return undefined
}

/**
 * The files of the manifest whose effect is in the index file; undefined when an older one's is not. It has seen every record up to its
 * LSN, so tombstones that come before a known segment have had theirs; later ones are applied in their turn, which does no harm.
 */
function knownFiles(
  file: IndexFile,
  entry: CollectionEntry,
  readers: ReadonlyMap<string, SegmentReader>,
): Known | undefined {
  const stored = new Map(file.segments.map(({ segment, places }) => [segment, places]))
  const known = new Known()
  let newest = 0
  for (const segment of entry.segments) {
    const direct = stored.get(segment.uuid)
    const origins = direct ? undefined : originsOf(readers.get(segment.uuid)!)
    const places = direct ?? placesByOrigin(origins, stored)
    if (places?.length !== segment.rows) continue
    if (origins) known.origins.set(segment.uuid, origins)
    known.set(segment.uuid, places)
    newest = Math.max(newest, segment.lsnHigh)
  }
  for (const { uuid, lsnHigh } of entry.tombstones) if (lsnHigh <= newest) known.set(uuid, null)
  // What is not known is applied after what is, so it must be newer.
  const isNewer = ({ uuid, lsnLow }: SegmentEntry | TombstoneEntry) => known.has(uuid) || lsnLow > newest
  return known.size > 0 && inOrder(entry).every(isNewer) ? known : undefined
}

/** Undefined when there are none or they are damaged: they are derived. */
function originsOf(reader: SegmentReader): Origins | undefined {
  try {
    return reader.origins()
  } catch {
    return undefined
  }
}

/** Where rows are now that were in segments which the index file knows. */
function placesByOrigin(
  origins: Origins | undefined,
  stored: ReadonlyMap<string, SegmentPlaces['places']>,
): Uint32Array | undefined {
  if (!origins) return undefined
  const sources = origins.segments.map(uuid => stored.get(uuid))
  const places = new Uint32Array(origins.places.length / 2)
  for (let i = 0; i < places.length; i++) {
    const place = sources[origins.places[2 * i]!]?.[origins.places[2 * i + 1]!]
    if (place === undefined) return undefined
    places[i] = place
  }
  return places
}

/** One bit per row that a segment holds. @throws when two segments claim a row, or one claims a row that is not there. */
function liveRows(rows: number, known: Known): Uint32Array {
  const live = new Uint32Array((rows + 31) >>> 5)
  for (const places of known.values()) if (places) claim(places, rows, live)
  return live
}

function claim(places: Uint32Array, rows: number, live: Uint32Array): void {
  for (let i = 0; i < places.length; i++) {
    const row = places[i]!
    if (row === NO_ROW) continue
    const bit = 1 << (row & 31)
    if (row >= rows || (live[row >>> 5]! & bit) !== 0) throw new RangeError(`row ${row} is claimed wrongly`)
    live[row >>> 5]! |= bit
  }
}

/** One segment after the other, so that other work of the thread comes in between. */
async function readVectors(
  { executor, folder }: Around,
  store: Store,
  { segments }: CollectionEntry,
  known: Known,
  vectors: Float32Array,
): Promise<void> {
  const { dim } = store.config
  for (const entry of segments) {
    const places = known.get(entry.uuid)
    if (places) await executor.run({ kind: 'vectors', folder, entry, places, dim, vectors })
  }
}
