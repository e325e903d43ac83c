/**
 * The write-ahead log as the engine sees it: `append` gives a record its LSN at once and a promise of its durability.
 * Rules: LSNs are consecutive in the order of the calls; acknowledgements come in that order; the first error of the log is final.
 */

import { types } from 'node:util'
import { type DriftFs, NodeFs } from '@drift/fs'
import { CoreError } from '../errors.js'
import { MAX_PAYLOAD_BYTES, MAX_RECORD_BYTES, storedBytes } from './format.js'
import type { WalReply } from './group-commit.js'
import type { WalEnd, WalFile, WalRecord } from './log.js'
import { openInline, type PortCommand, type WalPort, WalThread } from './port.js'
import { type WalSync, whyNoSync } from './sync.js'

/** Bytes not acknowledged above which `drained` waits. */
export const HIGH_WATER_BYTES: number = 16 * 1024 * 1024
/** Short enough that damage after it is rare, long enough that a busy log writes none. */
const MARK_AFTER_MS = 20

export interface WalWriterOptions {
  readonly fs: DriftFs
  /** Exists. */
  readonly folder: string
  /** 16 bytes. */
  readonly database: Uint8Array
  /** Of the end that readWal found; 1 and 1 for a new log. */
  readonly firstFile: number
  readonly firstLsn: number
  readonly previous?: WalEnd
  /** The records that readWal found, when it did not find a clean end; see WalLogOptions. */
  readonly carry?: Iterable<WalRecord>
  /** 64 random bits; called once. */
  readonly nonce: () => bigint
  readonly sync: WalSync
  /** A multiple of 4096. */
  readonly fileBytes?: number
  /** In a thread of its own, which opens a NodeFs of its own; `fs` then has to be one. One that was started before is the writer's from now on. */
  readonly thread?: boolean | WalThread
  /**
   * In a thread: `carry` is copied while this is waited for, and the log is there when it has resolved. Who ends the thread instead leaves
   * nothing of it.
   */
  readonly until?: Promise<unknown>
  /** Called in order, before the promises up to `lsn` resolve. */
  readonly onDurable?: (lsn: number) => void
  /** The disk has no room for what is not acknowledged yet; it waits until `retry` or `giveUp`. May come again. */
  readonly onStall?: (error: unknown) => void
  /** Idle time before a mark; Infinity for none. */
  readonly markAfterMs?: number
}

export interface WalAppend {
  readonly lsn: number
  /** Resolves when the record is acknowledged as the sync mode says. May be ignored: it never counts as unhandled. */
  readonly durable: Promise<void>
}

interface Deferred {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** The appends of one turn of the event loop: they share a promise. */
interface Group extends Deferred {
  lastLsn: number
  bytes: number
}

export class WalWriter {
  readonly #options: WalWriterOptions
  #port!: WalPort
  #files: readonly WalFile[] = []
  #nextLsn: number
  /** Takes the appends of this turn. */
  #openGroup: Group | undefined
  /** Oldest first. */
  #groups: Group[] = []
  readonly #requests = new Map<number, Deferred>()
  #requestCount = 0
  #pendingBytes = 0
  #drain: Deferred | undefined
  #failed: CoreError | undefined
  #stalled: unknown
  #dropped: CoreError | undefined
  #closing: Promise<void> | undefined

  static async open(options: WalWriterOptions): Promise<WalWriter> {
    const writer = new WalWriter(options)
    const { fs, thread = false, nonce, sync, markAfterMs = MARK_AFTER_MS } = options
    const { folder, database, firstFile, firstLsn, previous, carry, fileBytes } = options
    const wrong = whyNoSync(sync)
    if (wrong !== undefined) throw new CoreError('DRIFT_WAL_ARGUMENT', wrong)
    const drawn: unknown = nonce()
    if (typeof drawn !== 'bigint')
      throw new CoreError('DRIFT_WAL_ARGUMENT', `nonce gives ${String(drawn)}, expected a bigint`)
    const log = {
      folder,
      database,
      firstFile,
      firstLsn,
      nonce: drawn,
      ...(previous && { previous }),
      ...(carry && { carry: [...carry] }),
      ...(fileBytes !== undefined && { fileBytes }),
    }
    if (thread !== false && !(fs instanceof NodeFs))
      throw new CoreError('DRIFT_WAL_ARGUMENT', 'thread is true, and then fs has to be a NodeFs')
    const commit = { sync, markAfterMs, preparesFiles: thread !== false }
    const onReply = (reply: WalReply): void => writer.#onReply(reply)
    if (thread === false) writer.#port = openInline({ ...log, fs }, commit, onReply)
    else {
      const port = thread === true ? new WalThread() : thread
      await port.open({ log, commit }, onReply, options.until)
      writer.#port = port
    }
    writer.#files = writer.#port.files
    return writer
  }

