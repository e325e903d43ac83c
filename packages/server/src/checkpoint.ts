/**
 * The partition on disk: centroids, and for each segment the two buckets of every row. Derived from the rows and only there
 * to open faster: a missing, damaged or outdated one costs time, never an answer.
 */
import { type CheckpointEntry, NO_HOME, readCheckpoint } from '@drift/storage'
import { catalog, type Engine, floorLsn } from './engine.js'
import type { LiveSegment, Store } from './store.js'

/** Written again when this share of the rows has been added since: its cost stays a constant share of all writing. */
const GROWTH_DUE = 1.5

export async function writeCheckpointIfDue(engine: Engine, store: Store): Promise<void> {
  if (store.index.count >= store.checkpointRows * GROWTH_DUE) await writePartition(engine, store)
}

/** @returns false when the collection has no partition yet. */
export async function writePartition(engine: Engine, store: Store): Promise<boolean> {
  const centroids = store.index.centroids()
  if (centroids.length === 0 || store.dropped) return false
  const rows = store.index.count
  const checkpoint = await engine.persistence.writeCheckpoint({
    dim: store.config.dim,
    centroids,
    homes: store.segments.map(segment => ({ segment: segment.entry.uuid, homes: homesOf(store, segment) })),
  })
  await engine.persistence.commit(() => ({
    floorLsn: floorLsn(engine),
    durableLsn: engine.journal.durableLsn,
    collections: catalog(engine),
    changed: store.number,
    change: entry => ({ ...entry, checkpoint }),
  }))
  store.checkpointRows = rows
  return true
}

/** The two buckets of each row of each segment, by segment uuid; undefined when there is nothing that can be trusted. */
export function readPartition(
  engine: Pick<Engine, 'fs' | 'folder'>,
  entry: CheckpointEntry,
): { centroids: Float32Array; homes: Map<string, Uint32Array> } | undefined {
  try {
    const { centroids, homes } = readCheckpoint(engine.fs, engine.folder, entry)
    return { centroids, homes: new Map(homes.map(({ segment, homes }) => [segment, homes])) }
  } catch {
    // Derived: the rows are all there, so the partition is computed again.
    return undefined
  }
}

/** Two for each row of the segment: home, second; NO_HOME where there is none or the row is gone. */
function homesOf(store: Store, { rows, reader }: LiveSegment): Uint32Array {
  const homes = new Uint32Array(2 * rows.length).fill(NO_HOME)
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!
    if (store.payloads.rowIsAt(row, reader, i)) homes.set(store.index.bucketsOf(row), 2 * i)
  }
  return homes
}
