/**
 * RemoteCollection: the methods of the embedded `Collection`, over the network. It checks nothing itself: what cannot be
 * packed into a frame is sent as JSON, and the server says what is wrong with it, in the engine's words.
 */
import { ClientError } from './errors.js'
import type {
  BatchHits,
  CallOptions,
  CollectionStats,
  Columns,
  DeleteResult,
  Filter,
  Hit,
  Id,
  Metric,
  Payload,
  Row,
  Scan,
  SearchOptions,
  StoredRow,
  UpsertResult,
} from './rows.js'
import type { Call, Transport } from './transport.js'
import {
  ARROW_TYPE,
  decodeFrame,
  encodeFrame,
  FRAME_TYPE,
  idFromJson,
  idToJson,
  NDJSON_TYPE,
} from './wire.js'

export interface CollectionInfo {
  readonly name: string
  readonly dim: number
  readonly metric: Metric
}

interface WireRow {
  readonly id: unknown
  readonly vector: readonly number[]
  readonly payload?: Payload
}

/** Rows of one name. `P` is what their payloads are, for the compiler only. */
export class RemoteCollection<P extends object = Payload> {
  readonly #transport: Transport
  readonly #info: CollectionInfo

  /** Made by `RemoteDrift.collection`. */
  constructor(transport: Transport, info: CollectionInfo) {
    this.#transport = transport
    this.#info = info
  }

  get name(): string {
    return this.#info.name
  }

  get dim(): number {
    return this.#info.dim
  }

  get metric(): Metric {
    return this.#info.metric
  }

  /** As the embedded `upsert`; sent again after a failure under the same key, it is applied once. */
  async upsert(batch: readonly Row<P>[] | Columns<P>, options?: CallOptions): Promise<UpsertResult> {
    return this.#json('PUT', '/points', { body: upsertBody(batch, this.dim), writes: true }, options)
  }

  /**
   * Upsert the rows of an Arrow IPC stream or file, as the embedded `fromArrow` does: 500 at a time and in order, so that of one that
   * fails the rows before stay. Sent again after a failure under the same key.
   */
  async fromArrow(
    bytes: Uint8Array,
    options?: CallOptions,
  ): Promise<{ readonly rows: number; readonly lsn: number }> {
    const call = { body: bytes, type: ARROW_TYPE, writes: true, long: true }
    const { upserted: rows, lsn } = await this.#json<UpsertResult>('PUT', '/points', call, options)
    return { rows, lsn }
  }

