// A database on a simulated disk while a workload runs: what was asked of it so far, what it acknowledged, and how a disk that is found
// after a power cut has to be opened. The disk calls `onOperation` before each of its operations.
import type * as core from '@drift/core'
import type * as fs from '@drift/fs'
import type * as server from '@drift/server'
import type { OpenOptions } from '@drift/server'
import { StillClock } from './clock.js'
import { copyOf, type State, stateFrom, stateText } from './model.js'

/** The code under test: the packages as they are, or with something taken away. */
export interface Modules {
  readonly core: typeof core
  readonly fs: typeof fs
  readonly server: typeof server
}

export const FOLDER = '/db'

/** Small files, so that a workload meets their ends; no thread and nothing by itself, so that it is the same each time. */
const OPTIONS = {
  walFileBytes: 64 * 1024,
  threads: 0,
  maintenance: 'manual',
  shadow: false,
  minFreeBytes: 0,
} as const satisfies OpenOptions

/** How a disk is opened that was cut now. */
export interface Opening {
  readonly recovery?: server.RecoveryMode
  /** It may be damaged: what does not open is repaired first. */
  readonly repair?: boolean
}

/** Index of a state: how many operations it has behind it. */
export interface Window {
  /** What no power cut takes back. */
  readonly durable: number
  /** What the end of the process does not take back. */
  readonly written: number
  readonly begun: number
}

export interface Backup {
  readonly folder: string
  readonly from: number
  /** Undefined until it is acknowledged. */
  to: number | undefined
}

export class World {
  readonly modules: Modules
  readonly clock = new StillClock()
  disk!: fs.SimFs
  db!: server.Drift
  /** Text of the state after each number of operations. */
  readonly states: string[] = ['']
  opening: Opening = {}
  /** Backups that were begun. */
  readonly backups: Backup[] = []
  readonly #options: OpenOptions
  /** Called before each operation on the disk. */
  onOperation: (what: string) => void
  #state: State = new Map()
  #quiet = false
  #watched = 0
  #durable = 0
  #written = 0

  /** @param options - of the workload, beside the fixed ones. */
  constructor(modules: Modules, options: OpenOptions, onOperation: (what: string) => void = () => {}) {
    this.modules = modules
    this.#options = { ...OPTIONS, ...options }
    this.onOperation = onOperation
    this.disk = new modules.fs.SimFs(this.watch())
  }

  /** For the disk that the workload goes on with; the one before is no longer watched. */
  watch(): fs.SimFsOptions {
    const watched = ++this.#watched
    return {
      before: (operation, path) => {
        if (!this.#quiet && watched === this.#watched) this.onOperation(`${operation} ${path}`)
      },
    }
  }

  get window(): Window {
    return { durable: this.#durable, written: this.#written, begun: this.states.length - 1 }
  }

  get state(): State {
    return this.#state
  }

  /** Opens a disk that was cut from this one, as the workload opens its own. */
  openCopy(disk: fs.SimFs, opening: Opening = this.opening, folder: string = FOLDER): Promise<server.Drift> {
    const { recovery } = opening
    const options = { ...this.#options, minFreeBytes: 0, sync: 'always', fs: disk } as const
    return this.modules.server.Drift.open(folder, recovery ? { ...options, recovery } : options)
  }

  async open(more: OpenOptions = {}): Promise<void> {
    this.db = await this.modules.server.Drift.open(FOLDER, { ...this.#options, fs: this.disk, ...more })
  }

  async reopen(more: OpenOptions = {}): Promise<void> {
    await this.db.close()
    this.synced()
    await this.open(more)
  }

  /** No power cut while `action` runs: what it does to the disk is not the engine's doing. */
  quietly<T>(action: () => T): T {
    this.#quiet = true
    try {
      return action()
    } finally {
      this.#quiet = false
    }
  }

  /** A change is asked for now. @returns what to call when it is acknowledged; changes are in the order in which they were begun. */
  begin(change: (state: State) => void): () => void {
    const next = copyOf(this.#state)
    change(next)
    this.#state = next
    const number = this.states.push(stateText(next)) - 1
    return () => {
      this.#written = Math.max(this.#written, number)
      const { sync = 'always' } = this.#options
      if (sync === 'always') this.#durable = this.#written
    }
  }

  /** The last change that was begun was refused, and nothing of it may be there. */
  refused(before: State): void {
    this.#state = before
    this.states[this.states.length - 1] = stateText(before)
    this.#written = this.states.length - 1
    this.#durable = Math.max(this.#durable, this.#written - 1)
    if ((this.#options.sync ?? 'always') === 'always') this.#durable = this.#written
  }

  async write(change: (state: State) => void, action: () => Promise<unknown>): Promise<void> {
    const acknowledge = this.begin(change)
    await action()
    acknowledge()
  }

  /** The disk was opened again, and this is what it holds. */
  goOnFrom(text: string): void {
    this.#state = stateFrom(text)
    this.#written = this.states.push(text) - 1
    this.#durable = this.#written
  }

  /** Everything acknowledged is on stable storage. */
  synced(): void {
    this.#durable = this.#written
  }
}
