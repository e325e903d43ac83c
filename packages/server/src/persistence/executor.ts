/**
 * Where persistence tasks run: on threads of their own, so that an fsync never stalls the caller's event loop, or
 * inline over a simulated disk. Two may run at once: whoever needs an order waits for the first.
 */
import { builtEntry, Threads } from '@drift/core'
import type { DriftFs } from '@drift/fs'
import { DriftError } from '../errors.js'
import { runTask, type Task, type TaskResults } from './tasks.js'

export interface Executor {
  /** Tasks leave the caller's thread, so one may pause. */
  readonly isThread: boolean
  /** Tasks will come: what they run in gets ready for them. */
  start(): void
  run<T extends Task>(task: T): Promise<TaskResults[T['kind']]>
  close(): Promise<void>
}

/** What crosses back from the thread. An error goes as its parts: structured clone keeps the message but not the code. */
export interface TaskOutcome<R> {
  readonly result?: R
  readonly failure?: {
    readonly code: string
    readonly message: string
    readonly details: Readonly<Record<string, unknown>>
  }
}

/** Idle for this long, the thread ends; the next flush starts another. */
const IDLE_MS = 60_000
/** A compaction takes seconds and pauses; a flush must not wait for it. */
const MAX_THREADS = 2

export function inlineExecutor(fs: DriftFs): Executor {
  let last: Promise<unknown> = Promise.resolve()
  return {
    isThread: false,
    start() {},
    run(task) {
      const result = last.then(() => runTask(fs, task))
      last = result.catch(() => undefined)
      return result
    },
    async close() {
      await last
    },
  }
}

export function threadExecutor(): Executor {
  const threads = new Threads<Task, TaskOutcome<unknown>>({
    filename: builtEntry(import.meta.url, 'persistence/thread.js').href,
    minThreads: 0,
    maxThreads: MAX_THREADS,
    idleMs: IDLE_MS,
    waitsDeaf: false,
  })
  return {
    isThread: true,
    start() {
      threads.run({ kind: 'remove', paths: [] }).catch(() => {}) // A thread that does not start is met by the first task.
    },
    async run<T extends Task>(task: T) {
      const { result, failure } = await threads.run(task).catch(cause => {
        const message = `the thread that writes files failed: ${(cause as Error).message}`
        throw new DriftError('DRIFT_THREAD', message, {}, { cause })
      })
      if (failure) throw new DriftError(failure.code, failure.message, failure.details)
      return result as TaskResults[T['kind']]
    },
    close: () => threads.close(),
  }
}
