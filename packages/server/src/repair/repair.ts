/**
 * `Drift.repair`: a folder that opens again, from what can still be read. Loses nothing without being told to: what cannot be saved is
 * listed first, and refused unless accepted. Damaged files are moved to quarantine/, never deleted. The order survives a crash: new files
 * and copies of the damaged ones, then a manifest, then another with the same content (so that no older one names what is gone), then
 * the old names go; repairing again after a crash finishes it.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { WalWriter } from '@drift/core'
import type { DriftFs } from '@drift/fs'
import {
  type CollectionEntry,
  commitManifest,
  type Inspection,
  removeOldManifests,
  type SegmentEntry,
  salvageSegment,
  type TombstoneEntry,
  writeTombstones,
} from '@drift/storage'
import { checkDisk } from '../check/disk.js'
import { type CheckReport, isOk } from '../check/report.js'
import type { FileSurvey } from '../check/survey.js'
import { DriftError } from '../errors.js'
import {
  assertDatabase,
  fileNumber,
  isLog,
  lockFolder,
  logName,
  logNumber,
  ownedFiles,
  readFormat,
  segmentName,
  tombstoneName,
  writeFormat,
} from '../folder.js'
import { flushedUpTo } from '../log-recovery.js'
import { decodeOperation } from '../operation.js'
import { copyAside, reportAside } from '../quarantine.js'
import { runSliced, type SliceOptions } from '../slices.js'
import { type Loss, type Plan, planRepair } from './plan.js'

export interface RepairOptions extends SliceOptions {
  /** Go on although something is lost. Without it nothing is changed then, and the error lists what would be. Default false. */
  readonly acceptLoss?: boolean
}

export interface RepairReport {
  /** False: there was nothing to repair, and nothing was written. */
  readonly changed: boolean
  /** What is lost, accepted by the caller. */
  readonly losses: readonly Loss[]
  /** Files that were made anew from what could be read. */
  readonly rebuilt: readonly string[]
  /** Names in quarantine/. */
  readonly quarantined: readonly string[]
  /** Of the folder afterwards. */
  readonly check: CheckReport
}

const FORMAT = 'FORMAT'

/** @throws DRIFT_REPAIR_LOSS with `details.losses`, DRIFT_REPAIR_IMPOSSIBLE, DRIFT_BACKUP_MERGED, DRIFT_NO_DATABASE, DRIFT_NOT_A_FOLDER, DRIFT_LOCKED. */
export async function repairFolder(
  fs: DriftFs,
  folder: string,
  { acceptLoss = false, ...options }: RepairOptions,
): Promise<RepairReport> {
  assertDatabase(fs, folder)
  const lock = lockFolder(fs, folder, 'close it before it is repaired')
  try {
    const plan = await runSliced(planRepair(fs, folder), 'repair survey', 1, options)
    const formatDamaged = isFormatDamaged(fs, folder)
    if (!plan) {
      const check = await checked(fs, folder, options)
      if (check.ok) return { changed: false, losses: [], rebuilt: [], quarantined: [], check }
      throw new DriftError(
        'DRIFT_REPAIR_IMPOSSIBLE',
        `${folder} has no manifest that can be read: which files belong to which collection is not known; restore a backup`,
        { path: folder, findings: check.findings },
      )
    }
    const { losses } = plan
    if (losses.length > 0 && !acceptLoss) {
      throw new DriftError(
        'DRIFT_REPAIR_LOSS',
        `repairing ${folder} would lose ${losses.map(loss => loss.message).join('; ')}. Nothing has been changed; to go on, pass acceptLoss`,
        { path: folder, losses },
      )
    }
    options.signal?.throwIfAborted()
    if (isSound(plan) && !formatDamaged && !plan.logRecords) {
      return {
        changed: false,
        losses,
        rebuilt: [],
        quarantined: [],
        check: await checked(fs, folder, options),
      }
    }
    const { rebuilt, quarantined } = await perform(fs, folder, plan, formatDamaged)
    return { changed: true, losses, rebuilt, quarantined, check: await checked(fs, folder, options) }
  } finally {
    lock.release()
  }
}

