/**
 * The order of paged scans: a hash of the id, then the id's bytes. It depends on nothing but the id, so a cursor means the same after
 * any number of writes and restarts: a row that stays is given exactly once, whatever happens to others.
 */
import { encodeId, type Id } from '@drift/core'
import { DriftError } from '../errors.js'
import { show } from '../given.js'

/** Where a scan goes on: behind this id. */
export interface Place {
  readonly key: number
  readonly id: Uint8Array
}

const VERSION = 'c1.'
const FIRST_ROWS = 1024

/** Keys by row, computed when first asked for. */
export class ScanOrder {
  /** 0: not known. */
  #keys: Uint32Array = new Uint32Array(0)

  /** In 1 .. 2^32 - 1. */
  keyOf(row: number, idAt: (row: number) => Id): number {
    if (row >= this.#keys.length) {
      const larger = new Uint32Array(Math.max(row + 1, 2 * this.#keys.length, FIRST_ROWS))
      larger.set(this.#keys)
      this.#keys = larger
    }
    let key = this.#keys[row]!
    if (key === 0) {
      key = keyOfId(encodeId(idAt(row)))
      this.#keys[row] = key
    }
    return key
  }

  /** The row has a new holder. */
  forget(row: number): void {
    if (row < this.#keys.length) this.#keys[row] = 0
  }

  get bytes(): number {
    return this.#keys.byteLength
  }
}

export function comparePlaces(a: Place, b: Place): number {
  return a.key - b.key || Buffer.compare(a.id, b.id)
}

export function encodeCursor(id: Place['id']): string {
  return VERSION + Buffer.from(id).toString('base64url')
}

/** @throws DriftError DRIFT_CURSOR. */
export function decodeCursor(cursor: unknown): Place {
  if (typeof cursor === 'string' && cursor.startsWith(VERSION)) {
    const id = Buffer.from(cursor.slice(VERSION.length), 'base64url')
    if (id.length > 1 && encodeCursor(id) === cursor) return { key: keyOfId(id), id }
  }
  throw new DriftError('DRIFT_CURSOR', `cursor is ${show(cursor)}, expected what an earlier scan gave`)
}

/** FNV-1a with the finaliser of MurmurHash3, so that keys are spread evenly; never 0. */
function keyOfId(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0 || 1
}
