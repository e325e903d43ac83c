/**
 * The opening sequence: lock, FORMAT, newest valid manifest, segments, index, log replay, clean-up. Nothing is written
 * to an existing database until everything that will be trusted has been checked.
 */
import { join } from 'node:path'
import { decodeId, type Id, type IndexPool, readWal, WalWriter } from '@drift/core'
import { type DriftFs, type FileLock, FsError } from '@drift/fs'
import {
  type CollectionEntry,
  loadManifest,
  NO_HOME,
  readTombstones,
  type SegmentEntry,
  SegmentReader,
  type TombstoneEntry,
} from '@drift/storage'
import { readPartition } from './checkpoint.js'
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
import { type CollectionConfig, decodeOperation, type Operation } from './operation.js'
import type { OpenOptions, Progress } from './options.js'
import type { Executor } from './persistence/executor.js'
import { type Loaded, PersistenceManager } from './persistence/persistence.js'
import { openReadOnly, readOnlyEngine } from './read-only/open.js'
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

  if (options.readOnly) {
    return readOnlyEngine(around, loaded ?? firstManifest(database), stores, wal.end.lsn - 1, nextCollection)
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
    readOnly: false,
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

/** Segments and tombstones in the order of the log: a tombstone kills the id in older segments only. */
async function loadFiles(
  around: Surroundings,
  store: Store,
  entry: CollectionEntry,
  options: OpenOptions,
): Promise<void> {
  const { fs, folder } = around
  const total = entry.segments.reduce((rows, segment) => rows + segment.rows, 0)
  const report = (done: number): void =>
    options.onProgress?.({ stage: `open ${entry.name}`, done, total } satisfies Progress)
  const files: (SegmentEntry | TombstoneEntry)[] = [...entry.tombstones, ...entry.segments]
  files.sort((a, b) => a.lsnLow - b.lsnLow)
  let done = 0
  for (const file of files) {
    options.signal?.throwIfAborted()
    if (isSegment(file, entry)) {
      loadSegment(around, store, file)
      done += file.rows
      report(done)
    } else {
      store.index.delete(readTombstones(fs, folder, file).map(decodeId))
    }
  }
  await placeRows(around, store, entry, options)
}

function isSegment(file: SegmentEntry | TombstoneEntry, entry: CollectionEntry): file is SegmentEntry {
  return entry.segments.includes(file as SegmentEntry)
}

function loadSegment(around: Surroundings, store: Store, entry: SegmentEntry): void {
  const { dim } = store.config
  const reader = SegmentReader.open(around.fs, around.folder, entry)
  const vectors = new Float32Array(entry.rows * dim)
  reader.readVectors(0, entry.rows, vectors)
  const ids: Id[] = reader.ids().map(decodeId)
  const rows = store.index.load(ids, vectors)
  store.payloads.moveToSegment(rows, reader)
  store.segments.push({ entry, reader, rows })
}

/** Rows into buckets: where the checkpoint says, else by routing, else by a new partition. */
async function placeRows(
  around: Surroundings,
  store: Store,
  entry: CollectionEntry,
  { signal, onProgress }: OpenOptions,
): Promise<void> {
  if (store.segments.length === 0) return
  const partition = entry.checkpoint && readPartition(around, entry.checkpoint)
  if (partition) store.index.restoreCentroids(partition.centroids)
  const placed: number[] = []
  const homes: number[] = []
  const seconds: number[] = []
  const unplaced: number[] = []
  for (const segment of store.segments) {
    const known = partition?.homes.get(segment.entry.uuid)
    for (let i = 0; i < segment.rows.length; i++) {
      // A newer segment may have replaced the row, and its number may have gone to another since.
      if (!store.payloads.rowIsAt(segment.rows[i]!, segment.reader, i)) continue
      const home = known?.[2 * i] ?? NO_HOME
      if (home === NO_HOME) unplaced.push(segment.rows[i]!)
      else {
        placed.push(segment.rows[i]!)
        homes.push(home)
        seconds.push(known![2 * i + 1]!)
      }
    }
  }
  if (placed.length > 0) {
    await store.index.assign(Uint32Array.from(placed), {
      homes: Uint32Array.from(homes),
      seconds: Uint32Array.from(seconds),
    })
  }
  if (partition) store.checkpointRows = store.index.count
  if (unplaced.length > 0) {
    const options = { ...(signal ? { signal } : {}), ...(onProgress ? { onProgress: place } : {}) }
    await store.index.assign(Uint32Array.from(unplaced), undefined, options)
  }

  function place(done: number, total: number): void {
    onProgress?.({ stage: `index ${entry.name}`, done, total })
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
