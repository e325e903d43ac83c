/**
 * RemoteCollection: the methods of the embedded `Collection`, over the network. What is wrong with a call the server says, in the engine's
 * words; here is refused only what would not arrive as it was given (given.ts, body.ts).
 */
import { frame, isFloats, searchBody, upsertBody } from './body.js'
import { ClientError } from './errors.js'
import { idOf, isBytes, optionsOf, patchOf, show, targetOf } from './given.js'
import type {
  BatchHits,
  BatchSearchOptions,
  CallOptions,
  CollectionStats,
  Columns,
  DeleteResult,
  Explanation,
  Filter,
  GetOptions,
  HealReport,
  Hit,
  Id,
  Metric,
  Payload,
  Row,
  Scan,
  ScannedRow,
  ScanOptions,
  SearchOptions,
  StoredRow,
  UpsertResult,
} from './rows.js'
import type { Call, Transport } from './transport.js'
import { ARROW_TYPE, FRAME_TYPE, idFromJson, NDJSON_TYPE } from './wire.js'

export interface CollectionInfo {
  readonly name: string
  readonly dim: number
  readonly metric: Metric
}

interface WireRow {
  readonly id: unknown
  readonly vector?: readonly number[]
  readonly payload?: Payload
}

type Has = NonNullable<Call['has']>
/** What answers have to hold. */
export const DONE: Has = ['done', value => value === true]
const WRITTEN: Has = ['lsn', Number.isSafeInteger]
/** Of a call that takes no others. */
export const CALL_KEYS: Record<keyof CallOptions, true> = { signal: true }
const GET_KEYS: Record<keyof GetOptions, true> = { vectors: true, ...CALL_KEYS }

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
    const { signal } = optionsOf(options, 'upsert', CALL_KEYS)
    const call = { body: upsertBody(batch, this.dim), writes: true, has: WRITTEN }
    return this.#json('PUT', '/points', call, { signal })
  }

  /**
   * Upsert the rows of an Arrow IPC stream or file, as the embedded `fromArrow` does: 500 at a time and in order, so that of one that
   * fails the rows before stay. Sent again after a failure under the same key.
   */
  async fromArrow(
    bytes: Uint8Array,
    options?: CallOptions,
  ): Promise<{ readonly rows: number; readonly lsn: number }> {
    const given = optionsOf(options, 'fromArrow', CALL_KEYS)
    if (!isBytes(bytes)) {
      const message = `fromArrow got ${show(bytes)}, expected the bytes of an Arrow IPC stream or file as a Uint8Array`
      throw new ClientError('DRIFT_ARROW', message)
    }
    const call = { body: bytes, type: ARROW_TYPE, writes: true, slow: true, has: WRITTEN }
    const { upserted: rows, lsn } = await this.#json<UpsertResult>('PUT', '/points', call, given)
    return { rows, lsn }
  }

  /**
   * Every row, or those that match, as the bytes of an Arrow IPC stream, part by part; throws when it is cut. Any Arrow library reads them.
   * `ordered` and `cursor` as the embedded `toArrow` has them.
   */
  async *toArrow(
    options?: CallOptions & {
      readonly filter?: Filter
      readonly ordered?: boolean
      readonly cursor?: string
    },
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const known = { filter: true, ordered: true, cursor: true, ...CALL_KEYS } as const
    const { signal, ...body } = optionsOf(options, 'toArrow', known)
    const call = this.#call('POST', '/scan', { body, accept: ARROW_TYPE }, { signal })
    yield* parts(await this.#transport.stream(call), signal)
  }

  async delete(
    what: readonly Id[] | { readonly filter: Filter },
    options?: CallOptions,
  ): Promise<DeleteResult> {
    const given = optionsOf(options, 'delete', CALL_KEYS)
    const call = { body: targetOf(what, 'delete'), writes: true, has: WRITTEN }
    return this.#json('POST', '/points/delete', call, given)
  }

  async updatePayload(
    what: readonly Id[] | { readonly filter: Filter },
    patch: object,
    options?: CallOptions,
  ): Promise<{ readonly lsn: number; readonly durable: boolean; readonly updated: number }> {
    const given = optionsOf(options, 'updatePayload', CALL_KEYS)
    const body = { ...targetOf(what, 'updatePayload'), patch: patchOf(patch) }
    return this.#json('PATCH', '/points', { body, writes: true, has: WRITTEN }, given)
  }

  async get(id: Id, options?: CallOptions): Promise<StoredRow<P> | undefined> {
    const [row] = await this.getMany([id], optionsOf(options, 'get', CALL_KEYS))
    return row
  }

  /** The rows with these ids, each where its id is; undefined where there is no such row. The server limits how many are asked for at once. */
  async getMany(
    ids: readonly Id[],
    options?: GetOptions & { readonly vectors?: true },
  ): Promise<(StoredRow<P> | undefined)[]>
  async getMany(ids: readonly Id[], options?: GetOptions): Promise<(ScannedRow<P> | undefined)[]>
  async getMany(ids: readonly Id[], options?: GetOptions): Promise<(ScannedRow<P> | undefined)[]> {
    const { signal, ...rest } = optionsOf(options, 'getMany', GET_KEYS)
    if (!Array.isArray(ids)) {
      throw new ClientError('DRIFT_BATCH', `getMany got ${show(ids)}, expected an array of ids`)
    }
    const wanted = Array.from(ids, idOf)
    const has: Has = ['rows', rows => Array.isArray(rows) && rows.length === wanted.length]
    const call: Partial<Call> = { body: { ids: wanted, ...rest }, has }
    const { rows } = await this.#json<{ rows: (WireRow | null)[] }>('POST', '/points/get', call, { signal })
    return rows.map(row => (row ? scannedRow<P>(row) : undefined))
  }

  async search(query: Float32Array | readonly number[], options?: SearchOptions): Promise<Hit<P>[]> {
    const { signal, ...rest } = optionsOf(options, 'search')
    const call: Partial<Call> = { body: searchBody(query, rest), has: ['hits', Array.isArray] }
    const { hits } = await this.#json<{ hits: Hit<P>[] }>('POST', '/search', call, { signal })
    return hits.map(hit => ({ ...hit, id: idFromJson(hit.id) }))
  }

  /** @param queries - n * dim values, row-major. */
  async searchBatch(queries: Float32Array, options?: BatchSearchOptions): Promise<BatchHits> {
    const { signal, ...rest } = optionsOf(options, 'search')
    const { dim } = this
    if (!isFloats(queries)) {
      throw new ClientError('DRIFT_VECTOR_TYPE', `queries is ${show(queries)}, expected a Float32Array`)
    }
    if (queries.length === 0) throw new ClientError('DRIFT_EMPTY_BATCH', 'the batch holds no queries')
    if (queries.length % dim !== 0) {
      const message = `queries has ${queries.length} values, expected a multiple of ${dim}`
      throw new ClientError('DRIFT_DIMENSION', message, { dim })
    }
    const body = frame(queries.length / dim, dim, rest, queries)
    const call = this.#call('POST', '/search/batch', { body, accept: FRAME_TYPE }, { signal })
    const answer = await this.#transport.frame(call)
    const { ids } = answer.meta as { ids: unknown[][] }
    return {
      k: answer.dim,
      ids: ids.map(row => row.map(idFromJson)),
      distances: answer.values.slice(),
      counts: Uint32Array.from(ids, row => row.length),
    }
  }

  async explain(query: Float32Array | readonly number[], options?: SearchOptions): Promise<Explanation> {
    const { signal, ...rest } = optionsOf(options, 'search')
    const call: Partial<Call> = { body: searchBody(query, rest), has: ['buckets', Array.isArray] }
    return this.#json('POST', '/explain', call, { signal })
  }

  /** Rows as they come; ends with DRIFT_ANSWER when the stream is cut before its end. With `limit`, a page: its `cursor` is for the next. */
  scan(options?: ScanOptions & { readonly vectors?: true }): Scan<StoredRow<P>>
  scan(options: ScanOptions): Scan<ScannedRow<P>>
  scan(options?: ScanOptions): Scan<ScannedRow<P>> {
    const { signal, ...body } = optionsOf(options, 'scan')
    const call = this.#call('POST', '/scan', { body, accept: NDJSON_TYPE }, { signal })
    const page: { cursor: string | undefined } = { cursor: undefined }
    return Object.defineProperty(this.#scanned(call, page), 'cursor', {
      get: () => page.cursor,
    }) as Scan<ScannedRow<P>>
  }

  async *#scanned(
    call: Call,
    page: { cursor: string | undefined },
  ): AsyncGenerator<ScannedRow<P>, void, undefined> {
    let rows = 0
    for await (const line of lines(await this.#transport.stream(call), call.signal)) {
      call.signal?.throwIfAborted()
      const value = parsedLine(line)
      if (value.error) throw new ClientError(value.error.code, value.error.message)
      page.cursor = value.cursor
      if (value.end) {
        if (value.rows === rows) return
        break
      }
      rows++
      yield scannedRow<P>(value)
    }
    throw new ClientError('DRIFT_ANSWER', 'the scan was cut before its end')
  }

  async count(options?: CallOptions & { readonly filter?: Filter }): Promise<number> {
    const { signal, ...body } = optionsOf(options, 'count')
    const call: Partial<Call> = { body, has: ['count', Number.isSafeInteger] }
    return (await this.#json<{ count: number }>('POST', '/count', call, { signal })).count
  }

  async flush(options?: CallOptions): Promise<void> {
    const given = optionsOf(options, 'flush', CALL_KEYS)
    await this.#json('POST', '/flush', { writes: true, slow: true, has: DONE }, given)
  }

  async compact(options?: CallOptions): Promise<void> {
    const given = optionsOf(options, 'compact', CALL_KEYS)
    await this.#json('POST', '/compact', { writes: true, slow: true }, given)
  }

  async maintain(
    options?: CallOptions & { readonly budget?: number; readonly policy?: 'drift' | 'paper' },
  ): Promise<HealReport> {
    const { signal, ...body } = optionsOf(options, 'maintain')
    return this.#json('POST', '/maintain', { body, writes: true, slow: true }, { signal })
  }

  async createIndex(path: string, type: 'keyword' | 'number', options?: CallOptions): Promise<void> {
    const given = optionsOf(options, 'createIndex', CALL_KEYS)
    const call = { body: { path, type }, writes: true, slow: true, has: DONE }
    await this.#json('POST', '/indexes', call, given)
  }

  async dropIndex(path: string, options?: CallOptions): Promise<void> {
    const given = optionsOf(options, 'dropIndex', CALL_KEYS)
    await this.#json('POST', '/indexes/drop', { body: { path }, writes: true, has: DONE }, given)
  }

  /** @param options - `buckets`: how each of them is filled, too. */
  async stats(options?: CallOptions & { readonly buckets?: boolean }): Promise<CollectionStats> {
    const { buckets, ...given } = optionsOf(options, 'stats', { buckets: true, ...CALL_KEYS })
    assertBoolean('buckets', buckets)
    const has: Has = ['rows', Number.isSafeInteger]
    return this.#json('GET', buckets ? '/stats?buckets=true' : '/stats', { has }, given)
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

/** @throws ClientError DRIFT_OPTION */
function assertBoolean(option: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return
  throw new ClientError('DRIFT_OPTION', `${option} is ${show(value)}, expected true or false`, { option })
}

function scannedRow<P extends object>({ id, vector, payload }: WireRow): ScannedRow<P> {
  return {
    id: idFromJson(id),
    ...(vector ? { vector: Float32Array.from(vector) } : {}),
    ...(payload ? { payload: payload as unknown as P } : {}),
  }
}

type Line = WireRow & {
  readonly end?: unknown
  readonly rows?: number
  readonly cursor?: string
  readonly error?: { readonly code: string; readonly message: string }
}

/** @throws ClientError DRIFT_ANSWER */
function parsedLine(line: string): Line {
  let value: unknown
  let cause: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    cause = error
  }
  if (typeof value === 'object' && value !== null) return value as Line
  throw new ClientError('DRIFT_ANSWER', 'a line of the scan is not what a Drift server sends', {}, { cause })
}

async function* lines(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const part of parts(stream, signal)) {
    const whole = (rest + decoder.decode(part, { stream: true })).split('\n')
    rest = whole.pop()!
    yield* whole
  }
}

/** What breaks off in the middle is an error; who stops reading ends the request. */
async function* parts(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = stream.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } catch (cause) {
    signal?.throwIfAborted()
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
