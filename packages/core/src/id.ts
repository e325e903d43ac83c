/**
 * Ids as users give them: a string, a safe integer or a bigint. `1`, `1n` and `'1'` are three ids; -0 is 0.
 * Every id has exactly one form in bytes, and bytes in any other form are refused:
 *
 *   [kind u8][NUMBER i64 LE | BIGINT u64 LE, zero or more | NEGATIVE i64 LE, below zero | STRING UTF-8, 1..1024 bytes]
 */
import { CoreError } from './errors.js'

export type Id = string | number | bigint

export const NUMBER = 1
export const BIGINT = 2
export const NEGATIVE = 3
export const STRING = 4

export type IdKind = typeof NUMBER | typeof BIGINT | typeof NEGATIVE | typeof STRING

/** UTF-8 bytes of a string id: room for any UUID, URL or path, and one page still holds several. */
export const MAX_ID_BYTES = 1024

/** Of `encodeId`. */
export const MAX_ENCODED_ID_BYTES: number = 1 + MAX_ID_BYTES

/** @throws CoreError DRIFT_ID that names the value and the rule. */
export function encodeId(id: Id): Uint8Array {
  return encoded.slice(0, writeId(id, encoded, 0))
}

/**
 * The same into bytes that are there.
 *
 * @param out - at least MAX_ENCODED_ID_BYTES long from `at` on.
 * @returns bytes written. @throws CoreError DRIFT_ID.
 */
export function writeId(id: Id, out: Uint8Array, at: number): number {
  const kind = idKind(id)
  if (kind === STRING) {
    const length = writeText(id as string, text)
    out[at] = kind
    for (let i = 0; i < length; i++) out[at + 1 + i] = text[i]!
    return 1 + length
  }
  out[at] = kind
  let low: number
  let high: number
  if (kind === NUMBER) {
    low = (id as number) | 0
    high = Math.floor((id as number) / 2 ** 32) | 0
  } else {
    const word = BigInt.asIntN(64, BigInt(id))
    low = Number(BigInt.asIntN(32, word))
    high = Number(word >> 32n)
  }
  // Bytes by hand: a DataView for each is garbage, 1 us an id.
  for (let i = at + 1; i <= at + 4; i++, low >>= 8, high >>= 8) {
    out[i] = low
    out[i + 4] = high
  }
  return INTEGER_BYTES
}

/** The id that `encodeId` made these bytes of. @throws CoreError DRIFT_ID_BYTES for all other bytes. */
export function decodeId(bytes: Uint8Array): Id {
  const kind = bytes[0]
  if (kind === STRING) return decodeText(bytes)
  if (bytes.length !== INTEGER_BYTES)
    throw malformed(bytes, `${bytes.length} bytes, expected ${INTEGER_BYTES}`)
  const word = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(1, true)
  const signed = BigInt.asIntN(64, word)
  if (kind === BIGINT) return word
  if (kind === NEGATIVE && signed < 0n) return signed
  if (kind === NUMBER && Number.isSafeInteger(Number(signed))) return Number(signed)
  throw malformed(bytes, `kind ${kind} with value ${signed}`)
}

/** The kind of a valid id of integers; a string is only known to be one (`writeText` checks it). @throws DRIFT_ID. */
export function idKind(id: Id): IdKind {
  if (typeof id === 'string') return STRING
  if (typeof id === 'number') {
    if (Number.isSafeInteger(id)) return NUMBER
    throw refused(id, 'a number must be a safe integer')
  }
  if (typeof id !== 'bigint') throw refused(id, 'expected a string, a safe integer or a bigint')
  if (id >= 0n ? id <= U64_MAX : id >= I64_MIN) return id >= 0n ? BIGINT : NEGATIVE
  throw refused(id, 'a bigint must be in -2^63 .. 2^64 - 1')
}

/**
 * Write a string id as UTF-8. By hand, as TextEncoder costs 200 ns a call and hides lone surrogates.
 *
 * @param out - at least MAX_ID_BYTES long.
 * @returns bytes written. @throws CoreError DRIFT_ID when empty, too long or not well-formed.
 */
