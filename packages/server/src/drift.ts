/**
 * Drift: the door to a database. One folder, one writing handle, any number of collections that share one log.
 */
import { randomBytes } from 'node:crypto'
import { availableParallelism, constants } from 'node:os'
import { resolve } from 'node:path'
import { IndexPool } from '@drift/core'
import { NodeFs, type NodeFsOptions, SimFs } from '@drift/fs'
import { flock, hasAddon } from '@drift/native'
import type { PageCacheStats } from '@drift/storage'
import { type BackupOptions, type BackupReport, backupEngine } from './backup/backup.js'
import { type CheckOptions, checkEngine, checkFolder } from './check/check.js'
import type { CheckReport } from './check/report.js'
import { isOutdated, writePartition } from './checkpoint.js'
import { Collection } from './collection.js'
import type { DiskStats } from './disk.js'
import { assertOpen, assertUnfailed, assertWritable, currentState, type Engine } from './engine.js'
import { DriftError } from './errors.js'
import { logFiles } from './folder.js'
import { show, wrongOption } from './given.js'
import type { MaintenanceEvent } from './healing.js'
import type { RecoveryReport } from './log-recovery.js'
import { type CollectionConfig, encodeCreate, encodeDrop } from './operation.js'
import {
  type CollectionOptions,
  type OpenOptions,
  parseCollectionOptions,
  parseFolderOptions,
  parseName,
  parseOpenOptions,
  parseWriteOptions,
} from './options.js'
import type { PaceStats } from './pace.js'
import { assertDeclared } from './payload-index/declare.js'
import { inlineExecutor, threadExecutor } from './persistence/executor.js'
import { recover } from './recovery.js'
import { type RepairOptions, type RepairReport, repairFolder } from './repair/repair.js'
import type { Payload } from './rows.js'
import { type CollectionStats, collectionStats } from './stats.js'
import { Store } from './store.js'

/** The path of a database that lives and dies with the process. */
const IN_MEMORY = ':memory:'
/** As the name of a folder it would make one called `http:`. A drive of Windows is one letter. */
const URL_START = /^[a-z][a-z0-9+.-]+:\/\//i
const MAX_DEFAULT_THREADS = 4

export interface DriftStats {
  readonly path: string
  /** `full`: writes are refused until the disk has room. `read-only`: opened so. `failed`: a log or manifest write failed; reads go on, writing needs a reopen. */
  readonly state: 'open' | 'full' | 'read-only' | 'failed'
  readonly disk: DiskStats
  /** What opening found and did. */
  readonly recovery: RecoveryReport
  /** Why the last flush failed, while it is being retried. */
  readonly lastError: string | undefined
  readonly collections: readonly CollectionStats[]
  /** How maintenance gives way to searches: see `maxSearchWaitMs` of `Drift.open`. */
  readonly maintenance: PaceStats
  readonly wal: {
    readonly files: number
    readonly bytes: number
    readonly pendingBytes: number
    readonly durableLsn: number
  }
  readonly manifest: number
  /** Vector pages in memory, of the collections with `cold: 'disk'`. */
  readonly pageCache: PageCacheStats
}

export class Drift {
  readonly #engine: Engine
  readonly #path: string
  /** Creations in flight, by name: two calls for one new name make one collection. */
  readonly #creating = new Map<string, Promise<Collection>>()
  /** Calls of `collection` and drops in flight. */
  readonly #changing = new Set<Promise<unknown>>()
  /** Not begun. */
  #nextCommit: Promise<unknown> | undefined
  #closing: Promise<void> | undefined

  private constructor(engine: Engine, path: string) {
    // In JavaScript nothing else says so, and every method would fail without a code.
    if (typeof engine !== 'object')
      throw new DriftError(
        'DRIFT_OPTION',
        'a database is opened by `await Drift.open(path)`, not by `new Drift`',
      )
    this.#engine = engine
    this.#path = path
  }

