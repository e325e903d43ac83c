/**
 * What the engine knows of the room on its disk. Rule: a write is refused before it touches a disk that is nearly full, so that what
 * is acknowledged can always be flushed; reads go on, and writing resumes by itself. Below the low-water mark only writes that add
 * rows are refused; after the system has refused bytes (a quota shows in no figure) every write is, until a reserve file can be made.
 */
import { join } from 'node:path'
import { type DriftFs, isOutOfSpace, isShortage } from '@drift/fs'
import { DriftError } from './errors.js'
import { RESERVE_NAME } from './folder.js'
import type { Executor } from './persistence/executor.js'
import type { Task, TaskResults } from './persistence/tasks.js'

/** Room for the next log file and for the memtables that wait to be flushed, at their default sizes. */
export const DEFAULT_MIN_FREE_BYTES: number = 256 * 1024 * 1024
/** A segment of one memtable, its tombstones and a manifest. */
const MAX_RESERVE_BYTES = 48 * 1024 * 1024
/** Less would prove little when it fits. */
const MIN_RESERVE_BYTES = 1024 * 1024
/** The reserve is made when free space falls below this many low-water marks: a disk with plenty of room needs none. */
const RESERVE_FROM = 4
/** Writing resumes above this many low-water marks, so that it does not stop again at once. */
const RESUME_FROM = 1.25
/** While writing, the free space is asked for this often; while full, by itself too. */
const CHECK_MS = 1_000
/** While full, writers make it ask at most this often. */
const RETRY_MS = 50

export interface DiskStats {
  /** `full`: writes are refused with DRIFT_DISK_FULL until there is room. `failed`: as `DriftStats.state`. */
  readonly state: 'open' | 'full' | 'failed'
  /** When last asked; Infinity for a disk without a limit. */
  readonly freeBytes: number
  /** The low-water mark. */
  readonly minFreeBytes: number
  /** Of the reserve file, which is given up when a flush finds no other room; 0 while there is none. */
  readonly reserveBytes: number
  /** Why writes are refused. */
  readonly reason: string | undefined
}

export interface DiskOptions {
  readonly fs: DriftFs
  readonly folder: string
  readonly executor: Executor
  readonly minFreeBytes: number
  /** Milliseconds, from any start. */
  readonly now: () => number
}

export class Disk {
  readonly #options: DiskOptions
  /** What writes; finds the reserve when there is no other room. */
  readonly executor: Executor
  #freeBytes: number
  #checkedAt: number
  #reserveBytes = 0
  #reserving: Promise<void> | undefined
  /** Undefined while there is room. */
  #full: { readonly refused: boolean; readonly reason: string } | undefined
  #timer: NodeJS.Timeout | undefined
  #onRoom: () => void = () => undefined
  #closed = false

  constructor(options: DiskOptions) {
    const { fs, folder, now } = options
    this.#options = options
    const { isThread } = options.executor
    this.executor = {
      isThread,
      start: () => options.executor.start(),
      run: task => this.#run(task),
      close: () => options.executor.close(),
    }
    this.#freeBytes = fs.freeBytes(folder)
    this.#checkedAt = now()
  }

  /** @param onRoom - called when writing resumes. From here on the folder may be written. */
  start(onRoom: () => void): void {
    this.#onRoom = onRoom
    this.#judge()
  }

