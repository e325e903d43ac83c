/**
 * The in-memory index: L0 memtables that take writes at once, L1 buckets that make search cheap, one row store under both.
 * Rule: every change is one synchronous step, so a search sees each live id exactly once, in its newest version. A write
 * is appended (copied in), then published (visible) when its owner says that it is durable.
 */

import { PROBE_WORDS } from '@drift/native'
import {
  DEFAULT_RECALL,
  requireBatch,
  requireInteger,
  requirePrepared,
  requireQueries,
  requireShape,
  requireVectors,
  requireWidth,
  type SearchOptions,
  type VectorIndexOptions,
} from './arguments.js'
import { NONE } from './bucket/extent.js'
import type { SharedVectors } from './cold-vectors.js'
import { CoreError } from './errors.js'
import type { Id } from './id.js'
import { type ImageColumn, type ImageSizes, type IndexImage, restoreImage, takeImage } from './index-image.js'
import { type Appended, IndexState } from './index-state.js'
import { applyOperation, type Healed } from './maintenance/apply.js'
import { assignRows, type Job, type MaintenanceOptions } from './maintenance/assign.js'
import { type HealOptions, type HealReport, heal, requireBudget, requirePolicy } from './maintenance/heal.js'
import {
  type BucketStats,
  bucketStats,
  type Operation,
  type PlanOptions,
  planOperations,
} from './maintenance/plan.js'
import { refineChunk } from './maintenance/refine.js'
import type { Memtable } from './memtable.js'
import { kernelMetric, type Metric, prepare, publicDistance } from './metric.js'
import type { IndexPool } from './pool/pool.js'
import { calibrate, OwnFloors } from './recall/calibrate.js'
import { decodeLearned, encodeLearned } from './recall/memory.js'
import { type MeasuredRecall, RecallMonitor, type ShadowOptions } from './recall/monitor.js'
import type { Homes } from './router/homes.js'
import { noVectors } from './row-store.js'
import type { FoundSlice } from './search/batch.js'
import { isAllElsewhere, rerankMany, searchAll, searchAllMany, widened } from './search/elsewhere.js'
import { type Explanation, explainQuery } from './search/explain.js'
import { isWide, searchMany, searchParts } from './search/fan-out.js'
import { Scratch } from './search/scratch.js'
import { searchView } from './search/search.js'
import type { Snapshot } from './search/snapshot.js'
import type { SearchWidth } from './search/view.js'
import { rowsWithin } from './search/within.js'
import type { Staging } from './staging.js'

/** The nearest rows, nearest first. */
export interface SearchResult {
  readonly rows: Uint32Array
  readonly ids: Id[]
  /** As `publicDistance` tells them: smaller is nearer. */
  readonly distances: Float32Array
  /** Rows whose codes or vectors were looked at, and buckets. */
  readonly scannedRows: number
  readonly scannedBuckets: number
}

/** k results per query, nearest first. */
export interface BatchResult {
  readonly k: number
  /** NONE behind the last. */
  readonly rows: Uint32Array
  /** Undefined behind the last. */
  readonly ids: (Id | undefined)[]
  /** +Infinity behind the last. */
  readonly distances: Float32Array
  /** Found per query. */
  readonly counts: Uint32Array
}

/** While open, rows of this moment that die are not reused, so row numbers and ids stay true. */
export interface Pin {
  /** One bit per row; shared with other pins of the same moment, so only to be read. */
  readonly live: Uint32Array
  /** Every row number is below. */
  readonly rows: number
  release(): void
}

export interface BuildOptions extends MaintenanceOptions {
  readonly ids?: readonly Id[]
}

export interface WithinOptions {
  /** As in `SearchOptions`. */
  readonly allow?: Uint32Array
  readonly signal?: AbortSignal
}

export interface IndexStats {
  readonly rows: number
  /** Dead and not yet free for reuse. */
  readonly deadRows: number
  readonly buckets: number
  readonly memtables: number
  /** Rows in no memtable and no bucket: every search scans them. */
  readonly unassigned: number
  /** Rows in the graphs of memtables. */
  readonly linkedRows: number
  /** Bytes in use; room for growth that was never touched takes none. Rows that died and are not reused yet count. */
  readonly memory: {
    readonly vectors: number
    readonly codes: number
    readonly ids: number
    readonly graph: number
    readonly buckets: number
    readonly router: number
    /** What searches in this thread work in, and copies for those in others. */
    readonly working: number
  }
}

