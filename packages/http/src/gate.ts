/**
 * Gate: so many calls run at once, so many more wait, and none waits longer than it is worth: an answer that comes too
 * late costs as much as one in time, and is thrown away (RFC 9110, 15.6.4; the idea is CoDel's).
 */
import { HttpError } from './errors.js'

export interface GateOptions {
  readonly running: number
  readonly waiting: number
  /** Infinity: waits as long as it takes. */
  readonly waitMs: number
}

interface Waiter {
  readonly enter: () => void
  readonly refuse: (error: HttpError) => void
  timer: NodeJS.Timeout | undefined
}

export class Gate {
  readonly #options: GateOptions
  readonly #what: string
  readonly #waiters: Waiter[] = []
  #running = 0

  constructor(what: string, options: GateOptions) {
    this.#what = what
    this.#options = options
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#waiters.length
  }

  /** @throws HttpError DRIFT_QUEUE_FULL, DRIFT_OVERLOADED */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#options.running) await this.#wait()
    else this.#running++
    try {
      return await work()
    } finally {
      this.leave()
    }
  }

  /** Enter without waiting; whoever does so calls `leave` once. @throws HttpError DRIFT_QUEUE_FULL */
  enter(): void {
    if (this.#running >= this.#options.running) throw this.#full()
    this.#running++
  }

  leave(): void {
    const next = this.#waiters.shift()
    clearTimeout(next?.timer)
    if (next) next.enter()
    else this.#running--
  }

  #wait(): Promise<void> {
    const { waiting, waitMs } = this.#options
    if (this.#waiters.length >= waiting) throw this.#full()
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { enter: resolve, refuse: reject, timer: undefined }
      if (Number.isFinite(waitMs)) waiter.timer = setTimeout(() => this.#shed(waiter), waitMs)
      this.#waiters.push(waiter)
    })
  }

  #shed(waiter: Waiter): void {
    this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
    waiter.refuse(
      new HttpError(
        'DRIFT_OVERLOADED',
        `a ${this.#what} waited ${this.#options.waitMs} ms for its turn`,
        {},
        { retryAfter: 1 },
      ),
    )
  }

  #full(): HttpError {
    const { running, waiting } = this.#options
    return new HttpError(
      'DRIFT_QUEUE_FULL',
      `${running} ${this.#what}s run and ${this.#waiters.length} of ${waiting} wait`,
      {},
      { retryAfter: 1 },
    )
  }
}