/** The files, whatever the log is. */
function isSound({ damaged, rewrite, drop, stale }: Plan): boolean {
  return damaged.length === 0 && rewrite.length === 0 && drop.length === 0 && !stale
}

/**
 * The part of an opening with `recovery: 'salvage'` that concerns files: whatever of segments, tombstone files, manifests and FORMAT is
 * damaged is set aside, and what can be read of it is written anew. The log is left as it is. Without a manifest nothing is done: the
 * opening says why. The caller holds the lock. Losses are in quarantine/ before the files count without them.
 */
export async function salvageFiles(
  fs: DriftFs,
  folder: string,
  options: SliceOptions,
): Promise<{ losses: readonly Loss[]; quarantined: readonly string[] }> {
  const plan = await runSliced(planRepair(fs, folder), 'salvage survey', 1, options)
  const formatDamaged = plan !== undefined && isFormatDamaged(fs, folder)
  if (!plan || (isSound(plan) && !formatDamaged)) return { losses: [], quarantined: [] }
  const losses = plan.losses.filter(({ kind }) => kind !== 'log')
  options.signal?.throwIfAborted()
  const { quarantined } = await perform(fs, folder, { ...plan, losses, logRecords: undefined }, formatDamaged)
  return { losses, quarantined }
}

async function perform(
  fs: DriftFs,
  folder: string,
  plan: Plan,
  formatDamaged: boolean,
): Promise<{ rebuilt: string[]; quarantined: string[] }> {
  const logs = plan.logRecords ? fs.list(folder).filter(isLog) : []
  const aside = [
    ...plan.damaged,
    ...logs,
    ...(formatDamaged && fs.stat(join(folder, FORMAT)) ? [FORMAT] : []),
  ]
  const quarantined = copyAside(fs, folder, aside)
  if (plan.losses.length > 0) {
    reportAside(fs, folder, 'repair.json', { losses: plan.losses, files: quarantined })
  }
  const rebuilt: string[] = []
  const { manifest } = plan
  const present = ownedFiles(fs, folder).map(fileNumber)
  let nextFile = Math.max(manifest.nextFile, ...present.map(number => number + 1))
  const collections = manifest.collections.map(collection =>
    repaired(collection, plan, survey => rebuild(fs, folder, survey, () => nextFile++, rebuilt)),
  )

  let { durableLsn, floorLsn, logFile } = manifest
  if (plan.logRecords) {
    const log = await writeLog(fs, folder, plan)
    durableLsn = log.lastLsn
    floorLsn = log.floorLsn
    logFile = log.number
    rebuilt.push(log.file)
  }
  const database = Buffer.from(manifest.database, 'hex')
  if (formatDamaged) {
    if (fs.stat(join(folder, FORMAT))) fs.remove(join(folder, FORMAT))
    writeFormat(fs, folder, database)
    rebuilt.push(FORMAT)
  }
  fs.syncFolder(folder)
  let crc = plan.newestCrc
  for (const number of [plan.newest + 1, plan.newest + 2]) {
    crc = commitManifest(
      fs,
      folder,
      { ...manifest, number, floorLsn, durableLsn, nextFile, ...(logFile ? { logFile } : {}), collections },
      crc,
    )
  }
  removeOldManifests(fs, folder, plan.newest + 2)
  for (const name of aside) {
    const path = join(folder, name)
    if (name !== FORMAT && fs.stat(path)) fs.remove(path)
  }
  fs.syncFolder(folder)
  return { rebuilt, quarantined }
}

/** What the manifest says of the collection afterwards. */
function repaired(
  { checkpoint, ...collection }: CollectionEntry,
  plan: Plan,
  rebuildFile: (survey: FileSurvey) => {
    segment?: SegmentEntry | undefined
    tombstones?: TombstoneEntry | undefined
  },
): CollectionEntry {
  const files = new Map(
    plan.rewrite
      .filter(survey => survey.collection.number === collection.number)
      .map(survey => [survey.entry.name, rebuildFile(survey)]),
  )
  // An index file knows which rows were deleted or replaced: also by what is lost.
  const isWhole = !plan.losses.some(loss => (loss.collection ?? collection.name) === collection.name)
  const keep = checkpoint && isWhole && !plan.drop.some(({ entry }) => entry.name === checkpoint.name)
  const segments = collection.segments.flatMap(entry => {
    const made = files.get(entry.name)
    return made ? (made.segment ? [made.segment] : []) : [entry]
  })
  const tombstones = collection.tombstones.flatMap(entry => (files.has(entry.name) ? [] : [entry]))
  for (const { tombstones: made } of files.values()) if (made) tombstones.push(made)
  return {
    ...collection,
    segments,
    tombstones: tombstones.sort((a, b) => a.lsnLow - b.lsnLow),
    ...(keep ? { checkpoint } : {}),
  }
}

