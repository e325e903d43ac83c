/**
 * The files of a collection, brought into memory: rows and tombstones in the order of the log, then every row into its bucket.
 */
import { decodeId, type Id } from '@drift/core'
import {
  type CollectionEntry,
  NO_HOME,
  readTombstones,
  type SegmentEntry,
  SegmentReader,
  type TombstoneEntry,
} from '@drift/storage'
import { readPartition } from './checkpoint.js'
import type { OpenOptions, Progress } from './options.js'
import type { Surroundings } from './recovery.js'
import type { Store } from './store.js'

/** Segments and tombstones in the order of the log: a tombstone kills the id in older segments only. */
export async function loadFiles(
  around: Pick<Surroundings, 'fs' | 'folder'>,
  store: Store,
  entry: CollectionEntry,
  options: OpenOptions,
): Promise<void> {
  const { fs, folder } = around
  const total = entry.segments.reduce((rows, segment) => rows + segment.rows, 0)
  const report = (done: number): void =>
    options.onProgress?.({ stage: `open ${entry.name}`, done, total } satisfies Progress)
  const files: (SegmentEntry | TombstoneEntry)[] = [...entry.tombstones, ...entry.segments]
  files.sort((a, b) => a.lsnLow - b.lsnLow)
  let done = 0
  for (const file of files) {
    options.signal?.throwIfAborted()
    if (isSegment(file, entry)) {
      loadSegment(around, store, file)
      done += file.rows
      report(done)
    } else {
      store.index.delete(readTombstones(fs, folder, file).map(decodeId))
    }
  }
  await placeRows(around, store, entry, options)
}

function isSegment(file: SegmentEntry | TombstoneEntry, entry: CollectionEntry): file is SegmentEntry {
  return entry.segments.includes(file as SegmentEntry)
}

function loadSegment(around: Pick<Surroundings, 'fs' | 'folder'>, store: Store, entry: SegmentEntry): void {
  const { dim } = store.config
  const reader = SegmentReader.open(around.fs, around.folder, entry)
  const vectors = new Float32Array(entry.rows * dim)
  reader.readVectors(0, entry.rows, vectors)
  const ids: Id[] = reader.ids().map(decodeId)
  const rows = store.index.load(ids, vectors)
  store.payloads.moveToSegment(rows, reader)
  store.segments.push({ entry, reader, rows })
}

/** Rows into buckets: where the checkpoint says, else by routing, else by a new partition. */
async function placeRows(
  around: Pick<Surroundings, 'fs' | 'folder'>,
  store: Store,
  entry: CollectionEntry,
  { signal, onProgress }: OpenOptions,
): Promise<void> {
  if (store.segments.length === 0) return
  const partition = entry.checkpoint && readPartition(around, entry.checkpoint)
  if (partition) store.index.restoreCentroids(partition.centroids)
  const placed: number[] = []
  const homes: number[] = []
  const seconds: number[] = []
  const unplaced: number[] = []
  for (const segment of store.segments) {
    const known = partition?.homes.get(segment.entry.uuid)
    for (let i = 0; i < segment.rows.length; i++) {
      // A newer segment may have replaced the row, and its number may have gone to another since.
      if (!store.payloads.rowIsAt(segment.rows[i]!, segment.reader, i)) continue
      const home = known?.[2 * i] ?? NO_HOME
      if (home === NO_HOME) unplaced.push(segment.rows[i]!)
      else {
        placed.push(segment.rows[i]!)
        homes.push(home)
        seconds.push(known![2 * i + 1]!)
      }
    }
  }
  if (placed.length > 0) {
    await store.index.assign(Uint32Array.from(placed), {
      homes: Uint32Array.from(homes),
      seconds: Uint32Array.from(seconds),
    })
  }
  if (partition) store.checkpointRows = store.index.count
  if (unplaced.length > 0) {
    const options = { ...(signal ? { signal } : {}), ...(onProgress ? { onProgress: place } : {}) }
    await store.index.assign(Uint32Array.from(unplaced), undefined, options)
  }

  function place(done: number, total: number): void {
    onProgress?.({ stage: `index ${entry.name}`, done, total })
  }
}