  /**
   * Open the database in a folder, making it when there is none; `:memory:` keeps everything in memory.
   * What was acknowledged is there; a batch that was cut off by a crash is there whole or not at all.
   *
   * @throws DriftError, or the coded error of the layer that refused: DRIFT_LOCKED, DRIFT_NOT_A_FOLDER, DRIFT_FORMAT_VERSION, DRIFT_WAL_CORRUPT, ...
   */
  static async open(path: string, options?: OpenOptions): Promise<Drift> {
    const parsed = parseOpenOptions(options)
    assertPath('path', path, true)
    parsed.signal?.throwIfAborted()
    const inMemory = path === IN_MEMORY
    if (inMemory && parsed.readOnly)
      throw new DriftError('DRIFT_OPTION', `readOnly needs a folder, not '${IN_MEMORY}'`, {
        option: 'readOnly',
      })
    const real = !inMemory && parsed.fs === undefined
    const fs = parsed.fs ?? (inMemory ? new SimFs() : new NodeFs(realLocks()))
    const folder = inMemory ? '/drift' : parsed.fs ? path : resolve(path)
    const threads =
      parsed.threads ?? (real || inMemory ? Math.min(availableParallelism() - 1, MAX_DEFAULT_THREADS) : 0)
    const executor = real ? threadExecutor() : inlineExecutor(fs)
    const pool = threads > 0 ? new IndexPool({ threads }) : undefined
    try {
      const engine = await recover(
        {
          fs,
          folder,
          executor,
          pool,
          threaded: real,
          durable: !inMemory,
          newDatabaseId: () => randomBytes(16),
          nonce: () => randomBytes(8).readBigUInt64LE(),
          now: () => performance.now(),
        },
        parsed,
      )
      engine.janitor.healing.mode = parsed.maintenance ?? 'background'
      engine.recall.start(engine)
      return new Drift(engine, path)
    } catch (error) {
      await pool?.close()
      await executor.close()
      throw error
    }
  }

  /** What opening found and did: what was replayed, and under `salvage` what is lost. */
  get recovery(): RecoveryReport {
    return this.#engine.recovery
  }

  get path(): string {
    return this.#path
  }

