/**
 * The in-memory index: L0 memtables that take writes at once, L1 buckets that make search cheap, one row store under both.
 * Rule: every change is one synchronous step (index-state.ts), so a search sees each live id exactly once, in its newest version. A write
 * is appended (copied in), then published (visible) when its owner says that it is durable. Queries are answered by search/queries.ts,
 * long work is done by maintenance/jobs.ts.
 */

import {
  type IndexParts,
  requireBatch,
  requireIds,
  requireKnown,
  requirePrepared,
  requireQueries,
  requireShape,
  requireVectors,
  type SearchOptions,
  type VectorIndexOptions,
} from './arguments.js'
import type { SharedVectors } from './cold-vectors.js'
import { CoreError } from './errors.js'
import type { Id } from './id.js'
import { type ImageColumn, type ImageSizes, restoreImage, type TakenImage } from './index-image.js'
import { IndexLife } from './index-life.js'
import { type Appended, IndexState } from './index-state.js'
import { type IndexStats, statsOf } from './index-stats.js'
import type { Healed } from './maintenance/apply.js'
import type { MaintenanceOptions } from './maintenance/assign.js'
import type { HealOptions, HealReport } from './maintenance/heal.js'
import {
  type CalibrateOptions,
  Jobs,
  type RefineOptions,
  type SlicedPlanOptions,
} from './maintenance/jobs.js'
import { type BucketStats, bucketStats, type Operation, type PlanOptions } from './maintenance/plan.js'
import { type Memtable, noMemtable } from './memtable.js'
import { kernelMetric, type Metric } from './metric.js'
import type { IndexPool } from './pool/pool.js'
import { decodeLearned, encodeLearned } from './recall/learned.js'
import type { MeasuredRecall } from './recall/monitor.js'
import { Shadows } from './recall/shadows.js'
import { noVectors } from './row-store.js'
import type { BatchResult, SearchResult } from './search/answer.js'
import type { Explanation } from './search/explain.js'
import { type Abortable, Queries, type WithinOptions } from './search/queries.js'
import { tailOf } from './search/search.js'
import type { Staging } from './staging.js'

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

const BUILD_OPTIONS: Record<keyof BuildOptions, true> = { ids: true, signal: true, onProgress: true }

function requirePool(pool: IndexPool | undefined): IndexPool | undefined {
  if (pool === undefined) return undefined
  if (typeof pool?.runAll !== 'function') {
    throw new CoreError('DRIFT_OPTION', 'pool is no IndexPool', { option: 'pool' })
  }
  return pool.threads > 0 ? pool : undefined
}

export class VectorIndex {
  readonly dim: number
  readonly metric: Metric
  readonly #life: IndexLife
  readonly #shadows: Shadows
  readonly #queries: Queries
  readonly #jobs: Jobs
  readonly #pool: IndexPool | undefined

  /** @param options - `pool` is shared, not owned: it outlives the index. Without one everything runs in this thread. */
  constructor(options: VectorIndexOptions & IndexParts) {
    const shape = requireShape(options)
    this.dim = shape.dim
    this.metric = shape.metric
    const pool = requirePool(options.pool)
    const state = new IndexState(shape)
    this.#pool = pool
    this.#life = new IndexLife(state)
    this.#shadows = new Shadows(state, options.shadow)
    this.#queries = new Queries(this.#life, pool, this.#shadows)
    this.#jobs = new Jobs(this.#life, pool)
  }

  /**
   * An index over vectors that are all there: partitioned at once, in the pool, which is faster than by and by and finds better buckets.
   *
   * @param vectors - ids.length * dim values.
   * @param ids - of the vectors, in order. Default: 0, 1, 2, ...
   * @throws CoreError as the constructor and `append`.
   */
  static async build(
    options: VectorIndexOptions & IndexParts,
    vectors: Float32Array,
    given: BuildOptions = {},
  ): Promise<VectorIndex> {
    requireKnown(given, BUILD_OPTIONS, 'build')
    const { ids, ...job } = given
    const index = new VectorIndex(options)
    const state = index.#life.open()
    const count = requireQueries(state.shape, vectors)
    const named = ids ?? Array.from({ length: count }, (_, i) => i)
    const batch = requireBatch(state.shape, state.store.ids, named, vectors)
    const rows = state.load(batch.ids, vectors, batch.sources, state.shape.metric)
    await index.assign(rows, job)
    await index.calibrate({ signal: job.signal })
    return index
  }

