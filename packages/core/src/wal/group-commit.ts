/**
 * Turns commands into frames: all records that are waiting become one frame, and are acknowledged after its sync. Runs wherever the log
 * runs, in its thread or inline. Rules: replies leave in order; commands keep their order; the first error of the log ends it,
 * because after a failed sync nobody knows what is on disk. Only a disk without room does not: the commands then wait for `retry`.
 */

import type { WalFile, WalLog } from './log.js'
import { inGroups, isFinal, isRetriable } from './log.js'
import type { WalSync } from './sync.js'

export type WalCommand =
  | Append
  | Request
  /** There may be room again for what waits. */
  | { readonly kind: 'retry' }
  /** From now on nothing waits for room: what would, and what does, is not written. */
  | { readonly kind: 'giveUp' }

interface Append {
  readonly kind: 'append'
  readonly records: Uint8Array[]
}

type Request =
  | { readonly kind: 'sync' | 'rotate' | 'close'; readonly id: number }
  | { readonly kind: 'removeBelow'; readonly id: number; readonly lsn: number }

export type WalReply =
  /** Every record up to `lsn` is acknowledged. */
  | { readonly kind: 'durable'; readonly lsn: number }
  | { readonly kind: 'done'; readonly id: number }
  /** The log has other files now. */
  | { readonly kind: 'files'; readonly files: WalFile[] }
  /** What is not acknowledged yet waits for room on the disk; nothing of it is lost or written in part. */
  | { readonly kind: 'stalled'; readonly error: unknown }
  /** The records from `lsn` on that had waited for room are not in the log, and never will be. */
  | { readonly kind: 'dropped'; readonly lsn: number; readonly error: unknown }
  /** Only this command failed. */
  | { readonly kind: 'refused'; readonly id: number; readonly error: unknown }
  /** Final. */
  | { readonly kind: 'failed'; readonly error: unknown }

export interface GroupCommitOptions {
  readonly sync: WalSync
  /** Idle time after which the last acknowledged batch is attested by a mark. */
  readonly markAfterMs: number
  /** Makes the next file between commits, so that no commit waits for it. */
  readonly preparesFiles: boolean
}

/** Acknowledged writes are for so long in a file that somebody has removed. Looking after each sync made small writes a half slower where a disk has to ask. */
const LOOK_AFTER_MS = 100

export class GroupCommit {
  readonly #log: WalLog
  readonly #options: GroupCommitOptions
  readonly #reply: (reply: WalReply) => void
  #ended = false
  /** Of the files when they were last told. */
  #toldActive: number
  #toldCount: number
  /** In the order in which they came. */
  readonly #queue: (Append | Request)[] = []
  /** Why the first of the queue waits. */
  #stalled: unknown
  #givesUp = false
  /** What was dropped had LSNs, so nothing that was posted behind it may be written. */
  #dropped = false
  #markTimer: NodeJS.Timeout | undefined
  #syncTimer: NodeJS.Timeout | undefined
  #lookTimer: NodeJS.Timeout | undefined
  #isPreparing = false
  /** Waits for what is being prepared. */
  #closing: Request | undefined
  /** The active file when a preparation last failed: not tried again before the next. */
  #unpreparedFile = 0

  constructor(log: WalLog, options: GroupCommitOptions, reply: (reply: WalReply) => void) {
    this.#log = log
    this.#toldActive = log.active
    this.#toldCount = log.fileCount
    this.#options = options
    this.#reply = reply
  }

  /** Closed or failed: later commands are ignored. */
  get ended(): boolean {
    return this.#ended
  }

  /** The next file is being made, which goes on in turns of the event loop. */
  get isPreparing(): boolean {
    return this.#isPreparing
  }

  run(commands: readonly WalCommand[]): void {
    this.#guard(() => {
      for (const command of commands) {
        if (command.kind === 'giveUp') {
          this.#givesUp = true
          this.#drop()
        } else if (command.kind === 'retry') this.#stalled = undefined
        else if (command.kind === 'removeBelow' && this.#stalled !== undefined) {
          this.#obey(command) // Ahead of its turn, since it makes room.
          this.#stalled = undefined
        } else if (command.kind !== 'append' || !this.#dropped) this.#queue.push(command)
      }
      if (this.#stalled === undefined) this.#work()
    })
  }

  #work(): void {
    while (this.#queue.length > 0 && !this.#ended) {
      const next = this.#queue.shift()!
      if (next.kind === 'append') {
        let { records } = next
        for (let more = this.#queue[0]; more?.kind === 'append'; more = this.#queue[0]) {
          records = records.concat(more.records)
          this.#queue.shift()
        }
        this.#commit(records)
      } else this.#obey(next)
      if (this.#stalled !== undefined) return
    }
    this.#prepareSoon()
  }

