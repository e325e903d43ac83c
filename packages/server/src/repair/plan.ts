/**
 * What a repair would do, found without writing: which manifest to go by, which files to make anew from what can still be read, and what
 * is lost. Of the two manifests the one that loses least counts, the newer one when both lose the same: as long as all its files and the
 * log from its floor are there, the older one leads to the same state.
 */
import { decodeId, type Id, salvageWal, type WalRecord } from '@drift/core'
import type { DriftFs } from '@drift/fs'
import {
  type Manifest,
  type ManifestFile,
  readManifests,
  type SegmentEntry,
  type TombstoneEntry,
} from '@drift/storage'
import { isTruth } from '../check/disk.js'
import {
  assertNotMerged,
  type FileSurvey,
  isMissing,
  placeOfLogDamage,
  surveyFiles,
  surveyLog,
} from '../check/survey.js'
import { expectedLog } from '../log-recovery.js'
import { decodeOperation, type Operation } from '../operation.js'
import { namesOf } from '../persistence/persistence.js'

/** What users wrote and cannot be given back. */
export interface Loss {
  readonly file: string
  /** `rows`: upserts. `deletions`: deleted ids that are not known any more, and may be back. `log`: writes that were only in the log. */
  readonly kind: 'rows' | 'deletions' | 'log'
  /** Undefined when the log itself is what cannot be read. */
  readonly collection?: string
  /** Rows or deletions; undefined when it cannot be told. */
  readonly count?: number
  /** Those whose id can still be read: they will be missing, not be back in an older version. */
  readonly ids: readonly Id[]
  /** Lost rows whose id cannot be read either: of those an older version may be back. */
  readonly unknownIds?: number
  /** The writes that it came from. */
  readonly lsnLow: number
  readonly lsnHigh?: number
  readonly message: string
}

export interface Plan {
  readonly manifest: Manifest
  /** By name; `sound` rows of it go to a new file. */
  readonly rewrite: readonly FileSurvey[]
  /** Checkpoints to be left out. */
  readonly drop: readonly FileSurvey[]
  /** To be moved aside: damaged, and still there. */
  readonly damaged: readonly string[]
  readonly losses: readonly Loss[]
  /** Of a damaged log every record that validates, with gaps; undefined when it is whole. */
  readonly logRecords: readonly WalRecord[] | undefined
  /** Another manifest names files that are damaged or gone. */
  readonly stale: boolean
  /** The newest number in the folder. */
  readonly newest: number
  readonly newestCrc: number
}

/** @returns undefined when no manifest can be read. @throws DRIFT_BACKUP_MERGED; DRIFT_FS_EIO */
export function* planRepair(fs: DriftFs, folder: string): Generator<number, Plan | undefined> {
  const manifests = readManifests(fs, folder)
  manifests.forEach(assertRead)
  assertNotMerged(manifests, folder)
  const known = new Map<string, FileSurvey>()
  let best: Plan | undefined
  for (const { decoded } of manifests) {
    if (!decoded) continue
    const surveys = yield* surveyFiles(fs, folder, decoded.manifest, known)
    for (const { kind, damages } of surveys) if (kind !== 'checkpoint') damages.forEach(assertRead)
    const plan = planFor(fs, folder, manifests, decoded.manifest, decoded.crc, surveys)
    if (!best || weight(plan) < weight(best)) best = plan
  }
  return best && withOthers(best, known)
}

/** A read that fails says nothing of the bytes: they may be there the next time, or in a copy. Nothing that users wrote is given up for it. */
function assertRead({ damage }: { readonly damage?: Error }): void {
  if (isUnread(damage)) throw damage
}

function isUnread(damage: Error | undefined): boolean {
  return damage !== undefined && 'code' in damage && damage.code === 'DRIFT_FS_EIO'
}

/** What is to be moved aside is read once more. An index file that cannot be is named no more, and goes when the database is opened. */
function canMove({ damages }: FileSurvey): boolean {
  return !damages.some(({ damage }) => isMissing(damage) || isUnread(damage))
}

/** The manifest that is not gone by must not stay when a file of it is damaged or gone: it would be the one to fall back to. */
function withOthers(plan: Plan, known: ReadonlyMap<string, FileSurvey>): Plan {
  const names = namesOf(plan.manifest)
  const bad = [...known.values()].filter(({ entry, damages }) => damages.length > 0 && !names.has(entry.name))
  return {
    ...plan,
    damaged: [...plan.damaged, ...bad.filter(canMove).map(({ entry }) => entry.name)],
    stale: bad.length > 0,
  }
}

