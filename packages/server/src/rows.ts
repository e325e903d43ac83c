/**
 * What a user hands to `upsert`, `delete` and `search`, turned into flat arrays: rows or columns, number[] or
 * Float32Array. Everything is checked before anything is copied into the engine; values that float32 cannot hold are
 * refused by the index itself, which sees every vector. Arrays and objects of another realm (vm, jest) are as good: what a value is
 * is asked of itself, not of a constructor of this one.
 */
import { types } from 'node:util'
import { encodeId, type Id } from '@drift/core'
import { DriftError } from './errors.js'
import { show } from './given.js'

/** A plain JSON object, at most 64 KiB as JSON text. */
export type Payload = { readonly [key: string]: unknown }

export interface Row<P extends object = Payload> {
  readonly id: Id
  readonly vector: readonly number[] | Float32Array
  readonly payload?: P | undefined
}

/** Columns: vectors is row-major, ids.length * dim values. A missing payload is undefined. */
export interface Columns<P extends object = Payload> {
  readonly ids: readonly Id[]
  readonly vectors: Float32Array
  readonly payloads?: readonly (P | undefined)[]
}

/** vectors may be the caller's own memory: unless `isOurs`, it is copied before the call returns to the event loop. payloads holds JSON text as UTF-8. */
export interface Batch {
  readonly ids: readonly Id[]
  readonly vectors: Float32Array
  readonly payloads: readonly (Uint8Array | undefined)[] | undefined
  /** The vectors are as the index held them, to be kept to the bit. */
  readonly isPrepared?: boolean
  /** Nobody changes ids and vectors any more. */
  readonly isOurs?: boolean
}

export const MAX_PAYLOAD_BYTES: number = 64 * 1024
const utf8 = new TextEncoder()
const text = new TextDecoder()

export function parseBatch(input: unknown, dim: number): Batch {
  if (Array.isArray(input)) return parseRows(input, dim)
  if (typeof input === 'object' && input !== null) return parseColumns(input as Record<string, unknown>, dim)
  throw notABatch(input)
}

function notABatch(input: unknown): DriftError {
  return new DriftError(
    'DRIFT_BATCH',
    `upsert got ${show(input)}, expected an array of rows or { ids, vectors }`,
  )
}

/** The caller's ids: a copy. */
export function parseIds(input: unknown, where: string): readonly Id[] {
  if (!Array.isArray(input))
    throw new DriftError('DRIFT_BATCH', `${where} got ${show(input)}, expected an array of ids`)
  return [...input] as Id[]
}

/** @throws CoreError DRIFT_ID for what is none, as every call with it does. */
export function assertId(id: unknown): asserts id is Id {
  encodeId(id as Id)
}

/** One query vector, or several in a row for a batch (`many`). It may be the caller's own memory: whoever waits before it is read takes a copy. */
export function parseQuery(query: unknown, dim: number, many = false): Float32Array {
  const what = many ? 'queries' : 'query'
  if (Array.isArray(query) && !many) {
    const vector = new Float32Array(dim)
    copyNumbers(query, vector, 0, dim, 'the query')
    return vector
  }
  if (!types.isFloat32Array(query)) {
    const expected = many ? 'a Float32Array' : 'a Float32Array or an array of numbers'
    throw new DriftError('DRIFT_VECTOR_TYPE', `${what} is ${show(query)}, expected ${expected}`)
  }
  if (many && query.length === 0) throw new DriftError('DRIFT_EMPTY_BATCH', 'the batch holds no queries')
  if (many ? query.length % dim !== 0 : query.length !== dim) {
    const expected = many ? `a multiple of ${dim}` : `${dim}`
    throw new DriftError('DRIFT_DIMENSION', `${what} has ${query.length} values, expected ${expected}`, {
      dim,
    })
  }
  return query
}

/**
 * The payload as JSON text, or undefined.
 *
 * @param of - its row's place in the batch, or what an error calls it.
 * @param replacer - of JSON.stringify.
 */
export function encodePayload(
  payload: unknown,
  of: number | string,
  replacer?: (this: unknown, key: string, value: unknown) => unknown,
): Uint8Array | undefined {
  if (payload === undefined) return undefined
  const what = typeof of === 'string' ? of : `payload of row ${of}`
  const details = typeof of === 'string' ? {} : { position: of }
  if (!isPlain(payload)) {
    throw new DriftError('DRIFT_PAYLOAD', `${what} is ${show(payload)}, expected a plain object`, details)
  }
  let json: string | undefined
  try {
    json = JSON.stringify(payload, replacer)
  } catch (cause) {
    throw new DriftError('DRIFT_PAYLOAD', `${what} is not JSON: ${messageOf(cause)}`, details, { cause })
  }
  // With a toJSON of its own it may be anything.
  if (json?.[0] !== '{') {
    throw new DriftError('DRIFT_PAYLOAD', `${what} is ${show(json)} as JSON, expected an object`, details)
  }
  const bytes = utf8.encode(json)
  if (bytes.length > MAX_PAYLOAD_BYTES) {
    throw new DriftError(
      'DRIFT_PAYLOAD_TOO_LARGE',
      `${what} is ${bytes.length} bytes as JSON, the limit is ${MAX_PAYLOAD_BYTES}`,
      { ...details, bytes: bytes.length },
    )
  }
  return bytes
}

