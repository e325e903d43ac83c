/**
 * A JSON body from bytes: UTF-8 and depth are checked before anything is built, so that a body of brackets costs a
 * pass over its bytes and no stack; the key that reaches a prototype is refused. What can be found out by native search is:
 * a query of some hundred numbers has to cost little more than its numbers do.
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { HttpError } from './errors.js'

const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [
  0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d,
]
/** Also where the name is written with escapes. */
const SUSPICIOUS = ['__proto__', '\\u']

/** @param what - is parsed: its name in errors. @throws HttpError DRIFT_JSON */
export function parseJson(given: Uint8Array, maxDepth: number, what = 'the body'): unknown {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength)
  if (bytes.length === 0) throw new HttpError('DRIFT_JSON', `${what} is empty, expected JSON`)
  assertDepth(bytes, maxDepth, what)
  const ascii = isAscii(bytes)
  if (!ascii && !isUtf8(bytes)) throw new HttpError('DRIFT_JSON', `${what} is not UTF-8`)
  const json = bytes.toString(ascii ? 'latin1' : 'utf8')
  const suspicious = SUSPICIOUS.some(part => bytes.includes(part))
  try {
    return suspicious ? JSON.parse(json, (key, value) => refusePrototype(key, value, what)) : JSON.parse(json)
  } catch (error) {
    if (error instanceof HttpError) throw error
    throw new HttpError('DRIFT_JSON', `${what} is not JSON`)
  }
}

function refusePrototype(key: string, value: unknown, what: string): unknown {
  if (key === '__proto__') {
    throw new HttpError('DRIFT_JSON', `${what} has the key '${key}', which is not allowed`)
  }
  return value
}

function assertDepth(bytes: Buffer, maxDepth: number, what: string): void {
  if (opensAtMost(bytes, maxDepth)) return
  let depth = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === QUOTE) {
      for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++
    } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++depth > maxDepth)
        throw new HttpError('DRIFT_JSON', `${what} is nested deeper than ${maxDepth} levels`)
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--
  }
}

/** Who opens so few brackets is nested no deeper. */
function opensAtMost(bytes: Buffer, most: number): boolean {
  let opened = 0
  for (const bracket of [OPEN_ARRAY, OPEN_OBJECT]) {
    for (let at = bytes.indexOf(bracket); at >= 0; at = bytes.indexOf(bracket, at + 1)) {
      if (++opened > most) return false
    }
  }
  return true
}
