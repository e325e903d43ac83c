/**
 * The manifest names every file that is truth; committing one is the point of no return. Each commit writes a whole new file, and the
 * one before stays: when the newest is damaged the database opens from it, with the same state, since its files are kept as long.
 * A manifest of a later format is never passed over in favour of an older one.
 */
import type { DriftFs } from '@drift/fs'
import type { CheckpointEntry } from '../checkpoint.js'
import { isDamage, requireArgument, StorageError } from '../errors.js'
import type { Metric } from '../segment/format.js'
import type { SegmentEntry } from '../segment/writer.js'
import type { TombstoneEntry } from '../tombstones.js'
import { type DecodedManifest, decodeManifest, encodeManifest } from './format.js'

export interface Manifest {
  /** One more than that of the manifest before. */
  readonly number: number
  /** The database's uuid. */
  readonly database: string
  /** Every log record below it is in segments. */
  readonly floorLsn: number
  /** Every log record up to it was on disk at the commit; a log that lacks one of them is damaged, not torn. */
  readonly durableLsn: number
  readonly nextCollection: number
  readonly nextFile: number
  /** The log has had a file of this number, so it has one of this number or a later one. */
  readonly logFile?: number
  readonly collections: readonly CollectionEntry[]
}

export interface CollectionEntry {
  readonly number: number
  readonly name: string
  readonly dim: number
  readonly metric: Metric
  readonly options: Readonly<Record<string, number | string | boolean>>
  /** Oldest first. */
  readonly segments: readonly SegmentEntry[]
  /** Oldest first. */
  readonly tombstones: readonly TombstoneEntry[]
  readonly checkpoint?: CheckpointEntry
}

/** A manifest file, as it is. */
export interface ManifestFile {
  readonly name: string
  /** That of its name. */
  readonly number: number
  readonly bytes: number
  /** Undefined when it is damaged. */
  readonly decoded?: DecodedManifest
  readonly damage?: Error
}

export interface LoadedManifest extends DecodedManifest {
  /** The number to commit next: above every manifest in the folder, so that no damaged one is overwritten. */
  readonly nextNumber: number
  /** The newest manifest, when it is damaged and this is the one before. */
  readonly damaged?: { readonly name: string; readonly error: Error }
}

const MANIFEST_NAME = /^manifest-(\d{20})\.drm$/
const NUMBER_DIGITS = 20

export function manifestName(number: number): string {
  return `manifest-${String(number).padStart(NUMBER_DIGITS, '0')}.drm`
}

/**
 * Durable when it returns. @param previousCrc - `crc` of the manifest before, 0 for the first. @returns the new manifest's CRC.
 * An error may leave it committed or not: only loading again tells.
 */
export function commitManifest(fs: DriftFs, folder: string, manifest: Manifest, previousCrc: number): number {
  const { number } = manifest
  requireArgument(Number.isSafeInteger(number) && number >= 0, () => `${number} is no manifest number`)
  const path = `${folder}/${manifestName(number)}`
  const { bytes, crc } = encodeManifest(manifest, previousCrc)
  requireReadable(bytes, path)
  if (fs.stat(path) !== undefined) {
    throw new StorageError('DRIFT_MANIFEST_EXISTS', `${path} exists; manifest numbers are used once`, {
      path,
    })
  }
  const temp = `${path}.tmp`
  if (fs.stat(temp) !== undefined) fs.remove(temp)
  const fd = fs.open(temp, 'create')
  try {
    fs.write(fd, bytes, 0)
    fs.fsync(fd)
  } finally {
    fs.close(fd)
  }
  fs.rename(temp, path)
  fs.syncFolder(folder)
  return crc
}

/** What cannot be read back must not be committed. */
function requireReadable(bytes: Uint8Array, path: string): void {
  try {
    decodeManifest(bytes, path)
  } catch (error) {
    const message = `the manifest would be refused when read: ${(error as Error).message}`
    throw new StorageError('DRIFT_ARGUMENT', message, { path }, error)
  }
}

/** The newest manifest that verifies, of the last two; undefined when there is none at all. */
export function loadManifest(fs: DriftFs, folder: string): LoadedManifest | undefined {
  return chooseManifest(readManifests(fs, folder), folder)
}

