/**
 * The rows that a search may find: the live ones of those that the caller allows, and what searches among them find out about buckets.
 * Rule: what is known holds for one view while no row or entry comes, goes or moves. Of bits that are promised not to change it is kept
 * from search to search, of others it is forgotten with each.
 */
import { type AllowedRows, kernels, NOT_COUNTED } from '@drift/native'
import type { SearchView } from './view.js'

export class Allowed implements AllowedRows {
  bits: Uint32Array = new Uint32Array(0)
  counts: Uint32Array = new Uint32Array(0)
  masks: Uint32Array = new Uint32Array(0)
  /** How many rows are set in `bits`. */
  rows = 0
  #room: Uint32Array = new Uint32Array(0)
  #view: SearchView | undefined
  #changes = 0

  /** Of the live rows of the view those that are set in `allow`, with nothing known about them: good until the next call. */
  take({ slabs: { live, bucketCount, next } }: SearchView, allow: Uint32Array): this {
    const words = Math.min(live.length, allow.length)
    if (words > this.#room.length) this.#room = new Uint32Array(roomFor(words))
    this.bits = this.#room.subarray(0, words)
    this.rows = kernels.bitsAnd(live, allow, words, this.bits)
    if (bucketCount > this.counts.length) this.counts = new Uint32Array(roomFor(bucketCount))
    this.counts.fill(NOT_COUNTED, 0, bucketCount)
    if (next.length > this.masks.length) this.masks = new Uint32Array(next.length)
    return this
  }

  /** The same for bits that never change: as it was left, while that is the truth. */
  keep(view: SearchView, allow: Uint32Array): this {
    const { changes } = view
    if (view === this.#view && changes === this.#changes && view.slabs.next.length <= this.masks.length)
      return this
    this.#view = view
    this.#changes = changes
    return this.take(view, allow)
  }

  get bytes(): number {
    return this.#room.byteLength + this.counts.byteLength + this.masks.byteLength
  }
}

/** The live rows that are allowed as well, all of them when nothing is said. Bits, as both are. */
export function liveAmong(live: Uint32Array, allow: Uint32Array | undefined): Uint32Array {
  return allow === undefined ? live : live.map((word, i) => word & (allow[i] ?? 0))
}

const fixed = new WeakMap<Uint32Array, Allowed>()

/**
 * The caller promises not to change `allow` from now on: what searches find out about these rows is kept as long as the array is, and
 * as long as rows neither come nor go.
 *
 * @returns the same array.
 */
export function fixRows<Bits extends Uint32Array>(allow: Bits): Bits {
  if (!fixed.has(allow)) fixed.set(allow, new Allowed())
  return allow
}

/** Undefined for bits that may change. */
export function fixedIn(view: SearchView, allow: Uint32Array): Allowed | undefined {
  return fixed.get(allow)?.keep(view, allow)
}

/** Half as much again: few reallocations while an index grows. */
function roomFor(count: number): number {
  return count + (count >>> 1) + 64
}