  /**
   * @param grows - the write adds rows; others help to make room and pass below the low-water mark.
   * @throws DriftError DRIFT_DISK_FULL.
   */
  assertRoom(grows: boolean): void {
    const age = this.#options.now() - this.#checkedAt
    if (age >= (this.#full ? RETRY_MS : CHECK_MS)) this.#check()
    if (!this.#full || (!grows && !this.#full.refused)) return
    const { folder, minFreeBytes } = this.#options
    throw new DriftError('DRIFT_DISK_FULL', `no writes to ${folder}: ${this.#full.reason}`, {
      path: folder,
      freeBytes: this.#freeBytes,
      minFreeBytes,
    })
  }

  /** An operation found no room: no more of them until a probe shows that there is some. Other errors are none of its business. */
  meet(error: unknown): void {
    if (!isShortage(error) || this.#closed) return
    this.#releaseReserve()
    this.#becomeFull({ refused: true, reason: (error as Error).message })
  }

  stats(): Omit<DiskStats, 'state'> & { readonly state: 'open' | 'full' } {
    if (this.#options.now() - this.#checkedAt >= CHECK_MS) this.#check()
    return {
      state: this.#full ? 'full' : 'open',
      freeBytes: this.#freeBytes,
      minFreeBytes: this.#options.minFreeBytes,
      reserveBytes: this.#reserveBytes,
      reason: this.#full?.reason,
    }
  }

  /** The reserve goes with the handle. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#reserving
    this.#releaseReserve()
  }

  #check(): void {
    const { fs, folder, now } = this.#options
    this.#checkedAt = now()
    this.#freeBytes = fs.freeBytes(folder)
    this.#judge()
  }

  #judge(): void {
    const { minFreeBytes } = this.#options
    const free = this.#freeBytes
    if (this.#closed) return
    if (free < minFreeBytes) {
      const reason = `${free} bytes are free, and the low-water mark is ${minFreeBytes}`
      if (!this.#full) this.#becomeFull({ refused: false, reason })
    } else if (!this.#full) {
      if (free < minFreeBytes * RESERVE_FROM) this.#reserveSoon()
    } else if (free >= minFreeBytes * RESUME_FROM) {
      if (this.#full.refused) this.#reserveSoon()
      else this.#resume()
    }
  }

  #becomeFull(full: { readonly refused: boolean; readonly reason: string }): void {
    this.#full = full
    this.#watch()
  }

  /** Asks again by itself, without keeping the process alive. */
  #watch(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      try {
        this.#check()
      } catch {
        // Nobody waits for the answer here; a disk that gives none is as full as before, and a writer who asks is told.
      }
      if (this.#full) this.#watch()
    }, CHECK_MS)
    this.#timer.unref()
  }

  #resume(): void {
    this.#full = undefined
    clearTimeout(this.#timer)
    this.#onRoom()
  }

  /** What can be made is room that is really there: the proof that a disk which had refused bytes takes them again. */
  #reserveSoon(): void {
    const { executor, folder, minFreeBytes } = this.#options
    const bytes = Math.max(MIN_RESERVE_BYTES, Math.min(MAX_RESERVE_BYTES, Math.floor(minFreeBytes / 4)))
    if (this.#reserving || (this.#reserveBytes > 0 && !this.#full?.refused)) return
    this.#reserving = executor.run({ kind: 'reserve', path: join(folder, RESERVE_NAME), bytes }).then(
      () => {
        this.#reserving = undefined
        this.#reserveBytes = bytes
        if (this.#full?.refused) this.#resume()
      },
      error => {
        this.#reserving = undefined
        if (!isOutOfSpace(error)) return // Without a reserve there is one flush less in hand, and nothing is lost.
        this.#becomeFull({ refused: true, reason: (error as Error).message })
      },
    )
  }

  #releaseReserve(): void {
    const { fs, folder } = this.#options
    const path = join(folder, RESERVE_NAME)
    this.#reserveBytes = 0
    try {
      if (fs.stat(path)?.kind === 'file') fs.remove(path)
    } catch {
      // Its room is missed, and the next opening removes it.
    }
  }

  /** A task that finds no room is tried once more in that of the reserve: a task that failed has left nothing. */
  async #run<T extends Task>(task: T): Promise<TaskResults[T['kind']]> {
    const { executor } = this.#options
    try {
      return await executor.run(task)
    } catch (error) {
      if (!isRepeatable(error)) throw error
      this.meet(error)
      return executor.run(task)
    }
  }
}

/** A rename or a sync of names without room leaves open what is on disk. */
export function isRepeatable(error: unknown): boolean {
  const operation = (error as { details?: { operation?: unknown } }).details?.operation
  return isShortage(error) && operation !== 'rename' && operation !== 'syncFolder'
}
