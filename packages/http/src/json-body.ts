/**
 * A JSON body from bytes: UTF-8 and depth are checked before anything is built, so that a body of brackets costs a
 * pass over its bytes and no stack; keys that reach a prototype are refused.
 */
import { HttpError } from './errors.js'

const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const [QUOTE, BACKSLASH, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [
  0x22, 0x5c, 0x5b, 0x5d, 0x7b, 0x7d,
]
/** Also where the name is written with \u escapes. */
const SUSPICIOUS = /__proto__|constructor|prototype|\\u/

/** @throws HttpError DRIFT_JSON */
export function parseJson(bytes: Uint8Array, maxDepth: number): unknown {
  if (bytes.length === 0) throw new HttpError('DRIFT_JSON', 'the body is empty, expected JSON')
  assertDepth(bytes, maxDepth)
  let json: string
  try {
    json = text.decode(bytes)
  } catch {
    throw new HttpError('DRIFT_JSON', 'the body is not UTF-8')
  }
  try {
    return SUSPICIOUS.test(json) ? JSON.parse(json, refusePrototypes) : JSON.parse(json)
  } catch (error) {
    if (error instanceof HttpError) throw error
    throw new HttpError('DRIFT_JSON', 'the body is not JSON')
  }
}

function refusePrototypes(key: string, value: unknown): unknown {
  if (key === '__proto__' || key === 'constructor' || key === 'prototype') {
    throw new HttpError('DRIFT_JSON', `the body has the key '${key}', which is not allowed`)
  }
  return value
}

function assertDepth(bytes: Uint8Array, maxDepth: number): void {
  let depth = 0
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === QUOTE) {
      for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) if (bytes[i] === BACKSLASH) i++
    } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      if (++depth > maxDepth)
        throw new HttpError('DRIFT_JSON', `the body is nested deeper than ${maxDepth} levels`)
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--
  }
}
