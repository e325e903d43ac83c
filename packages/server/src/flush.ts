/**
 * The flush path: a frozen generation becomes a segment and a tombstone file, a manifest names them, the rows move to
 * their buckets, the log is cut. Nothing is visible half: rows stay searchable where they are until they are in their buckets.
 */
import { encodeId } from '@drift/core'
import type { TombstoneEntry } from '@drift/storage'
import { writeCheckpointIfDue } from './checkpoint.js'
import { catalog, type Engine, floorLsn } from './engine.js'
import { pack, packRows } from './persistence/packed.js'
import { quantizerOf } from './quantizer.js'
import type { Generation, LiveSegment, Store } from './store.js'

export async function flushGeneration(engine: Engine, store: Store, generation: Generation): Promise<void> {
  if (!generation.committed) await commitGeneration(engine, store, generation)
  if (generation.memtable) await store.index.flush(generation.memtable)
  store.frozen.splice(store.frozen.indexOf(generation), 1)
  await writeCheckpointIfDue(engine, store)
  // A log file that cannot be removed now is removed after the next flush.
  await engine.journal.writer.removeBelow(engine.persistence.logFloor).catch(() => undefined)
}

async function commitGeneration(engine: Engine, store: Store, generation: Generation): Promise<void> {
  const { persistence, journal } = engine
  if (!journal.settled(generation.lsnHigh)) await journal.idle()
  const ended = journal.failed ?? journal.dropped
  if (ended) throw ended

  // Rows that die while their segment is written must keep their memory until it is.
  const pin = store.index.pin()
  try {
    const segment = await writeRows(engine, store, generation)
    const tombstones = await writeDeleted(engine, store, generation)
    await persistence.commit(() => ({
      floorLsn: floorLsn(engine, generation),
      durableLsn: journal.durableLsn,
      collections: catalog(engine),
      changed: store.number,
      change: entry => ({
        ...entry,
        segments: segment ? [...entry.segments, segment.entry] : entry.segments,
        tombstones: tombstones ? [...entry.tombstones, tombstones] : entry.tombstones,
      }),
    }))
    generation.committed = true
    if (segment) {
      store.segments.push(segment)
      store.moveToSegment(segment)
      store.index.handOver(segment.rows)
    }
  } finally {
    pin.release()
  }
}

async function writeRows(
  engine: Engine,
  store: Store,
  generation: Generation,
): Promise<LiveSegment | undefined> {
  const { index, config, payloads } = store
  const rows = store.rowsOf(generation)
  if (rows.length === 0) return undefined
  const entry = await engine.persistence.writeSegment({
    createdMs: Date.now(),
    dim: config.dim,
    metric: config.metric,
    ids: await packRows(rows, row => encodeId(index.idAt(row))),
    payloads: await packRows(rows, row => payloads.read(row)),
    ...index.sharedVectors(rows),
    lsnLow: generation.lsnLow,
    lsnHigh: generation.lsnHigh,
    quantizer: quantizerOf(config.dim),
  })
  return { entry, reader: store.openSegment(engine.fs, engine.folder, entry), rows }
}

async function writeDeleted(
  engine: Engine,
  store: Store,
  generation: Generation,
): Promise<TombstoneEntry | undefined> {
  // Older generations were flushed before this one, so without a segment nothing on disk can hold a deleted id.
  if (generation.deleted.size === 0 || store.segments.length === 0) return undefined
  return engine.persistence.writeTombstones({
    ids: pack(Array.from(generation.deleted, encodeId)),
    lsnLow: generation.lsnLow,
    lsnHigh: generation.lsnHigh,
  })
}
