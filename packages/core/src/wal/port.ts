/**
 * The two ways to a GroupCommit: inline in this thread, or in a thread of its own. Both take commands in order and give replies in order,
 * never during `post`. In a thread nothing that the process does elsewhere delays a commit, and no commit delays the event loop.
 */

import { Worker } from 'node:worker_threads'
import { FsError, type FsErrorCode, type FsOperation } from '@drift/fs'
import { CoreError, type CoreErrorCode } from '../errors.js'
import { GroupCommit, type GroupCommitOptions, type WalCommand, type WalReply } from './group-commit.js'
import { type WalFile, WalLog, type WalLogOptions } from './log.js'

export interface WalPort {
  readonly files: WalFile[]
  /** Takes the records: their memory may move to the thread. */
  post(commands: WalCommand[]): void
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
}

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
    post: commands => loop.run(commands),
    hold: () => {},
    end: async () => {},
  }
}

export function openThread(data: ThreadData, onReply: OnReply): Promise<WalPort> {
  return new Promise((resolve, reject) => {
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
          post: commands => postOwned(worker, commands),
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

/** A record that is all of its memory moves; a part of a larger memory is copied first, or all of that memory would be. */
function postOwned(worker: Worker, commands: WalCommand[]): void {
  const moved = new Set<ArrayBuffer>()
  const owned = (record: Uint8Array): Uint8Array => {
    const whole = record.byteLength === record.buffer.byteLength && record.buffer instanceof ArrayBuffer
    const own = whole ? record : new Uint8Array(record)
    moved.add(own.buffer as ArrayBuffer)
    return own
  }
  const message = commands.map(command =>
    command.kind === 'append' ? { ...command, records: command.records.map(owned) } : command,
  )
  worker.postMessage(message, [...moved])
}
