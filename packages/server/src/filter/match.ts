/**
 * The rows that match a filter now: indexes first, then the payloads of the rows that indexes leave, decoded in slices between
 * which the event loop turns. A row's payload never changes while the row lives, so a row needs to be judged once;
 * what was written between slices is judged before the result is used.
 */
import { setImmediate } from 'node:timers/promises'
import { bitsSet, rowsOfBits } from '../payload-index/bits.js'
import { PayloadSlice } from '../payload-slice.js'
import { decodePayload } from '../rows.js'
import type { Store } from '../store.js'
import type { FilterNode } from './filter.js'
import { candidatesOf } from './plan.js'
import { type Predicate, predicateOf } from './predicate.js'
import { textOf } from './recent.js'

/** One bit a row, as the index takes it; in shared memory, so that threads need no copy. Not to be changed: others may be given the same. */
export interface Matching {
  readonly rows: Uint32Array
  readonly count: number
}

/**
 * Without a filter every row matches.
 *
 * Call `use` with the rows that match, in a tick in which this is the truth: no write comes between. While `use` runs on, a row among
 * them is not given to another id.
 */
export async function withMatching<T>(
  store: Store,
  filter: FilterNode | undefined,
  signal: AbortSignal | undefined,
  use: (matching: Matching) => T | Promise<T>,
): Promise<T> {
  const { index, recentMatches } = store
  const pin = index.pin()
  try {
    const text = filter && textOf(filter)
    const known = text === undefined ? undefined : recentMatches.find(text, index.updates)
    if (known) return await use(known)
    const judge = new Judge(store, filter)
    let matching = judge.run(signal)
    while (matching === undefined) {
      await setImmediate()
      signal?.throwIfAborted()
      matching = judge.run(signal)
    }
    if (text !== undefined) recentMatches.keep(text, index.updates, matching)
    return await use(matching)
  } finally {
    pin.release()
  }
}

class Judge {
  readonly #store: Store
  readonly #filter: FilterNode | undefined
  readonly #passes: Predicate
  /** By row: judged, and let pass. */
  #judged = new Uint32Array(0)
  #passed = new Uint32Array(0)

  constructor(store: Store, filter: FilterNode | undefined) {
    this.#store = store
    this.#filter = filter
    this.#passes = filter ? predicateOf(filter) : () => true
  }

  /** @returns undefined when time is up; call again. */
  run(signal: AbortSignal | undefined): Matching | undefined {
    const { index, indexes } = this.#store
    // A pin of this moment is only looked at: the one that keeps rows from being reused is the caller's.
    const { live, rows: limit, release } = index.pin()
    release()
    const words = (limit + 31) >>> 5
    const candidates = this.#filter && candidatesOf(this.#filter, indexes, words)
    const rows = candidates?.rows ?? new Uint32Array(words).fill(0xffff_ffff)
    for (let i = 0; i < words; i++) rows[i]! &= live[i]!
    if (!this.#filter || candidates?.exact) return shared(rows)
    if (!this.#judgeAll(rows, signal)) return undefined
    for (let i = 0; i < words; i++) rows[i]! &= this.#passed[i]!
    return shared(rows)
  }

  /** @returns false when time was up. */
  #judgeAll(candidates: Uint32Array, signal: AbortSignal | undefined): boolean {
    this.#judged = grown(this.#judged, candidates.length)
    this.#passed = grown(this.#passed, candidates.length)
    const { payloads } = this.#store
    const slice = new PayloadSlice()
    for (let word = 0; word < candidates.length; word++) {
      for (let bits = candidates[word]! & ~this.#judged[word]!; bits !== 0; bits &= bits - 1) {
        const bit = bits & -bits
        const payload = payloads.read((word << 5) | (31 - Math.clz32(bit)))
        if (this.#passes(payload && decodePayload(payload))) this.#passed[word]! |= bit
        this.#judged[word]! |= bit
        if (!slice.isOverAfter(payload)) continue
        signal?.throwIfAborted()
        return false
      }
    }
    return true
  }
}

/** The matching rows, ascending. */
export function rowsOf(matching: Matching): Uint32Array {
  return rowsOfBits(matching.rows)
}

function shared(bits: Uint32Array): Matching {
  const rows = new Uint32Array(new SharedArrayBuffer(bits.byteLength))
  rows.set(bits)
  return { rows, count: bitsSet(rows) }
}

function grown(bits: Uint32Array<ArrayBuffer>, words: number): Uint32Array<ArrayBuffer> {
  if (bits.length >= words) return bits
  const larger = new Uint32Array(words)
  larger.set(bits)
  return larger
}