/** One search in so many tells the temperature of buckets: the trace costs it a microsecond. */
const SAMPLED = 32
/** Buckets with many dead entries that a search rewrites first, 25 us each: a burst of deletes is made up for by so many searches. */
const TIDIED = 1
/** And those that a piece of refining does, in about a millisecond. */
const TIDIED_AT_REST = 32
/** Buckets of a search that are noted, nearest first. */
const TRACED_BUCKETS = 1024

/** Share of the rows that came or went since, from which on the index is calibrated again. */
const RECALIBRATE = 0.5
/** So many times the rows in buckets, too: floors fall about as their cube root, and rows that waited in a memtable were not counted. */
const RECALIBRATE_GROWTH = 1.25

export class VectorIndex {
  readonly dim: number
  readonly metric: Metric
  #state: IndexState
  readonly #scratch: Scratch
  readonly #pool: IndexPool | undefined
  readonly #shadow: ShadowOptions | undefined
  #monitor: RecallMonitor | undefined
  #closed = false
  /** Set while exact vectors are still being filled in: what needs them waits. */
  #vectorsPending: Promise<void> | undefined
  #searches = 0
  /** Of the rows, `updates` at the last calibration. */
  #calibratedAt = 0
  /** Rows in buckets then, and `refinements`. */
  #calibratedRows = 0
  #calibratedRefinements = 0
  /** Of measurements, which wait while searches go on. */
  readonly #shadowScratch: Scratch
  readonly #trace = new Uint32Array(TRACED_BUCKETS * PROBE_WORDS)
  /** The last of the maintenance jobs, which run one after the other. */
  #maintenance: Promise<void> = Promise.resolve()

  /** @param options - `pool` is shared, not owned: it outlives the index. Without one everything runs in this thread. */
  constructor(options: VectorIndexOptions & { readonly pool?: IndexPool; readonly shadow?: ShadowOptions }) {
    const shape = requireShape(options)
    this.dim = shape.dim
    this.metric = shape.metric
    this.#state = new IndexState(shape)
    this.#scratch = new Scratch(shape.dim)
    this.#shadowScratch = new Scratch(shape.dim)
    if (options.shadow !== undefined && shape.vectors === 'none') {
      throw new CoreError('DRIFT_NO_VECTORS', "recall is measured by exact vectors, and vectors is 'none'")
    }
    this.#shadow = options.shadow
    this.#monitor = options.shadow && new RecallMonitor(this.#state, options.shadow)
    this.#pool = options.pool !== undefined && options.pool.threads > 0 ? options.pool : undefined
  }

  /**
   * An index over vectors that are all there: partitioned at once, in the pool, which is faster than by and by and finds better buckets.
   *
   * @param vectors - ids.length * dim values.
   * @param ids - of the vectors, in order. Default: 0, 1, 2, ...
   * @throws CoreError as the constructor and `append`.
   */
  static async build(
    options: VectorIndexOptions & { readonly pool?: IndexPool; readonly shadow?: ShadowOptions },
    vectors: Float32Array,
    { ids, ...job }: BuildOptions = {},
  ): Promise<VectorIndex> {
    const index = new VectorIndex(options)
    const state = index.#open()
    const count = requireQueries(state.shape, vectors)
    const named = ids ?? Array.from({ length: count }, (_, i) => i)
    const batch = requireBatch(state.shape, state.store.ids, named, vectors)
    const rows = state.load(batch.ids, vectors, batch.sources, state.shape.metric)
    await index.assign(rows, undefined, job)
    await index.calibrate(job)
    return index
  }

  /** Live ids. */
  get count(): number {
    return this.#state.store.liveRows
  }

  get activeMemtable(): Memtable {
    return this.#state.active
  }

  get frozen(): readonly Memtable[] {
    return this.#state.frozen
  }

  /**
   * Copy vectors in, invisible until `publish`. Of equal ids in one batch the last wins.
   *
   * @param vectors - ids.length * dim values.
   * @throws CoreError DRIFT_EMPTY_BATCH, DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_ZERO_VECTOR, DRIFT_ID, DRIFT_FULL; nothing
   *   is changed then.
   */
  append(ids: readonly Id[], vectors: Float32Array): Appended {
    const state = this.#open()
    const batch = requireBatch(state.shape, state.store.ids, ids, vectors)
    return state.append(batch.ids, vectors, batch.sources)
  }

  /**
   * `append` in pieces, for a batch that would hold the thread too long: `fill` what it returns while there are values left, then
   * `enter` it. The vectors are read until then.
   *
   * @throws CoreError as `append`.
   */
  stage(ids: readonly Id[], vectors: Float32Array): Staging {
    const state = this.#open()
    const batch = requireBatch(state.shape, state.store.ids, ids, vectors)
    return state.stage(batch.ids, vectors, batch.sources)
  }

