/**
 * Collection: the door for rows. Validates, then each method reads as its path: upsert = memtable and log in the same
 * tick, visible when durable; search = the index, then ids and payloads of the hits.
 */
import { type Explanation, type HealReport, type Id, MAX_RECORD_BYTES, type Metric, score } from '@drift/core'
import type { RecordBatch } from 'apache-arrow'
import { orAborted } from './abort.js'
import type { ArrowInput } from './arrow/batches.js'
import { exportRows, type ToArrowOptions } from './arrow/export.js'
import { type FromArrowOptions, type FromArrowResult, importRows } from './arrow/import.js'
import { writeCalibrated, writePartition } from './checkpoint.js'
import { compactOnce } from './compaction.js'
import { assertOpen, assertWritable, type Engine } from './engine.js'
import { DriftError } from './errors.js'
import { type Filter, parseFilter } from './filter/filter.js'
import { withMatching } from './filter/match.js'
import { type FilterPlan, planOf } from './filter/plan.js'
import { type Found, parseNarrowed, searchBatchNarrowed, searchNarrowed } from './filter/search.js'
import { refineStore } from './janitor.js'
import { encodePatch } from './merge-patch.js'
import { DeleteRecord, UpsertRecord } from './operation.js'
import {
  type BatchSearchOptions,
  type FlushOptions,
  type GetOptions,
  type MaintainOptions,
  parseBatchOptions,
  parseFilterOptions,
  parseFromArrowOptions,
  parseGetOptions,
  parseMaintainOptions,
  parseScanOptions,
  parseSearchOptions,
  parseStatsOptions,
  parseToArrowOptions,
  parseWriteOptions,
  type SearchOptions,
  type WriteOptions,
  widthOf,
} from './options.js'
import { createIndex, dropIndex } from './payload-index/declare.js'
import { type IndexKind, parseIndex } from './payload-index/payload-indexes.js'
import {
  type Columns,
  decodePayload,
  type Payload,
  parseBatch,
  parseIds,
  parseQuery,
  type Row,
} from './rows.js'
import { type Scan, type ScannedRow, type ScanOptions, scanRows } from './scan/rows.js'
import { runSliced } from './slices.js'
import { type CollectionStats, collectionStats } from './stats.js'
import { assertPresent, type Store } from './store.js'
import {
  type Attempt,
  type Logged,
  logDelete,
  logUpdate,
  onTarget,
  parseTarget,
  type Target,
} from './update.js'
import { noRoom, writeDelete, writeUpsert } from './write.js'

export interface UpsertResult {
  /** Position in the log; every later write has a greater one. */
  readonly lsn: number
  /** True when the write is on stable storage: with sync 'always', on a real disk. */
  readonly durable: boolean
  /** Distinct ids written. */
  readonly upserted: number
  /** How many of them existed before. */
  readonly replaced: number
}

export interface DeleteResult {
  readonly lsn: number
  readonly durable: boolean
  /** How many of the ids existed. */
  readonly deleted: number
}

export interface UpdateResult {
  readonly lsn: number
  readonly durable: boolean
  /** How many rows were changed: those of the ids that exist, or that matched. */
  readonly updated: number
}

export interface Hit<P extends object = Payload> {
  readonly id: Id
  /** Smaller is nearer. l2: squared Euclidean distance; cosine: 1 - cosine similarity; ip: minus the inner product. */
  readonly distance: number
  /** Greater is nearer. cosine: cosine similarity; ip: inner product; l2: minus the squared distance. */
  readonly score: number
  /** With `payload: true`. */
  readonly payload?: P
}

export interface BatchHits {
  /** Query q's hits, nearest first. */
  readonly ids: readonly (readonly Id[])[]
  /** Width of `distances`: the k that was asked for. */
  readonly k: number
  /** n * k, row-major, padded with Infinity. */
  readonly distances: Float32Array
  /** Hits of each query. */
  readonly counts: Uint32Array
}

export interface StoredRow<P extends object = Payload> {
  readonly id: Id
  /** The caller's own copy; of unit length when the metric is cosine. */
  readonly vector: Float32Array
  readonly payload?: P
}

