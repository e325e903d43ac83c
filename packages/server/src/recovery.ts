/**
 * The opening sequence: lock, FORMAT, newest valid manifest, segments, index, log replay, clean-up. Nothing is written
 * to an existing database until everything that will be trusted has been checked.
 */
import { join } from 'node:path'
import { type IndexPool, isWalDraft, WalThread, WalWriter, type WalWriterOptions } from '@drift/core'
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
import { type Loaded, PersistenceManager } from './persistence/persistence.js'
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
    const noLock = { release: () => {} }
    return openReadOnly(around, (held, stores) => recoverLocked(held, options, noLock, stores))
  }
  makeFolders(fs, folder)
  const lock = lockFolder(fs, folder, ' already, here or in another process; one handle may write at a time')
  const stores = new Map<number, Store>()
  // What threads load takes longer than many a database: meanwhile its files are read here.
  const thread = around.threaded ? new WalThread() : undefined
  around.executor.start()
  try {
    return await recoverLocked(around, options, lock, stores, thread)
  } catch (error) {
    await thread?.end()
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
  thread?: WalThread,
): Promise<Engine> {
  const { fs, folder, pool } = around
  const read = await readFiles(around, options, stores)
  const { stored, loaded, wal, recall, pages } = read
  const { manifest } = loaded
  const journal = new Journal()
  const openWriter = (thread: WalThread | false, until?: Promise<unknown>): Promise<WalWriter> =>
    openLog(around, options, read, {
      thread,
      ...(until && { until }),
      onDurable: lsn => journal.applyUpTo(lsn),
      onStall: error => {
        disk.meet(error)
        // A write that waits for those which now wait for room is refused, and so are the ones behind it.
        for (const { inFlight } of stores.values()) inFlight.wake()
      },
    })
  // What an unclean end left is copied beside the replay, into a draft that nobody knows before all is checked.
  let publish = (): void => {}
  const checked = new Promise<void>(resolve => {
    publish = resolve
  })
  const early = thread && !wal.replaced ? openWriter(thread, checked) : undefined
  early?.catch(() => {}) // met below
  const { recovery, nextCollection, lastLsn } = await replayLog(read, stores, folder, options)
  if (options.readOnly) {
    return readOnlyEngine(around, loaded, stores, lastLsn, nextCollection, recovery, recall, pages)
  }

  // Everything has been read and checked: from here on the folder may be written.
  cleanFolder(fs, folder, read)
  const { minFreeBytes = DEFAULT_MIN_FREE_BYTES, sync = 'always' } = options
  const disk = new Disk({ fs, folder, executor: around.executor, minFreeBytes, now: around.now })
  const persistence = new PersistenceManager(folder, disk.executor, loaded, ownedFiles(fs, folder))
  if (!stored) {
    await persistence.commit(() => ({ floorLsn: manifest.floorLsn, durableLsn: 0, collections: [] }))
  }
  const commitRecovered = (logFile?: number, durableLsn = lastLsn) =>
    persistence.commit(() => ({
      floorLsn: manifest.floorLsn,
      durableLsn,
      collections: [...stores.values()].map(({ number, config }) => ({ number, config })),
      withoutCheckpoints: wal.replaced,
      ...(logFile === undefined ? {} : { logFile }),
    }))
  if (wal.replaced) {
    const { mode, losses, quarantined } = recovery
    quarantined.push(...setAside(fs, folder, { ...wal, losses }, mode))
    // The state that is gone back to is committed before the log says so, and after: both manifests that are kept then agree with it. Under
    // salvage the log stays damaged until it is replaced, and what it must hold is as it was.
    await commitRecovered(undefined, typeof mode === 'object' ? lastLsn : manifest.durableLsn)
  }
  publish()
  const writer = await (early ?? openWriter(thread ?? false))
  if (sync !== 'always') persistence.syncFirst(() => writer.sync())
  // From the first acknowledgement on a log that lacks its new file is damaged, and does not end where the file before ended.
  await commitRecovered(wal.end.file)
  if (wal.replaced) await removeReplaced(fs, folder, writer)
  // After an unclean end the files that were read stay as they are beside what was carried from them, until a flush or too many of them. What
  // cannot be removed now is removed later.
  else if (wal.clean || isScattered(wal)) {
    await writer.removeBelow(persistence.logFloor).catch(() => undefined)
  }
  journal.start(writer, lastLsn)
  const engine: Engine = {
    fs,
    folder,
    lock,
    journal,
    persistence,
    pool,
    janitor: new Janitor(),
    pace: new Pace(options.maxSearchWaitMs ?? DEFAULT_MAX_SEARCH_WAIT_MS, around.now),
    disk,
    recall,
    pages,
    recovery,
    stores,
    durable: around.durable && sync === 'always',
    readOnly: false,
    nextCollection,
    closed: false,
  }
  engine.janitor.start(engine)
  disk.start(() => {
    writer.retry()
    engine.janitor.retry()
  })
  return engine
}

/** What is in the folder. */
interface Read {
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
  for (const entry of loaded.manifest.collections) {
    const store = new Store(entry.number, configOf(entry), shared)
    stores.set(entry.number, store)
    await loadFiles(around, store, entry, options)
  }
  const wal = readLog(fs, folder, database, loaded.manifest, mode)
  forgetLeftOut(wal, stores)
  const log = decodeLog(wal.records)
  const hasFormat = format !== undefined
  return { mode, salvaged, hasFormat, database, stored, loaded, wal, log, shared, recall, pages }
}

interface Replayed {
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

function openLog(
  { fs, folder, nonce }: Surroundings,
  { sync = 'always', walFileBytes }: OpenOptions,
  { database, wal }: Read,
  how: Pick<WalWriterOptions, 'thread' | 'until' | 'onDurable' | 'onStall'>,
): Promise<WalWriter> {
  return WalWriter.open({
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
    ...how,
  })
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
  return {
    name,
    dim,
    metric,
    ...(typeof memtableRows === 'number' ? { memtableRows } : {}),
    ...(options['cold'] === 'disk' ? { cold: 'disk' } : {}),
    ...indexesOf(options),
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
