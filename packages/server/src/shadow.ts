/**
 * Shadow recall of a running database: once a second the sampled queries are answered exactly, beside everything else, and who asked is
 * told when a collection finds less than was asked of it. Rule: a foreground query waits for no measurement: the exact answers come
 * from the pool, or in slices of about a millisecond. When neither queries nor rows have come, nothing is measured again.
 */
import type { MeasuredRecall } from '@drift/core'
import type { Engine } from './engine.js'
import type { Store } from './store.js'

/** A collection finds less than was asked for: the upper end of the interval is below the target. */
export interface RecallBelow extends MeasuredRecall {
  readonly collection: string
}

/** Share of the queries that are answered exactly too. */
export const DEFAULT_SHADOW = 0.001

const PERIOD_MS = 1_000
/** Periods for which calibrating waits while rows come faster than they are flushed: it takes a fifth of the thread that they come through. */
const PATIENCE = 10
/** Of one collection in a period: some hundred milliseconds of a pool thread at 100 000 rows. */
const MAX_PER_PERIOD = 16
/** Queries below which an interval says little. */
const LEAST_SAMPLES = 30

export class ShadowRecall {
  /** Of the queries that are sampled. */
  readonly share: number
  readonly #onBelow: ((event: RecallBelow) => void) | undefined
  /** Collections, k and targets that have been told of and have not recovered. */
  readonly #below: Set<string> = new Set()
  readonly #measuredAt: WeakMap<Store, number> = new WeakMap()
  /** Periods for which a calibration has waited. */
  readonly #waited: WeakMap<Store, number> = new WeakMap()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  readonly #ending = new AbortController()

  constructor(share: number, onBelow: ((event: RecallBelow) => void) | undefined) {
    this.share = share
    this.#onBelow = onBelow
  }

  start(engine: Engine): void {
    if (this.share === 0) return
    this.#timer = setInterval(() => {
      this.#running = this.#running.then(() => this.#measureAll(engine))
    }, PERIOD_MS).unref()
  }

  /** Resolves when the measurement that runs has ended. */
  async stop(): Promise<void> {
    this.#ending.abort()
    clearInterval(this.#timer)
    await this.#running
  }

  /** The sampled queries that wait; when there are none and rows have changed since, a recent one again. */
  async measure(store: Store, most: number): Promise<void> {
    const { index } = store
    if (index.isCalibrationDue && !this.#isPatient(store)) {
      await index.calibrate({ signal: this.#ending.signal })
    }
    const waiting = Math.min(most, index.shadowsWaiting)
    const changed = this.#measuredAt.get(store) !== index.updates
    for (let left = Math.max(waiting, changed ? 1 : 0); left > 0 && !this.#ending.signal.aborted; left--) {
      if (!(await index.shadow())) return
      this.#measuredAt.set(store, index.updates)
    }
    this.#tell(store)
  }

  async #measureAll(engine: Engine): Promise<void> {
    for (const store of engine.stores.values()) {
      try {
        await this.measure(store, MAX_PER_PERIOD)
      } catch (error) {
        // Closed or dropped meanwhile: there is nothing to measure any more.
        if (!this.#ending.signal.aborted && !store.dropped && !engine.closed) throw error
      }
    }
  }

  /** Whether a flood is to be over first. */
  #isPatient(store: Store): boolean {
    const waited = store.frozen.length > 0 ? (this.#waited.get(store) ?? 0) + 1 : PATIENCE
    this.#waited.set(store, waited % PATIENCE)
    return waited < PATIENCE
  }

  #tell(store: Store): void {
    if (this.#onBelow === undefined) return
    for (const recall of store.index.measuredRecall) {
      const key = `${store.number}/${recall.k}/${recall.target}`
      const isBelow = recall.samples >= LEAST_SAMPLES && recall.high95 < recall.target
      if (!isBelow) this.#below.delete(key)
      else if (!this.#below.has(key)) {
        this.#below.add(key)
        this.#onBelow({ collection: store.config.name, ...recall })
      }
    }
  }
}
