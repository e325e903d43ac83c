/**
 * The rows of a scan: those that match, in the order of `scan/order.ts` from a place on, or in no order. Keys are spread evenly, so a
 * window of them holds about as many rows as are wanted; only the payloads of rows in the window are looked at.
 */
import { encodeId } from '@drift/core'
import type { FilterNode } from '../filter/filter.js'
import { candidatesOf } from '../filter/plan.js'
import { predicateOf } from '../filter/predicate.js'
import { bitsOf, bitsSet } from '../payload-index/bits.js'
import { decodePayload } from '../rows.js'
import type { Store } from '../store.js'
import { comparePlaces, type Place } from './order.js'

export interface PlacedRow {
  readonly row: number
  /** Undefined in a scan without order. */
  readonly place: Place | undefined
}

/** What a scan walks over: fixed when it begins. */
export interface Scanned {
  readonly live: Uint32Array
  /** Every row number is below. */
  readonly rows: number
  readonly filter: FilterNode | undefined
}

const KEYS = 2 ** 32
/** A window is somewhat larger than the average would ask for: mostly one is enough. */
const SPARE_ROWS = 16
/** Keys compared without a pause; where they are not known yet that takes a millisecond. */
const STEP_ROWS = 4_096

/**
 * To be taken from while the pin that `live` belongs to is open. Undefined stands for a row that was looked at and does not match,
 * or many rows of which none is in the window.
 *
 * @param wanted - rows that will be taken, about.
 */
export function* rowsInOrder(
  store: Store,
  scanned: Scanned,
  after: Place | undefined,
  wanted: number,
  ordered: boolean,
): Generator<PlacedRow | undefined, void, undefined> {
  const { bits, isExact } = candidates(store, scanned)
  const passes = scanned.filter && !isExact ? predicateOf(scanned.filter) : () => true
  const isIn = (row: number): boolean => {
    if (isExact) return true
    const payload = store.payloads.read(row)
    return passes(payload && decodePayload(payload))
  }
  if (!ordered) {
    for (const row of bitsOf(bits)) yield isIn(row) ? { row, place: undefined } : undefined
    return
  }
  for (const window of windows(store, () => bitsOf(bits), bitsSet(bits), after, wanted)) {
    for (const one of window) yield isIn(one.row) ? one : undefined
    if (window.length === 0) yield undefined
  }
}

/** Live rows that may match. */
function candidates(
  { indexes }: Store,
  { live, rows, filter }: Scanned,
): { bits: Uint32Array; isExact: boolean } {
  const words = (rows + 31) >>> 5
  const known = filter && candidatesOf(filter, indexes, words)
  const bits = known?.rows ?? new Uint32Array(words).fill(0xffff_ffff)
  for (let i = 0; i < words; i++) bits[i]! &= live[i]!
  return { bits, isExact: filter === undefined || known?.exact === true }
}

/**
 * The rows behind a place by ranges of keys, each range in order; and nothing after every so many rows looked at.
 *
 * @param rows - all of them, `count` numbers, again for each range.
 * @param wanted - rows of a range, about.
 */
export function* windows(
  { index, order }: Store,
  rows: () => Iterable<number>,
  count: number,
  after: Place | undefined,
  wanted: number,
): Generator<{ readonly row: number; readonly place: Place }[]> {
  if (count === 0) return
  const idAt = (row: number) => index.idAt(row)
  const share = Math.min(1, (wanted + SPARE_ROWS + 2 * Math.sqrt(wanted)) / count)
  const width = Math.ceil(KEYS * share)
  for (let from = after?.key ?? 0; from < KEYS; from += width) {
    const found: { row: number; place: Place }[] = []
    let seen = 0
    for (const row of rows()) {
      if (++seen % STEP_ROWS === 0) yield []
      const key = order.keyOf(row, idAt)
      if (key < from || key >= from + width) continue
      const place = { key, id: encodeId(idAt(row)) }
      if (!after || comparePlaces(place, after) > 0) found.push({ row, place })
    }
    yield found.sort((a, b) => comparePlaces(a.place, b.place))
  }
}