  /** Every row, or those that match, as the bytes of an Arrow IPC stream, part by part; throws when it is cut. Any Arrow library reads them. */
  async *toArrow(
    options: CallOptions & { readonly filter?: Filter } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { signal, ...body } = options
    const call = this.#call('POST', '/scan', { body, accept: ARROW_TYPE }, { signal })
    yield* parts(await this.#transport.stream(call))
  }

  async delete(
    what: readonly Id[] | { readonly filter: Filter },
    options?: CallOptions,
  ): Promise<DeleteResult> {
    return this.#json('POST', '/points/delete', { body: selected(what), writes: true }, options)
  }

  async updatePayload(
    what: readonly Id[] | { readonly filter: Filter },
    patch: Payload,
    options?: CallOptions,
  ): Promise<{ readonly lsn: number; readonly durable: boolean; readonly updated: number }> {
    const body = { ...selected(what), patch }
    return this.#json('PATCH', '/points', { body, writes: true }, options)
  }

  async get(id: Id, options?: CallOptions): Promise<StoredRow<P> | undefined> {
    const body = { ids: [idToJson(id)] }
    const { rows } = await this.#json<{ rows: (WireRow | null)[] }>('POST', '/points/get', { body }, options)
    return rows[0] ? storedRow<P>(rows[0]) : undefined
  }

  async search(query: Float32Array | readonly number[], options: SearchOptions = {}): Promise<Hit<P>[]> {
    const { signal, ...rest } = options
    const vector = packed(query)
    if (!vector) {
      const body = { query, ...rest }
      const { hits } = await this.#json<{ hits: Hit<P>[] }>('POST', '/search', { body }, { signal })
      return hits.map(hit => ({ ...hit, id: idFromJson(hit.id) }))
    }
    const body = encodeFrame(1, vector.length, rest, vector)
    const { hits } = await this.#json<{ hits: Hit<P>[] }>('POST', '/search', { body }, { signal })
    return hits.map(hit => ({ ...hit, id: idFromJson(hit.id) }))
  }

  /** @param queries - n * dim values, row-major. */
  async searchBatch(queries: Float32Array, options: SearchOptions = {}): Promise<BatchHits> {
    const { signal, ...rest } = options
    const { dim } = this
    const rows = queries.length / dim
    const whole = queries instanceof Float32Array && Number.isInteger(rows)
    const body = whole ? encodeFrame(rows, dim, rest, queries) : { queries: inRows(queries, dim), ...rest }
    const call = this.#call('POST', '/search/batch', { body, accept: FRAME_TYPE }, { signal })
    const answer = decodeFrame(await this.#transport.bytes(call))
    const { ids } = answer.meta as { ids: unknown[][] }
    return {
      k: answer.dim,
      ids: ids.map(row => row.map(idFromJson)),
      distances: answer.values.slice(),
      counts: Uint32Array.from(ids, row => row.length),
    }
  }

  async explain(query: Float32Array | readonly number[], options: SearchOptions = {}): Promise<unknown> {
    const { signal, ...rest } = options
    return this.#json('POST', '/explain', { body: { query: Array.from(query), ...rest } }, { signal })
  }

  /** Rows as they come; ends with DRIFT_ANSWER when the stream is cut before its end. With `limit`, a page: its `cursor` is for the next. */
  scan(
    options: CallOptions & {
      readonly filter?: Filter
      readonly limit?: number
      readonly cursor?: string
      readonly vectors?: boolean
      readonly payload?: boolean
    } = {},
  ): Scan<StoredRow<P>> {
    const { signal, ...body } = options
    const call = this.#call('POST', '/scan', { body, accept: NDJSON_TYPE }, { signal })
    const page: { cursor: string | undefined } = { cursor: undefined }
    return Object.defineProperty(this.#scanned(call, page), 'cursor', {
      get: () => page.cursor,
    }) as Scan<StoredRow<P>>
  }

  async *#scanned(
    call: Call,
    page: { cursor: string | undefined },
  ): AsyncGenerator<StoredRow<P>, void, undefined> {
    for await (const line of lines(await this.#transport.stream(call))) {
      const value = JSON.parse(line) as WireRow & {
        end?: unknown
        cursor?: string
        error?: { code: string; message: string }
      }
      if (value.error) throw new ClientError(value.error.code, value.error.message)
      page.cursor = value.cursor
      if (value.end) return
      yield storedRow<P>(value)
    }
    throw new ClientError('DRIFT_ANSWER', 'the scan was cut before its end')
  }

  async count(options: CallOptions & { readonly filter?: Filter } = {}): Promise<number> {
    const { signal, ...body } = options
    return (await this.#json<{ count: number }>('POST', '/count', { body }, { signal })).count
  }

  async flush(options?: CallOptions): Promise<void> {
    await this.#json('POST', '/flush', { writes: true }, options)
  }

  async compact(options?: CallOptions): Promise<unknown> {
    return this.#json('POST', '/compact', { writes: true }, options)
  }

  async maintain(options: CallOptions & { readonly budget?: unknown } = {}): Promise<void> {
    const { signal, ...body } = options
    await this.#json('POST', '/maintain', { body, writes: true }, { signal })
  }

  async createIndex(path: string, type: 'keyword' | 'number', options?: CallOptions): Promise<void> {
    await this.#json('POST', '/indexes', { body: { path, type }, writes: true }, options)
  }

  async dropIndex(path: string, options?: CallOptions): Promise<void> {
    await this.#json('POST', '/indexes/drop', { body: { path }, writes: true }, options)
  }

  async stats(options?: CallOptions): Promise<CollectionStats> {
    return this.#json('GET', '/stats', {}, options)
  }

  #json<T>(
    method: Call['method'],
    path: string,
    parts: Partial<Call>,
    options?: CallOptions | { signal: AbortSignal | undefined },
  ): Promise<T> {
    return this.#transport.json<T>(this.#call(method, path, parts, options))
  }

  #call(
    method: Call['method'],
    path: string,
    parts: Partial<Call>,
    options?: CallOptions | { signal: AbortSignal | undefined },
  ): Call {
    return {
      ...parts,
      method,
      path: `/collections/${encodeURIComponent(this.name)}${path}`,
      signal: options?.signal,
    }
  }
}

