/**
 * Threads that run tasks, as long as one can be started. Rule: what happens to a thread becomes the error of the tasks that wait for it; it neither
 * ends the process nor leaves them waiting. A thread is ended only when it has loaded what it runs: earlier it would leave the files open that it
 * was reading, and Node 20 ends the whole process when a thread that requires a module is told to end while it links that (require(esm)).
 * Nothing of piscina shows in a declaration: its own do not pass every strict compiler.
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
  readonly #met: WeakSet<Worker> = new WeakSet()
  /** Those that still load what they run, and when each has. */
  readonly #loading: Map<Worker, Promise<void>> = new Map()
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
    // piscina replaces no thread any more once one has died before it was ready: nobody would come for the tasks that wait.
    piscina.on('workerDestroy', () => {
      queueMicrotask(() => {
        if (piscina.threads.length === 0 && piscina.queueSize > 0) void piscina.destroy()
      })
    })
    this.#piscina = piscina
    this.#meet()
  }

  /** Those that are alive. */
  get workers(): readonly Worker[] {
    return this.#piscina.threads
  }

  /** @throws what the task threw or, when no thread is left to run it, why. */
  async run(task: Task): Promise<Result> {
    try {
      const running = this.#piscina.run(packViews(task))
      this.#meet()
      const result = await running
      this.#failed = undefined
      return result
    } catch (error) {
      throw this.#failed ?? error
    }
  }

  /** Waits for the tasks that there are, then ends the threads. */
  async close(): Promise<void> {
    await this.#loaded()
    await this.#piscina.close()
  }

  /** Ends the threads as soon as they have loaded; their tasks fail. */
  async destroy(): Promise<void> {
    await this.#loaded()
    await this.#piscina.destroy()
  }

  /** Threads begin in the constructor and in `run`. */
  #meet(): void {
    for (const worker of this.workers) {
      if (this.#met.has(worker)) continue
      this.#met.add(worker)
      const loaded = new Promise<void>(resolve => {
        // piscina's first message says so.
        for (const event of ['message', 'error', 'exit']) worker.once(event, () => resolve())
      })
      this.#loading.set(worker, loaded)
      void loaded.then(() => this.#loading.delete(worker))
    }
  }

  async #loaded(): Promise<void> {
    for (const worker of this.#loading.keys()) worker.ref()
    await Promise.all(this.#loading.values())
  }
}