  /** Live ids. */
  get count(): number {
    return this.#life.state.store.liveRows
  }

  get activeMemtable(): Memtable {
    return this.#life.state.active
  }

  get frozen(): readonly Memtable[] {
    return this.#life.state.frozen
  }

  /**
   * Copy vectors in, invisible until `publish`. Of equal ids in one batch the last wins.
   *
   * @param vectors - ids.length * dim values.
   * @throws CoreError DRIFT_EMPTY_BATCH, DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_ZERO_VECTOR, DRIFT_ID, DRIFT_FULL; nothing
   *   is changed then.
   */
  append(ids: readonly Id[], vectors: Float32Array): Appended {
    const state = this.#life.open()
    const batch = requireBatch(state.shape, state.store.ids, ids, vectors)
    return state.append(batch.ids, vectors, batch.sources)
  }

  /**
   * `append` in pieces, for a batch that would hold the thread too long: `fill` what it returns while there are values left, then
   * `enter` it. The vectors are read until then.
   *
   * @param isPrepared - they are as `vectorAt` gives them: see `appendPrepared`.
   * @throws CoreError as `append`.
   */
  stage(ids: readonly Id[], vectors: Float32Array, isPrepared = false): Staging {
    const state = this.#life.open()
    const batch = requireBatch(state.shape, state.store.ids, ids, vectors)
    if (!isPrepared) return state.stage(batch.ids, vectors, batch.sources)
    requirePrepared(state.shape, vectors)
    return state.stage(batch.ids, vectors, batch.sources, kernelMetric(state.shape.metric))
  }

  /**
   * The staged batch is appended: it gets its place in the active memtable. What of it is not filled in yet is to be filled in (`finish`)
   * in the same tick, before anything else comes upon its rows.
   */
  enter(staging: Staging): Appended {
    return this.#life.open().enter(staging)
  }

  /** The staged batch will not be appended. */
  leave(staging: Staging): void {
    this.#life.state.leave(staging)
  }

  /** `append` for vectors as `vectorAt` gives them, kept to the bit: under cosine of unit length already. */
  appendPrepared(ids: readonly Id[], vectors: Float32Array): Appended {
    const state = this.#life.open()
    const batch = requireBatch(state.shape, state.store.ids, ids, vectors)
    requirePrepared(state.shape, vectors)
    return state.append(batch.ids, vectors, batch.sources, kernelMetric(state.shape.metric))
  }

  /** Make appended rows visible; older versions die. Call in the order of the writes. @returns how many were replaced. */
  publish(appended: Appended): number {
    return this.#life.open().publish(appended)
  }

  /** The appended rows never became durable: they will not be seen. */
  abandon(appended: Appended): void {
    this.#life.open().abandon(appended)
  }

  /** `append` and `publish` at once. @returns how many were replaced. */
  upsert(ids: readonly Id[], vectors: Float32Array): number {
    return this.publish(this.append(ids, vectors))
  }

  /** @returns how many of the ids existed. @throws CoreError DRIFT_ID; nothing is changed then. */
  delete(ids: readonly Id[]): number {
    requireIds(ids)
    return this.#life.open().delete(ids)
  }

  /** The row of a live id, or -1. Row numbers are reused after a delete unless a pin is open. */
  find(id: Id): number {
    return this.#life.open().store.ids.find(id)
  }

  idAt(row: number): Id {
    return this.#life.open().store.ids.idAt(row)
  }

  /**
   * All rows as they lie in shared memory, row r at r * dim: to be read only, and of a row only while it is live or a pin is
   * open. Writes make it grow: a view taken before has fewer rows.
   */
  get vectors(): Float32Array {
    const { vectors } = this.#life.open().store
    if (vectors !== undefined) return vectors
    throw noVectors()
  }

  /**
   * Exact vectors of rows that are live, or pinned: a copy, rows[i] at i * dim.
   *
   * @throws CoreError DRIFT_NO_VECTORS, DRIFT_ROW for a row that never was, or what a source throws.
   */
  readVectors(rows: Uint32Array): Float32Array {
    this.#life.requireVectors()
    for (const row of rows) this.#life.requireRow(row)
    const out = new Float32Array(rows.length * this.dim)
    this.#life.open().store.read(rows, out)
    return out
  }

