/**
 * `fromArrow`: rows out of Arrow, from IPC bytes, a stream of them, record batches or a table; also of another copy or release of the
 * library, since only names and values are looked at. The next batch is taken when the one before is written. Arrow itself checks no byte
 * of a body: what has been damaged on the way is found here only where it makes no sense.
 */

import type { FileHandle } from 'node:fs/promises'
import { types } from 'node:util'
import type { Id } from '@drift/core'
import type * as Arrow from 'apache-arrow'
import { DriftError } from '../errors.js'
import { show } from '../given.js'
import { type Columns, MAX_PAYLOAD_BYTES, type Payload, type Row } from '../rows.js'
import type { SliceOptions } from '../slices.js'
import { FORM, KEY } from './columns.js'
import { assertWithinBounds, withinBounds } from './ipc-bounds.js'

/** Bytes are an Arrow IPC stream or file. */
export type ArrowInput =
  | Uint8Array
  | ArrayBuffer
  | { readonly batches: Iterable<unknown> }
  | Iterable<unknown>
  | AsyncIterable<unknown>

export interface FromArrowOptions extends SliceOptions {
  /** Columns with other names than `id` and `vector`. */
  readonly id?: string
  readonly vector?: string
}

export interface FromArrowResult {
  readonly rows: number
  /** Of the last batch; 0 when there were no rows. */
  readonly lsn: number
}

/** Rows of one write: small enough that their payloads, too, fit a record of the log. */
const WRITE_ROWS = 500

/** @param write - takes rows and resolves to their LSN. Rows written before an error stay; its `details.rows` says how many. */
export async function importRows(
  input: unknown,
  dim: number,
  { id = 'id', vector = 'vector', signal, onProgress }: FromArrowOptions,
  write: (rows: Columns) => Promise<number>,
): Promise<FromArrowResult> {
  let rows = 0
  let lsn = 0
  try {
    for await (const batch of batchesOf(input)) {
      const { ids, vectors, payloads } = columnsOf(batch, id, vector, dim)
      for (let first = 0; first < batch.numRows; first += WRITE_ROWS) {
        signal?.throwIfAborted()
        const end = Math.min(first + WRITE_ROWS, batch.numRows)
        lsn = await write({
          ids: ids.slice(first, end),
          vectors: vectors.subarray(first * dim, end * dim),
          ...(payloads ? { payloads: payloads.slice(first, end) } : {}),
        })
        rows += end - first
        onProgress?.({ stage: 'import', done: rows, total: rows })
      }
    }
  } catch (error) {
    const { code, message, details } = error as DriftError
    if (typeof code === 'string' && code.startsWith('DRIFT_'))
      throw new DriftError(code, message, { ...details, rows }, { cause: error })
    throw error
  }
  return { rows, lsn }
}

/** Columns whose offsets or types do not fit their bytes show only now, as errors of the library. */
function columnsOf(
  batch: Arrow.RecordBatch,
  id: string,
  vector: string,
  dim: number,
): { ids: Id[]; vectors: Float32Array; payloads: (Payload | undefined)[] | undefined } {
  try {
    return {
      ids: idsOf(batch, id),
      vectors: vectorsOf(batch, vector, dim),
      payloads: payloadsOf(batch, new Set([id, vector])),
    }
  } catch (cause) {
    if (cause instanceof DriftError) throw cause
    throw notArrow('a batch makes no sense', cause)
  }
}

function notArrow(what: string, cause: unknown): DriftError {
  return new DriftError('DRIFT_ARROW', `${what}: ${(cause as Error).message}`, {}, { cause })
}

/**
 * The rows of Arrow one after the other, as `upsert` takes them, for readers that go on behind a bad one: in its place comes the error that
 * says why. A file handle is read where it is needed, never all at once. The vectors of a batch share memory.
 *
 * @param options.skip - rows at the beginning that are passed over.
 */
