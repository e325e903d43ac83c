/**
 * Maintenance gives way to searches. How long the event loop keeps whoever searches waiting is measured while somebody does; when lately
 * more than one in a hundred waited longer than the bound, each piece of maintenance is followed by a rest of nine times as long.
 * Rule: a rest ends as soon as searches are in time again or nobody searches, and in any case, so that a tenth of the time is left to
 * healing however slow searches are. Flushes do not ask: writers wait for them.
 */
import { setTimeout as sleep } from 'node:timers/promises'

export interface PaceStats {
  /** It rests now, for searches. */
  readonly paused: boolean
  /** For so long it has rested since the database was opened. */
  readonly pausedMs: number
  /** Share of the searches of late that waited longer than `maxSearchWaitMs`: above 0.01, maintenance rests. 0 while nobody searches. */
  readonly lateSearches: number
  readonly maxSearchWaitMs: number
}

/** A p99 of 5 ms: what a search may wait beside everything else. */
export const DEFAULT_MAX_SEARCH_WAIT_MS = 5
/** Share of late searches from which on the p99 is over the bound. */
const MAX_LATE = 0.01
/** What is left of an older search's weight after another: the last hundred or so count. */
const KEPT = 1 - 1 / 128
/** After so long without a search nobody waits for anything. */
const QUIET_MS = 500
/** Of the time that maintenance takes; leaves it a tenth. */
const REST_TIMES = 9
/** A piece of work that had to wait for others seems long. */
const MAX_REST_MS = 250
/** Between two looks at whether a rest is over. */
const LOOK_MS = 10

export class Pace {
  readonly #maxWaitMs: number
  readonly #now: () => number
  #late = 0
  /** Searches and gets that were answered in this turn of the event loop, and when the first was. */
  #answered = 0
  #answeredMs = 0
  #searchedMs = Number.NEGATIVE_INFINITY
  readonly #courses: Set<Course> = new Set()
  #pausedMs = 0

  /** @param now - milliseconds, from any start. */
  constructor(maxWaitMs: number, now: () => number) {
    this.#maxWaitMs = maxWaitMs
    this.#now = now
  }

  /**
   * A search or a get is answered: what comes next, like what came in the meantime, waits until the event loop has turned. Not what a
   * search takes itself: to heal less would not make it faster.
   */
  readonly answered = (): void => {
    if (this.#answered++ > 0) return
    this.#answeredMs = this.#now()
    setImmediate(this.#turned)
  }

  /** For pieces of work that follow each other, the first of which begins now. Each course has its own tenth of the time. */
  course(signal?: AbortSignal): Course {
    return new Course(
      this.#now,
      () => this.#lateAt(this.#now()) > MAX_LATE,
      this.#courses,
      this.#rested,
      signal,
    )
  }

  stats(): PaceStats {
    const resting = [...this.#courses]
    return {
      paused: resting.some(({ isResting }) => isResting),
      pausedMs: resting.reduce((ms, { restedMs }) => ms + restedMs, this.#pausedMs),
      lateSearches: this.#lateAt(this.#now()),
      maxSearchWaitMs: this.#maxWaitMs,
    }
  }

  readonly #rested = (ms: number): void => {
    this.#pausedMs += ms
  }

  readonly #turned = (): void => {
    const now = this.#now()
    // Those of an earlier hour tell nothing of this one.
    const before = this.#lateAt(now)
    const kept = KEPT ** this.#answered
    const isLate = now - this.#answeredMs > this.#maxWaitMs
    this.#late = isLate ? 1 - (1 - before) * kept : before * kept
    this.#answered = 0
    this.#searchedMs = now
  }

  #lateAt(now: number): number {
    return now - this.#searchedMs < QUIET_MS ? this.#late : 0
  }
}

/** Pieces of maintenance that follow each other, and the rests between them. */
export class Course {
  readonly #now: () => number
  readonly #isLate: () => boolean
  readonly #resting: Set<Course>
  readonly #rested: (ms: number) => void
  readonly #signal: AbortSignal | undefined
  #began: number
  #restUntil = Number.NEGATIVE_INFINITY
  /** While this rests. */
  #restFrom = 0

  constructor(
    now: () => number,
    isLate: () => boolean,
    resting: Set<Course>,
    rested: (ms: number) => void,
    signal: AbortSignal | undefined,
  ) {
    this.#now = now
    this.#isLate = isLate
    this.#resting = resting
    this.#rested = rested
    this.#signal = signal
    this.#began = now()
  }

  /** A piece took so long. */
  worked(ms: number): void {
    this.#restUntil = this.#now() + Math.min(MAX_REST_MS, REST_TIMES * ms)
  }

  /** Milliseconds after which to ask again whether the next piece may begin; 0: it may. */
  get restMs(): number {
    const left = this.#restUntil - this.#now()
    if (left > 0 && this.#isLate()) {
      if (!this.#resting.has(this)) this.#restFrom = this.#now()
      this.#resting.add(this)
      return Math.min(left, LOOK_MS)
    }
    if (this.#resting.has(this)) this.#rested(this.restedMs)
    this.#resting.delete(this)
    return 0
  }

  /** Resolves when the piece that follows the one that ends now may begin, or the signal aborts. */
  readonly between = async (): Promise<void> => {
    this.worked(this.#now() - this.#began)
    for (let ms = this.restMs; ms > 0 && !this.#signal?.aborted; ms = this.restMs) {
      // An aborted sleep is the end of the rest: whoever rests looks at the signal next.
      await sleep(ms, undefined, this.#signal ? { signal: this.#signal } : {}).catch(() => undefined)
    }
    if (this.#signal?.aborted) this.#resting.delete(this)
    this.#began = this.#now()
  }

  get isResting(): boolean {
    return this.#resting.has(this) && this.#restUntil > this.#now() && this.#isLate()
  }

  /** Of the rest that is under way. */
  get restedMs(): number {
    return Math.max(0, Math.min(this.#now(), this.#restUntil) - this.#restFrom)
  }
}
