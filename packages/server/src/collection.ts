/**
 * Collection: the door for rows. Validates, then each method reads as its path: upsert = memtable and log in the same
 * tick, visible when durable; search = the index, then ids and payloads of the hits.
 */
import { type Id, MAX_RECORD_BYTES, type Metric, score } from '@drift/core'
import type { RecordBatch } from 'apache-arrow'
import { exportRows, type ToArrowOptions } from './arrow/export.js'
import { type ArrowInput, type FromArrowOptions, type FromArrowResult, importRows } from './arrow/import.js'
import { assertOpen, assertWritable, type Engine } from './engine.js'
import { DriftError } from './errors.js'
import { hasRoom, orAborted, refineStore, waitForRoom } from './janitor.js'
import { encodeDelete, encodeUpsert } from './operation.js'
import {
  type FlushOptions,
  type MaintainOptions,
  parseArrowOptions,
  parseSearchOptions,
  parseWriteOptions,
  type SearchOptions,
  type WriteOptions,
} from './options.js'
import {
  type Columns,
  decodePayload,
  type Payload,
  parseBatch,
  parseIds,
  parseQuery,
  type Row,
} from './rows.js'
import type { Store } from './store.js'

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

export interface Hit {
  readonly id: Id
  /** Smaller is nearer. l2: squared Euclidean distance; cosine: 1 - cosine similarity; ip: minus the inner product. */
  readonly distance: number
  /** Greater is nearer. cosine: cosine similarity; ip: inner product; l2: minus the squared distance. */
  readonly score: number
  readonly payload?: Payload
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

export interface StoredRow {
  readonly id: Id
  /** The caller's own copy; of unit length when the metric is cosine. */
  readonly vector: Float32Array
  readonly payload?: Payload
}

export interface CollectionStats {
  readonly name: string
  readonly dim: number
  readonly metric: Metric
  readonly rows: number
  readonly buckets: number
  readonly segments: number
  /** Rows that are only in the log and in memory. */
  readonly unflushedRows: number
  readonly diskBytes: number
  /** Bytes by slab. */
  readonly memory: Readonly<Record<string, number>>
}

export class Collection {
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
  async upsert(batch: readonly Row[] | Columns, options?: WriteOptions): Promise<UpsertResult> {
    const { signal, onProgress } = parseWriteOptions(options, 'upsert')
    this.#assertWritable()
    signal?.throwIfAborted()
    const { number, config } = this.#store
    const parsed = parseBatch(batch, config.dim)
    const record = encodeUpsert(number, parsed, config.dim)
    if (record.length > MAX_RECORD_BYTES) {
      throw new DriftError(
        'DRIFT_BATCH_TOO_LARGE',
        `the batch is ${record.length} bytes in the log, the limit is ${MAX_RECORD_BYTES}; split it`,
        { bytes: record.length, limit: MAX_RECORD_BYTES },
      )
    }
    // From here on the record's bytes are the vectors: the caller may change theirs while the write waits for room.
    const vectors = vectorsIn(record, parsed.vectors.length)
    // Asked again after every wait: others were waiting too.
    while (!hasRoom(this.#engine, this.#store)) await this.#waitForRoom(signal)

    const store = this.#store
    const { appended, generation } = store.append({ ...parsed, vectors })
    const { lsn, done } = this.#engine.journal.log(record, {
      apply: () => store.publish(appended, parsed.payloads),
      abandon: () => store.index.abandon(appended),
    })
    store.record(generation, lsn)
    if (store.frozen.length > 0) this.#engine.janitor.wake()
    const { replaced } = await done
    this.#engine.janitor.wake()
    const upserted = appended.rows.length
    onProgress?.({ stage: 'upsert', done: upserted, total: upserted })
    return { lsn, durable: this.#engine.durable, upserted, replaced }
  }

  /** Delete by id; ids that do not exist are counted out. Durable and atomic like `upsert`. */
  async delete(ids: readonly Id[], options?: WriteOptions): Promise<DeleteResult> {
    const { signal } = parseWriteOptions(options, 'delete')
    this.#assertWritable()
    signal?.throwIfAborted()
    const given = [...parseIds(ids)]
    const record = encodeDelete(this.#store.number, given)
    // Asked again after every wait: others were waiting too.
    while (!hasRoom(this.#engine, this.#store)) await this.#waitForRoom(signal)

    const store = this.#store
    const generation = store.active
    const { lsn, done } = this.#engine.journal.log(record, {
      apply: () => store.delete(given, generation),
      abandon: () => undefined,
    })
    store.record(generation, lsn)
    const deleted = (await done) as number
    return { lsn, durable: this.#engine.durable, deleted }
  }

  /** The row with this id, or undefined. */
  async get(id: Id): Promise<StoredRow | undefined> {
    this.#assertOpen()
    const row = this.#store.index.find(id)
    return row < 0 ? undefined : this.#rowAt(row)
  }

  /**
   * The nearest rows, nearest first. Approximate: `probes` and `ef` trade time for recall.
   * The newest version of each id, and only what was visible when the call was made.
   */
  async search(query: Float32Array | readonly number[], options?: SearchOptions): Promise<Hit[]> {
    const { k, payload, signal, probes, ef } = parseSearchOptions(options)
    this.#assertOpen()
    signal?.throwIfAborted()
    const vector = parseQuery(query, this.dim)
    // While a payload is wanted, no row found may be given to another id.
    const pin = payload ? this.#store.index.pin() : undefined
    try {
      const found = await this.#store.index.search(vector, { k, ...defined({ probes, ef, signal }) })
      return found.ids.map((id, i) => this.#hit(id, found.distances[i]!, payload ? found.rows[i] : undefined))
    } finally {
      pin?.release()
    }
  }

  /**
   * Many queries at once, spread over the threads; all of them see the same state.
   *
   * @param queries - n * dim values, row-major.
   */
  async searchBatch(queries: Float32Array, options?: SearchOptions): Promise<BatchHits> {
    const { k, signal, probes, ef } = parseSearchOptions(options)
    this.#assertOpen()
    signal?.throwIfAborted()
    const vectors = parseQuery(queries, this.dim, true)
    const found = await this.#store.index.searchBatch(vectors, { k, ...defined({ probes, ef, signal }) })
    const { distances, counts } = found
    const ids = Array.from(counts, (count, q) => found.ids.slice(q * found.k, q * found.k + count) as Id[])
    return { k: found.k, ids, distances, counts }
  }

  /**
   * Every row that is there when the iteration starts, each once, in no particular order. A row that is replaced or
   * deleted meanwhile is still given as it was.
   */
  async *scan(options?: { readonly signal?: AbortSignal }): AsyncGenerator<StoredRow, void, undefined> {
    const { signal } = parseWriteOptions(options, 'scan')
    this.#assertOpen()
    const pin = this.#store.index.pin()
    try {
      for (let row = 0; row < pin.rows; row++) {
        if (((pin.live[row >>> 5]! >>> (row & 31)) & 1) === 0) continue
        signal?.throwIfAborted()
        this.#assertOpen()
        yield this.#rowAt(row)
      }
    } finally {
      pin.release()
    }
  }

  /**
   * The rows that are there now as Arrow record batches: id, vector as FixedSizeList<Float32>, a column for each key of the payloads.
   * Needs `apache-arrow`'s writers to become bytes: `await RecordBatchStreamWriter.writeAll(docs.toArrow())`.
   */
  async *toArrow(options?: ToArrowOptions): AsyncGenerator<RecordBatch, void, undefined> {
    const parsed = parseArrowOptions(options, 'toArrow', ['columns', 'signal'])
    this.#assertOpen()
    yield* exportRows(this.#store, parsed, () => this.#assertOpen())
  }

  /** Upsert the rows of Arrow IPC bytes, a stream of them, record batches or a table. The other columns become the payloads. */
  async fromArrow(input: ArrowInput, options?: FromArrowOptions): Promise<FromArrowResult> {
    const parsed = parseArrowOptions(options, 'fromArrow', ['id', 'vector', 'signal', 'onProgress'])
    this.#assertWritable()
    const { signal } = parsed
    return importRows(input, this.dim, parsed, async rows => {
      const { lsn } = await this.upsert(rows, signal ? { signal } : {})
      return lsn
    })
  }

  /** Rows now. */
  async count(): Promise<number> {
    this.#assertOpen()
    return this.#store.index.count
  }

  /** Write every row that is only in the log to a segment, and cut the log. Not needed for durability. */
  async flush(options?: FlushOptions): Promise<void> {
    const { signal, onProgress } = parseWriteOptions(options, 'flush')
    this.#assertWritable()
    signal?.throwIfAborted()
    this.#store.freeze()
    const total = this.#store.frozen.length
    while (this.#store.frozen.length > 0) {
      await orAborted(this.#engine.janitor.turn(), signal)
      if (this.#engine.janitor.error) throw this.#engine.janitor.error
      this.#assertWritable()
      onProgress?.({ stage: 'flush', done: Math.max(0, total - this.#store.frozen.length), total })
    }
  }

  /**
   * Do now what is done in the background when nothing else is to do: bring rows and buckets together after the collection has grown.
   * Searches are faster and find more afterwards.
   */
  async maintain(options?: MaintainOptions): Promise<void> {
    const { signal, onProgress } = parseWriteOptions(options, 'maintain')
    this.#assertWritable()
    for (let more = true, done = 0; more; ) {
      signal?.throwIfAborted()
      this.#assertWritable()
      more = await refineStore(this.#engine, this.#store)
      onProgress?.({ stage: 'refine', done: ++done, total: more ? done + 1 : done })
    }
  }

  async stats(): Promise<CollectionStats> {
    this.#assertOpen()
    const { config, index, payloads, segments, frozen, active } = this.#store
    const stats = index.stats()
    let unflushedRows = 0
    for (const generation of [...frozen, active]) unflushedRows += this.#store.rowsOf(generation).length
    return {
      name: config.name,
      dim: config.dim,
      metric: config.metric,
      rows: stats.rows,
      buckets: stats.buckets,
      segments: segments.length,
      unflushedRows,
      diskBytes: segments.reduce((bytes, { entry }) => bytes + entry.bytes, 0),
      memory: { ...stats.memory, payloads: payloads.memoryBytes },
    }
  }

  async #waitForRoom(signal: AbortSignal | undefined): Promise<void> {
    await waitForRoom(this.#engine, this.#store, signal)
    this.#assertWritable()
  }

  #rowAt(row: number): StoredRow {
    const { index, payloads } = this.#store
    const payload = payloads.read(row)
    return {
      id: index.idAt(row),
      vector: index.vectorAt(row),
      ...(payload ? { payload: decodePayload(payload) } : {}),
    }
  }

  #hit(id: Id, distance: number, row: number | undefined): Hit {
    const bytes = row === undefined ? undefined : this.#store.payloads.read(row)
    const hit = { id, distance, score: score(this.metric, distance) }
    return bytes ? { ...hit, payload: decodePayload(bytes) } : hit
  }

  #assertOpen(): void {
    assertOpen(this.#engine)
    this.#assertPresent()
  }

  #assertWritable(): void {
    assertWritable(this.#engine)
    this.#assertPresent()
  }

  #assertPresent(): void {
    if (this.#store.dropped)
      throw new DriftError('DRIFT_DROPPED', `collection '${this.name}' has been dropped`, { name: this.name })
  }
}

/** The operation's header is 16 bytes, so the vectors behind it are aligned. */
function vectorsIn(record: Uint8Array, values: number): Float32Array {
  return new Float32Array(record.buffer, 16, values)
}

/** Without the keys whose value is undefined. */
function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}