export async function* arrowRows(
  input: ArrowInput | FileHandle,
  {
    id = 'id',
    vector = 'vector',
    skip = 0,
  }: { readonly id?: string; readonly vector?: string; readonly skip?: number } = {},
): AsyncGenerator<Row | DriftError, void, undefined> {
  const names = { id, vector }
  let left = skip
  for await (const batch of batchesOf(input)) {
    const from = Math.min(left, batch.numRows)
    left -= from
    if (from === batch.numRows) continue
    // Columns that are not there are the fault of the file, not of a row.
    for (const name of [id, vector]) child(batch, name)
    const rest = batch.slice(from)
    const rows = rowsOf(rest, names)
    if (!(rows instanceof DriftError)) yield* rows
    else {
      for (let row = 0; row < rest.numRows; row++) {
        const one = rowsOf(rest.slice(row, row + 1), names)
        // Alone, each is row 0 of its slice.
        if (one instanceof DriftError)
          yield new DriftError(one.code, one.message.replace(' in row 0', ''), {}, { cause: one })
        else yield* one
      }
    }
  }
}

function rowsOf(
  batch: Arrow.RecordBatch,
  { id, vector }: { readonly id: string; readonly vector: string },
): Row[] | DriftError {
  try {
    const first = child(batch, vector).get(0) as ArrayLike<unknown> | null
    const dim = first?.length ?? 0
    const { ids, vectors, payloads } = columnsOf(batch, id, vector, dim)
    return ids.map((id, row) => {
      const payload = payloads?.[row]
      return { id, vector: vectors.subarray(row * dim, (row + 1) * dim), ...(payload ? { payload } : {}) }
    })
  } catch (error) {
    // What is read here is in memory already: only a value can be wrong.
    return error instanceof DriftError ? error : notArrow('a value is not what its column says', error)
  }
}

async function* batchesOf(input: unknown): AsyncGenerator<Arrow.RecordBatch> {
  const table = input as { batches?: Iterable<unknown> } | null
  if (typeof table === 'object' && table !== null && table.batches && !types.isUint8Array(input)) {
    for (const batch of table.batches) yield asBatch(batch)
    return
  }
  if (isBytes(input)) {
    yield* decode(types.isUint8Array(input) ? input : new Uint8Array(input))
    return
  }
  // A stream of a file has a descriptor too.
  if (typeof input === 'object' && input !== null && 'fd' in input && !(Symbol.asyncIterator in input)) {
    yield* decode(input as FileHandle)
    return
  }
  const items = typeof input === 'object' && input !== null ? iteratorOf(input) : undefined
  if (!items) throw refused(`fromArrow got ${show(input)}, expected IPC bytes, a stream of them, or a table`)
  let ended = false
  let failed: { readonly error: unknown } | undefined
  const take = async (): Promise<IteratorResult<unknown>> => {
    try {
      const next = await items.next()
      ended = next.done === true
      return next
    } catch (error) {
      ended = true
      failed = { error }
      throw error
    }
  }
  try {
    const first = await take()
    if (first.done) throw refused('the stream is empty')
    const rest = async function* (): AsyncGenerator<unknown> {
      yield first.value
      for (let next = await take(); !next.done; next = await take()) yield next.value
    }
    if (isBytes(first.value)) yield* decode(bytesOf(rest()))
    else for await (const batch of rest()) yield asBatch(batch)
  } catch (error) {
    // What the source itself threw says nothing of Arrow.
    throw failed ? failed.error : error
  } finally {
    // Not waited for: a source that has stalled would keep the error from its caller.
    if (!ended) void letGo(items)
  }
}

/** A stream that is not read to its end is told, so that it closes what it has open. */
async function letGo(items: AsyncIterator<unknown> | Iterator<unknown>): Promise<void> {
  try {
    await items.return?.()
  } catch {
    // The error that led here is the one to be told.
  }
}

function isBytes(value: unknown): value is Uint8Array | ArrayBuffer {
  return types.isUint8Array(value) || types.isArrayBuffer(value)
}

