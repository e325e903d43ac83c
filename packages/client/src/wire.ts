/**
 * The two encodings that client and server share: ids in JSON, and the binary frame `application/vnd.drift.f32`.
 * A frame is little-endian and has exactly the length that its header says:
 *
 *   0       4      8     12          16           16 + metaBytes
 *   "DRF1"  rows   dim   metaBytes   meta (JSON)  rows * dim float32
 *           u32    u32   u32         UTF-8, padded with spaces to a multiple of 4
 *
 * Requests: an upsert has its ids and payloads in meta; a search has its queries as rows and its options in meta.
 * Answers: a search has the distances as rows (dim is k, missing hits are Infinity) and the ids in meta.
 */
import type { Id } from './rows.js'

export const FRAME_TYPE = 'application/vnd.drift.f32'
export const NDJSON_TYPE = 'application/x-ndjson'
/** An Arrow IPC stream. */
export const ARROW_TYPE = 'application/vnd.apache.arrow.stream'
/** Names a write: repeated under the same key it is applied once. */
export const IDEMPOTENCY_HEADER = 'idempotency-key'

/** JSON has no 64-bit integers: a bigint is written as its decimal digits. */
export type JsonId = string | number | { readonly $bigint: string }

export interface Frame {
  readonly rows: number
  readonly dim: number
  readonly meta: unknown
  /** rows * dim, row-major. Shares the bytes that were decoded when they are aligned. */
  readonly values: Float32Array
}

const MAGIC = 0x31465244
const HEADER_BYTES = 16
const utf8 = new TextEncoder()
const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
/** Float32Array has the machine's byte order; the frame's is little-endian. */
const swaps = new Uint8Array(new Uint16Array([1]).buffer)[0] === 0

export function idToJson(id: Id): JsonId {
  return typeof id === 'bigint' ? { $bigint: String(id) } : id
}

/** What is no id stays what it is, for the engine to refuse. */
export function idFromJson(id: unknown): Id {
  const digits = (id as { $bigint?: unknown } | null | undefined)?.$bigint
  return typeof digits === 'string' && /^-?\d{1,20}$/.test(digits) ? BigInt(digits) : (id as Id)
}

/** @param values - rows * dim; copied. */
export function encodeFrame(
  rows: number,
  dim: number,
  meta: unknown,
  values: Float32Array,
): Uint8Array<ArrayBuffer> {
  const json = utf8.encode(JSON.stringify(meta))
  const metaBytes = Math.ceil(json.length / 4) * 4
  const frame = new Uint8Array(HEADER_BYTES + metaBytes + values.byteLength)
  const header = new DataView(frame.buffer)
  for (const [i, field] of [MAGIC, rows, dim, metaBytes].entries()) header.setUint32(4 * i, field, true)
  frame.set(json, HEADER_BYTES)
  frame.fill(0x20, HEADER_BYTES + json.length, HEADER_BYTES + metaBytes)
  frame.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), HEADER_BYTES + metaBytes)
  if (swaps) swapEach4(frame, HEADER_BYTES + metaBytes)
  return frame
}

/**
 * @param parseMeta - for who has rules of their own for JSON of strangers.
 * @throws RangeError when the bytes are no frame; the message says why. What `parseMeta` throws.
 */
export function decodeFrame(bytes: Uint8Array, parseMeta: (json: Uint8Array) => unknown = anyJson): Frame {
  if (bytes.length < HEADER_BYTES) {
    throw new RangeError(`a frame has at least ${HEADER_BYTES} bytes, this has ${bytes.length}`)
  }
  const header = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES)
  const rows = header.getUint32(4, true)
  const dim = header.getUint32(8, true)
  const metaBytes = header.getUint32(12, true)
  if (header.getUint32(0, true) !== MAGIC) throw new RangeError("a frame begins with 'DRF1'")
  const expected = HEADER_BYTES + metaBytes + rows * dim * 4
  if (metaBytes % 4 !== 0) throw new RangeError(`metaBytes is ${metaBytes}, expected a multiple of 4`)
  if (expected !== bytes.length) {
    throw new RangeError(
      `the frame has ${bytes.length} bytes; ${rows} rows of ${dim} values and ${metaBytes} bytes of meta make ${expected}`,
    )
  }
  const meta = parseMeta(bytes.subarray(HEADER_BYTES, HEADER_BYTES + metaBytes))
  const start = bytes.byteOffset + HEADER_BYTES + metaBytes
  const aligned = start % 4 === 0 && !swaps
  const body = aligned ? undefined : bytes.slice(HEADER_BYTES + metaBytes)
  if (body && swaps) swapEach4(body, 0)
  const values = body ? new Float32Array(body.buffer) : new Float32Array(bytes.buffer, start, rows * dim)
  return { rows, dim, meta, values }
}

function anyJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(text.decode(bytes))
  } catch {
    throw new RangeError('meta is not JSON in UTF-8')
  }
}

function swapEach4(bytes: Uint8Array, from: number): void {
  for (let i = from; i < bytes.length; i += 4) bytes.subarray(i, i + 4).reverse()
}
