/**
 * The index on disk: everything that is derived from the rows, as columns, with the files of truth that it has seen. Only there to open
 * faster: a missing, damaged or outdated one costs time, never an answer. Rows deleted or replaced since are known from the log and
 * from newer files; rows that newer segments hold are indexed when the database is opened.
 */
import { isShortage } from '@drift/fs'
import type { SegmentPlaces } from '@drift/storage'
import { currentState, type Engine } from './engine.js'
import { livePlaces } from './live-rows.js'
import { quantizerId } from './quantizer.js'
import type { LiveSegment, Store } from './store.js'

/**
 * Written again when there are so many times the rows, or only one of so many is in segments that it knows: its cost stays a constant share of
 * all writing, three times its size in the end.
 */
const GROWTH_DUE = 1.5
/** While rows stream in, where it costs more than the log: one and a half times its size. When nothing waits any more, the other holds. */
const STREAM_GROWTH_DUE = 3

/** Whether the index file is of other rows than there are, or of what was known before a calibration. */
export function isOutdated({ index, checkpointRows, checkpointCalibrations }: Store): boolean {
  return index.count !== checkpointRows || index.calibrations !== checkpointCalibrations
}

export async function writeCheckpointIfDue(engine: Engine, store: Store): Promise<void> {
  // A compaction is at it; after the next flush it will be due again.
  if (store.isBusy) return
  const unknown = store.segments.filter(({ entry, origins }) => !store.covered.has(entry.uuid) && !origins)
  const unknownRows = unknown.reduce((rows, { entry }) => rows + entry.rows, 0)
  const growth = store.frozen.length > 0 ? STREAM_GROWTH_DUE : GROWTH_DUE
  const { count } = store.index
  if (count >= store.checkpointRows * growth || unknownRows > count * (1 - 1 / growth)) {
    await writePartition(engine, store)
  }
}

/** So that floors of a calibration outlive a kill. Rare, as calibrations are: each is of twice the rows of the one before, or half of them new. */
export async function writeCalibrated(engine: Engine, store: Store): Promise<void> {
  if (store.index.calibrations === store.checkpointCalibrations) return
  // The rows are on disk already, and a close writes it anew.
  await writePartition(engine, store).catch(() => undefined)
}

/** @returns whether it is written: not before the collection has a partition, nor on a full disk, where the one before stays. */
export function writePartition(engine: Engine, store: Store): Promise<boolean> {
  return store.alone(async () => {
    try {
      return await writeAlone(engine, store)
    } catch (error) {
      // Derived: a full disk costs the next open time, and is no reason for what asked for this to fail.
      if (isShortage(error)) return false
      throw error
    }
  })
}

async function writeAlone(engine: Engine, store: Store): Promise<boolean> {
  if (store.dropped || store.index.stats().buckets === 0) return false
  // What the image holds, the live rows, the files and the LSN are of the same moment. Where live rows are in those files changes with
  // nothing that may run meanwhile.
  const { sizes, columns, live, moment, release } = await store.index.takeImage(() => ({
    rows: store.index.count,
    segments: settledSegments(store),
    lsn: engine.journal.durableLsn,
    learned: store.index.takeLearned(),
    calibrations: store.index.calibrations,
  }))
  try {
    const { rows, segments, lsn, learned, calibrations } = moment
    const places: SegmentPlaces[] = []
    for (const segment of segments) {
      places.push({ segment: segment.entry.uuid, places: await livePlaces(store, segment, live) })
    }
    const { dim } = store.config
    const image = { dim, lsn, quantizerId: quantizerId(store.config), sizes, columns, learned }
    const checkpoint = await engine.persistence.writeCheckpoint({ ...image, segments: places })
    let isNamed = false
    try {
      isNamed =
        !store.dropped &&
        (await engine.persistence.commit(() => ({
          ...currentState(engine),
          changed: store.number,
          change: entry => ({ ...entry, checkpoint }),
        })))
    } finally {
      if (!isNamed) await engine.persistence.discard([checkpoint.name])
    }
    if (!isNamed) return false
    store.checkpointRows = rows
    store.checkpointCalibrations = calibrations
    store.covered = new Set(segments.map(({ entry }) => entry.uuid))
    for (const segment of segments) segment.origins = undefined
    return true
  } finally {
    release()
  }
}

/**
 * Those whose rows are in buckets. Of a generation that is on its way there some are not, and opening looks for buckets only for rows of
 * segments that the index file does not know; it is the newest, so what the file knows still ends somewhere in the log.
 */
function settledSegments({ segments, frozen }: Store): LiveSegment[] {
  const moving = frozen.filter(({ committed }) => committed).map(({ lsnLow }) => lsnLow)
  const end = Math.min(...moving, Number.POSITIVE_INFINITY)
  return segments.filter(({ entry }) => entry.lsnHigh < end)
}