async function* bytesOf(chunks: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    if (!isBytes(chunk)) throw refused(`the stream holds ${show(chunk)}, expected bytes`)
    yield types.isUint8Array(chunk) ? chunk : new Uint8Array(chunk)
  }
}

function iteratorOf(input: object): AsyncIterator<unknown> | Iterator<unknown> | undefined {
  if (Symbol.asyncIterator in input) return (input as AsyncIterable<unknown>)[Symbol.asyncIterator]()
  if (Symbol.iterator in input) return (input as Iterable<unknown>)[Symbol.iterator]()
  return undefined
}

async function* decode(
  bytes: Uint8Array | AsyncIterable<Uint8Array> | FileHandle,
): AsyncGenerator<Arrow.RecordBatch> {
  const { RecordBatchReader } = await import('apache-arrow')
  try {
    // A stream is looked at as it comes, by the same rules as bytes.
    if (types.isUint8Array(bytes)) assertWithinBounds(bytes)
    const isStream = !types.isUint8Array(bytes) && Symbol.asyncIterator in bytes
    const within = isStream ? withinBounds(bytes) : bytes
    const reader = await RecordBatchReader.from(within as AsyncIterable<Uint8Array>)
    await reader.open()
    if (!reader.schema) throw refused('the bytes hold no schema')
    for await (const batch of reader) yield batch
  } catch (cause) {
    if (cause instanceof DriftError) throw cause
    // As Feather files of pandas are, by lz4.
    if (/compress/i.test((cause as Error).message))
      throw refused('the record batches are compressed, which is not read here: write them uncompressed')
    throw notArrow('the bytes are not Arrow IPC', cause)
  }
}

function asBatch(value: unknown): Arrow.RecordBatch {
  const batch = value as Partial<Arrow.RecordBatch> | null
  if (typeof batch?.numRows === 'number' && batch.schema && typeof batch.getChild === 'function')
    return batch as Arrow.RecordBatch
  throw refused(`the input holds ${show(value)}, expected bytes or record batches`)
}

function idsOf(batch: Arrow.RecordBatch, name: string): Id[] {
  const column = child(batch, name)
  const field = batch.schema.fields.find(field => field.name === name)!
  const mixed = field.metadata.get(FORM) === 'mixed'
  const type = plainType(String(field.type))
  // As numbers, times that differ by less than their unit here would become one row.
  if (TIME.test(type)) throw refused(`column '${name}' has type ${type}, expected ids: text or numbers`)
  const unsigned = type === 'Uint64'
  return Array.from({ length: batch.numRows }, (_, row) => {
    const value: unknown = column.get(row)
    if (mixed && typeof value === 'string') return parseMixed(value, name, row)
    if (typeof value === 'bigint' && !unsigned) return safeNumber(value, name, row)
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') return value
    throw refused(`column '${name}' holds ${show(value)} in row ${row}, expected an id`, row)
  })
}

function parseMixed(text: string, name: string, row: number): Id {
  try {
    if (text.startsWith('"')) return JSON.parse(text) as string
    return text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text)
  } catch {
    throw refused(`column '${name}' holds ${show(text)} in row ${row}, which is no id`, row)
  }
}

/** @returns row-major; a view of the batch where its values lie like that. */
function vectorsOf(batch: Arrow.RecordBatch, name: string, dim: number): Float32Array {
  const column = child(batch, name)
  const { numRows } = batch
  const [data, more] = column.data
  const values: unknown = data?.children[0]?.values
  const plain =
    types.isFloat32Array(values) && more === undefined && String(column.type).startsWith('FixedSizeList')
  if (
    column.nullCount === 0 &&
    plain &&
    data!.children[0]!.nullCount === 0 &&
    values.length === numRows * dim
  )
    return values
  const vectors = new Float32Array(numRows * dim)
  for (let row = 0; row < numRows; row++) {
    const value = column.get(row) as ArrayLike<unknown> | null
    const isList = value !== null && typeof value === 'object' && typeof value.length === 'number'
    // The length is looked at first: it is what the bytes say, and no more than that.
    if (isList && value.length !== dim) {
      throw new DriftError(
        'DRIFT_DIMENSION',
        `column '${name}' has ${value.length} values in row ${row}, expected ${dim}`,
        { row, dim },
      )
    }
    const list = isList ? Array.from(value) : undefined
    if (!list || list.some(item => typeof item !== 'number'))
      throw refused(`column '${name}' holds no vector of numbers in row ${row}`, row)
    vectors.set(list as number[], row * dim)
  }
  return vectors
}