export function writeText(text: string, out: Uint8Array): number {
  const units = text.length
  if (units === 0) throw refused(text, 'a string must not be empty')
  if (units > MAX_ID_BYTES) throw refused(text, `a string must have at most ${MAX_ID_BYTES} bytes of UTF-8`)
  for (let i = 0; i < units; i++) {
    const unit = text.charCodeAt(i)
    if (unit > 0x7f) return writeWide(text, i, out)
    out[i] = unit
  }
  return units
}

/** The string of UTF-8 bytes. `bytes` may be shared memory: it is read here, byte by byte. @throws DRIFT_ID_BYTES when it is none. */
export function readText(bytes: Uint8Array, start: number, end: number): string {
  let text = ''
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    if (byte > 0x7f) return wideText(bytes.slice(start, end))
    text += String.fromCharCode(byte)
  }
  return text
}

const INTEGER_BYTES = 9
const U64_MAX = 2n ** 64n - 1n
const I64_MIN = -(2n ** 63n)
/** ignoreBOM: a leading U+FEFF belongs to the id and must not be dropped. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const text = new Uint8Array(MAX_ID_BYTES)
const encoded = new Uint8Array(MAX_ENCODED_ID_BYTES)

/** UTF-8 from unit `start` on; everything before is ASCII and already written. */
function writeWide(text: string, start: number, out: Uint8Array): number {
  let at = start
  for (let i = start; i < text.length; i++) {
    const code = text.codePointAt(i)!
    if (at + utf8Length(code) > MAX_ID_BYTES) {
      throw refused(text, `a string must have at most ${MAX_ID_BYTES} bytes of UTF-8`)
    }
    if (code < 0x80) {
      out[at++] = code
    } else if (code < 0x800) {
      out[at++] = 0xc0 | (code >> 6)
      out[at++] = 0x80 | (code & 0x3f)
    } else if (code < 0x10000) {
      if (code >= 0xd800 && code <= 0xdfff) throw refused(text, 'a string must not hold a lone surrogate')
      out[at++] = 0xe0 | (code >> 12)
      out[at++] = 0x80 | ((code >> 6) & 0x3f)
      out[at++] = 0x80 | (code & 0x3f)
    } else {
      out[at++] = 0xf0 | (code >> 18)
      out[at++] = 0x80 | ((code >> 12) & 0x3f)
      out[at++] = 0x80 | ((code >> 6) & 0x3f)
      out[at++] = 0x80 | (code & 0x3f)
      i++ // the pair's second half
    }
  }
  return at
}

function utf8Length(code: number): number {
  if (code < 0x80) return 1
  if (code < 0x800) return 2
  return code < 0x10000 ? 3 : 4
}

function decodeText(bytes: Uint8Array): string {
  if (bytes.length < 2 || bytes.length > 1 + MAX_ID_BYTES) {
    throw malformed(bytes, `a string of ${bytes.length - 1} bytes, expected 1..${MAX_ID_BYTES}`)
  }
  return readText(bytes, 1, bytes.length)
}

function wideText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw malformed(bytes, 'a string that is not well-formed UTF-8', { cause })
  }
}

function refused(id: unknown, rule: string): CoreError {
  const isPlain =
    id === null || (typeof id !== 'object' && typeof id !== 'function' && typeof id !== 'symbol')
  const plain = isPlain ? String(id) : `of type ${typeof id}`
  const text = typeof id === 'string' ? JSON.stringify(id.slice(0, 40)) : plain
  return new CoreError('DRIFT_ID', `id ${text} is refused: ${rule}`, { id, type: typeof id })
}

function malformed(bytes: Uint8Array, what: string, options?: { cause: unknown }): CoreError {
  const details = { length: bytes.length, kind: bytes[0] }
  return new CoreError('DRIFT_ID_BYTES', `no id is encoded as ${what}`, details, options)
}
