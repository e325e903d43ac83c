/**
 * The opening sequence: lock, FORMAT, newest valid manifest, log, segments, index, log replay, clean-up. Nothing is written
 * to an existing database until everything that will be trusted has been checked.
 */
import { join } from 'node:path'
import {
  INDEX_QUANTIZERS,
  type IndexPool,
  isWalDraft,
  type WalWriter,
  type WalWriterOptions,
} from '@drift/core'
import type { DriftFs, FileLock } from '@drift/fs'
import {
  type CollectionEntry,
  chooseManifest,
  type LoadedManifest,
  PageCache,
  readManifests,
} from '@drift/storage'
import { assertNotMerged } from './check/survey.js'
import { DEFAULT_MIN_FREE_BYTES, Disk } from './disk.js'
import type { Engine } from './engine.js'
import { DriftError } from './errors.js'
import {
  isTruth,
  lockFolder,
  makeFolders,
  ownedFiles,
  readFormat,
  unfinishedFiles,
  writeFormat,
} from './folder.js'
import { Janitor } from './janitor.js'
import { Journal } from './journal.js'
import { loadFiles } from './load.js'
import { LogOpening } from './log-opening.js'
import {
  flushedUpTo,
  isScattered,
  type LogRead,
  type RecoveryLoss,
  type RecoveryMode,
  type RecoveryReport,
  readLog,
  removeReplaced,
  setAside,
} from './log-recovery.js'
import { type CollectionConfig, decodeOperation } from './operation.js'
import type { OpenOptions } from './options.js'
import { DEFAULT_MAX_SEARCH_WAIT_MS, Pace } from './pace.js'
import { indexesOf } from './payload-index/declare.js'
import type { Executor } from './persistence/executor.js'
import { type Edit, type Loaded, PersistenceManager } from './persistence/persistence.js'
import { quarantine } from './quarantine.js'
import { openReadOnly, readOnlyEngine } from './read-only/open.js'
import type { Loss } from './repair/plan.js'
import { salvageFiles } from './repair/repair.js'
import { decodeLog, type LoggedOperation, orphans, replay } from './replay.js'
import { DEFAULT_SHADOW, ShadowRecall } from './shadow.js'
import { type Shared, Store } from './store.js'

/** Vector pages in memory: about 4 000. */
const DEFAULT_PAGE_CACHE_BYTES = 64 * 1024 * 1024

export interface Surroundings {
  readonly fs: DriftFs
  readonly folder: string
  readonly executor: Executor
  readonly pool: IndexPool | undefined
  /** The log gets a thread of its own; needs the real disk. */
  readonly threaded: boolean
  readonly durable: boolean
  readonly newDatabaseId: () => Uint8Array
  readonly nonce: () => bigint
  /** Milliseconds, from any start. */
  readonly now: () => number
}

export async function recover(around: Surroundings, options: OpenOptions): Promise<Engine> {
  const { fs, folder } = around
  if (options.readOnly) {
    return openReadOnly(around, async (held, stores) => {
      const read = await readFiles(held, options, stores)
      return readOnlyEngine(held, read, await replayLog(read, stores, folder, options), stores)
    })
  }
  makeFolders(fs, folder)
  const lock = lockFolder(fs, folder, 'one handle may write at a time')
  const stores = new Map<number, Store>()
  const log = new LogOpening(around.threaded)
  around.executor.start()
  try {
    return await recoverLocked(around, options, lock, stores, log)
  } catch (error) {
    await log.abandon()
    for (const store of stores.values()) store.close()
    lock.release()
    throw error
  }
}

async function recoverLocked(
  around: Surroundings,
  options: OpenOptions,
  lock: FileLock,
  stores: Map<number, Store>,
  log: LogOpening,
): Promise<Engine> {
  const { fs, folder, executor, now } = around
  const { minFreeBytes = DEFAULT_MIN_FREE_BYTES } = options
  const read = await readFiles(around, options, stores)
  const journal = new Journal()
  const disk = new Disk({ fs, folder, executor, minFreeBytes, now })
  const how: WalWriterOptions = {
    ...logOptions(around, options, read),
    onDurable: lsn => journal.applyUpTo(lsn),
    onStall: error => {
      disk.meet(error)
      // A write that waits for those which now wait for room is refused, and so are the ones behind it.
      for (const { inFlight } of stores.values()) inFlight.wake()
    },
  }
  log.begin(how, !read.wal.replaced)
  const replayed = await replayLog(read, stores, folder, options)

  // Everything has been read and checked: from here on the folder may be written.
  cleanFolder(fs, folder, read)
  const persistence = new PersistenceManager(folder, disk.executor, read.loaded, ownedFiles(fs, folder))
  const commit = committing(persistence, read, replayed, stores)
  if (!read.stored) await commit({ durableLsn: 0, collections: [] })
  if (read.wal.replaced) await commitReplacement(fs, folder, read, replayed, commit)
  const writer = await log.open()
  if (how.sync !== 'always') persistence.syncFirst(() => writer.sync())
  // From the first acknowledgement on a log that lacks its new file is damaged, and does not end where the file before ended.
  await commit({ logFile: read.wal.end.file })
  await removeRead(fs, folder, read.wal, writer, persistence)
  journal.start(writer, replayed.lastLsn)
  return started(around, options, read, replayed, { lock, stores, journal, disk, persistence })
}

