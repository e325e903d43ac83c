/**
 * Worker threads for work that pays for the hop of about 0.1 ms: batches, wide scans, routing, k-means.
 * Rule: a task is never torn down. Cancelling takes back the tasks that no thread has taken, sets a flag in shared memory, and waits until
 * the others have seen it, because piscina kills the thread of an aborted task. A thread that dies fails the tasks it had and is replaced.
 * An idle pool does not keep the process alive: piscina refs its threads only while they work.
 */
import type { Worker } from 'node:worker_threads'
import { requireKnown } from '../arguments.js'
import { CoreError } from '../errors.js'
import { builtEntry } from './entry.js'
import type { Task, TaskMessage, TaskResult } from './tasks.js'
import { Threads } from './threads.js'

export interface IndexPoolOptions {
  /** Worker threads; 0: there is no pool and everything runs in the caller's thread. */
  readonly threads: number
}

/** Tasks that may wait: about a hundred batches. Beyond, a batch fails with DRIFT_BUSY instead of piling up. */
const MAX_QUEUE = 1024

const MAX_THREADS = 256

const POOL_OPTIONS: Record<keyof IndexPoolOptions, true> = { threads: true }

export class IndexPool {
  readonly threads: number
  /** Batches that are over before their tasks are. */
  late = 0
  readonly #workers: Threads<TaskMessage, unknown> | undefined
  /** The cancel flag and the end of every call of runAll. */
  readonly #running: Map<Int32Array, Promise<unknown>> = new Map()
  #closed = false

  constructor(options: IndexPoolOptions) {
    requireKnown(options, POOL_OPTIONS, 'IndexPool')
    const { threads } = options
    if (!Number.isInteger(threads) || threads < 0 || threads > MAX_THREADS) {
      throw new CoreError(
        'DRIFT_THREADS',
        `threads is ${threads}, expected an integer of 0..${MAX_THREADS}`,
        { threads },
      )
    }
    this.threads = threads
    if (threads === 0) return
    this.#workers = new Threads({
      filename: builtEntry(import.meta.url, 'pool/worker.js').href,
      minThreads: threads,
      maxThreads: threads,
      // With minThreads = maxThreads no thread is idle too long; the default of 0 would end surplus ones at once.
      idleMs: Number.POSITIVE_INFINITY,
      maxQueue: MAX_QUEUE,
      waitsDeaf: true,
    })
  }

  /** The threads that are alive, to watch them (or, in a test, to end one). */
  get workers(): readonly Worker[] {
    return this.#workers?.workers ?? []
  }

  /** @throws CoreError DRIFT_CLOSED. */
  requireOpen(): void {
    if (this.#closed) throw closed()
  }

  /**
   * Run all tasks and wait until none of them runs any more, also when one fails or `signal` aborts: those that wait for a thread are then
   * taken back, and those that run end after a slice.
   *
   * @returns their results, in order.
   * @throws the signal's reason; CoreError DRIFT_WORKER, DRIFT_BUSY, DRIFT_CLOSED.
   */
  async runAll<T extends Task>(tasks: readonly T[], signal?: AbortSignal): Promise<TaskResult<T>[]> {
    const workers = this.#workers
    this.requireOpen()
    if (workers === undefined) throw closed()
    signal?.throwIfAborted()
    const cancel = new Int32Array(new SharedArrayBuffer(4))
    const stop = () => this.#stop(cancel)
    let failed: { readonly reason: unknown } | undefined
    signal?.addEventListener('abort', stop, { once: true })
    try {
      const runs = tasks.map(async task => (await workers.run({ task, cancel }, cancel)) as TaskResult<T>)
      for (const run of runs) {
        run.catch(reason => {
          failed ??= { reason } // what fails later may have been stopped for it
          stop()
        })
      }
      const ended = Promise.allSettled(runs)
      this.#running.set(cancel, ended)
      await ended
      signal?.throwIfAborted()
      this.requireOpen()
      if (failed !== undefined) throw failure(failed.reason)
      return await Promise.all(runs)
    } finally {
      this.#running.delete(cancel)
      signal?.removeEventListener('abort', stop)
    }
  }

  /** Cancels what runs, which fails with DRIFT_CLOSED, and ends the threads. May be called again. */
  async close(): Promise<void> {
    this.#closed = true
    for (const cancel of this.#running.keys()) this.#stop(cancel)
    await Promise.all(this.#running.values())
    await this.#workers?.destroy()
  }

  #stop(cancel: Int32Array): void {
    Atomics.store(cancel, 0, 1)
    this.#workers?.withdraw(cancel)
  }
}

function closed(): CoreError {
  return new CoreError('DRIFT_CLOSED', 'the pool is closed')
}

function failure(cause: unknown): CoreError {
  const message = cause instanceof Error ? cause.message : String(cause)
  if (message.includes('queue')) {
    return new CoreError(
      'DRIFT_BUSY',
      `more than ${MAX_QUEUE} tasks wait for the pool`,
      { maxQueue: MAX_QUEUE },
      { cause },
    )
  }
  return new CoreError('DRIFT_WORKER', `a worker failed: ${message}`, {}, { cause })
}