  #commit(records: readonly Uint8Array[]): void {
    const { sync } = this.#options
    let done = 0
    for (const group of inGroups(records)) {
      try {
        this.#log.append(group.records)
      } catch (error) {
        this.#stall(error, { kind: 'append', records: records.slice(done) })
        break
      }
      if (sync === 'always') this.#log.sync()
      this.#tellFiles()
      this.#reply({ kind: 'durable', lsn: this.#log.nextLsn - 1 })
      done += group.records.length
    }
    if (done === 0) return
    if (this.#log.canMiss)
      this.#lookTimer ??= this.#after(LOOK_AFTER_MS, () => {
        this.#lookTimer = undefined
        this.#log.assertThere()
      })
    if (typeof sync === 'object') this.#syncTimer ??= this.#after(sync.intervalMs, () => this.#syncNow())
    this.#markSoon()
  }

  /** What waits for room is given up; commands that need none keep their turn. */
  #drop(): void {
    const error = this.#stalled
    if (error === undefined) return
    this.#stalled = undefined
    this.#dropped = true
    this.#log.discard()
    const queue = this.#queue.splice(0)
    this.#reply({ kind: 'dropped', lsn: this.#log.nextLsn, error })
    for (const command of queue) {
      if (command.kind === 'rotate') this.#reply({ kind: 'refused', id: command.id, error })
      else if (command.kind !== 'append') this.#queue.push(command)
    }
  }

  /** Later commands wait behind `command`. Throws what is not a matter of room. */
  #stall(error: unknown, command: Append | Request): void {
    if (!isRetriable(error)) throw error
    this.#stalled = error
    this.#queue.unshift(command)
    if (this.#givesUp) this.#drop()
    else this.#reply({ kind: 'stalled', error })
  }

  #obey(command: Request): void {
    if (command.kind === 'sync') this.#syncNow()
    if (command.kind === 'rotate') {
      try {
        this.#log.rotate()
      } catch (error) {
        this.#stall(error, command)
        return
      }
    }
    if (command.kind === 'close') {
      if (this.#isPreparing) {
        this.#closing = command
        return
      }
      this.#end()
      this.#log.close()
    }
    if (command.kind === 'removeBelow') {
      try {
        this.#log.removeBelow(command.lsn)
      } catch (error) {
        this.#reply({ kind: 'refused', id: command.id, error })
        return
      }
    }
    this.#tellFiles()
    this.#reply({ kind: 'done', id: command.id })
  }

  #tellFiles(): void {
    const { active, fileCount } = this.#log
    if (active === this.#toldActive && fileCount === this.#toldCount) return
    this.#toldActive = active
    this.#toldCount = fileCount
    this.#reply({ kind: 'files', files: this.#log.files() })
  }

  #syncNow(): void {
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    this.#log.sync()
    this.#markSoon()
  }

  #markSoon(): void {
    const { markAfterMs } = this.#options
    if (!this.#log.wantsMark || !Number.isFinite(markAfterMs)) return
    if (this.#markTimer) this.#markTimer.refresh()
    else
      this.#markTimer = this.#after(markAfterMs, () => {
        if (this.#log.wantsMark) this.#mark()
      })
  }

  #mark(): void {
    try {
      this.#log.mark()
    } catch (error) {
      // Without room there is no mark; the next frame is written over what there is of it.
      if (!isRetriable(error)) throw error
    }
  }

  #prepareSoon(): void {
    const { active } = this.#log
    if (
      !this.#options.preparesFiles ||
      this.#ended ||
      this.#isPreparing ||
      this.#closing ||
      !this.#log.wantsSpare ||
      this.#unpreparedFile === active
    )
      return
    this.#isPreparing = true
    void this.#log
      .prepareAside()
      .catch(error => {
        this.#unpreparedFile = active // Rotation makes the file itself, and reports what is wrong when it still is.
        if (!isFinal(error)) return
        this.#guard(() => {
          throw error
        })
      })
      .then(() => {
        this.#isPreparing = false
        const closing = this.#closing
        if (closing) this.#guard(() => this.#obey(closing))
        else this.#prepareSoon()
      })
  }

  #after(ms: number, action: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => this.#guard(action), ms)
    return timer.unref()
  }

  #guard(action: () => void): void {
    if (this.#ended) return
    try {
      action()
    } catch (error) {
      this.#end()
      this.#reply({ kind: 'failed', error })
      this.#abandon()
    }
  }

  /** Frees what the log holds and leaves its files as they are. Nothing when it has ended. */
  abandon(): void {
    if (!this.#ended) this.#abandon()
  }

  #abandon(): void {
    this.#end()
    try {
      this.#log.abandon()
    } catch {
      // Whoever gives up the log has a reason to tell of; a descriptor that does not close adds nothing.
    }
  }

  #end(): void {
    this.#ended = true
    clearTimeout(this.#markTimer)
    clearTimeout(this.#syncTimer)
    clearTimeout(this.#lookTimer)
  }
}