  /**
   * The collection of this name; created when there is none, which needs `dim`. Options that are given must agree with
   * the collection that exists. Payloads have a type when one is given: `db.collection<{ lang: string }>('docs')`.
   */
  async collection<P extends object = Payload>(
    name: string,
    options?: CollectionOptions,
  ): Promise<Collection<P>> {
    const parsed = parseCollectionOptions(options)
    parseName(name)
    assertOpen(this.#engine)
    const isGiven = options !== undefined
    // One that is there takes no turn: a server asks for it with every request.
    const store = this.#creating.has(name) ? undefined : this.#find(name)
    const opened = store
      ? this.#opened(store, parsed, isGiven)
      : await this.#untilDone(this.#openOrCreate(name, parsed, isGiven))
    return opened as unknown as Collection<P>
  }

  /**
   * Told of every healing operation; `diagnostics_channel` 'drift:maintenance' has the same. What a listener throws is an uncaught exception of
   * the process, and healing goes on.
   *
   * @throws DriftError DRIFT_OPTION for another event, or a listener that is no function.
   */
  on(event: 'maintenance', listener: (event: MaintenanceEvent) => void): this {
    assertListener('on', event, listener)
    this.#engine.janitor.healing.events.on(event, listener)
    return this
  }

  /** @throws DriftError as `on`. */
  off(event: 'maintenance', listener: (event: MaintenanceEvent) => void): this {
    assertListener('off', event, listener)
    this.#engine.janitor.healing.events.off(event, listener)
    return this
  }

  /** Names, in the order of creation. */
  collections(): string[] {
    assertOpen(this.#engine)
    return this.#present().map(store => store.config.name)
  }

  /** Remove a collection and its rows for good. @returns false when there is none of this name. */
  async drop(name: string): Promise<boolean> {
    assertWritable(this.#engine)
    const store = this.#find(parseName(name))
    if (!store) return false
    this.#engine.disk.assertRoom(false)
    await this.#untilDone(this.#drop(store))
    return true
  }

  /** Every write that was made before is on stable storage when it resolves, whatever the sync mode. */
  async sync(): Promise<void> {
    assertWritable(this.#engine)
    await this.#engine.journal.writer.sync()
  }

  async stats(): Promise<DriftStats> {
    assertOpen(this.#engine)
    const { journal, persistence, janitor } = this.#engine
    const failed = journal.failed ?? persistence.failed
    const disk = this.#engine.disk.stats()
    const { fs, folder, readOnly } = this.#engine
    const files = readOnly ? logFiles(fs, folder) : journal.writer.files()
    return {
      path: this.#path,
      state: failed ? 'failed' : this.#engine.readOnly ? 'read-only' : disk.state,
      recovery: this.#engine.recovery,
      disk: failed ? { ...disk, state: 'failed' } : disk,
      lastError: (failed ?? janitor.error ?? janitor.tendingError)?.message,
      collections: this.#present().map(store => collectionStats(store)),
      maintenance: this.#engine.pace.stats(),
      wal: {
        files: files.length,
        bytes: files.reduce((bytes, file) => bytes + file.bytes, 0),
        pendingBytes: this.#engine.readOnly ? 0 : journal.writer.pendingBytes,
        durableLsn: journal.durableLsn,
      },
      manifest: persistence.manifest.number,
      pageCache: this.#engine.pages.stats,
    }
  }

  /**
   * Look at every byte of every file and at the agreement of memory with the files, beside searches and writes. Changes nothing.
   * Damage is reported, not thrown.
   */
  async check(options?: CheckOptions): Promise<CheckReport> {
    const parsed = parseWriteOptions(options, 'check')
    assertOpen(this.#engine)
    return checkEngine(this.#engine, parsed)
  }

  /**
   * The database as it is now, in a folder that is empty or not there; writes go on. Files that never change are linked where the disk
   * can, and `copy` has them copied. Resolves when every checksum has been read back; aborted or failed it leaves nothing that opens.
   * To restore, open that folder, or copy it back. A `':memory:'` database goes to the real disk.
   *
   * The folder may lie in that of the database, which leaves alone what has no name of its own (docs/FORMAT.md); but there it is lost with it.
   *
   * @throws DriftError DRIFT_PATH for a name that the database gives, DRIFT_BACKUP_EXISTS for a folder that is not empty, as the database's own;
   *   nothing has been written then.
   */
  async backup(folder: string, options?: BackupOptions): Promise<BackupReport> {
    const { copy = false, ...parsed } = parseFolderOptions(options, 'backup', 'copy')
    assertOpen(this.#engine)
    assertPath('the folder of the backup', folder)
    const { fs } = this.#engine
    const target = this.#path === IN_MEMORY ? new NodeFs() : fs
    return backupEngine(
      this.#engine,
      {
        fs: target,
        folder: target instanceof NodeFs ? resolve(folder) : folder,
        copy,
        nonce: () => randomBytes(8).readBigUInt64LE(),
      },
      parsed,
    )
  }

  /**
   * As `db.check()`, for a database that is not open here or does not open. Takes no lock and writes nothing. Of a folder that another
   * process has open it is one moment's state.
   *
   * @throws DriftError DRIFT_NO_DATABASE; DRIFT_LOCKED when another process writes it faster than its log can be read.
   */
  static async check(path: string, options?: CheckOptions & Pick<OpenOptions, 'fs'>): Promise<CheckReport> {
    const { fs, ...rest } = parseFolderOptions(options, 'Drift.check')
    assertPath('path', path)
    return checkFolder(fs ?? new NodeFs(), fs ? path : resolve(path), rest)
  }

  /**
   * Make a database open again that does not, or that `check` finds fault with: what is derived is made anew, sound pages of damaged files
   * are kept, damaged files go to quarantine/. What cannot be saved is listed, and refused unless `acceptLoss`. Not while it is open.
   *
   * @throws DriftError DRIFT_REPAIR_LOSS with `details.losses`, nothing changed; DRIFT_REPAIR_IMPOSSIBLE when no manifest can be read.
   */
  static async repair(
    path: string,
    options?: RepairOptions & Pick<OpenOptions, 'fs'>,
  ): Promise<RepairReport> {
    const { fs, ...rest } = parseFolderOptions(options, 'Drift.repair', 'acceptLoss')
    assertPath('path', path)
    return repairFolder(fs ?? new NodeFs(realLocks()), fs ? path : resolve(path), rest)
  }

  /**
   * Finish the writes that were called for, stop background work and give the folder back. Idempotent. What is called from now on is refused with
   * DRIFT_CLOSED, and so is long work that is under way, which changes no row. Rows that are only in the log stay there. Nothing depends
   * on this being called: a process that ends without it loses no acknowledged write.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    const engine = this.#engine
    engine.closed = true
    // What waits for room was not acknowledged, and must not make this wait too.
    if (!engine.readOnly) engine.journal.writer.giveUp()
    try {
      await Promise.all(Array.from(engine.stores.values(), ({ writers }) => writers.idle()))
      await Promise.allSettled(this.#changing)
      await engine.journal.settle()
      // Both at once: what one does to an index waits for what the other is at.
      await Promise.all([engine.janitor.stop(), engine.recall.stop()])
      for (const store of engine.stores.values()) await store.alone(async () => undefined)
      const { journal, persistence } = engine
      if (!engine.readOnly && !journal.failed && !journal.dropped && !persistence.failed) {
        for (const store of engine.stores.values()) {
          if (isOutdated(store)) await writePartition(engine, store)
        }
        await this.#commit()
      }
    } finally {
      await this.#release()
    }
  }

  /** Every part is let go, also when another one fails to end. @throws what the first one to fail threw. */
  async #release(): Promise<void> {
    const { journal, persistence, pool, stores, lock, disk } = this.#engine
    // Its reserve may be on its way, through a thread that ends below.
    const outcomes = await Promise.allSettled([disk.close()])
    const ended = [
      this.#engine.readOnly ? undefined : journal.writer.close(),
      persistence.close(),
      pool?.close(),
    ]
    outcomes.push(...(await Promise.allSettled(ended)))
    for (const store of stores.values()) store.close()
    lock.release()
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  }

  /** @param isGiven - options were. */
  async #openOrCreate(name: string, options: CollectionOptions, isGiven: boolean): Promise<Collection> {
    // What becomes of another's call is not this one's concern, only what is there afterwards.
    for (let other = this.#creating.get(name); other; other = this.#creating.get(name)) {
      await other.catch(() => undefined)
    }
    const store = this.#find(name)
    if (store) return this.#opened(store, options, isGiven)
    const created = this.#create(name, options)
    this.#creating.set(name, created)
    try {
      return await created
    } finally {
      this.#creating.delete(name)
    }
  }

  #opened(store: Store, options: CollectionOptions, isGiven: boolean): Collection {
    if (isGiven) assertSame(store.config, options)
    return new Collection(this.#engine, store)
  }

  async #create(
    name: string,
    { dim, metric = 'cosine', memtableRows, cold, quantizer = 'auto', indexes }: CollectionOptions,
  ): Promise<Collection> {
    if (dim === undefined) {
      throw new DriftError(
        'DRIFT_NO_COLLECTION',
        `there is no collection '${name}'; give { dim } to create it`,
        { name },
      )
    }
    assertUnfailed(this.#engine)
    const engine = this.#engine
    engine.disk.assertRoom(true)
    const number = engine.nextCollection++
    const config: CollectionConfig = {
      name,
      dim,
      metric,
      ...(memtableRows === undefined ? {} : { memtableRows }),
      ...(cold === 'disk' ? { cold } : {}),
      ...(quantizer === 'auto' ? {} : { quantizer }),
      ...(indexes === undefined ? {} : { indexes }),
    }
    const store = new Store(number, config, {
      pool: engine.pool,
      shadow: engine.recall.share,
      pages: engine.pages,
    })
    const { done } = engine.journal.log(encodeCreate(number, config), {
      apply: () => engine.stores.set(number, store),
      abandon: () => store.close(),
    })
    await done
    await this.#commit()
    return new Collection(engine, store)
  }

  async #drop(store: Store): Promise<void> {
    const engine = this.#engine
    store.dropped = true
    const { done } = engine.journal.log(encodeDrop(store.number), {
      apply: () => engine.stores.delete(store.number),
      abandon: () => {
        store.dropped = false
      },
    })
    await done
    try {
      await engine.janitor.ended()
      // What replaces files of the collection has its own open until it ends.
      await store.alone(async () => undefined)
      await this.#commit()
    } finally {
      store.close()
    }
  }

  /** Closing waits for the work. */
  #untilDone<T>(work: Promise<T>): Promise<T> {
    this.#changing.add(work)
    const done = () => this.#changing.delete(work)
    work.then(done, done)
    return work
  }

  /** Of the state when its turn comes: until then it is also that of everyone who asks for one. */
  #commit(): Promise<unknown> {
    this.#nextCommit ??= this.#engine.persistence.commit(() => {
      this.#nextCommit = undefined
      return currentState(this.#engine)
    })
    return this.#nextCommit
  }

  #find(name: string): Store | undefined {
    for (const store of this.#engine.stores.values()) {
      if (!store.dropped && store.config.name === name) return store
    }
    return undefined
  }

  /** Those that are not being dropped. */
  #present(): Store[] {
    return [...this.#engine.stores.values()].filter(store => !store.dropped)
  }
}

function assertListener(where: string, event: unknown, listener: unknown): void {
  if (event !== 'maintenance') {
    throw new DriftError(
      'DRIFT_OPTION',
      `${where} got the event ${show(event)}, the only one is 'maintenance'`,
      {
        option: 'event',
      },
    )
  }
  if (typeof listener === 'function') return
  throw wrongOption('listener', listener, 'a function')
}

function assertPath(what: string, path: unknown, mayBeInMemory = false): void {
  const isUrl = typeof path === 'string' && URL_START.test(path)
  if (typeof path === 'string' && path.length > 0 && !isUrl && (mayBeInMemory || path !== IN_MEMORY)) return
  const expected = `expected the name of a folder${mayBeInMemory ? ` or '${IN_MEMORY}'` : ''}`
  const hint = isUrl ? '; a server is reached by connect(url) of @drift/client' : ''
  throw new DriftError('DRIFT_PATH', `${what} is ${show(path)}, ${expected}${hint}`)
}

/** Locks by flock(2) where the addon has it. */
function realLocks(): NodeFsOptions {
  if (!hasAddon) return {}
  return { flock: fd => (flock(fd) === 'locked' ? 0 : constants.errno.EWOULDBLOCK) }
}

function assertSame(
  config: CollectionConfig,
  { dim, metric, memtableRows, cold, quantizer, indexes }: CollectionOptions,
): void {
  assertDeclared(config, indexes)
  const given = { dim, metric, memtableRows, cold, quantizer }
  const all = { ...config, cold: config.cold ?? 'resident', quantizer: config.quantizer ?? 'auto' }
  for (const [option, value] of Object.entries(given)) {
    const stored = all[option as keyof typeof given]
    if (value === undefined || value === stored) continue
    throw new DriftError(
      'DRIFT_COLLECTION_MISMATCH',
      `collection '${config.name}' has ${option} ${stored ?? 'by default'}, not ${value}`,
      { name: config.name, option, stored, given: value },
    )
  }
}
