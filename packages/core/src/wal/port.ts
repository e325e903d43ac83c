/**
 * The two ways to a GroupCommit: inline in this thread, or in a thread of its own. Both take commands in order and give replies in order,
 * never during `post`. In a thread nothing that the process does elsewhere delays a commit, and no commit delays the event loop.
 */

import { Worker } from 'node:worker_threads'
import { FsError, type FsErrorCode, type FsOperation } from '@drift/fs'
import { CoreError, type CoreErrorCode } from '../errors.js'
import { GroupCommit, type GroupCommitOptions, type WalCommand, type WalReply } from './group-commit.js'
import { type WalFile, WalLog, type WalLogOptions } from './log.js'
import { RecordRing, type SharedRecord } from './ring.js'

export interface WalPort {
  readonly files: WalFile[]
  /** The record as `post` takes it. */
  keep(record: Uint8Array): SharedRecord
  /** The oldest `count` records that were kept have been acknowledged. */
  release(count: number): void
  post(commands: ThreadCommand[]): void
  /** Whether work is under way that the process has to stay alive for. */
  hold(busy: boolean): void
  /** Frees the thread; commands without a reply yet get none. */
  end(): Promise<void>
}

export type OnReply = (reply: WalReply) => void

/** What the thread is started with; the records of `carry` are copied. */
export interface ThreadData {
  readonly log: Omit<WalLogOptions, 'fs'>
  readonly commit: GroupCommitOptions
  readonly ring: SharedArrayBuffer
  /** Counts the messages, so that the thread can wait for one without its event loop. */
  readonly bell: Int32Array
}

/** Records lie in shared memory. */
export type ThreadCommand =
  | Exclude<WalCommand, { readonly kind: 'append' }>
  | { readonly kind: 'append'; readonly records: SharedRecord[] }

export type ThreadMessage = WalReply | { readonly kind: 'ready'; readonly files: WalFile[] }

/** dist has this entry beside this file; from src, which Node cannot run in a thread, it is the one that was built. */
const THREAD_ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/wal/thread.js' : './thread.js',
  import.meta.url,
)

export function openInline(options: WalLogOptions, commit: GroupCommitOptions, onReply: OnReply): WalPort {
  const log = WalLog.open(options)
  const loop = new GroupCommit(log, commit, reply => queueMicrotask(() => onReply(reply)))
  return {
    files: log.files(),
    keep: record => record,
    release: () => {},
    post: commands => loop.run(commands as WalCommand[]),
    hold: () => {},
    end: async () => {},
  }
}

export function openThread(options: Pick<ThreadData, 'log' | 'commit'>, onReply: OnReply): Promise<WalPort> {
  return new Promise((resolve, reject) => {
    const ring = new RecordRing()
    const bell = new Int32Array(new SharedArrayBuffer(4))
    const data: ThreadData = { ...options, ring: ring.memory, bell }
    const worker = new Worker(THREAD_ENTRY, { workerData: data, name: 'drift-wal', execArgv: [] })
    const exit = new Promise<void>(ended => worker.once('exit', () => ended()))
    let fail = reject
    let ending = false
    worker.on('message', (message: ThreadMessage) => {
      if (message.kind === 'ready') {
        fail = error => onReply({ kind: 'failed', error })
        worker.unref()
        resolve({
          files: message.files,
          keep: record => ring.keep(record),
          release: count => ring.release(count),
          post: commands => {
            worker.postMessage(commands)
            Atomics.add(bell, 0, 1)
            Atomics.notify(bell, 0)
          },
          hold: busy => (busy ? worker.ref() : worker.unref()),
          end: async () => {
            ending = true
            await worker.terminate()
          },
        })
      } else if (message.kind === 'failed') fail(unpackError(message.error))
      else onReply('error' in message ? { ...message, error: unpackError(message.error) } : message)
    })
    worker.once('error', error => fail(error))
    void exit.then(() => {
      if (!ending) fail(new Error('the thread of the write-ahead log has ended'))
    })
  })
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
