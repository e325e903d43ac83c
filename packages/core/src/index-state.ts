/**
 * Everything an index holds, and the synchronous steps that change it: each leaves every live row findable exactly once
 * per id. Searches in this thread run between steps; readers in other threads have a snapshot.
 * A live row is in a memtable, in the unassigned list, or has a home; during a flush in two of them.
 */
import { BLOCK_ENTRIES, type IndexSlabs, kernels } from '@drift/native'
import type { IndexQuantizer } from './arguments.js'
import { Directory } from './bucket/directory.js'
import { NONE } from './bucket/extent.js'
import { Temperature } from './bucket/temperature.js'
import type { VectorSource } from './cold-vectors.js'
import { CoreError } from './errors.js'
import type { Id } from './id.js'
import { Health } from './maintenance/health.js'
import type { Refinement } from './maintenance/refine.js'
import { type GraphOptions, Memtable } from './memtable.js'
import { kernelMetric, type Metric, routingMetric } from './metric.js'
import { RecallMap } from './recall/map.js'
import { Resolution } from './recall/resolution.js'
import { Router } from './router/router.js'
import { RowStore } from './row-store.js'
import { fixedIn } from './search/allowed.js'
import { ExactRanking } from './search/exactly.js'
import { Pins } from './search/pins.js'
import { RowList } from './search/row-list.js'
import { type Snapshot, SnapshotCopies } from './search/snapshot.js'
import type { SearchView } from './search/view.js'
import { Staging } from './staging.js'

export interface IndexShape extends GraphOptions {
  readonly dim: number
  readonly metric: Metric
  /** Rows of a memtable's graph. */
  readonly memtableRows: number
  /** Target rows of a bucket; it splits above twice that. */
  readonly bucketRows: number
  /** Where exact vectors are; with none a row is what its codes say. */
  readonly vectors: 'resident' | 'none' | VectorSource
  readonly quantizer: Exclude<IndexQuantizer, 'auto'>
}

/** Rows that were copied in and wait for `publish` or `abandon`. */
export interface Appended {
  /** One per distinct id, in the order of `ids`. */
  readonly rows: Uint32Array
  readonly ids: readonly Id[]
  /** The place of each in the batch that was given: of equal ids, the last one's. */
  readonly positions: Uint32Array
  readonly memtable: Memtable
}

/** The entries of a bucket in whole blocks, in the order of its rows. */
export interface CodedBucket {
  readonly bucket: number
  readonly rows: Uint32Array
  readonly blocks: Uint8Array
}

export class IndexState {
  readonly shape: IndexShape
  readonly store: RowStore
  readonly directory: Directory
  readonly router: Router
  readonly pins: Pins = new Pins()
  /** Where exact vectors are elsewhere: searches end with it. */
  readonly exact: ExactRanking | undefined
  /** Of the buckets, by the queries of this thread. */
  readonly temperature: Temperature = new Temperature()
  /** From recalls to floors: the prior, or what was learned. */
  readonly recall: RecallMap = new RecallMap(() => this.directory.rowsAtHome)
  readonly #resolution = new Resolution()
  active: Memtable
  frozen: readonly Memtable[] = []
  unassigned: RowList = new RowList()
  /** The refinement under way, and the rows in buckets when the last one ended. */
  refinement: Refinement | undefined
  refinedRows = 0
  /** By which entries are coded; undefined: by signs. */
  codebooks: Float32Array | undefined
  /** Refinements that have ended. */
  refinements = 0
  /** What maintenance remembers of each bucket. */
  readonly health: Health = new Health()
  /** The active memtable, then the frozen ones. */
  memtables: readonly Memtable[]
  /** What a search in this thread reads. */
  readonly view: SearchView
  #slabs: IndexSlabs | undefined
  readonly #copies = new SnapshotCopies()
  readonly #freeBlocks = (blocks: Uint32Array): void => this.directory.extents.freeBlocks(blocks)
  readonly #freeRows = (rows: ArrayLike<number>): void => this.store.freeAll(rows)
  readonly #pending = new WeakSet<Appended>()
  readonly #staged = new WeakSet<Staging>()
  /** Rows from here on are not linked: readers hold views that end before them. See `#guardLinks`. */
  #linkBelow = Number.POSITIVE_INFINITY
  #growths = 0
  /** Room for two bitmaps' bits. */
  #both = new Uint32Array(0)