function planFor(
  fs: DriftFs,
  folder: string,
  manifests: readonly ManifestFile[],
  manifest: Manifest,
  crc: number,
  surveys: readonly FileSurvey[],
): Plan {
  const log = surveyLog(fs, folder, manifest)
  if ('damage' in log) assertRead(log)
  const bad = surveys.filter(({ damages }) => damages.length > 0)
  const losses = bad.flatMap(lossOf)
  const damaged = manifests.flatMap(({ name, damage }) => (damage ? [name] : []))
  damaged.push(...bad.filter(canMove).map(({ entry }) => entry.name))
  const salvaged = 'damage' in log ? salvageLog(fs, folder, manifest, log.damage) : undefined
  losses.push(...(salvaged?.losses ?? []))
  return {
    manifest,
    rewrite: bad.filter(({ kind }) => kind !== 'checkpoint'),
    drop: bad.filter(({ kind }) => kind === 'checkpoint'),
    damaged,
    losses,
    logRecords: salvaged?.records,
    stale: false,
    newest: manifests[0]!.number,
    newestCrc: crc,
  }
}

/** Losses to compare by: what cannot be counted weighs most. */
function weight({ losses }: Plan): number {
  return losses.reduce((sum, { count }) => sum + (count ?? 2 ** 40), 0)
}

function lossOf({ kind, entry, collection, damages, inspection }: FileSurvey): Loss[] {
  if (kind === 'checkpoint') return []
  const { rows, lsnLow, lsnHigh } = entry as SegmentEntry | TombstoneEntry
  const where = { file: entry.name, collection: collection.name, lsnLow, lsnHigh }
  if (!inspection || damages.some(({ damage }) => isMissing(damage))) {
    const what = kind === 'segment' ? 'rows' : 'deletions'
    return [
      {
        ...where,
        kind: what,
        count: rows,
        ids: [],
        unknownIds: rows,
        message: `all ${rows} ${what} of ${entry.name}: ${damages[0]!.damage!.message}`,
      },
    ]
  }
  const lost = [...inspection.sound.keys()].filter(row => inspection.sound[row] === 0)
  if (lost.length === 0) return []
  // A deleted id that can be read is not lost: tombstones have nothing but ids.
  const readable = lost.flatMap(row => (inspection.ids[row] ? [decodeId(inspection.ids[row])] : []))
  const what = kind === 'segment' ? 'rows' : 'deletions'
  const first = damages.find(isTruth)?.damage?.message ?? damages[0]!.damage!.message
  return [
    {
      ...where,
      kind: what,
      count: lost.length,
      ids: readable,
      unknownIds: lost.length - readable.length,
      message: `${lost.length} of ${rows} ${what} of ${entry.name}: ${first}`,
    },
  ]
}

/** Records are taken also behind a lost one. What is gone is told LSN by LSN, or from which LSN on when no later record says how much. */
function salvageLog(
  fs: DriftFs,
  folder: string,
  manifest: Manifest,
  damage: Error,
): { records: readonly WalRecord[]; losses: Loss[] } {
  const { floorLsn } = manifest
  const { records, losses } = salvageWal(fs, folder, expectedLog(manifest))
  const { file } = placeOfLogDamage(damage, folder)
  const where = { file, kind: 'log' as const, ids: [] }
  const found: Loss[] = losses.flatMap(({ kind, firstLsn, lastLsn }) => {
    if (kind !== 'gap' || firstLsn === undefined || lastLsn === undefined) return []
    const message = `the writes from LSN ${firstLsn} to ${lastLsn}: ${damage.message}`
    return [{ ...where, lsnLow: firstLsn, lsnHigh: lastLsn, message }]
  })
  // The damage itself comes first; then the frames that do not validate, with their LSN where they tell them.
  const frames = losses.filter(({ kind }) => kind !== 'gap').slice(1)
  const isFlushed =
    frames.length > 0 && frames.every(({ lastLsn }) => lastLsn !== undefined && lastLsn < floorLsn)
  if (found.length === 0 && !isFlushed) {
    const lsnLow = (records.at(-1)?.lsn ?? floorLsn - 1) + 1
    found.push({
      ...where,
      lsnLow,
      message: `writes from LSN ${lsnLow} on, if there were any: ${damage.message}`,
    })
  }
  return { records, losses: [...found, ...orphans(records, manifest, where)] }
}

/** Records of a collection whose creation is gone: there is nothing that they could go into. */
function orphans(
  records: readonly WalRecord[],
  { collections }: Manifest,
  where: Pick<Loss, 'file' | 'kind' | 'ids'>,
): Loss[] {
  const known = new Set(collections.map(({ number }) => number))
  const found = records.map(({ lsn, bytes }) => ({ lsn, operation: decodeOperation(bytes) }))
  // Before the record of its drop a collection may be unknown.
  for (const { operation } of found) if (isCreateOrDrop(operation)) known.add(operation.collection)
  return found.flatMap(({ lsn, operation: { kind, collection } }) => {
    if (kind === 'lost' || known.has(collection)) return []
    const message = `the write of LSN ${lsn}: the creation of its collection ${collection} is gone`
    return [{ ...where, lsnLow: lsn, lsnHigh: lsn, message }]
  })
}

function isCreateOrDrop({ kind }: Operation): boolean {
  return kind === 'create' || kind === 'drop'
}
