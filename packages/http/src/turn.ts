/**
 * How long requests have waited, and how much longer a search may make others wait. What came in while the thread was busy is handed over in
 * one turn of the event loop, so a request that is met late in a long turn has waited since its beginning at least: no queue sees it.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'

/**
 * Searches that begin within one turn: those behind them wait for the next (gate.ts). One connection is accepted in a turn, and health
 * checks and writes wait for its end, so under load a turn has to stay short.
 */
const TURN_MS = 5
/**
 * Of what a search may wait, while more of them come than there is time for. A burst may fill the whole wait, as the thread catches up with
 * it; where it does not, whatever is let in waits for all that was let in before, and a shorter wait is as much work done.
 */
const OVERLOADED_SHARE = 0.4
/** So long after a search that would have waited too long there is an overload. */
const CALM_MS = 1_000

export class Turn {
  readonly #mostMs: number
  #began: number | undefined
  #overloadedUntil = 0

  /** @param mostMs - that a search may wait. */
  constructor(mostMs: number) {
    this.#mostMs = mostMs
  }

  /** Milliseconds since this turn's first request or search. To be called for every one. */
  lasts(): number {
    const now = performance.now()
    if (this.#began === undefined) {
      this.#began = now
      setImmediate(() => {
        this.#began = undefined
      })
    }
    return now - this.#began
  }

  get isLong(): boolean {
    return this.lasts() > TURN_MS
  }

  /** Whether a search is to be refused that will have waited so long. */
  isTooLong(waitMs: number): boolean {
    const now = performance.now()
    const mostMs = now < this.#overloadedUntil ? OVERLOADED_SHARE * this.#mostMs : this.#mostMs
    if (waitMs <= mostMs) return false
    this.#overloadedUntil = now + CALM_MS
    return true
  }
}

const RESOLUTION_MS = 10
const SAMPLE_MS = 1_000

/** The mean delay of the event loop over a second. */
export class LoopDelay {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  readonly #timer: NodeJS.Timeout
  /** Of the last second that is over. */
  ms = 0

  constructor() {
    this.#histogram.enable()
    this.#timer = setInterval(() => {
      const { mean } = this.#histogram
      // Not a number when nothing was counted in all that time.
      this.ms = Number.isNaN(mean) ? Number.POSITIVE_INFINITY : Math.max(0, mean / 1e6 - RESOLUTION_MS)
      this.#histogram.reset()
    }, SAMPLE_MS).unref()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#histogram.disable()
  }
}