/** Commits the state that was recovered, or another one. */
type Commit = (other: Partial<Pick<Edit, 'durableLsn' | 'collections' | 'logFile'>>) => Promise<unknown>

function committing(
  persistence: PersistenceManager,
  { loaded: { manifest }, wal }: Read,
  { lastLsn }: Replayed,
  stores: Map<number, Store>,
): Commit {
  return other =>
    persistence.commit(() => ({
      floorLsn: manifest.floorLsn,
      durableLsn: lastLsn,
      collections: Array.from(stores.values(), ({ number, config }) => ({ number, config })),
      withoutCheckpoints: wal.replaced,
      ...other,
    }))
}

/**
 * What is not replayed is set aside. The state that is gone back to is committed before the log says so, and after: both manifests that
 * are kept then agree with it. Under salvage the log stays damaged until it is replaced, and what it must hold is as it was.
 */
async function commitReplacement(
  fs: DriftFs,
  folder: string,
  { mode, wal, loaded: { manifest } }: Read,
  { recovery: { losses, quarantined }, lastLsn }: Replayed,
  commit: Commit,
): Promise<void> {
  quarantined.push(...setAside(fs, folder, { ...wal, losses }, mode))
  await commit({ durableLsn: typeof mode === 'object' ? lastLsn : manifest.durableLsn })
}

/**
 * Files of the log that the new one stands for. After an unclean end those that were read stay as they are beside what was carried from
 * them, until a flush or too many of them. What cannot be removed now is removed later.
 */
async function removeRead(
  fs: DriftFs,
  folder: string,
  wal: LogRead,
  writer: WalWriter,
  { logFloor }: PersistenceManager,
): Promise<void> {
  if (wal.replaced) await removeReplaced(fs, folder, writer)
  else if (wal.clean || isScattered(wal)) await writer.removeBelow(logFloor).catch(() => undefined)
}

function started(
  { fs, folder, pool, durable, now }: Surroundings,
  { maxSearchWaitMs = DEFAULT_MAX_SEARCH_WAIT_MS, sync = 'always' }: OpenOptions,
  { recall, pages }: Read,
  { recovery, nextCollection }: Replayed,
  parts: Pick<Engine, 'lock' | 'stores' | 'journal' | 'disk' | 'persistence'>,
): Engine {
  const engine: Engine = {
    ...parts,
    fs,
    folder,
    pool,
    janitor: new Janitor(),
    pace: new Pace(maxSearchWaitMs, now),
    recall,
    pages,
    recovery,
    durable: durable && sync === 'always',
    readOnly: false,
    nextCollection,
    closed: false,
  }
  engine.janitor.start(engine)
  engine.disk.start(() => {
    engine.journal.writer.retry()
    engine.janitor.retry()
  })
  return engine
}

/** What is in the folder. */
export interface Read {
  readonly mode: RecoveryMode
  readonly salvaged: { readonly losses: readonly Loss[]; readonly quarantined: readonly string[] }
  /** FORMAT is there. */
  readonly hasFormat: boolean
  readonly database: Uint8Array
  /** The manifest in the folder, if there is one. */
  readonly stored: LoadedManifest | undefined
  /** The same, or that of an empty database. */
  readonly loaded: Loaded
  readonly wal: LogRead
  /** Its records. */
  readonly log: readonly LoggedOperation[]
  /** What the stores were made with. */
  readonly shared: Shared
  readonly recall: ShadowRecall
  readonly pages: PageCache
}

/** Manifest, files and log. @param stores - gets the collections, as their files have them. */
async function readFiles(
  around: Surroundings,
  options: OpenOptions,
  stores: Map<number, Store>,
): Promise<Read> {
  const { fs, folder, pool } = around
  const { recovery: mode = 'strict' } = options
  const salvaged =
    mode === 'salvage' && !options.readOnly
      ? await salvageFiles(fs, folder, options)
      : { losses: [], quarantined: [] }
  const format = readFormat(fs, folder)
  const database = format ?? around.newDatabaseId()
  const stored = format && storedManifest(fs, folder, format)
  const loaded = stored ?? firstManifest(database)

  const recall = new ShadowRecall(
    options.shadow === false ? 0 : (options.shadow ?? DEFAULT_SHADOW),
    options.onRecallBelow,
  )
  const pages = new PageCache(options.pageCacheBytes ?? DEFAULT_PAGE_CACHE_BYTES)
  const shared: Shared = { pool, shadow: recall.share, pages }
  // Before files that take long: a writer beside may cut it meanwhile.
  const wal = readLog(fs, folder, database, loaded.manifest, mode)
  for (const entry of loaded.manifest.collections) {
    const store = new Store(entry.number, configOf(entry), shared)
    stores.set(entry.number, store)
    await loadFiles(around, store, entry, options)
  }
  forgetLeftOut(wal, stores)
  const log = decodeLog(wal.records)
  const hasFormat = format !== undefined
  return { mode, salvaged, hasFormat, database, stored, loaded, wal, log, shared, recall, pages }
}

