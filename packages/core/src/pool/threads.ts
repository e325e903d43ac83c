/**
 * Threads that run tasks, as long as one can be started. Rule: what happens to a thread becomes the error of the tasks that wait for it; it neither
 * ends the process nor leaves them waiting. A thread is ended only when it has loaded what it runs: earlier it would leave the files open that it
 * was reading, and Node 20 ends the whole process when a thread that requires a module is told to end while it links that (require(esm)).
 * Nothing of piscina shows in a declaration: its own do not pass every strict compiler.
 */
import type { Worker } from 'node:worker_threads'
import { packViews } from '@drift/native'
import { Piscina, queueOptionsSymbol, type TaskQueue } from 'piscina'

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

export class Threads<Task extends object, Result> {
  readonly #piscina: Piscina<Task, Result>
  readonly #waiting: Waiting = new Waiting()
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
      taskQueue: this.#waiting,
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

  /**
   * @param group - what `withdraw` knows it by.
   * @throws what the task threw or, when no thread is left to run it, why.
   */
  async run(task: Task, group?: object): Promise<Result> {
    try {
      const result = await new Promise<Result>((resolve, reject) => {
        const ticket: Ticket = { group, reject }
        this.#piscina.run({ ...packViews(task), [queueOptionsSymbol]: ticket }).then(resolve, reject)
        this.#meet()
      })
      this.#failed = undefined
      return result
    } catch (error) {
      throw this.#failed ?? error
    }
  }

  /** Tasks of the group that no thread has taken fail at once; what one has taken goes on. */
  withdraw(group: object): void {
    this.#waiting.withdraw(group)
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

/** With every task, known to piscina as the options of its queue; a symbol's property stays in this thread. */
interface Ticket {
  readonly group: object | undefined
  readonly reject: (reason: Error) => void
}

type Waits = Parameters<TaskQueue['push']>[0]

/** Tasks that no thread has taken, in order. piscina itself takes one back only with a signal, on which it kills a thread that has begun. */
class Waiting implements TaskQueue {
  readonly #tasks: Set<Waits> = new Set()

  get size(): number {
    return this.#tasks.size
  }

  push(task: Waits): void {
    this.#tasks.add(task)
  }

  shift(): Waits | null {
    for (const task of this.#tasks) {
      this.#tasks.delete(task)
      return task
    }
    return null
  }

  remove(task: Waits): void {
    this.#tasks.delete(task)
  }

  withdraw(group: object): void {
    for (const task of this.#tasks) {
      const ticket = task[queueOptionsSymbol] as Ticket
      if (ticket.group !== group) continue
      this.#tasks.delete(task)
      ticket.reject(new Error('withdrawn before a thread took it'))
    }
  }
}