/** The sound rows in a new segment, and the ids of lost rows in a tombstone file of the same range, so that no older version is back. */
function rebuild(
  fs: DriftFs,
  folder: string,
  { kind, entry, inspection }: FileSurvey,
  nextFile: () => number,
  rebuilt: string[],
): { segment?: SegmentEntry | undefined; tombstones?: TombstoneEntry | undefined } {
  const { lsnLow, lsnHigh } = entry as SegmentEntry
  const uuid = () => randomBytes(16).toString('hex')
  if (!inspection) return {}
  const made: { segment?: SegmentEntry | undefined; tombstones?: TombstoneEntry | undefined } = {}
  if (kind === 'segment') {
    const name = segmentName(nextFile())
    made.segment = salvageSegment(fs, folder, entry as SegmentEntry, inspection.sound, { name, uuid: uuid() })
    if (made.segment) rebuilt.push(name)
  }
  const ids = readableIds(kind, inspection)
  if (ids.length > 0) {
    const name = tombstoneName(nextFile())
    made.tombstones = writeTombstones(fs, folder, name, { uuid: uuid(), ids, lsnLow, lsnHigh })
    rebuilt.push(name)
  }
  return made
}

/** Of a tombstone file all that can be read; of a segment those whose rows are lost. */
function readableIds(kind: FileSurvey['kind'], { ids, sound }: Inspection): Uint8Array[] {
  return ids.flatMap((id, row) => (id && (kind === 'tombstones' || sound[row] === 0) ? [id] : []))
}

interface NewLog {
  readonly file: string
  readonly number: number
  readonly floorLsn: number
  readonly lastLsn: number
}

/**
 * A log of what is known of the old one and not in files yet, under new LSNs above every one that was ever given: those of a collection's
 * files must never be given again, or a later replay would take new writes for flushed ones.
 */
async function writeLog(fs: DriftFs, folder: string, { manifest, logRecords }: Plan): Promise<NewLog> {
  const flushed = flushedUpTo(manifest)
  const records = logRecords!
  const lastLsn = Math.max(
    manifest.floorLsn - 1,
    manifest.durableLsn,
    ...flushed.values(),
    ...records.slice(-1).map(({ lsn }) => lsn),
  )
  const needed = records.filter(({ lsn, bytes }) => {
    return lsn > (flushed.get(decodeOperation(bytes).collection) ?? 0)
  })
  const firstFile = Math.max(0, ...fs.list(folder).map(name => logNumber(name) ?? 0)) + 1
  const writer = await WalWriter.open({
    fs,
    folder,
    database: Buffer.from(manifest.database, 'hex'),
    firstFile,
    firstLsn: lastLsn + needed.length + 1,
    carry: needed.map(({ bytes }, i) => ({ lsn: lastLsn + 1 + i, bytes })),
    nonce: () => randomBytes(8).readBigUInt64LE(),
    sync: 'always',
  })
  await writer.close()
  return {
    file: logName(firstFile),
    number: firstFile,
    floorLsn: lastLsn + 1,
    lastLsn: lastLsn + needed.length,
  }
}

function isFormatDamaged(fs: DriftFs, folder: string): boolean {
  try {
    return readFormat(fs, folder) === undefined
  } catch (error) {
    if (error instanceof DriftError && error.code === 'DRIFT_CORRUPT_FORMAT') return true
    throw error
  }
}

async function checked(fs: DriftFs, folder: string, options: SliceOptions): Promise<CheckReport> {
  const { findings, files, bytes } = await runSliced(
    checkDisk(fs, folder, { beside: false }),
    'repair check',
    1,
    options,
  )
  return { ok: isOk(findings), files, bytes, findings }
}