  constructor(shape: IndexShape) {
    this.shape = shape
    this.store = new RowStore(shape.dim, shape.metric, shape.vectors)
    const { cold } = this.store
    this.exact = cold && new ExactRanking(kernelMetric(shape.metric), shape.dim, cold)
    this.router = new Router(this.store.rotation.padded, (first, count) => {
      kernels.indexRouteEntries(this.slabs, first, count)
    })
    this.directory = new Directory(
      this.store,
      (free, chain) => this.pins.retire(free, chain),
      (rows, buckets, slots, count) => kernels.indexAppend(this.slabs, rows, buckets, slots, count),
      (bucket, from, entries, to, room) =>
        kernels.indexCompact(this.slabs, this.store.home, this.store.second, bucket, from, entries, to, room),
    )
    this.active = new Memtable(shape.memtableRows, shape)
    this.memtables = [this.active]
    this.view = liveView(this)
  }

  /** Copy vectors in, not visible, prepared by `metric`. `sources[i]` is the place in `vectors` of ids[i]; ids are distinct. Everything is valid. */
  append(
    ids: readonly Id[],
    vectors: Float32Array,
    sources: Uint32Array,
    metric: Metric = this.shape.metric,
  ): Appended {
    const staging = this.stage(ids, vectors, sources, metric)
    staging.finish()
    return this.enter(staging)
  }

  /** The same in pieces: what is staged gets its place in the order when it enters. */
  stage(
    ids: readonly Id[],
    vectors: Float32Array,
    sources: Uint32Array,
    metric: Metric = this.shape.metric,
  ): Staging {
    const rows = this.#take(ids.length)
    try {
      const staging = new Staging(this.store, rows, ids, vectors, sources, metric)
      this.#staged.add(staging)
      return staging
    } catch (error) {
      this.#giveBack(rows)
      throw error
    }
  }

  /** What of it is not filled in yet, its owner fills in before this tick ends. */
  enter(staging: Staging): Appended {
    this.#unstage(staging)
    const { rows, ids, positions } = staging
    this.active.list.push(rows)
    const appended = { rows, ids, positions, memtable: this.active }
    this.#pending.add(appended)
    return appended
  }

  /** The rows go back: no memtable lists them. */
  leave(staging: Staging): void {
    this.#unstage(staging)
    this.#giveBack(staging.rows)
  }

  publish(appended: Appended): number {
    this.#settle(appended)
    const { rows, ids, memtable } = appended
    const replaced = this.#enliven(rows, ids)
    if (memtable.dropped) this.unassigned.push(rows)
    return replaced
  }

  abandon(appended: Appended): void {
    this.#settle(appended)
    this.#retire(appended.rows.filter(row => this.store.abandon(row)))
  }

  /** Bring rows in, visible and unassigned, prepared by `metric`. `isElsewhere`: a source has their exact vectors already. */
  load(
    ids: readonly Id[],
    vectors: Float32Array,
    sources: Uint32Array,
    metric: Metric,
    isElsewhere = false,
  ): Uint32Array {
    const rows = this.#take(ids.length, isElsewhere)
    for (let i = 0; i < rows.length; i++) this.store.ids.recordId(rows[i]!, ids[i]!)
    this.store.fill(rows, vectors, sources, metric, isElsewhere)
    for (const row of rows) this.store.letGo(row)
    this.#enliven(rows, ids)
    this.unassigned.push(rows)
    return rows
  }

  /** Whether the codes of rows tell them apart. */
  get tellsApart(): boolean {
    return this.#resolution.tellsApart(this.store)
  }

