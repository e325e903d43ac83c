/**
 * `backup`: the database of one moment in another folder, while writes go on. Immutable files get a second name there, or are copied; the
 * log is written anew up to the moment's last record; every checksum is read back; and only then is FORMAT written, without which no
 * folder opens. To restore, open the folder, or copy it back.
 */
import { basename, dirname, join } from 'node:path'
import { readWal, type WalScan, WalWriter } from '@drift/core'
import { type DriftFs, FsError, NodeFs } from '@drift/fs'
import { commitManifest, type Manifest } from '@drift/storage'
import { checkDisk } from '../check/disk.js'
import { BACKUP_LOG_FILE, isLogDamage, isMissing } from '../check/survey.js'
import { copyFile } from '../copy-file.js'
import { assertOpen, assertWritable, type Engine } from '../engine.js'
import { DriftError } from '../errors.js'
import { isOwn, isReserved, makeFolders, writeFormat } from '../folder.js'
import { namesOf } from '../persistence/persistence.js'
import { runSliced, type SliceOptions } from '../slices.js'

export interface BackupOptions extends SliceOptions {
  /** Copy every byte also where the disk could give files a second name: names share the damage of a disk, copies do not. Default false. */
  readonly copy?: boolean
}

export interface BackupReport {
  readonly folder: string
  /** The backup holds every write up to this one, and none after it. */
  readonly lsn: number
  readonly files: number
  readonly bytes: number
  /** Files that share their bytes with the database. */
  readonly linkedFiles: number
}

interface Target {
  readonly fs: DriftFs
  readonly folder: string
  readonly copy: boolean
  /** Drawn for the new log. */
  readonly nonce: () => bigint
}

type LogRecord = WalScan['records'] extends Iterable<infer R> ? R : never

/** Between two disks, or on one without links. */
const NO_LINK = /^DRIFT_FS_(EXDEV|EPERM|ENOTSUP|EOPNOTSUPP|EMLINK|ENOSYS|EACCES)$/
/** While the log is read it is written and cut: what then looks like damage, or is gone, is read again. */
const LOG_ATTEMPTS = 10
/** Stands in the folder until the first file of the backup does, so that a second backup finds it taken. */
const CLAIM = 'tmp-backup'

/** @throws DRIFT_PATH, DRIFT_BACKUP_EXISTS, DRIFT_BACKUP_DAMAGED, the signal's reason; what had been written of the backup is gone then. */
export async function backupEngine(
  engine: Engine,
  target: Target,
  options: BackupOptions,
): Promise<BackupReport> {
  assertWritable(engine)
  options.signal?.throwIfAborted()
  assertFree(target)
  const made = prepareFolder(target)
  const hold = engine.persistence.hold()
  const lsn = engine.journal.durableLsn
  try {
    return await write(engine, target, hold.manifest, lsn, options)
  } catch (error) {
    discard(target, made)
    throw error
  } finally {
    hold.release()
  }
}

async function write(
  engine: Engine,
  target: Target,
  manifest: Manifest,
  lsn: number,
  options: BackupOptions,
): Promise<BackupReport> {
  const alive = () => assertOpen(engine)
  const names = [...namesOf(manifest)]
  const total = sizeOf(engine.fs, engine.folder, names)
  const linked = await runSliced(takeFiles(engine, target, names), 'backup files', total, options, alive)
  await writeLog(engine, target, manifest, lsn)
  options.signal?.throwIfAborted()
  // A log that is shorter than this record is then damage, not a torn end.
  commitManifest(target.fs, target.folder, { ...manifest, durableLsn: lsn, logFile: BACKUP_LOG_FILE }, 0)
  target.fs.remove(join(target.folder, CLAIM))

  const check = checkDisk(target.fs, target.folder, { beside: false })
  const report = await runSliced(check, 'backup verify', total, options, alive)
  const wrong = report.findings.find(({ kind, severity }) => severity !== 'info' && kind !== 'format')
  if (wrong) {
    throw new DriftError(
      'DRIFT_BACKUP_DAMAGED',
      `the backup in ${target.folder} is not what was to be written: ${wrong.message}`,
      { folder: target.folder, finding: wrong },
    )
  }
  options.signal?.throwIfAborted()
  writeFormat(target.fs, target.folder, Buffer.from(manifest.database, 'hex'))
  return {
    folder: target.folder,
    lsn,
    files: report.files,
    bytes: report.bytes,
    linkedFiles: linked,
  }
}

