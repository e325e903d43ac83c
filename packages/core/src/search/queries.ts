/**
 * The queries of one index, alone or in batches: arguments -> width -> search -> answer.
 * Rule: a query that needs no second thread is over before the next may use the scratch, so it waits for nothing between its first step
 * and its answer. What waits works on a copy of the query and on a pinned view.
 */
import {
  DEFAULT_RECALL,
  requireFunction,
  requireQueries,
  requireVectors,
  requireWidth,
  type SearchOptions,
} from '../arguments.js'
import { NONE } from '../bucket/extent.js'
import { codeTails } from '../coded-tail.js'
import { CoreError } from '../errors.js'
import type { Id } from '../id.js'
import type { IndexLife } from '../index-life.js'
import type { IndexState } from '../index-state.js'
import { prepare, prepareInto, publicDistance } from '../metric.js'
import type { IndexPool } from '../pool/pool.js'
import type { Shadows } from '../recall/shadows.js'
import { fixRows } from './allowed.js'
import { answerOf, type BatchResult, publicDistances, type SearchResult } from './answer.js'
import { BatchMemory, type FoundSlice } from './batch.js'
import { isAllElsewhere, rerankMany, searchAll, searchAllMany, widened } from './elsewhere.js'
import { type Explanation, explainQuery } from './explain.js'
import { isWide, searchMany, searchParts } from './fan-out.js'
import { Scratch } from './scratch.js'
import { searchView } from './search.js'
import type { SearchWidth } from './view.js'
import { Warmth } from './warmth.js'
import { rowsWithin } from './within.js'

export type Abortable = { readonly signal?: AbortSignal }

/** Those that say how much to scan are looked at as for a search, and make no difference: every row is compared. */
export type WithinOptions = Omit<SearchOptions, 'k'> & Abortable

/** Buckets with many dead entries that a search rewrites first, 25 us each: a burst of deletes is made up for by so many searches. */
const TIDIED = 1

/** Rows of tails that a search gives entries first, 0.3 us each, and those that a batch does at most. */
const CODED = 512
const MOST_CODED = 4096

/** Of all indexes, of which there may be thousands. */
const batches = new BatchMemory()

export class Queries {
  readonly #life: IndexLife
  readonly #pool: IndexPool | undefined
  readonly #shadows: Shadows
  readonly #scratch: Scratch
  readonly #warmth: Warmth = new Warmth()

  constructor(life: IndexLife, pool: IndexPool | undefined, shadows: Shadows) {
    this.#life = life
    this.#pool = pool
    this.#shadows = shadows
    this.#scratch = new Scratch(life.state.shape.dim)
  }

  get bytes(): number {
    return this.#scratch.bytes + this.#warmth.bytes
  }

  now(query: Float32Array, options: SearchOptions): SearchResult {
    const state = this.#life.open()
    this.#life.requireVectors()
    const width = widened(state, requireWidth(options, state))
    this.#prepare(state, query)
    prepareFor(state, 1)
    return this.#search(state, width, options)
  }

