/**
 * The two ways to a GroupCommit: inline in this thread, or in a thread of its own. Both take commands in order and give replies in order,
 * never during `post`. In a thread nothing that the process does elsewhere delays a commit, and no commit delays the event loop.
 */

import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { FsError, type FsErrorCode, type FsOperation } from '@drift/fs'
import { giveWay } from '@drift/native'
import { CoreError, type CoreErrorCode } from '../errors.js'
import { builtEntry } from '../pool/entry.js'
import { CommandQueue, MESSAGE } from './commands.js'
import { GroupCommit, type GroupCommitOptions, type WalCommand, type WalReply } from './group-commit.js'
import { type WalFile, WalLog, type WalLogOptions } from './log.js'
import { RecordRing } from './ring.js'

export interface WalPort {
  readonly files: WalFile[]
  /** A record of so many bytes, which `write` fills in at once. Where that throws, or there is no memory, nothing has changed. */
  append(bytes: number, write: (into: Uint8Array) => void): void
  post(command: PortCommand): void
  /** Whether work is under way that the process has to stay alive for. */
  hold(busy: boolean): void
  /** Frees the thread; commands without a reply yet get none. */
  end(): Promise<void>
}

export type OnReply = (reply: WalReply) => void

/** All but records, which have a way of their own. */
export type PortCommand = Exclude<WalCommand, { readonly kind: 'append' }>

/** What the thread is started with. */
export interface ThreadData {
  readonly ring: SharedArrayBuffer
  readonly queue: SharedArrayBuffer
  /** Commands that are no record of the ring, and replies. */
  readonly port: MessagePort
}

/** Which log it is the thread of. The records of `carry` are copied, unless they lie in shared memory. */
export interface ThreadStart {
  readonly log: Omit<WalLogOptions, 'fs'>
  readonly commit: GroupCommitOptions
  /** The log stays a draft until a command. */
  readonly waits: boolean
}

export type ThreadCommand = 'publish' | 'withdraw'

/** `acknowledged`: the last LSN that was so when the reply was given, since acknowledgements themselves are no messages. */
export interface ThreadMessage {
  readonly acknowledged: number
  readonly reply: WalReply | { readonly kind: 'ready'; readonly files: WalFile[] }
}

const THREAD_ENTRY = builtEntry(import.meta.url, 'wal/thread.js')

export function openInline(options: WalLogOptions, commit: GroupCommitOptions, onReply: OnReply): WalPort {
  const log = WalLog.open(options)
  const loop = new GroupCommit(log, commit, reply => queueMicrotask(() => onReply(reply)))
  let commands: WalCommand[] = []
  const post = (command: WalCommand): void => {
    commands.push(command)
    if (commands.length > 1) return
    // What is appended in one turn becomes one frame.
    queueMicrotask(() => {
      const now = commands
      commands = []
      loop.run(now)
    })
  }
  return {
    files: log.files(),
    append: (bytes, write) => {
      const record = new Uint8Array(bytes)
      write(record)
      post({ kind: 'append', records: [record] })
    },
    post,
    hold: () => {},
    end: async () => loop.abandon(),
  }
}

/** Acknowledgements are looked for in every turn of the event loop while they mostly come within so many milliseconds; else it sleeps. */
const WATCH_MS = 0.5
/** Weight of the newest acknowledgement in the mean of what they take. */
const NEWEST = 0.2

/** Started before its log is known: what a thread loads takes some 100 ms, which pass beside other work. */
export class WalThread implements WalPort {
  files: WalFile[] = []
  #onReply: OnReply = () => {}
  readonly #ring = new RecordRing()
  readonly #queue = new CommandQueue()
  readonly #port: MessagePort
  readonly #worker: Worker
  /** What found no room in the ring or the queue, in order. */
  readonly #waiting: (Uint8Array | PortCommand)[] = []
  #fail: (error: Error) => void = () => {}
  /** Why it ended before it had a log. */
  #failed: Error | undefined
  #ending = false
  /** It runs, and has its log. */
  #isReady = false
  /** Its log waits to be published. */
  #isDraft = false
  /** The last LSN that was told as acknowledged. */
  #told = 0
  /** Appended and not acknowledged. */
  #pending = 0
  #isWatching = false
  /** When the watch for the next acknowledgement began, and what one takes. */
  #since = 0
  #usualMs = WATCH_MS / 2

