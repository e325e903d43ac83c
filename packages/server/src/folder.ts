/**
 * The database's folder: what is in it, under which names, and the FORMAT file that says what made it.
 *
 * ```
 * FORMAT                        64 bytes, written once
 * LOCK                          held by the one process that writes
 * manifest-<20 digits>.drm      two newest kept; names every file below
 * wal-<16 digits>.drw           write-ahead log
 * seg-<16 digits>.drs           rows, immutable              del-<16 digits>.drt   tombstones, immutable
 * idx-<16 digits>.drg           partition, derived           tmp-*, *.tmp          unfinished, removed at open
 * quarantine/                   damaged files, moved here and never deleted
 * ```
 * A name that matches none of these is somebody else's and is left alone.
 */
import { join } from 'node:path'
import { type DriftFs, type FileLock, FsError } from '@drift/fs'
import { kernels } from '@drift/native'
import { DriftError } from './errors.js'

const FORMAT_MAJOR: number = 1
const FORMAT_MINOR: number = 0
const FORMAT_BYTES = 64
const MAGIC = 0x54465244 // "DRFT", little-endian
const OFFSET = { magic: 0, major: 4, minor: 6, database: 8, crc: 60 } as const

const OWNED = /^(seg-\d{16}\.drs|del-\d{16}\.drt|idx-\d{16}\.drg)$/
const UNFINISHED = /^(tmp-|(manifest|wal|seg|del|idx)-\d+\.\w+\.tmp$)/
const LOG = /^wal-(\d{16})\.drw$/
const MANIFEST = /^manifest-\d{20}\.drm$/
/** The file that keeps room in reserve, which an opening removes. */
export const RESERVE_NAME = 'tmp-reserve'
const TRUTH = /^(seg-\d{16}\.drs|del-\d{16}\.drt|wal-\d{16}\.drw|manifest-\d{20}\.drm)$/

export function segmentName(file: number): string {
  return `seg-${digits(file)}.drs`
}

export function tombstoneName(file: number): string {
  return `del-${digits(file)}.drt`
}

export function checkpointName(file: number): string {
  return `idx-${digits(file)}.drg`
}

export function logName(file: number): string {
  return `wal-${digits(file)}.drw`
}

/** Number of a file of the log; undefined for any other name. */
export function logNumber(name: string): number | undefined {
  const number = LOG.exec(name)?.[1]
  return number === undefined ? undefined : Number(number)
}

export function isLog(name: string): boolean {
  return LOG.test(name)
}

export function isManifest(name: string): boolean {
  return MANIFEST.test(name)
}

/** The files of the log as they are on disk now, for a reader beside the writer. */
export function logFiles(fs: DriftFs, folder: string): { readonly bytes: number }[] {
  const stats = fs
    .list(folder)
    .filter(isLog)
    .map(name => fs.stat(join(folder, name)))
  return stats.filter(stat => stat !== undefined) // those that the writer has removed meanwhile
}

/** Names that only a database with content has. */
export function isTruth(name: string): boolean {
  return TRUTH.test(name)
}

/** Whether the name is one that a database gives: every other is somebody else's. */
export function isOwn(name: string): boolean {
  return name === 'FORMAT' || isTruth(name) || OWNED.test(name) || UNFINISHED.test(name)
}

/** Whether it is a name that a database has, or gives one day, to what it makes: a folder of another's is in its way. */
export function isReserved(name: string): boolean {
  const finished = name.replace(/^tmp-|\.tmp$/, '')
  const others = ['FORMAT', 'LOCK', 'quarantine']
  return name === RESERVE_NAME || isTruth(finished) || OWNED.test(finished) || others.includes(finished)
}

/** Number of a segment, tombstone or checkpoint file name. */
export function fileNumber(name: string): number {
  return Number(name.slice(4, 20))
}

/** Files of ours that hold rows, tombstones or a partition. */
export function ownedFiles(fs: DriftFs, folder: string): string[] {
  return fs.list(folder).filter(name => OWNED.test(name))
}

/** Leftovers of writes that were cut short. A folder of such a name is somebody else's. */
export function unfinishedFiles(fs: DriftFs, folder: string): string[] {
  const names = fs.list(folder).filter(name => UNFINISHED.test(name))
  return names.filter(name => fs.stat(join(folder, name))?.kind === 'file')
}

/** For who looks after a folder that is not open. @throws DriftError DRIFT_NOT_A_FOLDER, or DRIFT_NO_DATABASE when nothing in it is ours. */
export function assertDatabase(fs: DriftFs, folder: string): void {
  const kind = fs.stat(folder)?.kind
  if (kind === 'file') throw notAFolder(folder)
  if (kind && fs.list(folder).some(name => name === 'FORMAT' || isTruth(name))) return
  throw noDatabase(folder)
}

