/**
 * The opening sequence: lock, FORMAT, newest valid manifest, segments, index, log replay, clean-up. Nothing is written
 * to an existing database until everything that will be trusted has been checked.
 */
import { join } from 'node:path'
import { type IndexPool, readWal, WalWriter } from '@drift/core'
import { type DriftFs, type FileLock, FsError } from '@drift/fs'
import { type CollectionEntry, loadManifest } from '@drift/storage'
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
import { type CollectionConfig, decodeOperation, type Operation } from './operation.js'
import type { OpenOptions } from './options.js'
import type { Executor } from './persistence/executor.js'
import { type Loaded, PersistenceManager } from './persistence/persistence.js'
import { Store } from './store.js'

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
}

export async function recover(around: Surroundings, options: OpenOptions): Promise<Engine> {
  const { fs, folder } = around
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

  for (const entry of manifest.collections) {
    const store = new Store(entry.number, configOf(entry), pool)
    stores.set(entry.number, store)
    await loadFiles(around, store, entry, options)
  }

  const wal = readWal(fs, folder, { database, floorLsn: manifest.floorLsn, durableLsn: manifest.durableLsn })
  let nextCollection = manifest.nextCollection
  const flushed = new Map(manifest.collections.map(entry => [entry.number, lastFlushed(entry)]))
  for (const { lsn, bytes } of wal.records) {
    options.signal?.throwIfAborted()
    const operation = decodeOperation(bytes)
    nextCollection = Math.max(nextCollection, operation.collection + 1)
    if (lsn > (flushed.get(operation.collection) ?? 0)) replay(stores, operation, lsn, pool)
  }

  // Everything has been read and checked: from here on the folder may be written.
  if (!known) writeFormat(fs, folder, database)
  if (loaded?.damaged) quarantine(fs, folder, loaded.damaged.name)
  for (const name of unfinishedFiles(fs, folder)) fs.remove(join(folder, name))
  const persistence = new PersistenceManager(
    folder,
    around.executor,
    loaded ?? firstManifest(database),
    ownedFiles(fs, folder),
  )
  if (!loaded) {
    await persistence.commit(() => ({ floorLsn: manifest.floorLsn, durableLsn: 0, collections: [] }))
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
    ...(options.walFileBytes === undefined ? {} : { fileBytes: options.walFileBytes }),
  })
  journal.start(writer, lastLsn)
  const engine: Engine = {
    fs,
    folder,
    lock,
    journal,
    persistence,
    pool,
    janitor: new Janitor(),
    stores,
    durable: around.durable && (options.sync ?? 'always') === 'always',
    nextCollection,
    closed: false,
  }
  engine.janitor.start(engine)
  return engine
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
  return { name, dim, metric, ...(typeof memtableRows === 'number' ? { memtableRows } : {}) }
}

/** The last record that this collection's files hold. */
function lastFlushed(entry: CollectionEntry): number {
  return Math.max(
    0,
    ...entry.segments.map(file => file.lsnHigh),
    ...entry.tombstones.map(file => file.lsnHigh),
  )
}

function replay(
  stores: Map<number, Store>,
  operation: Operation,
  lsn: number,
  pool: IndexPool | undefined,
): void {
  const store = stores.get(operation.collection)
  if (operation.kind === 'create') {
    if (!store) stores.set(operation.collection, new Store(operation.collection, operation.config, pool))
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