/** A frame when every vector has the collection's length and holds numbers only; otherwise JSON. */
function upsertBody(batch: readonly Row<object>[] | Columns<object>, dim: number): unknown {
  if (Array.isArray(batch)) {
    const rows = batch as readonly Row<object>[]
    const vectors = new Float32Array(rows.length * dim)
    for (const [i, row] of rows.entries()) {
      const plain =
        typeof row === 'object' && row !== null && Object.keys(row).every(key => KNOWN.includes(key))
      const vector = plain ? packed(row.vector) : undefined
      if (vector?.length !== dim) return { rows: rows.map(jsonRow) }
      vectors.set(vector, i * dim)
    }
    if (rows.length === 0) return { rows: [] }
    const payloads = rows.some(row => row.payload !== undefined)
      ? wirePayloads(rows.map(row => row.payload))
      : undefined
    return frame(rows.length, dim, { ids: rows.map(row => idToJson(row.id)), payloads }, vectors)
  }
  const { ids, vectors, payloads, ...rest } = (batch ?? {}) as Columns<object>
  const fits =
    Array.isArray(ids) &&
    vectors instanceof Float32Array &&
    vectors.length === ids.length * dim &&
    (payloads === undefined || Array.isArray(payloads))
  if (fits && ids.length > 0 && Object.keys(rest).length === 0) {
    const meta = { ids: ids.map(idToJson), payloads: payloads && wirePayloads(payloads) }
    return frame(ids.length, dim, meta, vectors)
  }
  return {
    ...(batch as Columns<object>),
    ids: ids?.map(idToJson),
    vectors: ArrayBuffer.isView(vectors) ? [...vectors] : vectors,
  }
}

/** null stands for a row without one, and is none itself. @throws ClientError DRIFT_PAYLOAD. */
function wirePayloads(payloads: readonly unknown[]): unknown {
  const position = payloads.indexOf(null)
  if (position >= 0) {
    throw new ClientError('DRIFT_PAYLOAD', `payload of row ${position} is null, expected a plain object`, {
      position,
    })
  }
  return payloads.map(payload => payload ?? null)
}

/** @throws ClientError DRIFT_PAYLOAD: what else is in `meta` always is JSON. */
function frame(rows: number, dim: number, meta: object, vectors: Float32Array): Uint8Array {
  try {
    return encodeFrame(rows, dim, meta, vectors)
  } catch (cause) {
    throw new ClientError(
      'DRIFT_PAYLOAD',
      `a payload is not JSON: ${(cause as Error).message}`,
      {},
      { cause },
    )
  }
}

const KNOWN: readonly string[] = ['id', 'vector', 'payload']

function jsonRow(row: Row<object>): unknown {
  if (typeof row !== 'object' || row === null) return row
  const vector = ArrayBuffer.isView(row.vector) ? [...row.vector] : row.vector
  return { ...row, id: idToJson(row.id), vector }
}

/** As float32, or undefined when something in it is not a number. */
function packed(vector: unknown): Float32Array | undefined {
  if (vector instanceof Float32Array) return vector
  if (!Array.isArray(vector)) return undefined
  // By index: a hole is no number either.
  for (let i = 0; i < vector.length; i++) if (typeof vector[i] !== 'number') return undefined
  return Float32Array.from(vector as number[])
}

/** What is no batch of whole queries, for the server to refuse. */
function inRows(queries: unknown, dim: number): unknown {
  if (!ArrayBuffer.isView(queries)) return queries
  const values = [...(queries as Float32Array)]
  return Array.from({ length: Math.ceil(values.length / dim) }, (_, q) =>
    values.slice(q * dim, (q + 1) * dim),
  )
}

function selected(what: readonly Id[] | { readonly filter: Filter }): object {
  return Array.isArray(what)
    ? { ids: what.map(idToJson) }
    : { filter: (what as { filter: Filter } | undefined)?.filter }
}

function storedRow<P extends object>({ id, vector, payload }: WireRow): StoredRow<P> {
  const row = { id: idFromJson(id), vector: Float32Array.from(vector ?? []) }
  return payload ? { ...row, payload: payload as unknown as P } : row
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const part of parts(stream)) {
    const whole = (rest + decoder.decode(part, { stream: true })).split('\n')
    rest = whole.pop()!
    yield* whole
  }
}

/** What breaks off in the middle is an error; who stops reading ends the request. */
async function* parts(stream: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = stream.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } catch (cause) {
    if ((cause as Error).name === 'AbortError') throw cause
    throw new ClientError(
      'DRIFT_UNREACHABLE',
      `the scan broke off: ${(cause as Error).message}`,
      {},
      { cause },
    )
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}