/** `loadManifest` of what `readManifests` found. */
export function chooseManifest(files: readonly ManifestFile[], folder: string): LoadedManifest | undefined {
  const [newest, before] = files
  if (newest === undefined) return undefined
  const nextNumber = newest.number + 1
  if (newest.decoded) return { ...newest.decoded, nextNumber }
  const error = newest.damage!
  if (before?.decoded) return { ...before.decoded, nextNumber, damaged: { name: newest.name, error } }
  const message = `${folder} has no whole manifest: ${error.message}; ${before?.damage?.message ?? 'no other'}`
  throw new StorageError('DRIFT_CORRUPT_DECODE', message, { path: folder }, error)
}

/** Every manifest in the folder, newest first, damaged ones included. One that its writer has just removed is left out. */
export function readManifests(fs: DriftFs, folder: string): ManifestFile[] {
  for (let attempt = 1; ; attempt++) {
    try {
      return readListed(fs, folder)
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !isMissing(error)) throw error
    }
  }
}

/** Each time its writer has committed a manifest or two since the folder was listed. Ten times in a row is something else. */
const MAX_ATTEMPTS = 10

/**
 * A name that stays and leads to no file, as a link to nothing does, is a damaged manifest.
 *
 * @throws DRIFT_FS_ENOENT when one is gone and no newer one is whole: then there are newer ones that are not listed yet.
 */
function readListed(fs: DriftFs, folder: string): ManifestFile[] {
  const files: ManifestFile[] = []
  for (const number of manifestNumbers(fs, folder).reverse()) {
    try {
      files.push(readManifest(fs, folder, number))
    } catch (error) {
      if (!isMissing(error)) throw error
      if (files.some(({ decoded }) => decoded)) continue
      // Numbers are used once, so one that its writer has removed is not listed again.
      if (!manifestNumbers(fs, folder).includes(number)) throw error
      files.push(absent(folder, number, error))
    }
  }
  return files
}

function absent(folder: string, number: number, cause: unknown): ManifestFile {
  const name = manifestName(number)
  const path = `${folder}/${name}`
  const message = `${path} is listed and leads to no file`
  return { name, number, bytes: 0, damage: new StorageError('DRIFT_CORRUPT_MAGIC', message, { path }, cause) }
}

function isMissing(error: unknown): boolean {
  return (error as { code?: string }).code === 'DRIFT_FS_ENOENT'
}

/** Keeps the manifest `number`, the one before it, and newer ones. Needs no sync: a leftover is removed next time. */
export function removeOldManifests(fs: DriftFs, folder: string, number: number): void {
  const older = manifestNumbers(fs, folder).filter(other => other < number)
  for (const other of older.slice(0, -1)) fs.remove(`${folder}/${manifestName(other)}`)
}

/** Ascending. Other names in the folder are none of its business. */
function manifestNumbers(fs: DriftFs, folder: string): number[] {
  return fs
    .list(folder)
    .map(name => Number(MANIFEST_NAME.exec(name)?.[1] ?? Number.NaN))
    .filter(number => Number.isSafeInteger(number))
    .sort((a, b) => a - b)
}

function readManifest(fs: DriftFs, folder: string, number: number): ManifestFile {
  const name = manifestName(number)
  const path = `${folder}/${name}`
  let size = 0
  try {
    const bytes = readBytes(fs, path)
    size = bytes.length
    const decoded = decodeManifest(bytes, path)
    if (decoded.manifest.number !== number) {
      const message = `${path} holds manifest ${decoded.manifest.number}`
      throw new StorageError('DRIFT_CORRUPT_IDENTITY', message, { path })
    }
    return { name, number, bytes: size, decoded }
  } catch (error) {
    if (!isDamage(error)) throw error
    return { name, number, bytes: size, damage: error }
  }
}

function readBytes(fs: DriftFs, path: string): Uint8Array {
  const stat = fs.stat(path)
  if (stat?.kind === 'folder') {
    throw new StorageError('DRIFT_CORRUPT_MAGIC', `${path} is a folder, not a file`, { path })
  }
  const bytes = new Uint8Array(stat?.bytes ?? 0)
  const fd = fs.open(path, 'read')
  try {
    return bytes.subarray(0, fs.read(fd, bytes, 0))
  } finally {
    fs.close(fd)
  }
}
