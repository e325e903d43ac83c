/**
 * JSON Merge Patch (RFC 7396) of a payload: an object is merged into an object, null removes, everything else replaces. What JSON would
 * write as null without being it, NaN for one, is refused: nobody who computes a value means to remove it.
 * Rule: names are data, `__proto__` too; the patch's depth bounds the recursion.
 */
import { types } from 'node:util'
import type { Id } from '@drift/core'
import { DriftError } from './errors.js'
import { show } from './given.js'
import { decodePayload, encodePayload, type Payload } from './rows.js'

const MAX_DEPTH = 64

/** The patch as JSON text. @throws DriftError DRIFT_PATCH, DRIFT_PAYLOAD_TOO_LARGE. */
export function encodePatch(patch: unknown): Uint8Array {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) {
    throw new DriftError(
      'DRIFT_PATCH',
      `the patch is ${show(patch)}, expected an object such as { seen: true }`,
    )
  }
  let bytes: Uint8Array
  try {
    bytes = encodePayload(patch, 'the patch', refuseLostValues)!
  } catch (cause) {
    const { code, message } = cause as DriftError
    if (code === 'DRIFT_PAYLOAD_TOO_LARGE') throw cause
    throw new DriftError('DRIFT_PATCH', message, {}, { cause })
  }
  if (depthOf(decodePayload(bytes)) > MAX_DEPTH) {
    throw new DriftError('DRIFT_PATCH', `the patch is deeper than ${MAX_DEPTH} objects`, { limit: MAX_DEPTH })
  }
  return bytes
}

/** In arrays they stay null, as in any payload. */
function refuseLostValues(this: unknown, key: string, value: unknown): unknown {
  const given = (this as Payload)[key]
  const isLost = value === null || (typeof value === 'number' && !Number.isFinite(value))
  if (given === null || Array.isArray(this) || !isLost) return value
  const what = types.isDate(given) ? 'an invalid Date' : show(given)
  throw new Error(
    `${show(key)} is ${what}, which JSON writes as null, and null removes; leave it out or give null`,
  )
}

/** The payload of a row with the patch applied, both as JSON text. @throws DriftError DRIFT_PAYLOAD_TOO_LARGE. */
export function patched(id: Id, payload: Uint8Array | undefined, patch: Payload): Uint8Array {
  return encodePayload(merged(payload && decodePayload(payload), patch), `the payload of ${show(id)}`)!
}

function merged(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const fields = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) fields.delete(name)
    else fields.set(name, merged(fields.get(name), value))
  }
  return Object.fromEntries(fields)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function depthOf(patch: Payload): number {
  let depth = 0
  for (let level: unknown[] = [patch]; level.length > 0; depth++) {
    level = level.flatMap(value => (isObject(value) ? Object.values(value).filter(isObject) : []))
  }
  return depth
}
