/**
 * When which operation may run, beside foreground work: the best for its moves first, paid from a budget that writes and idle time fill.
 * Rule: nothing here runs or knows the time; the caller gives both, so a schedule can be repeated. A candidate that comes to nothing
 * waits twice as long each time, and the others go on.
 */
import { CoreError } from '../errors.js'
import { BestFirst } from './best-first.js'
import type { Operation } from './plan.js'

export interface SchedulerOptions {
  /** Moves that a millisecond of idle time is worth. Default 10: a fifth of a core. */
  readonly idleMovesPerMs?: number
}

/** Moves that can be saved up: those of a large flush, so that a burst of writes is healed and a year of silence is not. */
const MAX_TOKENS = 65_536
const FIRST_DELAY_MS = 100
const MAX_DELAY_MS = 60_000

export class Scheduler {
  readonly #idleMovesPerMs: number
  #tokens = 0
  #queue: BestFirst = new BestFirst([])
  /** By the serial of the bucket. */
  readonly #delays: Map<number, { readonly until: number; readonly delayMs: number }> = new Map()

  /** @throws CoreError DRIFT_OPTION. */
  constructor({ idleMovesPerMs = 10 }: SchedulerOptions = {}) {
    if (typeof idleMovesPerMs !== 'number' || !(idleMovesPerMs >= 0)) {
      const message = `idleMovesPerMs is ${String(idleMovesPerMs)}, expected a number of at least 0`
      throw new CoreError('DRIFT_OPTION', message, { option: 'idleMovesPerMs', idleMovesPerMs })
    }
    this.#idleMovesPerMs = idleMovesPerMs
  }

  /** Moves that may be made now. */
  get tokens(): number {
    return this.#tokens
  }

  /** Operations that wait. */
  get waiting(): number {
    return this.#queue.size
  }

  /** So many rows were inserted or deleted: each pays for a move. */
  earn(rows: number): void {
    this.#tokens = Math.min(MAX_TOKENS, this.#tokens + rows)
  }

  /** Nothing else was to do for so long. */
  rest(ms: number): void {
    this.earn(ms * this.#idleMovesPerMs)
  }

  /** A new plan takes the place of the old one. */
  offer(plan: readonly Operation[]): void {
    this.#queue = new BestFirst(plan)
  }

  /** @returns what to do now, or undefined. */
  next(nowMs: number): Operation | undefined {
    for (let best = this.#queue.best; best !== undefined; best = this.#queue.best) {
      const waits = (this.#delays.get(best.serial)?.until ?? 0) > nowMs
      // One that is too dear for now waits for its tokens: a cheaper one behind it is worth less for each move.
      if (!waits && Math.min(best.moves, MAX_TOKENS) > this.#tokens) return undefined
      this.#queue.take()
      if (!waits) return best
    }
    return undefined
  }

  /** The operation ran. @param applied - false: it came to nothing, and its bucket waits. */
  done(operation: Operation, moves: number, applied: boolean, nowMs: number): void {
    this.#tokens = Math.max(0, this.#tokens - moves)
    if (applied) {
      this.#delays.delete(operation.serial)
      return
    }
    const before = this.#delays.get(operation.serial)?.delayMs
    const delayMs = before === undefined ? FIRST_DELAY_MS : Math.min(MAX_DELAY_MS, 2 * before)
    this.#delays.set(operation.serial, { until: nowMs + delayMs, delayMs })
  }

  /** Forget the delays of buckets that are long past. */
  tidy(nowMs: number): void {
    for (const [serial, { until }] of this.#delays) {
      if (until + MAX_DELAY_MS < nowMs) this.#delays.delete(serial)
    }
  }
}