  rowsPerAllowed(allow: Uint32Array): number {
    const { live, liveRows } = this.store
    const known = fixedIn(this.view, allow)
    if (known !== undefined) return liveRows / (known.rows || liveRows)
    const words = Math.min(live.length, allow.length)
    if (this.#both.length < words) this.#both = new Uint32Array(live.length)
    return liveRows / (kernels.bitsAnd(live, allow, words, this.#both) || liveRows)
  }

  /** @returns how many of the ids named a row. @throws CoreError DRIFT_ID; nothing is changed then. */
  delete(ids: readonly Id[]): number {
    const rows = this.store.ids.removeAll(ids)
    const free: number[] = []
    let deleted = 0
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!
      if (row < 0) continue
      this.#kill(row, free)
      deleted++
    }
    this.#retire(free)
    return deleted
  }

  /** Take over the active memtable, still empty, of a state that is given up. */
  adopt(memtable: Memtable): void {
    this.active = memtable
    this.memtables = [memtable, ...this.frozen]
  }

  rotate(): Memtable | undefined {
    const memtable = this.active
    if (memtable.count === 0) return undefined
    memtable.frozen = true
    this.active = new Memtable(this.shape.memtableRows, this.shape)
    this.#setFrozen([...this.frozen, memtable])
    return memtable
  }

  /** The frozen memtable is not read any more: its live rows have homes. */
  drop(memtable: Memtable): void {
    memtable.dropped = true
    this.retireBlocks(memtable.tail.leave())
    this.#setFrozen(this.frozen.filter(other => other !== memtable))
    this.#retire(this.store.letGoOf(memtable.rows.subarray(0, memtable.count)))
  }

  /** Blocks in no chain, which nobody reads who comes from now on. */
  retireBlocks(blocks: Uint32Array): void {
    if (blocks.length > 0) this.pins.retire(this.#freeBlocks, blocks)
  }

  /** Live rows of the list that have no home yet, in order. */
  homeless(list: Pick<RowList, 'rows' | 'count'>): Uint32Array {
    return this.store.homelessOf(list.rows.subarray(0, list.count))
  }

  /** Give the row its home and its second bucket (or NONE), unless it died or has a home. @returns whether it got them. */
  place(row: number, home: number, second: number): boolean {
    if (!this.store.isLive(row) || this.store.home[row] !== NONE) return false
    const other = second === home ? NONE : second
    this.directory.reserve(home, other)
    this.directory.append(home, other, row)
    return true
  }

  /** Give a live row that has a home other buckets. @returns whether anything changed. */
  move(row: number, home: number, second: number): boolean {
    const { store, directory } = this
    if (!store.isAtHome(row)) return false
    const oldHome = store.home[row]!
    const oldSecond = store.second[row]!
    if (oldHome === home && oldSecond === second) return false
    // Once, as a bucket that the row leaves may then have to be rewritten before it takes another block.
    directory.reserve(home, second)
    if (oldSecond !== second) {
      store.second[row] = NONE
      if (oldSecond !== NONE) directory.lostSecond(oldSecond)
    }
    if (oldHome !== home) {
      store.home[row] = NONE
      directory.lost(oldHome)
      directory.append(home, NONE, row)
    }
    if (oldSecond !== second && second !== NONE) directory.appendSecond(second, row)
    return true
  }

  /**
   * The entries that there are become those of `coded`; tails get theirs when they are searched.
   *
   * @param codebooks - in shared memory.
   * @param coded - of each bucket that has rows, those that it had, and their entries by these codebooks: rows only died since.
   */
  setCodebooks(codebooks: Float32Array, coded: readonly CodedBucket[]): void {
    const { directory } = this
    // First: there may be no room.
    directory.extents.reserve(
      coded.reduce((sum, { rows }) => sum + Math.ceil(rows.length / BLOCK_ENTRIES), 0),
    )
    this.codebooks = codebooks
    for (const { bucket, rows, blocks } of coded) directory.adopt(bucket, rows, blocks)
    for (const { tail } of this.memtables) this.retireBlocks(tail.leave())
  }

  /** An empty bucket for each centroid of dim values. */
  addBuckets(centroids: Float32Array): void {
    const { rotation } = this.store
    const count = centroids.length / rotation.dim
    this.addRotatedBuckets(rotation.apply(centroids, 0, count, new Float32Array(count * rotation.padded)))
  }

  /** The same for rotated centroids. */
  addRotatedBuckets(centroids: Float32Array): void {
    const count = centroids.length / this.router.padded
    this.router.reserve(count)
    for (let i = 0; i < count; i++) this.health.reset(this.directory.add())
    this.router.add(centroids)
  }

  /**
   * An empty bucket with this rotated centroid: one that lost its rows, or a new one.
   *
   * @param group - that it belongs to, where it is known.
   */
  bucketFor(centroid: Float32Array, group?: number): number {
    const empty = this.directory.takeEmpty()
    if (empty === undefined) return this.addRotated(centroid, group)
    this.health.reset(empty)
    this.router.set(empty, centroid, group)
    return empty
  }

  /** A rotated centroid for a new bucket. @returns its number. */
  addRotated(centroid: Float32Array, group?: number): number {
    this.router.reserve(1)
    const bucket = this.directory.add()
    this.router.add(centroid, group)
    this.health.reset(bucket)
    return bucket
  }

  /** The rotated centroid of a bucket; its rows get their codes anew. */
  recentre(bucket: number, centroid: Float32Array, rows: Uint32Array = this.directory.rowsOf(bucket)): void {
    // Before the centroid changes: there may be no room.
    this.directory.extents.reserve(Math.ceil(rows.length / BLOCK_ENTRIES))
    this.router.set(bucket, centroid)
    this.directory.rewrite(bucket, rows)
  }

  /** The same, with the entries of its rows coded around the centroid already: see `Directory.adopt`. @param group - of the centroid, or NONE. */
  adoptCentroid(
    bucket: number,
    centroid: Float32Array,
    group: number,
    rows: Uint32Array,
    blocks: Uint8Array,
  ): void {
    this.directory.adopt(bucket, rows, blocks) // first: there may be no room
    this.router.set(bucket, centroid, group)
  }

  /** The row loses its second bucket, if it has one. */
  leaveSecond(row: number): void {
    const second = this.store.second[row]!
    this.store.second[row] = NONE
    if (second !== NONE) this.directory.lostSecond(second)
  }

  /** A bucket without rows goes; the last one takes its number. */
  dropBucket(bucket: number): void {
    const last = this.directory.drop(bucket)
    this.router.drop(bucket, last)
    this.health.rename(last, bucket)
    this.temperature.set(bucket, this.temperature.of(last))
    this.temperature.set(last, 0)
  }

  /** The centroid of dim values. */
  centroidOf(bucket: number): Float32Array {
    const { padded, centroids } = this.router
    const rotated = centroids.subarray(bucket * padded, (bucket + 1) * padded)
    return this.store.rotation.undo(rotated, 1, new Float32Array(this.shape.dim))
  }

  /** The partition as the kernels see it now; to be used at once, as any change may replace it. */
  get slabs(): IndexSlabs {
    const { store, router, directory, shape } = this
    let slabs = this.#slabs
    if (
      slabs === undefined ||
      slabs.codes !== store.codes ||
      slabs.centroids !== router.centroids ||
      slabs.heads !== directory.heads ||
      slabs.next !== directory.extents.next ||
      slabs.groups !== router.groups?.view ||
      slabs.codebooks !== this.codebooks
    ) {
      slabs = {
        metric: kernelMetric(shape.metric),
        routing: routingMetric(shape.metric),
        dim: shape.dim,
        padded: store.rotation.padded,
        flips: store.rotation.flips,
        vectors: store.vectors,
        codes: store.codes,
        factors: store.factors,
        live: store.live,
        centroids: router.centroids,
        centroidCodes: router.codes,
        centroidFactors: router.factors,
        router: router.blocks,
        center: router.center,
        heads: directory.heads,
        sizes: directory.sizes,
        lives: directory.lives,
        next: directory.extents.next,
        blocks: directory.extents.blocks,
        groups: router.groups?.view,
        codebooks: this.codebooks,
        readsAll: shape.quantizer === 'sq8',
        rowLimit: 0,
        bucketCount: 0,
      }
      this.#slabs = slabs
    }
    slabs.rowLimit = store.rows
    slabs.bucketCount = router.count
    return slabs
  }

  /** Forget unassigned rows that have a home or died. */
  tidyUnassigned(): void {
    if (this.unassigned.count === 0) return
    const left = this.homeless(this.unassigned)
    this.unassigned = new RowList()
    this.unassigned.push(left)
  }

  /** Link one waiting row of the first memtable that has one. @returns false when none is left or may be linked now. */
  linkNext(): boolean {
    const { store, shape } = this
    if (store.vectors === undefined) return false
    for (const memtable of this.memtables) {
      if (memtable.unlinked === 0 || memtable.rows[memtable.linked]! >= this.#linkBelow) continue
      memtable.link(kernelMetric(shape.metric), store, shape.dim, 1)
      return true
    }
    return false
  }

  /** Bytes of the columns beside: copies for readers, and what is known of buckets. */
  get workingBytes(): number {
    return (
      this.#copies.bytes +
      this.temperature.bytes +
      this.unassigned.rows.byteLength +
      this.#both.byteLength +
      (this.codebooks?.byteLength ?? 0)
    )
  }

  /** What another thread may read until `release`. */
  pin(): { readonly snapshot: Snapshot; readonly release: () => void } {
    const release = this.pins.open()
    const { store, directory, router, memtables, unassigned, shape, codebooks } = this
    return {
      snapshot: this.#copies.take({ store, directory, router, memtables, unassigned, shape, codebooks }),
      release,
    }
  }

  #take(count: number, isElsewhere = false): Uint32Array {
    const { capacity } = this.store
    if (!isElsewhere) this.store.cold?.reserve(count)
    const rows = this.store.take(count)
    if (this.store.capacity > capacity) this.#guardLinks(capacity)
    return rows
  }

  /**
   * A reader in another thread walks the graphs with the views of its pin. While a pin is open that is older than a growth of
   * the slabs, no row beyond those views may enter a graph.
   */
  #guardLinks(capacity: number): void {
    this.#linkBelow = Math.min(this.#linkBelow, capacity)
    this.#growths++
    this.pins.retire(() => {
      if (--this.#growths === 0) this.#linkBelow = Number.POSITIVE_INFINITY
    }, undefined)
  }

  #settle(appended: Appended): void {
    if (!this.#pending.delete(appended)) throw foreign()
  }

  /** Rows that were taken and no memtable lists. */
  #giveBack(rows: Uint32Array): void {
    const { store } = this
    for (const row of rows) store.letGo(row)
    this.#retire(rows.filter(row => store.abandon(row)))
  }

  #unstage(staging: Staging): void {
    if (!this.#staged.delete(staging)) throw foreign()
  }

  #enliven(rows: Uint32Array, ids: readonly Id[]): number {
    const free: number[] = []
    let replaced = 0
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!
      const older = this.store.ids.set(ids[i]!, row)
      this.store.enliven(row)
      if (older < 0) continue
      this.#kill(older, free)
      replaced++
    }
    this.#retire(free)
    return replaced
  }

