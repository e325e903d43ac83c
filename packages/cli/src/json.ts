/** JSON as the command reads and writes it: ids that are bigints are `{ "$bigint": "digits" }`, vectors are arrays. */
import { readFileSync } from 'node:fs'
import type { Id } from '@drift/client'
import { CliError } from './errors.js'

/** For JSON.stringify. */
export function writable(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { $bigint: String(value) }
  return value instanceof Float32Array ? Array.from(value) : value
}

/** An id as `export` writes it: bigints are `{ "$bigint": "digits" }`. What is none is left for the engine to refuse. */
export function jsonId(id: unknown): Id {
  const digits = (id as { $bigint?: unknown } | null)?.$bigint
  return typeof digits === 'string' && /^-?\d{1,20}$/.test(digits) ? BigInt(digits) : (id as Id)
}

/** @param what - is called in the error. */
export function json(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new CliError('DRIFT_JSON', `${what} is not JSON: ${(error as Error).message}`, {}, { cause: error })
  }
}

export function jsonFile(path: string): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new CliError('DRIFT_OPTION', `${path} cannot be read: ${(error as Error).message}`, { path })
  }
  return json(text, path)
}
