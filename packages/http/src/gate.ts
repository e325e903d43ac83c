/**
 * Gate: so many calls run at once, so many more wait, and none waits longer than it is worth: an answer that comes too
 * late costs as much as one in time, and is thrown away (RFC 9110, 15.6.4; the idea is CoDel's). With a turn, calls that hold the thread
 * begin one by one, and no more of them once the turn is long.
 */
import { HttpError } from './errors.js'
import type { Turn } from './turn.js'

export interface GateOptions {
  readonly running: number
  readonly waiting: number
  /** Infinity: waits as long as it takes. */
  readonly waitMs: number
  readonly turn?: Turn
}

/** Weight of the newest in the mean time between two calls that end while others wait. */
const NEWEST = 0.1

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
  #isScheduled = false
  #meanMs = 0
  /** When the last call ended that others waited for. */
  #endedMs: number | undefined

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

  /** Milliseconds that one more call is likely to wait. */
  get expectedMs(): number {
    return this.#waiters.length * this.#meanMs
  }

  /** @throws HttpError DRIFT_QUEUE_FULL, DRIFT_OVERLOADED */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiters.length > 0 || !this.#mayBegin()) await this.#wait()
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
    this.#running--
    const waited = this.#endedMs
    this.#endedMs = this.#waiters.length > 0 ? performance.now() : undefined
    if (this.#endedMs === undefined) return
    if (waited !== undefined) this.#meanMs += NEWEST * (this.#endedMs - waited - this.#meanMs)
    this.#next()
  }

  #mayBegin(): boolean {
    return this.#running < this.#options.running && !this.#options.turn?.isLong
  }

  /** One of those that wait, now or in the next turn. Those that do not hold the thread follow in the turns after it. */
  #next(): void {
    if (this.#waiters.length === 0 || this.#running >= this.#options.running) return
    if (this.#mayBegin()) {
      const next = this.#waiters.shift()!
      clearTimeout(next.timer)
      this.#running++
      next.enter()
    }
    this.#schedule()
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiters.length === 0) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#next()
    })
  }

  #wait(): Promise<void> {
    const { waiting, waitMs } = this.#options
    if (this.#waiters.length >= waiting) throw this.#full()
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { enter: resolve, refuse: reject, timer: undefined }
      if (Number.isFinite(waitMs)) waiter.timer = setTimeout(() => this.#shed(waiter), waitMs)
      this.#waiters.push(waiter)
      this.#schedule()
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
