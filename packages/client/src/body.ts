/**
 * Rows and queries as the body of a request: a frame when every vector holds numbers and has the collection's length, otherwise JSON, and the
 * server says what is wrong with it.
 */
import { ClientError } from './errors.js'
import { idOf, isPlain, show } from './given.js'
import type { Columns, Row } from './rows.js'
import { encodeFrame } from './wire.js'

const ROW_KEYS: readonly string[] = ['id', 'vector', 'payload']

/** @throws ClientError DRIFT_BATCH, DRIFT_VECTOR_TYPE, DRIFT_PAYLOAD for what JSON would make something else of. */
export function upsertBody(batch: readonly Row<object>[] | Columns<object>, dim: number): unknown {
  if (Array.isArray(batch)) return rowsBody(batch as readonly Row<object>[], dim)
  if (typeof batch !== 'object' || batch === null) {
    const expected = 'expected an array of rows or { ids, vectors }'
    throw new ClientError('DRIFT_BATCH', `upsert got ${show(batch)}, ${expected}`)
  }
  if ('vector' in batch) {
    throw new ClientError('DRIFT_BATCH', 'upsert got one row, expected an array of rows: [{ id, vector }]')
  }
  const { ids, vectors, payloads, ...others } = batch as Columns<object>
  if (!Array.isArray(ids)) throw new ClientError('DRIFT_BATCH', `ids is ${show(ids)}, expected an array`)
  if (!isFloats(vectors)) {
    throw new ClientError('DRIFT_VECTOR_TYPE', `vectors is ${show(vectors)}, expected a Float32Array`)
  }
  const jsonIds = Array.from(ids, idOf)
  const jsonPayloads = Array.isArray(payloads) ? sentPayloads(payloads) : payloads
  const fits = vectors.length === ids.length * dim && (payloads === undefined || Array.isArray(payloads))
  if (fits && ids.length > 0 && Object.keys(others).length === 0) {
    const meta = { ids: jsonIds, ...(jsonPayloads ? { payloads: jsonPayloads } : {}) }
    return frame(ids.length, dim, meta, vectors)
  }
  return { ...others, ids: jsonIds, vectors: jsonVector(vectors), payloads: jsonPayloads }
}

/** One query and its options. */
export function searchBody(query: unknown, options: object): unknown {
  const vector = packed(query)
  return vector ? frame(1, vector.length, options, vector) : { ...options, query: jsonVector(query) }
}

/** @throws ClientError DRIFT_JSON, or DRIFT_PAYLOAD where `meta` has payloads: for a bigint, or what holds itself. */
export function frame(rows: number, dim: number, meta: object, vectors: Float32Array): Uint8Array {
  try {
    return encodeFrame(rows, dim, meta, vectors)
  } catch (cause) {
    const [code, what] = 'payloads' in meta ? ['DRIFT_PAYLOAD', 'a payload'] : ['DRIFT_JSON', 'this']
    throw new ClientError(code!, `${what} is not JSON: ${(cause as Error).message}`, {}, { cause })
  }
}

function rowsBody(rows: readonly Row<object>[], dim: number): unknown {
  if (rows.length === 0) return { rows: [] }
  const payloads = sentPayloads(Array.from(rows, row => row?.payload))
  const vectors = new Float32Array(rows.length * dim)
  for (const [i, row] of rows.entries()) {
    const isRow =
      typeof row === 'object' && row !== null && Object.keys(row).every(key => ROW_KEYS.includes(key))
    const vector = isRow ? packed(row.vector) : undefined
    if (vector?.length !== dim) return { rows: Array.from(rows, jsonRow) }
    vectors.set(vector, i * dim)
  }
  const hasPayloads = payloads.some(payload => payload !== null)
  const meta = { ids: rows.map(row => idOf(row.id)), ...(hasPayloads ? { payloads } : {}) }
  return frame(rows.length, dim, meta, vectors)
}

/** null stands for a row without one, and is none itself. */
function sentPayloads(payloads: readonly unknown[]): readonly unknown[] {
  return Array.from(payloads, (payload, position) => {
    if (payload === undefined) return null
    const where = `payload of row ${position}`
    // With a toJSON of its own it may be anything there.
    if (!isPlain(payload) || typeof (payload as { toJSON?: unknown }).toJSON === 'function') {
      const message = `${where} is ${show(payload)}, expected a plain object`
      throw new ClientError('DRIFT_PAYLOAD', message, { position })
    }
    return payload
  })
}

function jsonRow(row: Row<object>): unknown {
  if (typeof row !== 'object' || row === null) return row
  return { ...row, id: idOf(row.id), vector: jsonVector(row.vector) }
}

/** What is no number in it is null, for the server to refuse: JSON makes numbers of more than those. */
function jsonVector(vector: unknown): unknown {
  if (!Array.isArray(vector) && !isFloats(vector)) return isPlain(vector) ? {} : vector
  // One whose buffer was handed to another thread has no values, and cannot be iterated.
  if (vector.length === 0) return []
  return Array.from(vector, value => (typeof value === 'number' ? value : null))
}

/** Also one of another realm (vm, jest), which is no instance of this one's. */
export function isFloats(value: unknown): value is Float32Array {
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Float32Array]'
}

/** As float32, or undefined when it has no values, or something in it is not a number. */
function packed(vector: unknown): Float32Array | undefined {
  if (isFloats(vector)) return vector.length > 0 ? vector : undefined
  if (!Array.isArray(vector)) return undefined
  // By index: a hole is no number either.
  for (let i = 0; i < vector.length; i++) if (typeof vector[i] !== 'number') return undefined
  return Float32Array.from(vector as number[])
}
