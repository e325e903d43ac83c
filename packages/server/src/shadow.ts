/**
 * Shadow recall of a running database: once a second the sampled queries are answered exactly, beside everything else, and who asked is
 * told when a collection finds less than was asked of it. Rule: a foreground query waits for no measurement: the exact answers come
 * from the pool, or in slices of about a millisecond; where they take long, they come less often. When neither queries nor rows have come,
 * nothing is measured again.
 */
import { type MeasuredRecall, notify } from '@drift/core'
import type { Engine } from './engine.js'
import type { Store } from './store.js'

/** A collection finds less than was asked for: the upper end of the interval is below the target. */
export interface RecallBelow extends MeasuredRecall {
  readonly collection: string
}

/** Share of the queries that are answered exactly too. */
export const DEFAULT_SHADOW = 0.001

const PERIOD_MS = 1_000
/** Times as long as exact answers took in a period, none are sought: they take at most a fifth of the time. */
const REST_TIMES = 4
/** Periods without a flush after which what is due is calibrated; while rows stream in, only what is overdue: it would soon be old. */
const QUIET_PERIODS = 2
/** Of one collection in a period: some hundred milliseconds of a pool thread at 100 000 rows. */
const MAX_PER_PERIOD = 16
/** Queries below which an interval says little. */
const LEAST_SAMPLES = 30

export class ShadowRecall {
  /** Share of the queries that are sampled. */
  readonly share: number
  readonly #onBelow: ((event: RecallBelow) => void) | undefined
  /** Collections, k and targets that have been told of and have not recovered. */
  readonly #below: Set<string> = new Set()
  readonly #measuredAt: WeakMap<Store, number> = new WeakMap()
  /** Flushes begun before the last period, and periods since one began or waited. */
  readonly #flushes: WeakMap<Store, { begun: number; quiet: number }> = new WeakMap()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  readonly #ending = new AbortController()

  constructor(share: number, onBelow: ((event: RecallBelow) => void) | undefined) {
    this.share = share
    this.#onBelow = onBelow
  }

  start(engine: Engine): void {
    this.#after(PERIOD_MS, engine)
  }

  /** Resolves when the measurement that runs has ended. */
  async stop(): Promise<void> {
    this.#ending.abort()
    clearTimeout(this.#timer)
    await this.#running
  }

  /**
   * The sampled queries that wait; when there are none and rows have changed since, a recent one again.
   *
   * @param between - waited for after each.
   */
  async measure(store: Store, most: number, between: () => Promise<void>): Promise<void> {
    const { index } = store
    const { signal } = this.#ending
    const waiting = Math.min(most, index.shadowsWaiting)
    const changed = this.#measuredAt.get(store) !== index.updates
    for (let left = Math.max(waiting, changed ? 1 : 0); left > 0 && !signal.aborted; left--) {
      if (!(await index.shadow())) return
      this.#measuredAt.set(store, index.updates)
      await between()
    }
    this.#tell(store)
  }

  #after(ms: number, engine: Engine): void {
    this.#timer = setTimeout(() => {
      this.#running = this.#period(engine)
    }, ms).unref()
  }

  async #period(engine: Engine): Promise<void> {
    const tookMs = await this.#measureAll(engine)
    if (!this.#ending.signal.aborted) this.#after(Math.max(PERIOD_MS, REST_TIMES * tookMs), engine)
  }

  /** @returns milliseconds that exact answers took, with the rests between them. */
  async #measureAll(engine: Engine): Promise<number> {
    const { janitor, pace } = engine
    const { between } = pace.course(this.#ending.signal)
    let tookMs = 0
    if (this.share === 0 && janitor.healing.mode !== 'background') return tookMs
    for (const store of engine.stores.values()) {
      try {
        await this.#calibrate(store, janitor.begun, between)
        const began = performance.now()
        await this.measure(store, MAX_PER_PERIOD, between).finally(() => {
          tookMs += performance.now() - began
        })
      } catch (error) {
        // Closed or dropped meanwhile: there is nothing to measure any more. What the world is to blame for, vectors that are damaged or a
        // pool that is full, is told to whoever asks for rows; measuring is tried again in the next period.
        const isGone = this.#ending.signal.aborted || store.dropped || engine.closed
        if (!isGone && !String((error as { code?: unknown }).code).startsWith('DRIFT_')) throw error
      }
    }
    return tookMs
  }

  /**
   * Calibrates a collection that is due, also while rows stream in: whoever flushes will search next. Until then floors follow the growth by
   * a rule (RecallMap), which suits some data and in others finds too few of the rows that are asked for. Never rejects: it is tried again.
   */
  async calibrateDue(engine: Engine, store: Store): Promise<void> {
    const { index } = store
    const isMeasured = this.share > 0 || engine.janitor.healing.mode === 'background'
    if (!isMeasured || !index.isCalibrationDue) return
    await index.calibrate({ signal: this.#ending.signal, onlyDue: true }).catch(() => undefined)
  }

  /** When it is due, beside flushes and healing, which do not wait for it. @param begun - flushes so far. */
  async #calibrate(store: Store, begun: number, between: () => Promise<void>): Promise<void> {
    const { index } = store
    const flushes = this.#flushes.get(store) ?? { begun, quiet: QUIET_PERIODS }
    const isQuiet = flushes.begun === begun && store.frozen.length === 0
    flushes.quiet = isQuiet ? flushes.quiet + 1 : 0
    flushes.begun = begun
    this.#flushes.set(store, flushes)
    // While rows stream in there will soon be others.
    const isRough = flushes.quiet < QUIET_PERIODS
    const isDue = isRough ? index.isCalibrationOverdue : index.isCalibrationDue
    if (isDue) await index.calibrate({ signal: this.#ending.signal, between, onlyDue: true, isRough })
  }

  #tell(store: Store): void {
    if (this.#onBelow === undefined) return
    for (const recall of store.index.measuredRecall) {
      const key = `${store.number}/${recall.k}/${recall.target}`
      const isBelow = recall.samples >= LEAST_SAMPLES && recall.high95 < recall.target
      if (!isBelow) this.#below.delete(key)
      else if (!this.#below.has(key)) {
        this.#below.add(key)
        notify(() => this.#onBelow?.({ collection: store.config.name, ...recall }))
      }
    }
  }
}
