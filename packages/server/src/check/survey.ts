/**
 * The files of a database as they are, damage included: every file that a manifest names, and the log. Reads all, writes nothing,
 * and goes on behind what is damaged. `check` reports it, `repair` decides by it. Generators yield bytes done, so that the caller can breathe.
 */
import { readWal, type WalScan } from '@drift/core'
import type { DriftFs } from '@drift/fs'
import {
  type CheckpointEntry,
  type CollectionEntry,
  type DecodedManifest,
  type Inspected,
  type Inspection,
  inspectIndex,
  inspectSegment,
  inspectTombstones,
  isDamage,
  type Manifest,
  type ManifestFile,
  type SegmentEntry,
  type TombstoneEntry,
} from '@drift/storage'
import { DriftError } from '../errors.js'
import { expectedLog } from '../log-recovery.js'

export interface FileSurvey {
  readonly kind: 'segment' | 'tombstones' | 'checkpoint'
  readonly collection: CollectionEntry
  readonly entry: SegmentEntry | TombstoneEntry | CheckpointEntry
  readonly damages: readonly Inspected[]
  /** Undefined for a checkpoint, and for a file of which nothing can be told apart. */
  readonly inspection: Inspection | undefined
}

/** Number of a backup's only log file. */
export const BACKUP_LOG_FILE = 1

/**
 * The manifest of a backup that was copied into the folder of another state: it is the first of its folder, and what is written there later
 * follows it. A follower that is damaged gets the benefit of the doubt.
 */
export function mergedBackup(manifests: readonly ManifestFile[]): string | undefined {
  const merged = manifests.find(({ number, decoded }) => {
    if (!decoded || !isBackup(decoded)) return false
    if (manifests.some(other => other.number < number)) return true
    const later = manifests.filter(other => other.number > number)
    return (
      later.length > 0 && !later.some(other => other.damage || other.decoded?.previousCrc === decoded.crc)
    )
  })
  return merged?.name
}

/** @throws DRIFT_BACKUP_MERGED: which of the two states is wanted only the user knows, and the newer one would win. */
export function assertNotMerged(manifests: readonly ManifestFile[], folder: string): void {
  const name = mergedBackup(manifests)
  if (name === undefined) return
  throw new DriftError(
    'DRIFT_BACKUP_MERGED',
    `${folder} holds a database and, with ${name}, a backup that was copied over it; copy the backup to an empty folder`,
    { path: folder, manifest: name },
  )
}

/** A database begins with manifest 1, a backup with a later one that follows none. */
function isBackup({ manifest, previousCrc }: DecodedManifest): boolean {
  return previousCrc === 0 && manifest.number > 1 && manifest.logFile === BACKUP_LOG_FILE
}

/** Every file that the manifest names. @param known - surveys by file name; those found are added. */
export function* surveyFiles(
  fs: DriftFs,
  folder: string,
  manifest: Manifest,
  known: Map<string, FileSurvey> = new Map(),
): Generator<number, FileSurvey[]> {
  const surveys: FileSurvey[] = []
  for (const collection of manifest.collections) {
    for (const [kind, entry] of filesOf(collection)) {
      const before = known.get(entry.name)
      const survey = before
        ? { ...before, collection, entry }
        : yield* surveyFile(fs, folder, collection, kind, entry)
      known.set(entry.name, survey)
      surveys.push(survey)
    }
  }
  return surveys
}

export type LogSurvey = { readonly scan: WalScan } | { readonly damage: Error }

export function surveyLog(fs: DriftFs, folder: string, manifest: Manifest): LogSurvey {
  try {
    return { scan: readWal(fs, folder, expectedLog(manifest)) }
  } catch (error) {
    if (isLogDamage(error) || isDamage(error) || isMissing(error)) return { damage: error as Error }
    throw error
  }
}

/** Where damage of the log is: the name of the file in the folder, or the folder, and the byte. */
export function placeOfLogDamage(
  damage: Error,
  folder: string,
): { readonly file: string; readonly offset?: number } {
  const { file = folder, offset } = (damage as { details?: { file?: string; offset?: number } }).details ?? {}
  const name = file.startsWith(`${folder}/`) ? file.slice(folder.length + 1) : file
  return { file: name, ...(offset === undefined ? {} : { offset }) }
}

export function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'DRIFT_FS_ENOENT'
}

export function isLogDamage(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && error.code === 'DRIFT_WAL_CORRUPT'
}

function filesOf({
  segments,
  tombstones,
  checkpoint,
}: CollectionEntry): [FileSurvey['kind'], SegmentEntry | TombstoneEntry | CheckpointEntry][] {
  return [
    ...segments.map(entry => ['segment', entry] as const),
    ...tombstones.map(entry => ['tombstones', entry] as const),
    ...(checkpoint ? [['checkpoint', checkpoint] as const] : []),
  ] as [FileSurvey['kind'], SegmentEntry | TombstoneEntry | CheckpointEntry][]
}

function* surveyFile(
  fs: DriftFs,
  folder: string,
  collection: CollectionEntry,
  kind: FileSurvey['kind'],
  entry: SegmentEntry | TombstoneEntry | CheckpointEntry,
): Generator<number, FileSurvey> {
  const damages: Inspected[] = []
  let inspection: Inspection | undefined
  try {
    inspection = yield* passed(inspect(fs, folder, kind, entry), step => {
      if (step.damage) damages.push(step)
      return step.bytes
    })
  } catch (error) {
    // Checksums that agree around a content that makes no sense.
    if (!isDamage(error)) throw error
    damages.push({ bytes: 0, offset: 0, damage: error })
  }
  return { kind, collection, entry, damages, inspection }
}

/** Yields what `map` makes of each step. Ended early it ends `steps` too, which have a file open. */
export function* passed<S, T>(steps: Generator<S, T>, map: (step: S) => number): Generator<number, T> {
  try {
    let step = steps.next()
    for (; !step.done; step = steps.next()) yield map(step.value)
    return step.value
  } finally {
    steps.return(undefined as T)
  }
}

function inspect(
  fs: DriftFs,
  folder: string,
  kind: FileSurvey['kind'],
  entry: SegmentEntry | TombstoneEntry | CheckpointEntry,
): Generator<Inspected, Inspection | undefined> {
  if (kind === 'segment') return inspectSegment(fs, folder, entry as SegmentEntry)
  if (kind === 'tombstones') return inspectTombstones(fs, folder, entry as TombstoneEntry)
  return inspectIndex(fs, folder, entry)
}