  /**
   * Exact vectors where they lie in memory that threads share, to be read while a pin is open. With a source, of rows that were not
   * handed over.
   *
   * @throws CoreError DRIFT_NO_VECTORS, DRIFT_ROW.
   */
  sharedVectors(rows: Uint32Array): SharedVectors {
    for (const row of rows) this.#life.requireRow(row)
    return this.#life.open().store.shared(rows)
  }

  /** The source has the exact vectors of these rows from now on: they are let go here. Nothing for an index without a source. */
  handOver(rows: Uint32Array): void {
    const { cold } = this.#life.open().store
    if (cold !== undefined) for (const row of rows) cold.drop(row)
  }

  /** A copy, as prepared: of unit length under cosine. Without exact vectors, as the codes tell it. */
  vectorAt(row: number): Float32Array {
    this.#life.requireVectors()
    return this.#life.requireRow(row).vectorAt(row)
  }

  /** The two buckets of a row, home first; NONE where it has none. */
  bucketsOf(row: number): readonly [number, number] {
    const { home, second } = this.#life.requireRow(row)
    return [home[row]!, second[row]!]
  }

  /** Freeze the active memtable and start another. @returns undefined when it is empty. */
  rotate(): Memtable | undefined {
    return this.#life.open().rotate()
  }

  /** Live rows of a memtable of this index, in order of append. @throws CoreError DRIFT_MEMTABLE. */
  liveRows(memtable: Memtable): Uint32Array {
    const { store } = this.#life.open()
    if (!(memtable?.rows instanceof Uint32Array)) throw noMemtable('liveRows takes a memtable of this index')
    return store.liveOf(memtable.rows.subarray(0, memtable.count))
  }

  /**
   * Link waiting rows into the memtables' graphs for about `budgetMs`, at least one.
   *
   * @returns whether rows are still waiting.
   */
  link(budgetMs: number, now: () => number): boolean {
    const state = this.#life.open()
    const end = now() + budgetMs
    while (state.linkNext()) if (now() >= end) return state.memtables.some(memtable => memtable.unlinked > 0)
    return false
  }

  /**
   * Move the live rows of a frozen memtable into buckets, and drop it. The first flush makes the buckets.
   * Searches go on and see every row exactly once; rows that die meanwhile stay dead. Aborted, it can be called again.
   */
  flush(memtable: Memtable, options: MaintenanceOptions = {}): Promise<void> {
    return this.#jobs.flush(memtable, options)
  }

  /** Rows that every search looks at one by one, and that `placeTails` would bring to buckets; 0 while there are none. */
  get tailRows(): number {
    const { memtables, router } = this.#life.state
    if (router.count === 0) return 0
    let rows = 0
    for (const memtable of memtables) rows += memtable.count - tailOf(memtable)
    return rows
  }

  /**
   * Bring published rows of memtables, those that are in no graph, to their buckets ahead of the flush, which then finds them there: about 20 us of
   * the pool a row, a tenth of what linking takes. Rows that are written meanwhile wait for the next call.
   */
  placeTails(options: MaintenanceOptions = {}): Promise<void> {
    return this.#jobs.placeTails(options)
  }

  /**
   * Bring rows in that are durable already: visible at once, newest wins, scanned by every search until `assign`.
   *
   * @param vectors - as `vectorAt` gives them, to the bit: under cosine of unit length already. A source has them as well.
   * @returns the row of each id, in order (of equal ids, the last one's).
   */
  load(ids: readonly Id[], vectors: Float32Array): Uint32Array {
    const state = this.#life.open()
    const batch = requireBatch(state.shape, state.store.ids, ids, vectors)
    requirePrepared(state.shape, vectors)
    return state.load(batch.ids, vectors, batch.sources, kernelMetric(state.shape.metric), true)
  }

  /** Move loaded rows into buckets. Makes the buckets when there are none. */
  assign(rows: Uint32Array, options: MaintenanceOptions = {}): Promise<void> {
    return this.#jobs.assign(rows, options)
  }

  /**
   * A piece of refining, some hundred milliseconds of work in the pool: buckets lose their dead entries, and after the rows in buckets
   * have grown by half, centroids and rows are brought together again. Searches and writes go on. For whenever nothing more urgent is to do.
   *
   * @returns whether there is more; false at once when nothing is due.
   */
  refine(options: RefineOptions = {}): Promise<boolean> {
    return this.#jobs.refine(options)
  }