/**
 * In a database's folder, however it is reached, a folder under a name of the database's is in the way of the file that gets it one day,
 * or is met as a damaged one.
 */
function assertFree({ fs, folder }: Target): void {
  for (let path = folder, above = dirname(path); above !== path; path = above, above = dirname(path)) {
    const name = basename(path)
    if (!isReserved(name) || !fs.stat(join(above, 'FORMAT'))) continue
    const message = `the backup cannot be ${folder}: in ${above}, which is a database, ${name} is a name of the database's own`
    throw new DriftError('DRIFT_PATH', message, { folder, name })
  }
}

/** Takes the folder for this backup alone. @returns whether it was made here. */
function prepareFolder(target: Target): boolean {
  const { fs, folder } = target
  const made = fs.stat(folder)?.kind !== 'folder'
  if (made) makeFolders(fs, folder)
  const [name] = fs.list(folder)
  if (name !== undefined) throw taken(folder, name)
  let fd: number
  try {
    fd = fs.open(join(folder, CLAIM), 'create')
  } catch (error) {
    // Between the look and this another backup came, perhaps of another process: what is in there is that one's.
    if (error instanceof FsError && error.code === 'DRIFT_FS_EEXIST') throw taken(folder, CLAIM)
    discard(target, made)
    throw error
  }
  fs.close(fd)
  return made
}

function taken(folder: string, name: string): DriftError {
  return new DriftError(
    'DRIFT_BACKUP_EXISTS',
    `${folder} holds ${name}; a backup needs a folder of its own`,
    {
      folder,
    },
  )
}

/** @returns files linked. */
function* takeFiles(
  { fs, folder }: Engine,
  target: Target,
  names: readonly string[],
): Generator<number, number> {
  let linked = 0
  for (const name of names) {
    const from = join(folder, name)
    const to = join(target.folder, name)
    if (tryLink(fs, target, from, to)) {
      linked++
      yield fs.stat(from)?.bytes ?? 0
    } else yield* copyFile(fs, target.fs, from, to)
  }
  target.fs.syncFolder(target.folder)
  return linked
}

function tryLink(fs: DriftFs, target: Target, from: string, to: string): boolean {
  if (target.copy || target.fs !== fs || !fs.link) return false
  try {
    fs.link(from, to)
    return true
  } catch (error) {
    if (error instanceof FsError && NO_LINK.test(error.code)) return false
    throw error
  }
}

/** One file that starts where the manifest's files end, holds every record up to `lsn`, and is ended cleanly. */
async function writeLog(engine: Engine, target: Target, manifest: Manifest, lsn: number): Promise<void> {
  const database = Buffer.from(manifest.database, 'hex')
  const writer = await WalWriter.open({
    fs: target.fs,
    folder: target.folder,
    database,
    firstFile: BACKUP_LOG_FILE,
    firstLsn: Math.max(lsn + 1, manifest.floorLsn),
    carry: readRecords(engine, manifest, lsn),
    nonce: target.nonce,
    sync: 'always',
    thread: target.fs instanceof NodeFs,
  })
  await writer.close()
}

function readRecords(engine: Engine, { database, floorLsn }: Manifest, lsn: number): LogRecord[] {
  for (let attempt = 1; ; attempt++) {
    try {
      const options = { database: Buffer.from(database, 'hex'), floorLsn, durableLsn: lsn }
      const { records } = readWal(engine.fs, engine.folder, options)
      return [...records].filter(record => record.lsn <= lsn)
    } catch (error) {
      if (attempt === LOG_ATTEMPTS || !(isLogDamage(error) || isMissing(error))) throw error
    }
  }
}

/** What has a name of ours was written by this backup. Without FORMAT it opens as nothing, so what cannot be removed does no harm. */
function discard({ fs, folder }: Target, made: boolean): void {
  try {
    for (const name of fs.list(folder)) if (isOwn(name)) fs.remove(join(folder, name))
    if (made) fs.remove(folder)
  } catch (error) {
    // The error that led here is the one to be told.
    if (!(error instanceof FsError)) throw error
  }
}

function sizeOf(fs: DriftFs, folder: string, names: readonly string[]): number {
  return names.reduce((bytes, name) => bytes + (fs.stat(join(folder, name))?.bytes ?? 0), 0)
}