function payloadsOf(
  batch: Arrow.RecordBatch,
  others: ReadonlySet<string>,
): (Payload | undefined)[] | undefined {
  const fields = batch.schema.fields.filter(({ name }) => !others.has(name))
  if (fields.length === 0) return undefined
  const columns = fields.map(field => ({
    column: child(batch, field.name),
    key: field.metadata.get(KEY) ?? field.name,
    isJson: field.metadata.get(FORM) === 'json',
  }))
  return Array.from({ length: batch.numRows }, (_, row) => {
    const payload: Record<string, unknown> = {}
    for (const { column, key, isJson } of columns) {
      const value: unknown = column.get(row)
      if (value === null || value === undefined) continue
      const plain = isJson ? parseJson(value, key, row) : plainOf(value, String(column.type), key, row)
      Object.defineProperty(payload, key, {
        value: plain,
        enumerable: true,
        configurable: true,
        writable: true,
      })
    }
    return Object.keys(payload).length > 0 ? payload : undefined
  })
}

function parseJson(value: unknown, key: string, row: number): unknown {
  try {
    return JSON.parse(value as string)
  } catch {
    throw refused(`column '${key}' holds ${show(value)} in row ${row}, expected JSON`, row)
  }
}

const TIME = /^(Date|Time|Duration|Interval)/

/** Of a dictionary, the type of its values. */
function plainType(type: string): string {
  return /^Dictionary<[^,]*, (.*)>$/.exec(type)?.[1] ?? type
}

/** What JSON can say of an Arrow value. Times have milliseconds; what is finer is cut. */
function plainOf(value: unknown, encoded: string, key: string, row: number): unknown {
  const type = plainType(encoded)
  if (typeof value === 'bigint') return safeNumber(value, key, row)
  if (/^(Timestamp|Date)/.test(type)) return instant(value as number, key, row)
  if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') return value
  const list = /^(?:List|FixedSizeList(?:\[\d+\])?)<(.*)>$/.exec(type)
  if (list) {
    const items = value as ArrayLike<unknown>
    if (items.length > MAX_PAYLOAD_BYTES)
      throw refused(
        `column '${key}' holds a list of ${items.length} values in row ${row}, too long for a payload`,
        row,
      )
    return Array.from(items, item => (item === null ? null : plainOf(item, list[1]!, key, row)))
  }
  throw refused(`column '${key}' has type ${type}, which has no JSON form here; leave it out`, row)
}

function instant(value: number, name: string, row: number): string {
  const date = new Date(value)
  if (Number.isNaN(date.getTime())) throw refused(`column '${name}' holds no time in row ${row}`, row)
  return date.toISOString()
}

function safeNumber(value: bigint, name: string, row: number): number {
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  throw refused(`column '${name}' holds ${value} in row ${row}, which a number cannot hold`, row)
}

function child(batch: Arrow.RecordBatch, name: string): Arrow.Vector {
  const named = batch.schema.fields.filter(field => field.name === name).length
  if (named > 1) throw refused(`there are ${named} columns '${name}'`)
  const column = batch.getChild(name)
  if (column) return column
  const names = batch.schema.fields.map(field => `'${field.name}'`).join(', ')
  throw refused(`there is no column '${name}', only ${names}`)
}

function refused(message: string, row?: number): DriftError {
  return new DriftError('DRIFT_ARROW', message, row === undefined ? {} : { row })
}