/**
 * Rows of one name. `P` is what their payloads are, for the compiler only: nothing checks what is stored. Writes are done in the order of
 * their calls, awaited or not; a read sees those that have resolved.
 */
export class Collection<P extends object = Payload> {
  readonly #engine: Engine
  readonly #store: Store

  /** Made by `Drift.collection`. */
  constructor(engine: Engine, store: Store) {
    this.#engine = engine
    this.#store = store
  }

  get name(): string {
    return this.#store.config.name
  }

  get dim(): number {
    return this.#store.config.dim
  }

  get metric(): Metric {
    return this.#store.config.metric
  }

  /**
   * Insert rows or replace those whose id exists. Resolves when the batch is on disk (as `sync` says) and visible;
   * the batch is written, and after a crash recovered, whole or not at all. Of two rows with the same id in one batch the last wins.
   * The vectors are copied before the first await. Waits while flushing falls behind.
   *
   * @throws DriftError or CoreError; nothing has changed then, except after DRIFT_WAL_FAILED, when the outcome is unknown until the database is reopened.
   */
  async upsert(batch: readonly Row<P>[] | Columns<P>, options?: WriteOptions): Promise<UpsertResult> {
    const { signal, onProgress } = parseWriteOptions(options, 'upsert')
    this.#assertWritable()
    signal?.throwIfAborted()
    const { number, config } = this.#store
    const record = new UpsertRecord(number, parseBatch(batch, config.dim), config.dim)
    if (record.bytes > MAX_RECORD_BYTES) {
      throw new DriftError(
        'DRIFT_BATCH_TOO_LARGE',
        `the batch is ${record.bytes} bytes in the log, the limit is ${MAX_RECORD_BYTES}; split it`,
        { bytes: record.bytes, limit: MAX_RECORD_BYTES },
      )
    }
    const { lsn, done, upserted } = await writeUpsert(this.#engine, this.#store, record, signal)
    if (this.#store.frozen.length > 0) this.#engine.janitor.wake()
    const { replaced } = await done
    this.#engine.janitor.wake()
    onProgress?.({ stage: 'upsert', done: upserted, total: upserted })
    return { lsn, durable: this.#engine.durable, upserted, replaced }
  }

  /**
   * Delete by id (ids that do not exist are counted out), or every row that matches a filter in its turn: other writes wait while those
   * are looked for and named in the log, in turns of the event loop. Durable and atomic like `upsert`.
   *
   * @throws DriftError DRIFT_FILTER, DRIFT_BATCH_TOO_LARGE when more rows match than one record of the log can name.
   */
  async delete(
    ids: readonly Id[] | { readonly filter: Filter },
    options?: WriteOptions,
  ): Promise<DeleteResult> {
    const { signal } = parseWriteOptions(options, 'delete')
    this.#assertWritable()
    signal?.throwIfAborted()
    const target = parseTarget(ids, 'delete')
    if ('filter' in target) {
      const { lsn, changed } = await this.#change(target, signal, false, rows =>
        logDelete(this.#engine, this.#store, rows, signal),
      )
      return { lsn, durable: this.#engine.durable, deleted: changed }
    }
    const record = new DeleteRecord(this.#store.number).add([...target.ids])
    const { lsn, done } = await writeDelete(this.#engine, this.#store, record, signal)
    const deleted = await done
    this.#engine.janitor.wake()
    return { lsn, durable: this.#engine.durable, deleted }
  }

  /**
   * Merge a patch into the payloads of rows (RFC 7396: null removes; NaN is refused), by id or by filter. Durable, atomic and in its turn like
   * `delete`; costs about as much as `upsert`, as a new version of each row is written.
   *
   * @throws DriftError DRIFT_PATCH, DRIFT_FILTER, DRIFT_PAYLOAD_TOO_LARGE when a payload would grow beyond its limit,
   *   DRIFT_BATCH_TOO_LARGE; nothing has changed then.
   */
  async updatePayload(
    ids: readonly Id[] | { readonly filter: Filter },
    patch: object,
    options?: WriteOptions,
  ): Promise<UpdateResult> {
    const { signal } = parseWriteOptions(options, 'updatePayload')
    this.#assertWritable()
    signal?.throwIfAborted()
    const target = parseTarget(ids, 'updatePayload')
    const bytes = encodePatch(patch)
    const named = 'ids' in target ? target.ids : undefined
    const { lsn, changed } = await this.#change(target, signal, true, rows =>
      logUpdate(this.#engine, this.#store, rows, bytes, named, signal),
    )
    return { lsn, durable: this.#engine.durable, updated: changed }
  }

  /** The row with this id, or undefined. */
  async get(id: Id): Promise<StoredRow<P> | undefined> {
    this.#assertOpen()
    await this.#store.index.vectorsReady()
    this.#assertOpen()
    this.#engine.pace.answered()
    const row = this.#store.index.find(id)
    return row < 0 ? undefined : this.#rowAt(row)
  }

  /**
   * The rows with these ids, all as of one moment: each where its id is, undefined where there is no such row. The ids are looked up in one
   * turn of the event loop, some 0.5 us each; the rows are read in slices.
   *
   * @param options - `vectors: false` leaves them out.
   * @throws DriftError or CoreError DRIFT_BATCH, DRIFT_ID, DRIFT_OPTION, DRIFT_UNKNOWN_OPTION.
   */
  async getMany(
    ids: readonly Id[],
    options?: GetOptions & { readonly vectors?: true },
  ): Promise<(StoredRow<P> | undefined)[]>
  async getMany(ids: readonly Id[], options?: GetOptions): Promise<(ScannedRow<P> | undefined)[]>
  async getMany(ids: readonly Id[], options?: GetOptions): Promise<(ScannedRow<P> | undefined)[]> {
    const { vectors = true, signal } = parseGetOptions(options)
    const wanted = parseIds(ids, 'getMany')
    this.#assertOpen()
    if (vectors) await this.#store.index.vectorsReady()
    this.#assertOpen()
    const rows = await runSliced(
      this.#rowsOf(wanted, vectors),
      'rows',
      wanted.length,
      signal ? { signal } : {},
      () => this.#assertOpen(),
    )
    this.#engine.pace.answered()
    return rows
  }

  /**
   * The nearest rows, nearest first: the newest version of each id, and only what was visible when the call was made. Approximate: `recall`
   * says which share of them is to be found, in the mean over queries; 1 finds all.
   *
   * @throws DriftError or CoreError DRIFT_DIMENSION, DRIFT_VECTOR_TYPE, DRIFT_VECTOR_VALUE, DRIFT_ZERO_VECTOR, DRIFT_K, DRIFT_RECALL, DRIFT_RADIUS,
   *   DRIFT_OPTION, DRIFT_FILTER, DRIFT_FILTER_LIMIT.
   */
  async search(query: Float32Array | readonly number[], options?: SearchOptions): Promise<Hit<P>[]> {
    const asked = parseSearchOptions(options)
    const { payload, signal } = asked
    this.#assertOpen()
    signal?.throwIfAborted()
    const vector = parseQuery(query, this.dim)
    const { janitor, pace } = this.#engine
    janitor.searched(this.#store)
    const narrowed = parseNarrowed(asked)
    const answer = async (found: Found): Promise<Hit<P>[]> => {
      pace.answered()
      return payload ? this.#hitsWithPayloads(found, signal) : this.#hits(found)
    }
    if (narrowed) return searchNarrowed(this.#store, vector.slice(), narrowed, answer)
    // While a payload is wanted, no row found may be given to another id.
    const release = payload ? this.#store.index.hold() : undefined
    try {
      return await answer(await this.#store.index.search(vector, widthOf(asked)))
    } finally {
      release?.()
    }
  }

  /**
   * Many queries at once, spread over the threads; all of them see the same state.
   *
   * @param queries - n * dim values, row-major.
   */
  async searchBatch(queries: Float32Array, options?: BatchSearchOptions): Promise<BatchHits> {
    const asked = parseBatchOptions(options)
    const { signal } = asked
    this.#assertOpen()
    signal?.throwIfAborted()
    const vectors = parseQuery(queries, this.dim, true)
    this.#engine.janitor.searched(this.#store)
    const narrowed = parseNarrowed(asked)
    if (narrowed) return searchBatchNarrowed(this.#store, vectors.slice(), narrowed)
    const found = await this.#store.index.searchBatch(vectors, widthOf(asked))
    const { distances, counts } = found
    const ids = Array.from(counts, (count, q) => found.ids.slice(q * found.k, q * found.k + count) as Id[])
    return { k: found.k, ids, distances, counts }
  }

  /** What `search` does for this query: buckets, why it stopped, the time of its stages. */
  async explain(
    query: Float32Array | readonly number[],
    options?: SearchOptions,
  ): Promise<Explanation & { readonly filter?: FilterPlan }> {
    const asked = parseSearchOptions(options, 'explain')
    const { filter, signal, isEvery } = asked
    this.#assertOpen()
    signal?.throwIfAborted()
    const vector = parseQuery(query, this.dim).slice()
    const node = filter === undefined ? undefined : parseFilter(filter)
    await this.#store.index.vectorsReady()
    return withMatching(this.#store, node, signal, ({ rows }) => {
      const how = isEvery ? { k: Math.max(1, this.#store.index.count), recall: 1 } : widthOf(asked)
      const width = { ...how, ...(node ? { allow: rows } : {}) }
      const explanation = this.#store.index.explain(vector, width)
      return node ? { ...explanation, filter: planOf(node, this.#store.indexes) } : explanation
    })
  }

  /**
   * Every row that is there when the iteration starts, or every one that matches `filter`, each once. A row that is replaced or deleted
   * meanwhile is still given as it was. In no particular order, except that with `limit` or `cursor` rows come in an order of
   * their ids that never changes: a row that stays is given exactly once, however many pages and writes there are.
   *
   * @returns the rows; its `cursor` says where the next page starts, undefined when there is none.
   */
  scan(options?: ScanOptions & { readonly vectors?: true }): Scan<StoredRow<P>>
  scan(options: ScanOptions): Scan<ScannedRow<P>>
  scan(options?: ScanOptions): Scan<ScannedRow<P>> {
    const parsed = parseScanOptions(options)
    const { vectors = true, payload = true } = parsed
    return scanRows({
      store: this.#store,
      options: parsed,
      matches: parsed.filter === undefined ? undefined : parseFilter(parsed.filter),
      filled: row => this.#rowAt(row, vectors, payload),
      check: () => this.#assertOpen(),
    })
  }

  /**
   * The rows that are there now, or those that match a filter, as Arrow record batches: id, vector as FixedSizeList<Float32>, a column for each key of the payloads.
   * A key that is null is left out, as one that is missing. Needs `apache-arrow`'s writers to become bytes:
   * `await (await RecordBatchStreamWriter.writeAll(docs.toArrow())).toUint8Array()`.
   */
  async *toArrow(options?: ToArrowOptions): AsyncGenerator<RecordBatch, void, undefined> {
    const parsed = parseToArrowOptions(options)
    this.#assertOpen()
    yield* exportRows(this.#store, parsed, () => this.#assertOpen())
  }

  /** Upsert the rows of Arrow IPC bytes, a stream of them, record batches or a table. The other columns become the payloads. */
  async fromArrow(input: ArrowInput, options?: FromArrowOptions): Promise<FromArrowResult> {
    const parsed = parseFromArrowOptions(options)
    this.#assertWritable()
    const { signal } = parsed
    return importRows(input, this.dim, parsed, async rows => {
      const { lsn } = await this.upsert(rows as Columns<P>, signal ? { signal } : {})
      return lsn
    })
  }

  /** Rows now, or those that match a filter. */
  async count(options?: { readonly filter?: Filter; readonly signal?: AbortSignal }): Promise<number> {
    const { filter, signal } = parseFilterOptions(options, 'count')
    this.#assertOpen()
    signal?.throwIfAborted()
    const node = filter === undefined ? undefined : parseFilter(filter)
    if (!node) return this.#store.index.count
    return withMatching(this.#store, node, signal, ({ count }) => count)
  }

  /**
   * Make a payload index on a dotted path from what is there, while the collection is in use. It is declared for good when this
   * resolves; aborted, nothing of it is left.
   *
   * @throws DriftError DRIFT_INDEX, DRIFT_INDEX_EXISTS, DRIFT_FILTER for a malformed path.
   */
  async createIndex(path: string, kind: IndexKind, options?: FlushOptions): Promise<void> {
    const parsed = parseWriteOptions(options, 'createIndex')
    this.#assertWritable()
    parsed.signal?.throwIfAborted()
    await createIndex(this.#engine, this.#store, path, parseIndex(path, kind), parsed)
  }

  /** Forget a payload index; filters on its path are answered by scanning. @throws DriftError DRIFT_NO_INDEX. */
  async dropIndex(path: string): Promise<void> {
    this.#assertWritable()
    await dropIndex(this.#engine, this.#store, path)
  }

  /** Write every row that is only in the log by now to a segment, and cut the log. Not needed for durability. */
  async flush(options?: FlushOptions): Promise<void> {
    const { signal, onProgress } = parseWriteOptions(options, 'flush')
    this.#assertWritable()
    signal?.throwIfAborted()
    await this.#engine.janitor.flushing(() => this.#flush(signal, onProgress))
  }

  /**
   * Do now what is done in the background when nothing else is to do: bring rows and buckets together after the collection has grown.
   * Searches are faster and find more afterwards.
   */
  async maintain(options?: MaintainOptions): Promise<HealReport> {
    const { signal, onProgress, budget, policy } = parseMaintainOptions(options)
    this.#assertWritable()
    const { pace, janitor } = this.#engine
    const { healing } = janitor
    if (healing.mode === 'off') {
      throw new DriftError('DRIFT_MAINTENANCE_OFF', "the database was opened with maintenance: 'off'")
    }
    const { between } = pace.course(signal)
    for (let more = true, done = 0; more; ) {
      signal?.throwIfAborted()
      this.#assertWritable()
      more = await refineStore(this.#engine, this.#store, defined({ signal, between }))
      await between()
      onProgress?.({ stage: 'refine', done: ++done, total: more ? done + 1 : done })
    }
    const report = await this.#store.index.maintain({
      ...defined({ signal, budget, policy, between }),
      onProgress: (done, total) => onProgress?.({ stage: 'heal', done, total }),
      onOperation: healed => healing.tell(this.#store, healed),
    })
    await healing.keep(this.#engine, this.#store)
    await this.#engine.recall.measure(this.#store, Number.POSITIVE_INFINITY, between)
    return report
  }

  /**
   * Bring segments together now, and leave out rows that were deleted or replaced: fewer and smaller files. Done in the background when
   * it is due. Searches and writes go on meanwhile; aborted, what was finished stays.
   */
  async compact(options?: FlushOptions): Promise<void> {
    const { signal, onProgress } = parseWriteOptions(options, 'compact')
    await this.flush(signal ? { signal } : {})
    await writePartition(this.#engine, this.#store)
    // Each leaves fewer files, or fewer dead rows; those that die meanwhile are left to the next call.
    const total = 2 * this.#store.segments.length
    for (let done = 0; done < total; done++) {
      this.#assertWritable()
      if (!(await compactOnce(this.#engine, this.#store, { all: true, signal }))) break
      onProgress?.({ stage: 'compact', done: done + 1, total })
    }
    onProgress?.({ stage: 'compact', done: total, total })
  }

  async stats(options?: { readonly buckets?: boolean }): Promise<CollectionStats> {
    const wanted = parseStatsOptions(options)
    this.#assertOpen()
    if (wanted.buckets) await this.#store.index.vectorsReady()
    this.#assertOpen()
    return collectionStats(this.#store, wanted.buckets)
  }

  async #flush(signal: AbortSignal | undefined, onProgress: FlushOptions['onProgress']): Promise<void> {
    this.#store.freeze()
    const { janitor } = this.#engine
    const { begun } = janitor
    const { frozen } = this.#store
    const total = frozen.length
    // What is written and frozen meanwhile is not waited for: under a flood there would be no end.
    const last = frozen.at(-1)
    while (last !== undefined && frozen.includes(last)) {
      await orAborted(janitor.turn(), signal)
      const error = janitor.errorSince(begun)
      if (error) throw error
      this.#assertWritable()
      onProgress?.({ stage: 'flush', done: total - 1 - frozen.indexOf(last), total })
    }
    await orAborted(this.#engine.recall.calibrateDue(this.#engine, this.#store), signal)
    await orAborted(writeCalibrated(this.#engine, this.#store), signal)
  }

  /** A write whose rows are looked for first: see update.ts. */
  async #change(
    target: Target,
    signal: AbortSignal | undefined,
    grows: boolean,
    log: (rows: Uint32Array) => Promise<Attempt<Logged>>,
  ): Promise<{ readonly lsn: number; readonly changed: number }> {
    // After the writes that were called for before this one.
    const { writers } = this.#store
    const turn = writers.enter(signal)
    if (turn) await turn
    let logged: Logged
    try {
      const room = () => noRoom(this.#engine, this.#store, grows, signal)
      logged = await onTarget(this.#store, target, signal, room, log)
    } finally {
      // Those that were called for after it would else be written first, and this would change what they wrote.
      writers.leave()
    }
    const { lsn, done } = logged
    if (this.#store.frozen.length > 0) this.#engine.janitor.wake()
    const changed = await done
    this.#engine.janitor.wake()
    return { lsn, changed }
  }

  #rowAt(row: number): StoredRow<P>
  #rowAt(row: number, vectors: boolean, payload: boolean): ScannedRow<P>
  #rowAt(row: number, vectors = true, payload = true): ScannedRow<P> {
    const { index, payloads } = this.#store
    const bytes = payload ? payloads.read(row) : undefined
    return {
      id: index.idAt(row),
      ...(vectors ? { vector: index.vectorAt(row) } : {}),
      ...(bytes ? { payload: decodePayload(bytes) as P } : {}),
    }
  }

  /** Those that have these ids now, whatever is written while they are read. */
  *#rowsOf(ids: readonly Id[], vectors: boolean): Generator<number, (ScannedRow<P> | undefined)[]> {
    const { index } = this.#store
    const release = index.hold()
    try {
      const rows = ids.map(id => index.find(id))
      const found: (ScannedRow<P> | undefined)[] = []
      for (const row of rows) {
        found.push(row < 0 ? undefined : this.#rowAt(row, vectors, true))
        yield 1
      }
      return found
    } finally {
      release()
    }
  }

  #hits({ ids, distances }: Found): Hit<P>[] {
    return ids.map((id, i) => ({ id, distance: distances[i]!, score: score(this.metric, distances[i]!) }))
  }

  /** In slices: each payload is read from its place on the disk. The caller holds the rows. */
  #hitsWithPayloads(found: Found, signal: AbortSignal | undefined): Promise<Hit<P>[]> {
    const { ids } = found
    return runSliced(this.#payloadsOf(found), 'payloads', ids.length, signal ? { signal } : {}, () =>
      this.#assertOpen(),
    )
  }

  *#payloadsOf(found: Found): Generator<number, Hit<P>[]> {
    const hits = this.#hits(found)
    for (const [i, hit] of hits.entries()) {
      const bytes = this.#store.payloads.read(found.rows[i]!)
      if (bytes) hits[i] = { ...hit, payload: decodePayload(bytes) as P }
      yield 1
    }
    return hits
  }

  #assertOpen(): void {
    assertOpen(this.#engine)
    assertPresent(this.#store)
  }

  #assertWritable(): void {
    assertWritable(this.#engine)
    assertPresent(this.#store)
  }
}

/** Without the keys whose value is undefined. */
function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