  /** @param free - gets the row if nothing lists it. */
  #kill(row: number, free: number[]): void {
    const { store } = this
    const home = store.home[row]!
    const second = store.second[row]!
    if (store.kill(row)) free.push(row)
    store.home[row] = NONE
    store.second[row] = NONE
    if (home !== NONE) this.directory.lost(home)
    if (second !== NONE) this.directory.lostSecond(second)
  }

  #retire(rows: readonly number[] | Uint32Array): void {
    if (rows.length === 0) return
    this.pins.retire(this.#freeRows, rows)
  }

  #setFrozen(frozen: readonly Memtable[]): void {
    this.frozen = frozen
    this.memtables = [this.active, ...frozen]
  }
}

/** The index as it is at each moment, for synchronous searches. */
function liveView(state: IndexState): SearchView {
  const { shape, store } = state
  return {
    bucketRows: shape.bucketRows,
    get slabs() {
      return state.slabs
    },
    get liveRows() {
      return store.liveRows
    },
    get meanLives() {
      return state.directory.meanLives
    },
    get home() {
      return store.home
    },
    get changes() {
      // Each only grows.
      return store.version + state.directory.version + state.directory.entryVersion
    },
    get memtables() {
      return state.memtables
    },
    get unassigned() {
      return state.unassigned
    },
  }
}

function foreign(): CoreError {
  return new CoreError(
    'DRIFT_APPENDED',
    'the rows were already published or abandoned, or belong to another index',
  )
}