  /**
   * The staged batch is appended: it gets its place in the active memtable. What of it is not filled in yet is to be filled in (`finish`)
   * in the same tick, before anything else comes upon its rows.
   */
  enter(staging: Staging): Appended {
    return this.#open().enter(staging)
  }

  /** The staged batch will not be appended. */
  leave(staging: Staging): void {
    this.#state.leave(staging)
  }

  /** `append` for vectors as `vectorAt` gives them, kept to the bit: under cosine of unit length already. */
  appendPrepared(ids: readonly Id[], vectors: Float32Array): Appended {
    const state = this.#open()
    const batch = requireBatch(state.shape, state.store.ids, ids, vectors)
    requirePrepared(state.shape, vectors)
    return state.append(batch.ids, vectors, batch.sources, kernelMetric(state.shape.metric))
  }

  /** Make appended rows visible; older versions die. Call in the order of the writes. @returns how many were replaced. */
  publish(appended: Appended): number {
    return this.#open().publish(appended)
  }

  /** The appended rows never became durable: they will not be seen. */
  abandon(appended: Appended): void {
    this.#open().abandon(appended)
  }

  /** `append` and `publish` at once. @returns how many were replaced. */
  upsert(ids: readonly Id[], vectors: Float32Array): number {
    return this.publish(this.append(ids, vectors))
  }

  /** @returns how many of the ids existed. */
  delete(ids: readonly Id[]): number {
    return this.#open().delete(ids)
  }

  /** The row of a live id, or -1. Row numbers are reused after a delete unless a pin is open. */
  find(id: Id): number {
    return this.#open().store.ids.find(id)
  }

  idAt(row: number): Id {
    return this.#open().store.ids.idAt(row)
  }

  /**
   * All rows as they lie in shared memory, row r at r * dim: to be read only, and of a row only while it is live or a pin is
   * open. Writes make it grow: a view taken before has fewer rows.
   */
  get vectors(): Float32Array {
    const { vectors } = this.#open().store
    if (vectors !== undefined) return vectors
    throw noVectors()
  }

  /**
   * Exact vectors of rows that are live, or pinned: a copy, rows[i] at i * dim.
   *
   * @throws CoreError DRIFT_NO_VECTORS, or what a source throws.
   */
  readVectors(rows: Uint32Array): Float32Array {
    this.#requireVectorsReady()
    const out = new Float32Array(rows.length * this.dim)
    this.#open().store.read(rows, out)
    return out
  }

  /**
   * Exact vectors where they lie in memory that threads share, to be read while a pin is open. With a source, of rows that were not
   * handed over.
   *
   * @throws CoreError DRIFT_NO_VECTORS, DRIFT_ROW.
   */
  sharedVectors(rows: Uint32Array): SharedVectors {
    return this.#open().store.shared(rows)
  }

  /** The source has the exact vectors of these rows from now on: they are let go here. Nothing for an index without a source. */
  handOver(rows: Uint32Array): void {
    const { cold } = this.#open().store
    if (cold !== undefined) for (const row of rows) cold.drop(row)
  }

  /** A copy, as prepared: of unit length under cosine. Without exact vectors, as the codes tell it. */
  vectorAt(row: number): Float32Array {
    this.#requireVectorsReady()
    return this.#requireRow(row).vectorAt(row)
  }

  /** The two buckets of a row, home first; NONE where it has none. */
  bucketsOf(row: number): readonly [number, number] {
    const { home, second } = this.#requireRow(row)
    return [home[row]!, second[row]!]
  }

  /** Freeze the active memtable and start another. @returns undefined when it is empty. */
  rotate(): Memtable | undefined {
    return this.#open().rotate()
  }

  /** Live rows of the memtable, in order of append. */
  liveRows(memtable: Memtable): Uint32Array {
    const { store } = this.#open()
    return memtable.rows.subarray(0, memtable.count).filter(row => store.isLive(row))
  }

  /**
   * Link waiting rows into the memtables' graphs for about `budgetMs`, at least one.
   *
   * @returns whether rows are still waiting.
   */
  link(budgetMs: number, now: () => number): boolean {
    const state = this.#open()
    const end = now() + budgetMs
    while (state.linkNext()) if (now() >= end) return state.memtables.some(memtable => memtable.unlinked > 0)
    return false
  }