  /**
   * Ask for some of the index's own rows to learn what a recall takes here: 0.2 to 5 s of a pool's thread or, without one, of this one,
   * in slices, beside whatever else the index does. `build` and the end of a refinement do it.
   */
  calibrate(options: CalibrateOptions = {}): Promise<void> {
    return this.#jobs.calibrate(options)
  }

  /** Whether floors are the index's own. */
  get isCalibrated(): boolean {
    return this.#life.open().recall.calibrated !== undefined
  }

  /** How many ended: what was learned is another after each. */
  get calibrations(): number {
    return this.#jobs.calibrations
  }

  /** Whether so many rows came or went, or moved, since that the last calibration, if any, says little. */
  get isCalibrationDue(): boolean {
    return this.#jobs.isCalibrationDue
  }

  /** The same of so many that it is due also while more come. */
  get isCalibrationOverdue(): boolean {
    return this.#jobs.isCalibrationOverdue
  }

  /**
   * What would make searches cheaper, best first. Changes nothing; a plan is of this moment and may be applied later or not at all.
   *
   * @throws CoreError DRIFT_OPTION.
   */
  plan(options: PlanOptions = {}): Operation[] {
    return this.#jobs.plan(options)
  }

  /** The same in slices between which the event loop turns, in no order: what it says of a bucket was true when it was looked at. */
  planInSlices(options: SlicedPlanOptions = {}): Promise<Operation[]> {
    return this.#jobs.planInSlices(options)
  }

  /**
   * Do one operation of a plan, after the maintenance that is under way. Searches and writes go on; every row stays findable. Aborted, it
   * stops between two steps: what has moved has moved, and the rest is where it was.
   *
   * @param options - `budget`: rows that may move; what is left of the operation is in the next plan.
   */
  apply(operation: Operation, options: HealOptions = {}): Promise<Healed> {
    return this.#jobs.apply(operation, options)
  }

  /** Plan and apply until nothing pays, or as many rows have moved as `budget` says. */
  maintain(options: HealOptions = {}): Promise<HealReport> {
    return this.#jobs.heal(options)
  }

  /** Rows that were ever inserted or deleted. */
  get updates(): number {
    return this.#life.state.store.version
  }