/** A plain object of any realm, or one without a prototype. */
export function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

export function decodePayload(bytes: Uint8Array): Payload {
  let payload: unknown
  try {
    payload = JSON.parse(text.decode(bytes))
  } catch (cause) {
    throw new DriftError('DRIFT_PAYLOAD_BYTES', 'a stored payload is no JSON', {}, { cause })
  }
  if (typeof payload === 'object' && payload !== null && !Array.isArray(payload)) return payload as Payload
  throw new DriftError('DRIFT_PAYLOAD_BYTES', `a stored payload is ${show(payload)}, expected an object`)
}

function parseRows(rows: readonly unknown[], dim: number): Batch {
  if (rows.length === 0) throw emptyBatch()
  const ids: Id[] = []
  const vectors = new Float32Array(rows.length * dim)
  let payloads: (Uint8Array | undefined)[] | undefined
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as Record<string, unknown> | null | undefined
    if (typeof row !== 'object' || row === null) {
      throw new DriftError('DRIFT_BATCH', `row ${i} is ${show(row)}, expected { id, vector, payload? }`, {
        position: i,
      })
    }
    for (const key of Object.keys(row)) {
      if (key !== 'id' && key !== 'vector' && key !== 'payload') {
        throw new DriftError(
          'DRIFT_UNKNOWN_OPTION',
          `row ${i} has '${key}', expected id, vector and payload`,
          { position: i },
        )
      }
    }
    copyVector(row['vector'], vectors, i, dim)
    ids.push(row['id'] as Id)
    const payload = encodePayload(row['payload'], i)
    if (payload) payloads ??= new Array(rows.length).fill(undefined)
    if (payload) payloads![i] = payload
  }
  return { ids, vectors, payloads, isOurs: true }
}

function parseColumns(columns: Record<string, unknown>, dim: number): Batch {
  if ('vector' in columns)
    throw new DriftError('DRIFT_BATCH', 'upsert got one row, expected an array of rows: [{ id, vector }]')
  for (const key of Object.keys(columns)) {
    if (key !== 'ids' && key !== 'vectors' && key !== 'payloads') {
      throw new DriftError(
        'DRIFT_UNKNOWN_OPTION',
        `upsert got a column '${key}', expected ids, vectors and payloads`,
      )
    }
  }
  const { ids, vectors, payloads } = columns
  if (ids === undefined && vectors === undefined) throw notABatch(columns)
  if (!Array.isArray(ids)) throw new DriftError('DRIFT_BATCH', `ids is ${show(ids)}, expected an array`)
  if (ids.length === 0) throw emptyBatch()
  if (!types.isFloat32Array(vectors)) {
    throw new DriftError('DRIFT_VECTOR_TYPE', `vectors is ${show(vectors)}, expected a Float32Array`)
  }
  if (vectors.length !== ids.length * dim) {
    throw new DriftError(
      'DRIFT_DIMENSION',
      `vectors has ${vectors.length} values, expected ${ids.length} rows of ${dim}`,
      { rows: ids.length, dim },
    )
  }
  if (payloads === undefined) return { ids: ids as Id[], vectors, payloads: undefined }
  if (!Array.isArray(payloads) || payloads.length !== ids.length) {
    throw new DriftError('DRIFT_BATCH', `payloads must be an array of ${ids.length} objects, one for each id`)
  }
  return {
    ids: ids as Id[],
    vectors,
    payloads: Array.from(payloads, (payload, i) => encodePayload(payload, i)),
  }
}

function copyVector(vector: unknown, into: Float32Array, position: number, dim: number): void {
  if (types.isFloat32Array(vector)) {
    if (vector.length !== dim) throw wrongLength(`vector ${position}`, vector.length, dim)
    into.set(vector, position * dim)
  } else if (Array.isArray(vector)) {
    copyNumbers(vector, into, position * dim, dim, `vector ${position}`)
  } else {
    throw new DriftError(
      'DRIFT_VECTOR_TYPE',
      `vector ${position} is ${show(vector)}, expected a Float32Array or an array of numbers`,
      { position },
    )
  }
}

function copyNumbers(
  values: readonly unknown[],
  into: Float32Array,
  offset: number,
  dim: number,
  what: string,
): void {
  if (values.length !== dim) throw wrongLength(what, values.length, dim)
  for (let i = 0; i < dim; i++) {
    const value = values[i]
    if (typeof value !== 'number') {
      throw new DriftError(
        'DRIFT_VECTOR_VALUE',
        `${what} holds ${show(value)} at position ${i}, expected a number`,
        { index: i },
      )
    }
    // Nothing would be left to tell of it.
    if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
      throw new DriftError(
        'DRIFT_VECTOR_VALUE',
        `${what} holds ${value} at position ${i}, expected a finite float32 number`,
        { index: i },
      )
    }
    into[offset + i] = value
  }
}

/** Of what a getter or a toJSON of the caller's threw, which need not be an error. */
function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : show(cause)
}

function wrongLength(what: string, length: number, dim: number): DriftError {
  return new DriftError('DRIFT_DIMENSION', `${what} has ${length} values, expected ${dim}`, { length, dim })
}

export function emptyBatch(): DriftError {
  return new DriftError('DRIFT_EMPTY_BATCH', 'the batch holds no rows')
}
