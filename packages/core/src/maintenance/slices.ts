/**
 * Long work in the caller's thread, cut into slices of one or two milliseconds between which the event loop turns.
 * Measured in multiply-adds instead of time, so that a run can be repeated exactly.
 */
import { setImmediate } from 'node:timers/promises'
import { kernels } from '@drift/native'

/** Multiply-adds of about a millisecond: SIMD code from a cache, or plain JavaScript. */
export const SLICE_WORK: number = kernels.variant === 'reference' ? 1e6 : 20e6

export interface Paced {
  /** Waited for between pieces of work of some milliseconds, when nothing is pinned: others may have the time. */
  readonly between?: (() => Promise<void>) | undefined
}

/** The turn that was given out last. */
let last: Promise<void> = Promise.resolve()

/**
 * A turn of the event loop that no other piece of long work has: however many go on at once, what waits for the loop waits for one of
 * their slices and not for one of each.
 */
export function ownTurn(): Promise<void> {
  last = last.then(() => setImmediate())
  return last
}

export class Slices {
  readonly #check: () => void
  #left: number = SLICE_WORK

  /** `check` throws when the work is no longer wanted; it is asked after every piece of work. */
  constructor(check: () => void) {
    this.#check = check
  }

  /** How many units of `work` multiply-adds fit a slice; at least 1. */
  fit(work: number): number {
    return Math.max(1, Math.floor(SLICE_WORK / work))
  }

  /** The event loop turns now. Throws what `check` throws. */
  async turn(): Promise<void> {
    await ownTurn()
    this.#left = SLICE_WORK
    this.#check()
  }

  /** To its end work that yields what it has done. */
  async run<T>(work: Generator<number, T>): Promise<T> {
    for (;;) {
      const step = work.next()
      if (step.done) return step.value
      await this.spend(step.value)
    }
  }

  /** Account for work done; turns the event loop when the slice is used up. Throws what `check` throws. */
  async spend(work: number): Promise<void> {
    this.#left -= work
    if (this.#left <= 0) {
      await ownTurn()
      this.#left = SLICE_WORK
    }
    this.#check()
  }
}

/** To its end, here and now, work that yields what it has done. */
export function atOnce<T>(work: Generator<number, T>): T {
  for (;;) {
    const step = work.next()
    if (step.done) return step.value
  }
}
