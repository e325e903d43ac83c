/**
 * Threads that run tasks, as long as one can be started. Rule: what happens to a thread becomes the error of the tasks that wait for it; it neither
 * ends the process nor leaves them waiting. Nothing of piscina shows in a declaration: its own do not pass every strict compiler.
 */
import type { Worker } from 'node:worker_threads'
import { packViews } from '@drift/native'
import { Piscina } from 'piscina'

export interface ThreadsOptions {
  /** URL of the module whose default export runs a task, once `unpackViews` has been over it. */
  readonly filename: string
  readonly minThreads: number
  readonly maxThreads: number
  /** Of a thread above `minThreads`, before it ends; may be Infinity. */
  readonly idleMs: number
  /** Tasks that may wait. Default: any number. */
  readonly maxQueue?: number
  /** Whether an idle thread waits where it cannot hear of anything but a task: it begins sooner. */
  readonly waitsDeaf: boolean
}

export class Threads<Task, Result> {
  readonly #piscina: Piscina<Task, Result>
  /** Why no thread was left. */
  #failed: unknown

  constructor({
    idleMs,
    waitsDeaf,
    maxQueue = Number.POSITIVE_INFINITY,
    filename,
    minThreads,
    maxThreads,
  }: ThreadsOptions) {
    const piscina = new Piscina<Task, Result>({
      filename,
      minThreads,
      maxThreads,
      maxQueue,
      idleTimeout: idleMs,
      atomics: waitsDeaf ? 'sync' : 'disabled',
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      workerHistogram: false,
    })
    // Errors of a thread without a task, and late ones of a dead thread, whose task has been rejected. Unhandled, the event would end the process.
    // When no thread can start, waiting tasks would wait for ever: destroy rejects them, and the next task tries again.
    piscina.on('error', error => {
      if (piscina.threads.length > 0) return
      this.#failed = error
      void piscina.destroy()
    })
    this.#piscina = piscina
  }

  /** Those that are alive. */
  get workers(): readonly Worker[] {
    return this.#piscina.threads
  }

  /** @throws what the task threw or, when no thread is left to run it, why. */
  async run(task: Task): Promise<Result> {
    try {
      const result = await this.#piscina.run(packViews(task))
      this.#failed = undefined
      return result
    } catch (error) {
      throw this.#failed ?? error
    }
  }

  /** Waits for the tasks that there are, then ends the threads. */
  close(): Promise<void> {
    return this.#piscina.close()
  }

  /** Ends the threads at once; their tasks fail. */
  destroy(): Promise<void> {
    return this.#piscina.destroy()
  }
}
