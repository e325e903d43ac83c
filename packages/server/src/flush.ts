/**
 * The flush path: a frozen generation becomes a segment and a tombstone file, a manifest names them, the rows move to
 * their buckets, the log is cut. Nothing is visible half: rows stay searchable where they are until they are in their buckets.
 * Files may be written long before they are named: what is deleted or replaced meanwhile is in records of later generations.
 */
import { type Id, ownTurn } from '@drift/core'
import type { TombstoneEntry } from '@drift/storage'
import { currentState, type Engine } from './engine.js'
import { packIds, packRows } from './persistence/packing.js'
import { quantizerOf } from './quantizer.js'
import type { Generation, LiveSegment, Store } from './store.js'

/** Ids between two turns of the event loop: half a millisecond. */
const PIECE_IDS = 2_048

/** Files of a generation that no manifest names yet. */
export interface FlushedFiles {
  readonly segment: LiveSegment | undefined
  readonly tombstones: TombstoneEntry | undefined
  /** Until then its rows keep their memory, also those that die. */
  readonly release: () => void
}

/** Those of generations before it are named already: whether anything on disk can hold a deleted id is asked of them. */
export async function writeFiles(
  engine: Engine,
  store: Store,
  generation: Generation,
): Promise<FlushedFiles> {
  const { journal } = engine
  await journal.settle(generation.lsnHigh)
  const ended = journal.failed ?? journal.dropped
  if (ended) throw ended
  const release = store.index.hold()
  let segment: LiveSegment | undefined
  try {
    segment = await writeRows(engine, store, generation)
    const tombstones = await writeDeleted(engine, store, generation)
    return { segment, tombstones, release }
  } catch (error) {
    await discardFiles(engine, { segment, tombstones: undefined, release })
    throw error
  }
}

/** The point of no return. @returns false when the collection has been dropped: its files are gone then, and nothing has become of its rows. */
export async function commitFiles(
  engine: Engine,
  store: Store,
  generation: Generation,
  files: FlushedFiles,
): Promise<boolean> {
  const { segment, tombstones, release } = files
  let isNamed = false
  try {
    isNamed = await engine.persistence.commit(() => ({
      ...currentState(engine, generation),
      changed: store.number,
      change: entry => ({
        ...entry,
        segments: segment ? [...entry.segments, segment.entry] : entry.segments,
        tombstones: tombstones ? [...entry.tombstones, tombstones] : entry.tombstones,
      }),
    }))
  } finally {
    if (!isNamed) await discardFiles(engine, files)
  }
  if (!isNamed) return false
  generation.committed = true
  if (segment) {
    store.segments.push(segment)
    store.moveToSegment(segment)
    store.index.handOver(segment.rows)
  }
  release()
  return true
}

/** The rows of a generation that is committed go to their buckets, and its memtable goes. */
export async function moveToBuckets(engine: Engine, store: Store, generation: Generation): Promise<void> {
  if (generation.memtable) await store.index.flush(generation.memtable)
  store.frozen.splice(store.frozen.indexOf(generation), 1)
  await cutLog(engine)
}

/** A log file that cannot be removed now is removed after the next flush. */
export async function cutLog({ journal, persistence }: Engine): Promise<void> {
  await journal.writer.removeBelow(persistence.logFloor).catch(() => undefined)
}

/** No manifest names them, or what their commit was nobody knows. */
export async function discardFiles(
  engine: Engine,
  { segment, tombstones, release }: FlushedFiles,
): Promise<void> {
  release()
  segment?.reader.close()
  const names = [segment?.entry, tombstones].flatMap(file => (file ? [file.name] : []))
  await engine.persistence.discard(names)
}

async function writeRows(
  engine: Engine,
  store: Store,
  generation: Generation,
): Promise<LiveSegment | undefined> {
  const { index, config } = store
  const rows = store.rowsOf(generation)
  if (rows.length === 0) return undefined
  const entry = await engine.persistence.writeSegment({
    dim: config.dim,
    metric: config.metric,
    ids: await packIds(rows, store.idAt),
    payloads: await packRows(rows, store.payloadOf),
    ...index.sharedVectors(rows),
    lsnLow: generation.lsnLow,
    lsnHigh: generation.lsnHigh,
    quantizer: quantizerOf(config.dim),
  })
  try {
    return { entry, reader: store.openSegment(engine.fs, engine.folder, entry), rows }
  } catch (error) {
    // The next attempt takes another name.
    await engine.persistence.discard([entry.name])
    throw error
  }
}

async function writeDeleted(
  engine: Engine,
  store: Store,
  generation: Generation,
): Promise<TombstoneEntry | undefined> {
  // Older generations are named before this one is written, so without a segment nothing on disk can hold a deleted id.
  if (generation.deleted.length === 0 || store.segments.length === 0) return undefined
  return engine.persistence.writeTombstones({
    ids: await packIds(new Uint32Array(), store.idAt, await distinct(generation.deleted)),
    lsnLow: generation.lsnLow,
    lsnHigh: generation.lsnHigh,
  })
}

/** Each id once, however often it was deleted. The event loop turns meanwhile. */
async function distinct(lists: readonly (readonly Id[])[]): Promise<Id[]> {
  const ids = new Set<Id>()
  let looked = 0
  for (const list of lists) {
    for (const id of list) {
      if (++looked % PIECE_IDS === 0) await ownTurn()
      ids.add(id)
    }
  }
  return [...ids]
}