export function noDatabase(folder: string): DriftError {
  return new DriftError('DRIFT_NO_DATABASE', `${folder} holds no database`, { path: folder })
}

function notAFolder(path: string): DriftError {
  return new DriftError('DRIFT_NOT_A_FOLDER', `${path} is a file, expected a folder`, { path })
}

/** Make the folder and the missing ones above it. @throws DriftError when the path is a file. */
export function makeFolders(fs: DriftFs, folder: string): void {
  const stat = fs.stat(folder)
  if (stat?.kind === 'folder') return
  if (stat) throw notAFolder(folder)
  const parent = join(folder, '..')
  if (parent !== folder) makeFolders(fs, parent)
  fs.makeFolder(folder)
  fs.syncFolder(parent)
}

/** @param advice - ends the sentence of the error, which says where the folder is open. @throws DriftError DRIFT_LOCKED, with `details.holder` when it is known. */
export function lockFolder(fs: DriftFs, folder: string, advice: string): FileLock {
  try {
    return fs.lock(join(folder, 'LOCK'))
  } catch (cause) {
    if (!(cause instanceof FsError) || cause.code !== 'DRIFT_FS_LOCKED') throw cause
    const { holder } = cause
    const where = holder === undefined ? 'here or in another process' : `in ${holder}`
    const details = { path: folder, ...(holder === undefined ? {} : { holder }) }
    throw new DriftError('DRIFT_LOCKED', `${folder} is open already, ${where}; ${advice}`, details, { cause })
  }
}

/**
 * The database's 16-byte id, or undefined when the folder holds no database yet. Writes nothing.
 *
 * @throws DriftError DRIFT_FORMAT_VERSION for a database of a newer release, DRIFT_CORRUPT_FORMAT for a damaged or missing FORMAT.
 */
export function readFormat(fs: DriftFs, folder: string): Uint8Array | undefined {
  const path = join(folder, 'FORMAT')
  const stat = fs.stat(path)
  if (!stat) {
    const truth = fs.list(folder).find(isTruth)
    if (truth === undefined) return undefined
    throw new DriftError('DRIFT_CORRUPT_FORMAT', `${folder} holds ${truth} but no FORMAT file`, { path })
  }
  if (stat.kind === 'folder')
    throw new DriftError('DRIFT_CORRUPT_FORMAT', `${path} is a folder, not a file`, { path })
  const bytes = new Uint8Array(FORMAT_BYTES)
  const fd = fs.open(path, 'read')
  let length: number
  try {
    length = fs.read(fd, bytes, 0)
  } finally {
    fs.close(fd)
  }
  const view = new DataView(bytes.buffer)
  const sound =
    stat.bytes === FORMAT_BYTES &&
    length === FORMAT_BYTES &&
    view.getUint32(OFFSET.magic, true) === MAGIC &&
    view.getUint32(OFFSET.crc, true) === kernels.crc32c(bytes.subarray(0, OFFSET.crc))
  if (!sound)
    throw new DriftError('DRIFT_CORRUPT_FORMAT', `${path} is damaged or not a Drift database`, { path })
  const major = view.getUint16(OFFSET.major, true)
  if (major > FORMAT_MAJOR) {
    throw new DriftError(
      'DRIFT_FORMAT_VERSION',
      `${folder} has format ${major}.${view.getUint16(OFFSET.minor, true)}, this release reads up to ${FORMAT_MAJOR}`,
      { path, major, supported: FORMAT_MAJOR },
    )
  }
  return bytes.slice(OFFSET.database, OFFSET.database + 16)
}

/** Durable when it returns. */
export function writeFormat(fs: DriftFs, folder: string, database: Uint8Array): void {
  const bytes = new Uint8Array(FORMAT_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(OFFSET.magic, MAGIC, true)
  view.setUint16(OFFSET.major, FORMAT_MAJOR, true)
  view.setUint16(OFFSET.minor, FORMAT_MINOR, true)
  bytes.set(database, OFFSET.database)
  view.setUint32(OFFSET.crc, kernels.crc32c(bytes.subarray(0, OFFSET.crc)), true)
  const unfinished = join(folder, 'tmp-FORMAT')
  if (fs.stat(unfinished)) fs.remove(unfinished)
  const fd = fs.open(unfinished, 'create')
  try {
    fs.write(fd, bytes, 0)
    fs.fsync(fd)
  } finally {
    fs.close(fd)
  }
  fs.rename(unfinished, join(folder, 'FORMAT'))
  fs.syncFolder(folder)
}

function digits(file: number): string {
  return String(file).padStart(16, '0')
}
