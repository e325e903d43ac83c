/**
 * The opening sequence: lock, FORMAT, newest valid manifest, segments, index, log replay, clean-up. Nothing is written
 * to an existing database until everything that will be trusted has been checked.
 */
import { join } from 'node:path'
import { type IndexPool, WalWriter } from '@drift/core'
import { type DriftFs, type FileLock, FsError } from '@drift/fs'
import { type CollectionEntry, loadManifest, PageCache } from '@drift/storage'
import { DEFAULT_MIN_FREE_BYTES, Disk } from './disk.js'
import type { Engine } from './engine.js'
import { DriftError } from './errors.js'
import {
  isTruth,
  makeFolders,
  ownedFiles,
  quarantine,
  readFormat,
  unfinishedFiles,
  writeFormat,
} from './folder.js'
import { Janitor } from './janitor.js'
import { Journal } from './journal.js'
import { loadFiles } from './load.js'
import { type RecoveryLoss, readLog, removeReplaced, setAside } from './log-recovery.js'
import { type CollectionConfig, decodeOperation, type Operation } from './operation.js'
import type { OpenOptions } from './options.js'
import { indexesOf } from './payload-index/declare.js'
import type { Executor } from './persistence/executor.js'
import { type Loaded, PersistenceManager } from './persistence/persistence.js'
import { openReadOnly, readOnlyEngine } from './read-only/open.js'
import type { Loss } from './repair/plan.js'
import { salvageFiles } from './repair/repair.js'
import { DEFAULT_SHADOW, ShadowRecall } from './shadow.js'
import { type Shared, Store } from './store.js'

/** Vector pages in memory: about 4 000. */
const DEFAULT_PAGE_CACHE_BYTES = 64 * 1024 * 1024
/** Between two reports of a replay, when other work of the process and a cancellation get their turn. */
const REPLAY_SLICE_BYTES = 8 * 1024 * 1024

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
  try {
    return await recoverLocked(around, options, lock, stores)
  } catch (error) {
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
): Promise<Engine> {
  const { fs, folder, pool } = around
  const mode = options.recovery ?? 'strict'
  const files =
    mode === 'salvage' && !options.readOnly
      ? await salvageFiles(fs, folder, options)
      : { losses: [], quarantined: [] }
  const known = readFormat(fs, folder)
  const database = known ?? around.newDatabaseId()
  const loaded = known && loadManifest(fs, folder)
  if (known && !loaded) assertNothingLost(fs, folder)
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
  const replayBytes = wal.records.reduce((sum, { bytes }) => sum + bytes.length, 0)
  let replayedBytes = 0
  let reportAt = REPLAY_SLICE_BYTES
  let nextCollection = manifest.nextCollection
  // Before the record of its drop a collection may be unknown.
  const dropped = new Set<number>()
  for (const { bytes } of mode === 'salvage' ? wal.records : []) {
    const { kind, collection } = decodeOperation(bytes)
    if (kind === 'drop') dropped.add(collection)
  }
  const flushed = new Map(manifest.collections.map(entry => [entry.number, lastFlushed(entry)]))
  for (const { lsn, bytes } of wal.records) {
    options.signal?.throwIfAborted()
    const operation = decodeOperation(bytes)
    nextCollection = Math.max(nextCollection, operation.collection + 1)
    if (lsn > (flushed.get(operation.collection) ?? 0)) replay(stores, operation, lsn, shared)
    const orphan = operation.kind === 'upsert' || operation.kind === 'delete'
    if (
      mode === 'salvage' &&
      orphan &&
      !stores.has(operation.collection) &&
      !dropped.has(operation.collection)
    ) {
      const reason = `collection ${operation.collection} is unknown: its creation is gone`
      losses.push({ file: folder, offset: 0, kind: 'collection', reason, firstLsn: lsn, lastLsn: lsn })
    }
    replayedBytes += bytes.length
    if (replayedBytes < reportAt) continue
    reportAt = replayedBytes + REPLAY_SLICE_BYTES
    options.onProgress?.({ stage: 'replay', done: replayedBytes, total: replayBytes, unit: 'bytes' })
    await new Promise(resolve => setImmediate(resolve))
  }
  if (replayBytes > 0)
    options.onProgress?.({ stage: 'replay', done: replayBytes, total: replayBytes, unit: 'bytes' })

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
    return readOnlyEngine(around, found, stores, wal.end.lsn - 1, nextCollection, recovery, recall, pages)
  }
  // Everything has been read and checked: from here on the folder may be written.
  if (!known) writeFormat(fs, folder, database)
  if (loaded?.damaged) quarantine(fs, folder, loaded.damaged.name)
  for (const name of unfinishedFiles(fs, folder)) fs.remove(join(folder, name))
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
  const commitRecovered = (logFile?: number) =>
    persistence.commit(() => ({
      floorLsn: manifest.floorLsn,
      durableLsn: wal.end.lsn - 1,
      collections: [...stores.values()].map(({ number, config }) => ({ number, config })),
      ...(logFile === undefined ? {} : { logFile }),
    }))
  if (wal.replaced) {
    quarantined.push(...setAside(fs, folder, { ...wal, losses }, mode))
    // The state that is gone back to is committed before the log says so, and after: both manifests that are kept then agree with it.
    if (typeof mode === 'object') await commitRecovered()
  }
  const lastLsn = wal.end.lsn - 1
  const journal = new Journal()
  const writer = await WalWriter.open({
    fs,
    folder,
    database,
    firstFile: wal.end.file,
    firstLsn: wal.end.lsn,
    previous: wal.end,
    ...(wal.clean ? {} : { carry: wal.records }),
    nonce: around.nonce,
    sync: options.sync ?? 'always',
    thread: around.threaded,
    onDurable: lsn => journal.applyUpTo(lsn),
    onStall: error => disk.meet(error),
    ...(options.walFileBytes === undefined ? {} : { fileBytes: options.walFileBytes }),
  })
  if ((options.sync ?? 'always') !== 'always') persistence.syncFirst(() => writer.sync())
  // From the first acknowledgement on a log that lacks its new file is damaged, and does not end where the file before ended.
  await commitRecovered(wal.end.file)
  if (wal.replaced) await removeReplaced(fs, folder, writer)
  journal.start(writer, lastLsn)
  const engine: Engine = {
    fs,
    folder,
    lock,
    journal,
    persistence,
    pool,
    janitor: new Janitor(),
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

/** The last record that this collection's files hold. */
function lastFlushed(entry: CollectionEntry): number {
  return Math.max(
    0,
    ...entry.segments.map(file => file.lsnHigh),
    ...entry.tombstones.map(file => file.lsnHigh),
  )
}

function replay(stores: Map<number, Store>, operation: Operation, lsn: number, shared: Shared): void {
  const store = stores.get(operation.collection)
  if (operation.kind === 'lost') return
  if (operation.kind === 'create') {
    if (!store) {
      stores.set(operation.collection, new Store(operation.collection, operation.config, shared))
    }
    return
  }
  // A record of a collection that has been dropped since.
  if (!store) return
  if (operation.kind === 'drop') {
    stores.delete(operation.collection)
    store.close()
  } else if (operation.kind === 'upsert') {
    const { appended, generation } = store.append(operation.batch)
    store.record(generation, lsn)
    store.publish(appended, operation.batch.payloads)
  } else {
    store.record(store.active, lsn)
    store.delete(operation.ids, store.active)
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