  /**
   * Move the live rows of a frozen memtable into buckets, and drop it. The first flush makes the buckets.
   * Searches go on and see every row exactly once; rows that die meanwhile stay dead. Aborted, it can be called again.
   */
  flush(memtable: Memtable, options: MaintenanceOptions = {}): Promise<void> {
    return this.#maintain(options, async (state, job) => {
      if (memtable.dropped) return
      if (!state.frozen.includes(memtable)) {
        throw new CoreError(
          'DRIFT_MEMTABLE',
          'flush takes a frozen memtable of this index: call rotate() first',
        )
      }
      await assignAll(state, memtable, job)
      state.drop(memtable)
    })
  }

  /**
   * Bring rows in that are durable already: visible at once, newest wins, scanned by every search until `assign`.
   *
   * @param vectors - as `vectorAt` gives them, to the bit: under cosine of unit length already. A source has them as well.
   * @returns the row of each id, in order (of equal ids, the last one's).
   */
  load(ids: readonly Id[], vectors: Float32Array): Uint32Array {
    const state = this.#open()
    const batch = requireBatch(state.shape, state.store.ids, ids, vectors)
    requirePrepared(state.shape, vectors)
    return state.load(batch.ids, vectors, batch.sources, kernelMetric(state.shape.metric), true)
  }

  /** Move loaded rows into buckets: into those of `homes`, or by routing. Makes the buckets when there are none. */
  assign(rows: Uint32Array, homes?: Homes, options: MaintenanceOptions = {}): Promise<void> {
    return this.#maintain(options, async (state, job) => {
      for (const row of rows) this.#requireRow(row)
      if (homes !== undefined) {
        requireHomes(homes.homes, rows.length, state.directory.count)
        requireHomes(
          homes.seconds.map(second => (second === NONE ? 0 : second)),
          rows.length,
          state.directory.count,
        )
      }
      await assignRows(state, rows, homes, job)
      state.tidyUnassigned()
    })
  }

  /**
   * A piece of refining, some hundred milliseconds of work in the pool: buckets lose their dead entries, and after the rows in buckets
   * have grown by half, centroids and rows are brought together again. Searches and writes go on. For whenever nothing more urgent is to do.
   *
   * @returns whether there is more; false at once when nothing is due.
   */
  async refine(options: MaintenanceOptions = {}): Promise<boolean> {
    let more = false
    await this.#maintain(options, async (state, job) => {
      more = state.directory.tidy(TIDIED_AT_REST) || (await refineChunk(state, job))
    })
    if (!more && this.isCalibrationDue) await this.calibrate(options)
    return more
  }

  /**
   * Ask for some of the index's own rows to learn what a recall takes here: 0.2 to 2.5 s, in slices. `build` and the end of a
   * refinement do it.
   */
  async calibrate({ signal }: Pick<MaintenanceOptions, 'signal'> = {}): Promise<void> {
    await this.#maintain({ signal }, async (state, { check }) => {
      // The prior of all data serves where there is nothing exact to compare with.
      if (state.shape.vectors !== 'none') state.recall.own = await calibrate(state, check)
      this.#calibratedAt = state.store.version
      this.#calibratedRows = state.directory.rowsAtHome
      this.#calibratedRefinements = state.refinements
    })
  }

  /** Whether so many rows came or went, or moved, since that the last calibration, if any, says little. */
  get isCalibrationDue(): boolean {
    const { store, directory, refinements } = this.#open()
    if (refinements > this.#calibratedRefinements) return true
    const updates = store.version - this.#calibratedAt
    const haveChanged = updates > 0 && updates >= RECALIBRATE * store.liveRows
    return haveChanged || directory.rowsAtHome > RECALIBRATE_GROWTH * this.#calibratedRows
  }

  /**
   * What would make searches cheaper, best first. Changes nothing; a plan is of this moment and may be applied later or not at all.
   *
   * @throws CoreError DRIFT_OPTION.
   */
  plan(options: PlanOptions = {}): Operation[] {
    requirePolicy(options.policy)
    const state = this.#open()
    // Plans look at exact vectors.
    if (this.#vectorsPending !== undefined) return []
    return planOperations(state, options)
  }

  /**
   * Do one operation of a plan, after the maintenance that is under way. Searches and writes go on; every row stays findable. Aborted, it
   * stops between two steps: what has moved has moved, and the rest is where it was.
   *
   * @param options - `budget`: rows that a merge may move; it goes on with the next plan.
   */
  async apply(operation: Operation, options: HealOptions = {}): Promise<Healed> {
    const budget = requireBudget(options.budget)
    let healed: Healed | undefined
    await this.#maintain(options, async (state, job) => {
      healed = await applyOperation(state, operation, budget, { ...job, onProgress: () => {} })
    })
    return healed!
  }

  /** Plan and apply until nothing pays, or as many rows have moved as `budget` says. */
  async maintain(options: HealOptions = {}): Promise<HealReport> {
    const state = this.#open()
    return heal({
      plan: () => this.plan(options),
      apply: (operation, budget) => this.apply(operation, { signal: options.signal, budget }),
      rows: () => state.directory.rowsAtHome,
      budget: requireBudget(options.budget),
      onProgress: options.onProgress ?? (() => {}),
      onOperation: options.onOperation ?? (() => {}),
    })
  }

  /** Rows that were ever inserted or deleted. */
  get updates(): number {
    return this.#state.store.version
  }

  /** How each bucket is doing, by number. */
  bucketStats(): BucketStats[] {
    return bucketStats(this.#open())
  }

  /** Refinements that have ended: with each, `centroids` and `bucketsOf` are worth storing again. */
  get refinements(): number {
    return this.#state.refinements
  }

  /** Everything but the exact vectors. Take a pin in the same step, and keep it while the columns are read. */
  takeImage(): IndexImage {
    return takeImage(this.#open())
  }

  /**
   * For an index that holds nothing: become what an image says. Until `vectors` resolves, reads that need exact vectors wait for it;
   * when it rejects they fail with its reason.
   *
   * @param live - one bit a row: rows that are not live are free.
   * @param read - fills a column.
   * @param fill - called once the image is in place, unless vectors are not kept: fills row r of the live rows at r * dim of `vectors`, which is shared memory, while a
   *   pin keeps the rows.
   * @throws CoreError DRIFT_IMAGE, or what `read` throws; the index holds nothing then.
   */
  restoreImage(
    sizes: ImageSizes,
    live: Uint32Array,
    read: (column: ImageColumn, into: Uint8Array) => void,
    fill: (vectors: Float32Array) => Promise<void>,
  ): void {
    const before = this.#open()
    if (before.store.rows > 0 || before.router.count > 0) {
      throw new CoreError('DRIFT_PARTITION', `the index holds ${before.store.rows} rows already`)
    }
    const state = restoreImage(before.shape, sizes, live, read)
    state.adopt(before.active)
    this.#state = state
    this.#monitor = this.#shadow && new RecallMonitor(state, this.#shadow)
    if (state.store.vectors === undefined) return
    const pin = state.pins.open()
    this.#vectorsPending = fill(state.store.vectors).then(() => {
      this.#vectorsPending = undefined
      pin()
    })
    this.#vectorsPending.catch(() => {}) // told to everyone who waits
  }

  /** What calibration and shadow queries taught, to be kept beside the image of the same moment. */
  takeLearned(): Uint8Array {
    const own = this.#open().recall.own?.meetings
    const rest = this.#monitor?.learned ?? { loss: 0, byK: [], tallies: [] }
    return encodeLearned({ own, rows: this.#calibratedRows, ...rest })
  }

  /**
   * Go on with what `takeLearned` gave, after the image was put back.
   *
   * @throws CoreError DRIFT_IMAGE when it does not fit itself; nothing is changed then.
   */
  restoreLearned(bytes: Uint8Array): void {
    const { recall } = this.#open()
    const learned = decodeLearned(bytes)
    if (learned.own !== undefined) recall.own = new OwnFloors(learned.own)
    this.#calibratedRows = learned.rows
    this.#calibratedRefinements = this.#state.refinements
    this.#monitor?.restore(learned)
  }

  /** Resolves when every exact vector is there. @throws what kept it from being there. */
  async vectorsReady(): Promise<void> {
    await this.#vectorsPending
  }

  /** Row numbers are those that `find` and `liveRows` gave. */
  isLive(row: number): boolean {
    return this.#requireRow(row).isLive(row)
  }

  /** `free` is called when no pin is open that was opened before now: at once when there is none. */
  whenUnpinned(free: () => void): void {
    this.#open().pins.retire(free)
  }

  /** One empty bucket per centroid, for an index that has none. */
  restoreCentroids(centroids: Float32Array): void {
    const state = this.#open()
    if (state.router.count > 0) {
      throw new CoreError('DRIFT_PARTITION', `the index has ${state.router.count} buckets already`)
    }
    if (centroids.length === 0) return
    requireVectors({ ...state.shape, metric: 'l2' }, centroids, Math.ceil(centroids.length / this.dim))
    state.addBuckets(centroids)
  }

  /** A copy: dim values per bucket. */
  centroids(): Float32Array {
    const state = this.#open()
    const { count } = state.router
    const centroids = new Float32Array(count * this.dim)
    for (let bucket = 0; bucket < count; bucket++) centroids.set(state.centroidOf(bucket), bucket * this.dim)
    return centroids
  }

  /** @throws CoreError DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_ZERO_VECTOR, DRIFT_K, DRIFT_RECALL, DRIFT_PROBES, DRIFT_FLOOR, DRIFT_EF, DRIFT_OPTION. */
  searchSync(query: Float32Array, options: SearchOptions): SearchResult {
    const state = this.#open()
    this.#requireVectorsReady()
    const width = widened(state, requireWidth(options, state))
    this.#prepareQuery(query)
    state.directory.tidy(TIDIED)
    return this.#searchScratch(state, width, options)
  }

  /** `searchSync`, except that a scan of more than 65 536 rows is shared by the threads of the pool. */
  async search(
    query: Float32Array,
    options: SearchOptions & { readonly signal?: AbortSignal },
  ): Promise<SearchResult> {
    const state = this.#open()
    const { signal } = options
    const width = widened(state, requireWidth(options, state))
    signal?.throwIfAborted()
    if (this.#vectorsPending !== undefined) {
      requireVectors(state.shape, query, 1)
      // The caller's memory may change while it waits.
      const waiting = query.slice()
      await this.#vectorsPending
      this.#open()
      this.#prepareQuery(waiting)
    } else this.#prepareQuery(query)
    state.directory.tidy(TIDIED)
    if (this.#pool === undefined || this.#pool.threads < 2 || !isWide(state.view, width)) {
      // Over before the next search may use the scratch.
      return this.#searchScratch(state, width, options)
    }
    const prepared = this.#scratch.query.slice()
    const pin = state.pins.open()
    try {
      const running = searchParts(state, this.#pool, prepared, width, this.#checkOf(signal), signal)
      this.#offer(prepared, options)
      const { rows, distances, scannedRows, scannedBuckets } = await running
      const left = state.exact?.rerank(prepared, width.owed, rows, distances, 0, rows.length) ?? rows.length
      return this.#told(rows.subarray(0, left), distances.subarray(0, left), scannedRows, scannedBuckets)
    } finally {
      pin()
    }
  }

  /** @param queries - any number of queries, dim values each. All see the same moment of the index. */
  async searchBatch(
    queries: Float32Array,
    options: SearchOptions & { readonly signal?: AbortSignal },
  ): Promise<BatchResult> {
    const state = this.#open()
    const { signal } = options
    const count = requireQueries(state.shape, queries)
    const width = widened(state, requireWidth(options, state, count))
    signal?.throwIfAborted()
    const prepared = new Float32Array(new SharedArrayBuffer(queries.byteLength))
    prepared.set(queries)
    prepare(this.metric, prepared, this.dim, 0, count)
    if (this.#vectorsPending !== undefined) {
      await this.#vectorsPending
      this.#open()
    }
    state.directory.tidy(TIDIED * count)
    for (let q = 0; q < count; q++) this.#offer(prepared.subarray(q * this.dim, (q + 1) * this.dim), options)
    const { snapshot, release } = state.pin()
    try {
      const check = this.#checkOf(signal)
      const found = isAllElsewhere(state, width)
        ? await searchAllMany(state, snapshot, this.#pool, prepared, width, check, signal)
        : await this.#searchMany(state, snapshot, prepared, width, signal)
      const ids = Array.from(found.rows, row => (row === NONE ? undefined : state.store.ids.idAt(row)))
      return { ...found, k: width.owed, ids, distances: this.#publicDistances(found.distances) }
    } finally {
      release()
    }
  }

  /**
   * Every live row whose distance is at most `radius`, nearest first, each compared exactly, in slices between which the event loop
   * turns. What is written meanwhile is not seen.
   *
   * @param radius - a public distance, as results have it.
   * @throws CoreError as `searchSync`, and DRIFT_RADIUS.
   */
  async within(
    query: Float32Array,
    radius: number,
    { allow, signal }: WithinOptions = {},
  ): Promise<SearchResult> {
    const state = this.#open()
    requireWidth({ k: 1, recall: 1, ...(allow === undefined ? {} : { allow }) }, state)
    if (typeof radius !== 'number' || Number.isNaN(radius)) {
      throw new CoreError('DRIFT_RADIUS', `radius is ${String(radius)}, expected a number`, { radius })
    }
    requireVectors(state.shape, query, 1)
    const prepared = query.slice()
    prepare(this.metric, prepared, this.dim, 0, 1)
    if (this.#vectorsPending !== undefined) {
      await this.#vectorsPending
      this.#open()
    }
    const { snapshot, release } = state.pin()
    try {
      const found = await rowsWithin(
        snapshot,
        state.exact,
        prepared,
        allow,
        distance => Math.fround(publicDistance(this.metric, distance)) <= radius,
        this.#checkOf(signal),
      )
      const ids = Array.from(found.rows, row => state.store.ids.idAt(row))
      return { ...found, ids, distances: this.#publicDistances(found.distances), scannedBuckets: 0 }
    } finally {
      release()
    }
  }

  /** The k nearest of all live rows, each compared exactly: the truth that recall is measured against. */
  exactSync(query: Float32Array, k: number): SearchResult {
    return this.searchSync(query, { k, probes: Number.POSITIVE_INFINITY })
  }

  /**
   * What `searchSync` does for this query, bucket by bucket.
   *
   * @param now - milliseconds, to time the stages.
   */
  explain(query: Float32Array, options: SearchOptions, now: () => number): Explanation {
    const state = this.#open()
    const width = requireWidth(options, state)
    this.#prepareQuery(query)
    const isByRecall = options.floor === undefined && options.mode === undefined
    const asked = isByRecall ? (options.recall ?? DEFAULT_RECALL) : undefined
    return explainQuery(state, width, asked, this.#scratch, now)
  }

  /**
   * Measure the recall of one sampled query, in the pool or in slices: see RecallMonitor. Call it whenever there is time.
   *
   * @returns false when nothing was sampled yet.
   */
  async shadow(): Promise<boolean> {
    this.#open()
    return (await this.#monitor?.measure(this.#shadowScratch, this.#pool, this.#checkOf(undefined))) ?? false
  }

  /** Queries that were sampled and wait for `shadow`. */
  get shadowsWaiting(): number {
    return this.#monitor?.waiting ?? 0
  }

  /** Per k and target. */
  get measuredRecall(): MeasuredRecall[] {
    return this.#monitor?.measured ?? []
  }

  /** Share of recent queries that scan the bucket: of one in 32 of `searchSync` and `search`. */
  temperatureOf(bucket: number): number {
    return this.#open().temperature.of(bucket)
  }

  pin(): Pin {
    const { snapshot, release } = this.#open().pin()
    return { live: snapshot.live, rows: snapshot.rowLimit, release }
  }

  stats(): IndexStats {
    const { store, directory, router, memtables, unassigned, workingBytes } = this.#open()
    const { bytes } = store
    const sum = (of: (memtable: Memtable) => number) =>
      memtables.reduce((total, memtable) => total + of(memtable), 0)
    return {
      rows: store.liveRows,
      deadRows: store.rows - store.liveRows - store.freeRows,
      buckets: directory.count,
      memtables: memtables.length,
      unassigned: unassigned.count,
      linkedRows: sum(memtable => memtable.linked),
      memory: {
        vectors: bytes.vectors,
        codes: bytes.codes,
        ids: store.ids.bytes(store.rows),
        graph: sum(memtable => memtable.bytes),
        buckets: directory.bytes + bytes.rows,
        router: router.bytes,
        working: workingBytes + this.#scratch.bytes + this.#shadowScratch.bytes + this.#trace.byteLength,
      },
    }
  }

  /** Maintenance and batches under way fail with DRIFT_CLOSED at their next step. The memory goes when the index is let go. */
  close(): void {
    this.#closed = true
  }

  #open(): IndexState {
    if (this.#closed) throw new CoreError('DRIFT_CLOSED', 'the index is closed')
    return this.#state
  }

  #requireVectorsReady(): void {
    if (this.#vectorsPending === undefined) return
    throw new CoreError('DRIFT_LOADING', 'exact vectors are still being read: wait for vectorsReady() first')
  }

  #requireRow(row: number): IndexState['store'] {
    const { store } = this.#open()
    requireInteger('DRIFT_ROW', 'row', row, 0, store.rows - 1)
    return store
  }

  /** The query, checked and prepared, into the scratch. */
  #prepareQuery(query: Float32Array): void {
    requireVectors(this.#state.shape, query, 1)
    this.#scratch.query.set(query)
    prepare(this.metric, this.#scratch.query, this.dim, 0, 1)
  }

  async #searchMany(
    state: IndexState,
    snapshot: Snapshot,
    queries: Float32Array,
    width: SearchWidth,
    signal: AbortSignal | undefined,
  ): Promise<FoundSlice> {
    const check = this.#checkOf(signal)
    const found = await searchMany(snapshot, this.#pool, queries, width, this.#scratch, check, signal)
    return rerankMany(state, found, queries, width, check)
  }

  /** For the prepared query in the scratch. */
  #searchScratch(state: IndexState, width: SearchWidth, options: SearchOptions): SearchResult {
    const scratch = this.#scratch
    const { query } = scratch
    let found: number
    if (isAllElsewhere(state, width)) found = searchAll(state, width, scratch)
    else {
      const { outRows, outDistances } = scratch.reserveResult(Math.min(width.k, this.count))
      const done = this.#sample(state)
      found = searchView(state.view, width, scratch, outRows, outDistances)
      done?.()
      this.#offer(query, options)
      if (state.exact !== undefined) {
        found = state.exact.rerank(query, width.owed, outRows, outDistances, 0, found)
      }
    }
    const { outRows, outDistances, scannedRows, scannedBuckets } = scratch
    return this.#told(outRows.slice(0, found), outDistances.slice(0, found), scannedRows, scannedBuckets)
  }

  /** A prepared query may be measured: when it asked for a recall of all rows. */
  #offer(
    query: Float32Array,
    { k, recall = DEFAULT_RECALL, probes, floor, mode, allow }: SearchOptions,
  ): void {
    if (this.#monitor === undefined || allow !== undefined) return
    if (probes !== undefined || floor !== undefined || mode !== undefined) return
    if (recall < 1) this.#monitor.offer(query, k, recall)
  }

  /** Of every SAMPLED-th search the buckets are noted. @returns what notes them once the search has ended. */
  #sample(state: IndexState): (() => void) | undefined {
    if (++this.#searches % SAMPLED !== 0) return undefined
    const scratch = this.#scratch
    const trace = this.#trace
    scratch.effort[0] = 0
    scratch.ask.trace = trace
    return () => {
      scratch.ask.trace = undefined
      const count = Math.min(scratch.effort[0]!, trace.length / PROBE_WORDS)
      // In place: the bucket of probe i is word PROBE_WORDS * i, which is not before i.
      for (let i = 0; i < count; i++) trace[i] = trace[PROBE_WORDS * i]!
      if (!scratch.scannedAll && count > 0) state.temperature.touch(trace, count)
    }
  }

  /** Rows as the caller gets them, whose memory is theirs. */
  #told(
    rows: Uint32Array,
    distances: Float32Array,
    scannedRows: number,
    scannedBuckets: number,
  ): SearchResult {
    const { ids: table } = this.#state.store
    const ids: Id[] = new Array(rows.length)
    for (let i = 0; i < rows.length; i++) ids[i] = table.idAt(rows[i]!)
    return { rows, ids, distances: this.#publicDistances(distances), scannedRows, scannedBuckets }
  }

  /** In place. */
  #publicDistances(distances: Float32Array): Float32Array {
    if (this.metric !== 'cosine') return distances
    for (let i = 0; i < distances.length; i++) {
      if (distances[i] !== Number.POSITIVE_INFINITY) distances[i] = publicDistance(this.metric, distances[i]!)
    }
    return distances
  }

  #checkOf(signal: AbortSignal | undefined): () => void {
    return () => {
      signal?.throwIfAborted()
      this.#open()
    }
  }

  /** Run the job after those before it. */
  #maintain(
    { signal, onProgress = () => {} }: Pick<HealOptions, 'signal' | 'onProgress'>,
    run: (state: IndexState, job: Job) => Promise<void>,
  ): Promise<void> {
    const check = this.#checkOf(signal)
    const result = this.#maintenance.then(async () => {
      await this.#vectorsPending
      check()
      return run(this.#state, { pool: this.#pool, signal, onProgress, check })
    })
    this.#maintenance = result.catch(() => {}) // the caller of this job has the error; the next job runs anyway
    return result
  }
}

/** Homes for all live rows of the memtable and for unassigned ones, also for rows that are published meanwhile. */
async function assignAll(state: IndexState, memtable: Memtable, job: Job): Promise<void> {
  for (;;) {
    const rows = state.homeless(memtable.list)
    const loose = state.homeless(state.unassigned)
    if (rows.length === 0 && loose.length === 0) break
    const all = new Uint32Array(rows.length + loose.length)
    all.set(rows)
    all.set(loose, rows.length)
    await assignRows(state, all, undefined, job)
  }
  state.tidyUnassigned()
}

function requireHomes(homes: Uint32Array, rows: number, buckets: number): void {
  if (homes.length !== rows) {
    throw new CoreError('DRIFT_HOME', `${homes.length} homes for ${rows} rows`, { homes: homes.length, rows })
  }
  for (const home of homes) if (home >= buckets) requireInteger('DRIFT_HOME', 'home', home, 0, buckets - 1)
}