  async one(query: Float32Array, options: SearchOptions & Abortable): Promise<SearchResult> {
    const life = this.#life
    const state = life.open()
    const width = widened(state, requireWidth(options, state))
    const { signal } = options
    signal?.throwIfAborted()
    if (life.vectorsPending !== undefined) {
      requireVectors(state.shape, query, 1)
      // The caller's memory may change while it waits.
      const waiting = query.slice()
      await this.#untilVectors()
      this.#prepare(state, waiting)
    } else this.#prepare(state, query)
    prepareFor(state, 1)
    if (this.#pool === undefined || this.#pool.threads < 2 || !isWide(state.view, width)) {
      // Over before the next search may use the scratch.
      return this.#search(state, width, options)
    }
    const prepared = this.#scratch.query.slice()
    const pin = state.pins.open()
    try {
      const running = searchParts(state, this.#pool, prepared, width, life.checkOf(signal), signal)
      this.#shadows.offer(prepared, options)
      const { rows, distances, scannedRows, scannedBuckets } = await running
      const left = state.exact?.rerank(prepared, width.owed, rows, distances, 0, rows.length) ?? rows.length
      return answerOf(state, rows.subarray(0, left), distances.subarray(0, left), scannedRows, scannedBuckets)
    } finally {
      pin()
    }
  }

  async many(queries: Float32Array, options: SearchOptions & Abortable): Promise<BatchResult> {
    const life = this.#life
    const state = life.open()
    const { dim, metric } = state.shape
    const count = requireQueries(state.shape, queries)
    const asked = widened(state, requireWidth(options, state, count))
    // The caller's memory may change while tasks wait for the pool.
    const width: SearchWidth = { ...asked, allow: asked.allow && fixRows(asked.allow.slice()) }
    const { signal } = options
    signal?.throwIfAborted()
    const batch = batches.take(dim, count, width.k)
    const { queries: prepared } = batch
    prepared.set(queries)
    prepare(metric, prepared, dim, 0, count)
    if (life.vectorsPending !== undefined) await this.#untilVectors()
    prepareFor(state, count)
    this.#shadows.offer(prepared, options)
    const check = life.checkOf(signal)
    const ids: (Id | undefined)[] = new Array(count * width.owed).fill(undefined)
    const told = ({ rows, distances }: FoundSlice, from: number, to: number): void => {
      for (let i = from; i < to; i++) if (rows[i] !== NONE) ids[i] = state.store.ids.idAt(rows[i]!)
      publicDistances(metric, distances.subarray(from, to))
    }
    const left = (): void => batches.give(batch)
    const { snapshot, release } = state.pin()
    const place = { state, snapshot, pool: this.#pool, scratch: this.#scratch, check, signal }
    try {
      if (state.exact === undefined) {
        const found = await searchMany(place, batch, width, { told, left })
        return { ...found, k: width.owed, ids }
      }
      const found = isAllElsewhere(state, width)
        ? await searchAllMany(state, snapshot, this.#pool, prepared, width, check, signal)
        : await rerankMany(state.exact, await searchMany(place, batch, width), prepared, width, check)
      told(found, 0, ids.length)
      return { ...found, k: width.owed, ids }
    } finally {
      release()
    }
  }

  /** The rows within the radius of each query. All see the same moment. */
  async within(queries: Float32Array, radius: number, options: WithinOptions): Promise<SearchResult[]> {
    const life = this.#life
    const state = life.open()
    requireWidth({ ...options, k: 1 }, state)
    const { allow, signal } = options
    signal?.throwIfAborted()
    if (typeof radius !== 'number' || Number.isNaN(radius)) {
      throw new CoreError('DRIFT_RADIUS', `radius is ${String(radius)}, expected a number`, { radius })
    }
    const { dim, metric } = state.shape
    const count = requireQueries(state.shape, queries)
    const prepared = queries.slice()
    prepare(metric, prepared, dim, 0, count)
    if (life.vectorsPending !== undefined) await this.#untilVectors()
    const { snapshot, release } = state.pin()
    try {
      const found = await rowsWithin(
        snapshot,
        state.exact,
        prepared,
        allow,
        distance => Math.fround(publicDistance(metric, distance)) <= radius,
        life.checkOf(signal),
      )
      return found.map(one => answerOf(state, one.rows, one.distances, one.scannedRows, 0))
    } finally {
      release()
    }
  }

  explain(query: Float32Array, options: SearchOptions, now: () => number): Explanation {
    const state = this.#life.open()
    const width = requireWidth(options, state)
    requireFunction('now', now)
    this.#prepare(state, query)
    const isByRecall = options.floor === undefined && options.mode === undefined
    const asked = isByRecall ? (options.recall ?? DEFAULT_RECALL) : undefined
    return explainQuery(state, width, asked, this.#scratch, now)
  }

  async #untilVectors(): Promise<void> {
    await this.#life.vectorsPending
    this.#life.open()
  }

  /** The query, checked and prepared, into the scratch. */
  #prepare({ shape }: IndexState, query: Float32Array): void {
    prepareInto(shape.metric, query, requireVectors(shape, query, 1), this.#scratch.query)
  }

  /** For the prepared query in the scratch. */
  #search(state: IndexState, width: SearchWidth, options: SearchOptions): SearchResult {
    const scratch = this.#scratch
    const { query } = scratch
    let found: number
    if (isAllElsewhere(state, width)) found = searchAll(state, width, scratch)
    else {
      const { outRows, outDistances } = scratch.reserveResult(Math.min(width.k, state.store.liveRows))
      const done = this.#warmth.sample(state, scratch)
      try {
        found = searchView(state.view, width, scratch, outRows, outDistances)
      } finally {
        done?.()
      }
      this.#shadows.offer(query, options)
      if (state.exact !== undefined) {
        found = state.exact.rerank(query, width.owed, outRows, outDistances, 0, found)
      }
    }
    const { outRows, outDistances, scannedRows, scannedBuckets } = scratch
    return answerOf(state, outRows.slice(0, found), outDistances.slice(0, found), scannedRows, scannedBuckets)
  }
}

/** What makes this search and those that follow cheaper. */
function prepareFor(state: IndexState, queries: number): void {
  state.directory.tidy(TIDIED * queries)
  codeTails(state, Math.min(MOST_CODED, CODED * queries))
}
