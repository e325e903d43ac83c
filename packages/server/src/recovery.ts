/**
 * The opening sequence: lock, FORMAT, newest valid manifest, segments, index, log replay, clean-up. Nothing is written
 * to an existing database until everything that will be trusted has been checked.
 */
import { join } from 'node:path'
import { type IndexPool, isWalDraft, WalThread, WalWriter } from '@drift/core'
import { type DriftFs, type FileLock, FsError } from '@drift/fs'
import { type CollectionEntry, chooseManifest, PageCache, readManifests } from '@drift/storage'
import { assertNotMerged } from './check/survey.js'
import { DEFAULT_MIN_FREE_BYTES, Disk } from './disk.js'
import type { Engine } from './engine.js'
import { DriftError } from './errors.js'
import { isTruth, makeFolders, ownedFiles, readFormat, unfinishedFiles, writeFormat } from './folder.js'
import { Janitor } from './janitor.js'
import { Journal } from './journal.js'
import { loadFiles } from './load.js'
import { isScattered, type RecoveryLoss, readLog, removeReplaced, setAside } from './log-recovery.js'
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
import { decodeLog, lastFlushed, orphans, replay } from './replay.js'
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
  const lock = lockFolder(fs, folder)
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
  const mode = options.recovery ?? 'strict'
  const files =
    mode === 'salvage' && !options.readOnly
      ? await salvageFiles(fs, folder, options)
      : { losses: [], quarantined: [] }
  const known = readFormat(fs, folder)
  const database = known ?? around.newDatabaseId()
  const manifests = known ? readManifests(fs, folder) : []
  const loaded = chooseManifest(manifests, folder)
  if (known && !loaded) assertNothingLost(fs, folder)
  assertNotMerged(manifests, folder)
  const { manifest } = loaded ?? firstManifest(database)
  if (manifest.database !== hex(database)) {
    throw new DriftError('DRIFT_CORRUPT_FORMAT', `the manifest in ${folder} belongs to another database`, {
      path: folder,
    })
  }

  const recall = new ShadowRecall(
    options.shadow === false ? 0 : (options.shadow ?? DEFAULT_SHADOW),
    options.onRecallBelow,
  )
  const pages = new PageCache(options.pageCacheBytes ?? DEFAULT_PAGE_CACHE_BYTES)
  const shared: Shared = { pool, shadow: recall.share, pages }
  for (const entry of manifest.collections) {
    const store = new Store(entry.number, configOf(entry), shared)
    stores.set(entry.number, store)
    await loadFiles(around, store, entry, options)
  }

  const wal = readLog(fs, folder, database, manifest, mode)
  const losses: RecoveryLoss[] = [...files.losses.map(recoveryLoss), ...wal.losses]
  for (const { bytes } of wal.leftOut) {
    const operation = decodeOperation(bytes)
    if (operation.kind !== 'create') continue
    stores.get(operation.collection)?.close()
    stores.delete(operation.collection)
  }
  const log = decodeLog(wal.records)
  const lastLsn = wal.end.lsn - 1
  const journal = new Journal()
  const openWriter = (thread: WalThread | false, until?: Promise<unknown>): Promise<WalWriter> =>
    WalWriter.open({
      fs,
      folder,
      database,
      firstFile: wal.end.file,
      firstLsn: wal.end.lsn,
      previous: wal.end,
      ...(wal.clean && !isScattered(wal) ? {} : { carry: wal.records }),
      nonce: around.nonce,
      sync: options.sync ?? 'always',
      thread,
      ...(until && { until }),
      onDurable: lsn => journal.applyUpTo(lsn),
      onStall: error => {
        disk.meet(error)
        // A write that waits for those which now wait for room is refused, and so are the ones behind it.
        for (const { inFlight } of stores.values()) inFlight.wake()
      },
      ...(options.walFileBytes === undefined ? {} : { fileBytes: options.walFileBytes }),
    })
  // What an unclean end left is copied beside the replay, into a draft that nobody knows before all is checked.
  let publish = (): void => {}
  const checked = new Promise<void>(resolve => {
    publish = resolve
  })
  const early = thread && !wal.replaced ? openWriter(thread, checked) : undefined
  early?.catch(() => {}) // met below
  if (mode === 'salvage') losses.push(...orphans(stores.keys(), log, folder))
  const flushed = new Map(manifest.collections.map(entry => [entry.number, lastFlushed(entry)]))
  const replayedBytes = await replay(stores, log, flushed, shared, options)
  const nextCollection = log.reduce(
    (next, { operation }) => Math.max(next, operation.collection + 1),
    manifest.nextCollection,
  )

  const quarantined = [...files.quarantined, ...(loaded?.damaged ? [loaded.damaged.name] : [])]
  const recovery = {
    mode,
    clean: wal.clean,
    replayedRecords: wal.records.length,
    replayedBytes,
    torn: wal.torn,
    losses,
    quarantined,
  }
  if (options.readOnly) {
    const found = loaded ?? firstManifest(database)
    return readOnlyEngine(around, found, stores, lastLsn, nextCollection, recovery, recall, pages)
  }
  // Everything has been read and checked: from here on the folder may be written.
  if (!known) writeFormat(fs, folder, database)
  if (loaded?.damaged) quarantine(fs, folder, loaded.damaged.name)
  for (const name of unfinishedFiles(fs, folder)) {
    // The log's thread may be writing one.
    if (!isWalDraft(name)) fs.remove(join(folder, name))
  }
  const { minFreeBytes = DEFAULT_MIN_FREE_BYTES } = options
  const disk = new Disk({ fs, folder, executor: around.executor, minFreeBytes, now: around.now })
  const persistence = new PersistenceManager(
    folder,
    disk.executor,
    loaded ?? firstManifest(database),
    ownedFiles(fs, folder),
  )
  if (!loaded) {
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
    quarantined.push(...setAside(fs, folder, { ...wal, losses }, mode))
    // The state that is gone back to is committed before the log says so, and after: both manifests that are kept then agree with it. Under
    // salvage the log stays damaged until it is replaced, and what it must hold is as it was.
    await commitRecovered(undefined, typeof mode === 'object' ? lastLsn : manifest.durableLsn)
  }
  publish()
  const writer = await (early ?? openWriter(thread ?? false))
  if ((options.sync ?? 'always') !== 'always') persistence.syncFirst(() => writer.sync())
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
    durable: around.durable && (options.sync ?? 'always') === 'always',
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

function lockFolder(fs: DriftFs, folder: string): FileLock {
  try {
    return fs.lock(join(folder, 'LOCK'))
  } catch (error) {
    if (!(error instanceof FsError) || error.code !== 'DRIFT_FS_LOCKED') throw error
    throw new DriftError(
      'DRIFT_LOCKED',
      `${folder} is open already, here or in another process; one handle may write at a time`,
      { path: folder },
      { cause: error },
    )
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

/** FORMAT alone is a database that was never finished; anything more without a manifest has lost one. */
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