  private constructor(options: WalWriterOptions) {
    this.#options = options
    this.#nextLsn = options.firstLsn
  }

  /** Set once the log has failed; only opening the database again helps. */
  get failed(): CoreError | undefined {
    return this.#failed
  }

  /** Set once `giveUp` has rejected writes: nothing can be appended any more, and their LSNs are not those of records. */
  get dropped(): CoreError | undefined {
    return this.#dropped
  }

  /** Why what is not acknowledged yet waits for room on the disk; undefined while it does not. */
  get stalled(): unknown {
    return this.#stalled
  }

  /** Bytes appended and not yet acknowledged. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** Oldest first; the last one is active. */
  files(): readonly WalFile[] {
    return this.#files
  }

  /** Never blocks. Throws before anything has changed. */
  append(record: Uint8Array): WalAppend {
    if (!types.isUint8Array(record))
      throw new CoreError('DRIFT_WAL_ARGUMENT', 'a record is bytes: expected a Uint8Array')
    return this.write(record.length, into => into.set(record))
  }

  /** `append` for a record that is written where it is to lie. @param write - fills all bytes of the memory that it is given. */
  write(bytes: number, write: (into: Uint8Array) => void): WalAppend {
    this.#checkUsable()
    if (this.#dropped) throw this.#dropped
    if (!Number.isSafeInteger(bytes) || bytes < 0)
      throw new CoreError('DRIFT_WAL_ARGUMENT', `a record of ${bytes} bytes cannot be`)
    if (storedBytes(bytes) > MAX_PAYLOAD_BYTES)
      throw new CoreError(
        'DRIFT_BATCH_TOO_LARGE',
        `a batch of ${bytes} bytes exceeds the limit of ${MAX_RECORD_BYTES}`,
        { bytes, limit: MAX_RECORD_BYTES },
      )
    // First, as it may find no memory: an LSN without a record would shift all that follow.
    this.#port.append(bytes, write)
    this.#openGroup ??= this.#newGroup()
    const group = this.#openGroup
    const lsn = this.#nextLsn++
    group.lastLsn = lsn
    group.bytes += bytes
    this.#pendingBytes += bytes
    return { lsn, durable: group.promise }
  }

  /** Resolves when less than HIGH_WATER_BYTES are pending, or when the log stalls: await it, and ask again, before appending more. */
  async drained(): Promise<void> {
    if (this.#failed) throw this.#failed
    if (this.#pendingBytes < HIGH_WATER_BYTES) return
    this.#drain ??= defer()
    await this.#drain.promise
  }

  /** Everything appended so far is on disk, whatever the sync mode. */
  async sync(): Promise<void> {
    this.#checkUsable()
    await this.#request(id => ({ kind: 'sync', id }))
  }

  /** Records appended later go to a new file. */
  async rotate(): Promise<void> {
    this.#checkUsable()
    await this.#request(id => ({ kind: 'rotate', id }))
  }

  /** Deletes the files that only hold records below `lsn`, never the active one. Its failure leaves the log usable. */
  async removeBelow(lsn: number): Promise<void> {
    this.#checkUsable()
    await this.#request(id => ({ kind: 'removeBelow', id, lsn }))
  }

  /** There may be room on the disk again. */
  retry(): void {
    if (!this.#failed && !this.#closing) this.#post({ kind: 'retry' })
  }

  /** From now on nothing waits for room: what does, or would, is rejected with DRIFT_DISK_FULL, is not written, and nothing follows it. */
  giveUp(): void {
    if (!this.#failed && !this.#closing) this.#post({ kind: 'giveUp' })
  }

  /** Ends the log so that the next opening knows it to be whole. Repeated calls give the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Ends the log as the end of its process would: what is not acknowledged may be there or not. For who gives up an opening. */
  async abandon(): Promise<void> {
    this.#closing ??= this.#port.end()
    await this.#closing
  }

  async #close(): Promise<void> {
    try {
      if (!this.#failed) await this.#request(id => ({ kind: 'close', id }))
    } finally {
      await this.#port.end()
    }
  }

  #checkUsable(): void {
    if (this.#failed) throw this.#failed
    if (this.#closing) throw new CoreError('DRIFT_WAL_CLOSED', 'the write-ahead log is closed')
  }

  #newGroup(): Group {
    // By names: a copy by spread takes 9 us of a lone row to make and to use.
    const { promise, resolve, reject } = defer()
    const group: Group = { promise, resolve, reject, lastLsn: 0, bytes: 0 }
    this.#groups.push(group)
    this.#port.hold(true)
    queueMicrotask(() => {
      if (this.#openGroup === group) this.#openGroup = undefined
    })
    return group
  }

  #request(command: (id: number) => PortCommand): Promise<void> {
    this.#openGroup = undefined // Later appends come after this command.
    const id = ++this.#requestCount
    const request = defer()
    this.#requests.set(id, request)
    this.#post(command(id))
    return request.promise
  }

  #post(command: PortCommand): void {
    this.#port.hold(true)
    this.#port.post(command)
  }

  #onReply(reply: WalReply): void {
    if (this.#failed) return
    if (reply.kind === 'failed') this.#fail(reply.error)
    else if (reply.kind === 'stalled') {
      this.#stalled = reply.error
      this.#options.onStall?.(reply.error)
      this.#drain?.resolve() // Whoever waits to append learns that there is no room.
      this.#drain = undefined
    } else if (reply.kind === 'dropped') this.#drop(reply.error)
    else if (reply.kind === 'refused') this.#settle(reply.id)?.reject(reply.error)
    else if (reply.kind === 'files') this.#files = reply.files
    else if (reply.kind === 'done') this.#settle(reply.id)?.resolve()
    else {
      this.#stalled = undefined
      this.#acknowledge(reply.lsn)
    }
    if (this.#groups.length === 0 && this.#requests.size === 0) this.#port.hold(false)
  }

  #settle(id: number): Deferred | undefined {
    const request = this.#requests.get(id)
    this.#requests.delete(id)
    return request
  }

  #acknowledge(lsn: number): void {
    this.#options.onDurable?.(lsn)
    while (this.#groups[0] && this.#groups[0].lastLsn <= lsn) {
      const group = this.#groups.shift()!
      this.#pendingBytes -= group.bytes
      group.resolve()
    }
    if (this.#drain && this.#pendingBytes < HIGH_WATER_BYTES) {
      this.#drain.resolve()
      this.#drain = undefined
    }
  }

  /** All groups that are left: their records are behind the last one that is in the log. */
  #drop(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const { folder } = this.#options
    this.#dropped = new CoreError(
      'DRIFT_DISK_FULL',
      `there was no room in ${folder}, and what had waited for it was not written: ${reason}`,
      { folder },
      { cause },
    )
    this.#stalled = undefined
    this.#pendingBytes = 0
    for (const { reject } of this.#groups.splice(0)) reject(this.#dropped)
    this.#drain?.reject(this.#dropped)
    this.#drain = undefined
  }

  #fail(cause: unknown): void {
    const reason = cause instanceof Error ? cause.message : String(cause)
    this.#failed = new CoreError(
      'DRIFT_WAL_FAILED',
      `the write-ahead log has failed and the durability of what it had not acknowledged is unknown: ${reason}`,
      { folder: this.#options.folder },
      { cause },
    )
    const waiting = [...this.#groups, ...this.#requests.values(), ...(this.#drain ? [this.#drain] : [])]
    this.#groups = []
    this.#requests.clear()
    this.#drain = undefined
    for (const { reject } of waiting) reject(this.#failed)
  }
}

/** Its rejection is never unhandled: `failed` tells it to everybody, also to those who did not wait. */
function defer(): Deferred {
  let resolve!: () => void
  let reject!: (error: unknown) => void
  const promise = new Promise<void>((resolveIt, rejectIt) => {
    resolve = resolveIt
    reject = rejectIt
  })
  promise.catch(() => {})
  return { promise, resolve, reject }
}
