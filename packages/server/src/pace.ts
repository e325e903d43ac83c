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
  /** For so long it has rested since the database was opened; of rests at the same time, the time. */
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
  readonly #rests: Rests

  /** @param now - milliseconds, from any start. */
  constructor(maxWaitMs: number, now: () => number) {
    this.#maxWaitMs = maxWaitMs
    this.#now = now
    this.#rests = new Rests(now)
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
    return new Course(this.#now, () => this.#lateAt(this.#now()) > MAX_LATE, this.#rests, signal)
  }

  stats(): PaceStats {
    return {
      paused: this.#rests.isAny,
      pausedMs: this.#rests.count(),
      lateSearches: this.#lateAt(this.#now()),
      maxSearchWaitMs: this.#maxWaitMs,
    }
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

/** The courses that rest, and the time in which at least one of them did. */
class Rests {
  readonly #now: () => number
  readonly #courses: Set<Course> = new Set()
  #ms = 0
  #countedMs: number

  constructor(now: () => number) {
    this.#now = now
    this.#countedMs = now()
  }

  get isAny(): boolean {
    return [...this.#courses].some(({ isResting }) => isResting)
  }

  set(course: Course, rests: boolean): void {
    if (this.#courses.has(course) === rests) return
    this.count()
    if (rests) this.#courses.add(course)
    else this.#courses.delete(course)
  }

  /** @returns milliseconds until now. */
  count(): number {
    const now = this.#now()
    // One that nobody asks again ends by itself.
    const ends = Math.max(...Array.from(this.#courses, ({ restUntil }) => restUntil))
    this.#ms += Math.max(0, Math.min(now, ends) - this.#countedMs)
    this.#countedMs = now
    return this.#ms
  }
}

/** Pieces of maintenance that follow each other, and the rests between them. */
export class Course {
  readonly #now: () => number
  readonly #isLate: () => boolean
  readonly #rests: Rests
  readonly #signal: AbortSignal | undefined
  #began: number
  #restUntil = Number.NEGATIVE_INFINITY

  constructor(now: () => number, isLate: () => boolean, rests: Rests, signal: AbortSignal | undefined) {
    this.#now = now
    this.#isLate = isLate
    this.#rests = rests
    this.#signal = signal
    this.#began = now()
  }

  /** A piece took so long. */
  worked(ms: number): void {
    this.#rests.set(this, false)
    this.#restUntil = this.#now() + Math.min(MAX_REST_MS, REST_TIMES * ms)
  }

  /** Milliseconds after which to ask again whether the next piece may begin; 0: it may. */
  get restMs(): number {
    const left = this.#restUntil - this.#now()
    const rests = left > 0 && this.#isLate()
    this.#rests.set(this, rests)
    return rests ? Math.min(left, LOOK_MS) : 0
  }

  /** Resolves when the piece that follows the one that ends now may begin, or the signal aborts. */
  readonly between = async (): Promise<void> => {
    this.worked(this.#now() - this.#began)
    for (let ms = this.restMs; ms > 0 && !this.#signal?.aborted; ms = this.restMs) {
      // An aborted sleep is the end of the rest: whoever rests looks at the signal next.
      await sleep(ms, undefined, this.#signal ? { signal: this.#signal } : {}).catch(() => undefined)
    }
    if (this.#signal?.aborted) this.#rests.set(this, false)
    this.#began = this.#now()
  }

  get isResting(): boolean {
    return this.#restUntil > this.#now() && this.#isLate()
  }

  get restUntil(): number {
    return this.#restUntil
  }
}