  /** How each bucket is doing, by number. */
  bucketStats(): BucketStats[] {
    return bucketStats(this.#life.open())
  }

  /** Refinements that have ended: with each, `centroids` and `bucketsOf` are worth storing again. */
  get refinements(): number {
    return this.#life.state.refinements
  }

  /**
   * Everything but the exact vectors, when maintenance that is under way has ended, in slices: no bucket changes meanwhile. The columns may be
   * read until `release`.
   *
   * @param moment - called in the step whose state the image is, to tell what else is true then.
   */
  takeImage<T = undefined>(moment: () => T = () => undefined as T): Promise<TakenImage<T>> {
    return this.#jobs.image(moment)
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
    const before = this.#life.open()
    if (before.store.rows > 0 || before.router.count > 0) {
      throw new CoreError('DRIFT_PARTITION', `the index holds ${before.store.rows} rows already`)
    }
    const state = restoreImage(before.shape, sizes, live, read)
    state.adopt(before.active)
    this.#life.become(state, fill)
    this.#shadows.watch(state)
  }

  /** What calibration and shadow queries taught, to be kept beside the image of the same moment. */
  takeLearned(): Uint8Array {
    return encodeLearned({ calibration: this.#jobs.calibration, shadow: this.#shadows.learned })
  }

  /**
   * Go on with what `takeLearned` gave, after the image was put back.
   *
   * @throws CoreError DRIFT_IMAGE when it does not fit itself; nothing is changed then.
   */
  restoreLearned(bytes: Uint8Array): void {
    this.#life.open()
    const { calibration, shadow } = decodeLearned(bytes)
    this.#jobs.restore(calibration)
    this.#shadows.restore(shadow)
  }

  /** Resolves when every exact vector is there. @throws what kept it from being there. */
  async vectorsReady(): Promise<void> {
    await this.#life.vectorsPending
  }

  /** Row numbers are those that `find` and `liveRows` gave. */
  isLive(row: number): boolean {
    return this.#life.requireRow(row).isLive(row)
  }

  /** `free` is called when no pin is open that was opened before now: at once when there is none. */
  whenUnpinned(free: () => void): void {
    this.#life.open().pins.retire(free, undefined)
  }

  /** One empty bucket per centroid, for an index that has none. */
  restoreCentroids(centroids: Float32Array): void {
    const state = this.#life.open()
    if (state.router.count > 0) {
      throw new CoreError('DRIFT_PARTITION', `the index has ${state.router.count} buckets already`)
    }
    if (centroids.length === 0) return
    requireVectors({ ...state.shape, metric: 'l2' }, centroids, Math.ceil(centroids.length / this.dim))
    state.addBuckets(centroids)
  }

  /** A copy: dim values per bucket. */
  centroids(): Float32Array {
    const state = this.#life.open()
    const { count } = state.router
    const centroids = new Float32Array(count * this.dim)
    for (let bucket = 0; bucket < count; bucket++) centroids.set(state.centroidOf(bucket), bucket * this.dim)
    return centroids
  }

  /** @throws CoreError DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_ZERO_VECTOR, DRIFT_K, DRIFT_RECALL, DRIFT_PROBES, DRIFT_FLOOR, DRIFT_EF, DRIFT_OPTION. */
  searchSync(query: Float32Array, options: SearchOptions): SearchResult {
    return this.#queries.now(query, options)
  }

  /** `searchSync`, except that with `probes`, and without `allow`, a scan of more than 65 536 rows is shared by the threads of the pool. */
  search(query: Float32Array, options: SearchOptions & Abortable): Promise<SearchResult> {
    return this.#queries.one(query, options)
  }

  /** @param queries - any number of queries, dim values each. All see the same moment of the index. */
  searchBatch(queries: Float32Array, options: SearchOptions & Abortable): Promise<BatchResult> {
    return this.#queries.many(queries, options)
  }

  /**
   * Every live row whose distance is at most `radius`, nearest first, each compared exactly, in slices between which the event loop
   * turns. What is written meanwhile is not seen.
   *
   * @param radius - a public distance, as results have it.
   * @throws CoreError as `searchSync`, and DRIFT_RADIUS.
   */
  async within(query: Float32Array, radius: number, options: WithinOptions = {}): Promise<SearchResult> {
    requireVectors(this.#life.open().shape, query, 1)
    const [only] = await this.#queries.within(query, radius, options)
    return only!
  }

  /** The same for each of any number of queries, dim values each. All see the same moment of the index. */
  withinMany(queries: Float32Array, radius: number, options: WithinOptions = {}): Promise<SearchResult[]> {
    return this.#queries.within(queries, radius, options)
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
  explain(
    query: Float32Array,
    options: SearchOptions,
    now: () => number = () => performance.now(),
  ): Explanation {
    return this.#queries.explain(query, options, now)
  }

  /**
   * Measure the recall of one sampled query, in the pool or in slices: see RecallMonitor. Call it whenever there is time.
   *
   * @returns false when nothing was sampled yet.
   */
  async shadow(): Promise<boolean> {
    this.#life.open()
    return this.#shadows.measure(this.#pool, this.#life.checkOf(undefined))
  }

  /** Queries that were sampled and wait for `shadow`. */
  get shadowsWaiting(): number {
    return this.#shadows.waiting
  }

  /** Per k and target. */
  get measuredRecall(): MeasuredRecall[] {
    return this.#shadows.measured
  }

  /** Share of recent queries that scan the bucket: of one in 32 of `searchSync` and `search`. */
  temperatureOf(bucket: number): number {
    return this.#life.open().temperature.of(bucket)
  }

  /**
   * No row that is there now is given to another id, until it is released. Unlike a pin it copies nothing, so it does not say which are there.
   *
   * @returns the release, which may be called more than once.
   */
  hold(): () => void {
    return this.#life.open().pins.open()
  }

  pin(): Pin {
    const { snapshot, release } = this.#life.open().pin()
    return { live: snapshot.live, rows: snapshot.rowLimit, release }
  }

  stats(): IndexStats {
    return statsOf(this.#life.open(), this.#queries.bytes + this.#shadows.bytes)
  }

  /**
   * Maintenance and batches under way fail at their next step, and every call from now on. The memory goes when the index is let go.
   *
   * @param why - makes the error that they fail with. Default: CoreError DRIFT_CLOSED.
   */
  close(why?: () => Error): void {
    this.#life.close(why)
  }
}