  constructor() {
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    const workerData: ThreadData = { ring: this.#ring.memory, queue: this.#queue.memory, port: port2 }
    this.#worker = new Worker(THREAD_ENTRY, {
      workerData,
      transferList: [port2],
      name: 'drift-wal',
      execArgv: [],
    })
    this.#worker.once('error', error => this.#end(this.#isReady ? (error as Error) : notStarted(error)))
    this.#worker.once('exit', () => {
      // Its last words may still be on their way.
      this.#receive()
      if (!this.#ending) this.#end(new Error('the thread of the write-ahead log has ended'))
    })
  }

  /**
   * Once. Resolves when the log can be appended to.
   *
   * @param until - with it the log is made at once, and appears when this resolves. Ended before that, the thread leaves no trace of it.
   * @throws what kept the log from being made.
   */
  async open(
    { log, commit }: Omit<ThreadStart, 'waits'>,
    onReply: OnReply,
    until?: Promise<unknown>,
  ): Promise<void> {
    this.#onReply = onReply
    this.#told = log.firstLsn - 1
    const ready = new Promise<void>((resolve, reject) => {
      this.#fail = reject
      if (this.#failed) reject(this.#failed)
      this.#port.on('message', (message: ThreadMessage) => {
        if (message.reply.kind !== 'ready') {
          this.#receive(message)
          return
        }
        this.#isReady = true
        this.files = message.reply.files
        this.#fail = error => onReply({ kind: 'failed', error })
        this.#port.unref()
        this.#worker.unref()
        resolve()
      })
    })
    ready.catch(() => {}) // told below
    const start: ThreadStart = { log, commit, waits: until !== undefined }
    this.#worker.postMessage(start)
    if (until) {
      this.#isDraft = true
      await until
      this.#isDraft = false
      this.#worker.postMessage('publish' satisfies ThreadCommand)
    }
    await ready
  }

  append(bytes: number, write: (into: Uint8Array) => void): void {
    const isNext = this.#waiting.length === 0 && !this.#queue.isFull
    const shared = isNext ? this.#ring.take(bytes) : undefined
    // One that the ring never holds goes as it is, with its memory.
    const record = shared ?? (this.#isTooLarge(bytes) ? sharedRecord(bytes) : new Uint8Array(bytes))
    try {
      write(record)
    } catch (error) {
      if (shared) this.#ring.giveBack()
      throw error
    }
    this.#pending++
    if (shared) this.#queue.put(shared.byteOffset, bytes)
    else {
      this.#waiting.push(record)
      this.#putWaiting()
    }
    this.#watch()
  }

  post(command: PortCommand): void {
    this.#waiting.push(command)
    this.#putWaiting()
  }

  hold(busy: boolean): void {
    if (busy) this.#port.ref()
    else this.#port.unref()
  }

  #end(error: Error): void {
    this.#failed ??= error
    this.#fail(error)
  }

  async end(): Promise<void> {
    if (this.#isDraft && !this.#failed) await this.#withdrawn()
    this.#ending = true
    await this.#worker.terminate()
    this.#port.close()
    this.#queue.wake()
    this.#ring.leave()
  }

  /** Settles when the draft is gone, or the thread has failed. */
  #withdrawn(): Promise<void> {
    return new Promise(resolve => {
      this.#worker.once('message', resolve)
      this.#fail = () => resolve()
      this.#worker.postMessage('withdraw' satisfies ThreadCommand)
    })
  }

  #putWaiting(): void {
    while (this.#waiting.length > 0 && !this.#queue.isFull) {
      const next = this.#waiting[0]!
      if (!(next instanceof Uint8Array)) this.#putMessage(next)
      else if (this.#isTooLarge(next.length)) {
        this.#ring.pass()
        this.#putMessage({ kind: 'append', records: [next] })
      } else {
        const shared = this.#ring.take(next.length)
        if (!shared) return
        shared.set(next)
        this.#queue.put(shared.byteOffset, next.length)
      }
      this.#waiting.shift()
    }
  }

  #isTooLarge(bytes: number): boolean {
    return bytes > this.#ring.memory.byteLength
  }

  #putMessage(command: WalCommand): void {
    this.#port.postMessage(command)
    this.#queue.put(MESSAGE, 0)
  }

  #watch(): void {
    if (this.#isWatching) return
    this.#isWatching = true
    this.#since = performance.now()
    setImmediate(this.#look)
  }

  readonly #look = (): void => {
    if (this.#queue.acknowledged(this.#told) > this.#told) {
      const now = performance.now()
      // One that waited for a new file does not end a habit.
      this.#usualMs += NEWEST * (Math.min(now - this.#since, 2 * WATCH_MS) - this.#usualMs)
      this.#since = now
      this.#receive()
    }
    if (this.#pending === 0 || this.#ending) this.#isWatching = false
    else if (this.#usualMs < WATCH_MS && performance.now() - this.#since < 2 * WATCH_MS) {
      giveWay()
      setImmediate(this.#look)
    } else void this.#queue.moreAcknowledged(this.#told).then(this.#look)
  }

  /** Replies in their order. @param first - has been taken from the port already. */
  #receive(first?: ThreadMessage): void {
    // Looked at before the messages, as those are sent before.
    const acknowledged = this.#queue.acknowledged(this.#told)
    for (let message = first ?? this.#message(); message; message = this.#message()) {
      this.#tell(message.acknowledged)
      const { reply } = message
      if (reply.kind === 'failed') this.#end(unpackError(reply.error))
      else if (reply.kind !== 'ready')
        this.#onReply('error' in reply ? { ...reply, error: unpackError(reply.error) } : reply)
    }
    this.#tell(acknowledged)
  }

  #message(): ThreadMessage | undefined {
    return (receiveMessageOnPort(this.#port) as { message: ThreadMessage } | undefined)?.message
  }

  #tell(lsn: number): void {
    if (lsn <= this.#told) return
    const count = lsn - this.#told
    this.#told = lsn
    this.#onReply({ kind: 'durable', lsn })
    // An LSN is a record.
    this.#pending -= count
    this.#ring.release(count)
    this.#putWaiting()
  }
}

function sharedRecord(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(bytes))
}

function notStarted(cause: unknown): CoreError {
  const message = `the thread of the write-ahead log did not start: ${(cause as Error).message}`
  return new CoreError('DRIFT_THREAD', message, {}, { cause })
}

/** Errors lose their class between threads. */
export function packError(error: unknown): unknown {
  const { message, code, operation, path, details } = error as Partial<FsError & CoreError>
  return {
    name: error instanceof Error ? error.name : '',
    message: message ?? String(error),
    code,
    operation,
    path,
    details,
  }
}

function unpackError(packed: unknown): Error {
  const { name, message, code, operation, path, details } = packed as {
    name: string
    message: string
    code?: string
    operation?: FsOperation
    path?: string
    details?: Record<string, unknown>
  }
  if (name === 'FsError' && operation !== undefined && path !== undefined)
    return new FsError(code as FsErrorCode, message, { operation, path })
  return name === 'CoreError' ? new CoreError(code as CoreErrorCode, message, details) : new Error(message)
}
