/**
 * Threads that run tasks, as long as one can be started. Rule: what happens to a thread becomes the error of the tasks that wait for it; it neither
 * ends the process nor leaves them waiting.
 */
import { Piscina } from 'piscina'

export type ThreadsOptions = NonNullable<ConstructorParameters<typeof Piscina>[0]>

export class Threads<Task, Result> {
  readonly piscina: Piscina<Task, Result>
  /** Why no thread was left. */
  #failed: unknown

  constructor(options: ThreadsOptions) {
    const piscina = new Piscina<Task, Result>(options)
    // Errors of a thread without a task, and late ones of a dead thread, whose task has been rejected. Unhandled, the event would end the process.
    // When no thread can start, waiting tasks would wait for ever: destroy rejects them, and the next task tries again.
    piscina.on('error', error => {
      if (piscina.threads.length > 0) return
      this.#failed = error
      void piscina.destroy()
    })
    this.piscina = piscina
  }

  /** @throws what the task threw or, when no thread is left to run it, why. */
  async run(task: Task): Promise<Result> {
    try {
      const result = await this.piscina.run(task)
      this.#failed = undefined
      return result
    } catch (error) {
      throw this.#failed ?? error
    }
  }
}