export interface Replayed {
  /** Some files are set aside later. */
  readonly recovery: RecoveryReport & { readonly quarantined: string[] }
  readonly nextCollection: number
  readonly lastLsn: number
}

async function replayLog(
  { mode, salvaged, stored, loaded: { manifest }, wal, log, shared }: Read,
  stores: Map<number, Store>,
  folder: string,
  options: OpenOptions,
): Promise<Replayed> {
  const losses: RecoveryLoss[] = [...salvaged.losses.map(recoveryLoss), ...wal.losses]
  if (mode === 'salvage') losses.push(...orphans(stores.keys(), log, folder))
  const recovery = {
    mode,
    clean: wal.clean,
    replayedRecords: wal.records.length,
    replayedBytes: await replay(stores, log, flushedUpTo(manifest), shared, options),
    torn: wal.torn,
    losses,
    quarantined: [...salvaged.quarantined, ...(stored?.damaged ? [stored.damaged.name] : [])],
  }
  const nextCollection = log.reduce(
    (next, { operation }) => Math.max(next, operation.collection + 1),
    manifest.nextCollection,
  )
  return { recovery, nextCollection, lastLsn: wal.end.lsn - 1 }
}

function logOptions(
  { fs, folder, nonce }: Surroundings,
  { sync = 'always', walFileBytes }: OpenOptions,
  { database, wal }: Read,
): WalWriterOptions {
  return {
    fs,
    folder,
    database,
    firstFile: wal.end.file,
    firstLsn: wal.end.lsn,
    previous: wal.end,
    ...(wal.clean && !isScattered(wal) ? {} : { carry: wal.records }),
    nonce,
    sync,
    ...(walFileBytes === undefined ? {} : { fileBytes: walFileBytes }),
  }
}

/** FORMAT is written when it was not there; what is damaged or unfinished goes. */
function cleanFolder(fs: DriftFs, folder: string, { hasFormat, database, stored }: Read): void {
  if (!hasFormat) writeFormat(fs, folder, database)
  if (stored?.damaged) quarantine(fs, folder, stored.damaged.name)
  for (const name of unfinishedFiles(fs, folder)) {
    // The log's thread may be writing one.
    if (!isWalDraft(name)) fs.remove(join(folder, name))
  }
}

/** @returns undefined when FORMAT is all there is: a database that was never finished. */
function storedManifest(fs: DriftFs, folder: string, database: Uint8Array): LoadedManifest | undefined {
  const manifests = readManifests(fs, folder)
  const loaded = chooseManifest(manifests, folder)
  if (!loaded) {
    assertNothingLost(fs, folder)
    return undefined
  }
  assertNotMerged(manifests, folder)
  if (loaded.manifest.database === hex(database)) return loaded
  throw new DriftError('DRIFT_CORRUPT_FORMAT', `the manifest in ${folder} belongs to another database`, {
    path: folder,
  })
}

/** Collections that were created after the point in time. */
function forgetLeftOut({ leftOut }: LogRead, stores: Map<number, Store>): void {
  for (const { bytes } of leftOut) {
    const operation = decodeOperation(bytes)
    if (operation.kind !== 'create') continue
    stores.get(operation.collection)?.close()
    stores.delete(operation.collection)
  }
}

function recoveryLoss({
  file,
  kind,
  collection,
  message,
  lsnLow,
  lsnHigh,
  ids,
  unknownIds,
}: Loss): RecoveryLoss {
  return {
    file,
    offset: 0,
    kind,
    reason: message,
    firstLsn: lsnLow,
    ...(lsnHigh === undefined ? {} : { lastLsn: lsnHigh }),
    ...(collection === undefined ? {} : { collection }),
    ids,
    unknownIds: unknownIds ?? 0,
  }
}

function firstManifest(database: Uint8Array): Loaded {
  const manifest = {
    database: hex(database),
    floorLsn: 1,
    durableLsn: 0,
    nextCollection: 1,
    nextFile: 1,
    collections: [],
  }
  return { manifest: { number: 0, ...manifest }, crc: 0, nextNumber: 1 }
}

/** Whatever else of ours there is without a manifest has lost it. */
function assertNothingLost(fs: DriftFs, folder: string): void {
  const orphan = fs.list(folder).find(name => isTruth(name))
  if (orphan === undefined) return
  throw new DriftError('DRIFT_CORRUPT_FORMAT', `${folder} holds ${orphan} but no manifest`, { path: folder })
}

function configOf(entry: CollectionEntry): CollectionConfig {
  const { name, dim, metric, options } = entry
  const memtableRows = options['memtableRows']
  const quantizer = INDEX_QUANTIZERS.find(mode => mode === options['quantizer'])
  return {
    name,
    dim,
    metric,
    ...(typeof memtableRows === 'number' ? { memtableRows } : {}),
    ...(options['cold'] === 'disk' ? { cold: 'disk' } : {}),
    ...(quantizer === undefined ? {} : { quantizer }),
    ...indexesOf(options),
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
