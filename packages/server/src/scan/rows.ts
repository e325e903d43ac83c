/**
 * What a scan gives: rows as they were when it began, all of them, or a page in an order that a cursor can go on in.
 */
import type { Id } from '@drift/core'
import type { Filter } from '../filter/filter.js'
import { type Held, holding } from '../left-open.js'
import type { Payload } from '../rows.js'
import type { Store } from '../store.js'
import { decodeCursor, encodeCursor, type Place } from './order.js'
import { rowsInOrder } from './page.js'

export interface ScanOptions {
  readonly filter?: Filter
  /** Go on behind the row after which an earlier scan's `cursor` was taken. Good for ever: it survives writes and restarts. */
  readonly cursor?: string
  /** Rows at most. */
  readonly limit?: number
  /** Give each row's vector. Default true. */
  readonly vectors?: boolean
  /** Give each row's payload. Default true. */
  readonly payload?: boolean
  readonly signal?: AbortSignal
}

export interface ScannedRow<P extends object = Payload> {
  readonly id: Id
  readonly vector?: Float32Array
  readonly payload?: P
}

/** The rows, and where a later scan can go on. */
export interface Scan<Row> extends AsyncGenerator<Row, void, undefined> {
  /** Behind the last row given; undefined before the first row, at the end, and when neither `limit` nor `cursor` was given. */
  readonly cursor: string | undefined
}

/** @param filled - the row as the caller wants it. `check` throws when the scan may not go on. */
export interface ScanWork<Row> {
  readonly store: Store
  readonly options: Omit<ScanOptions, 'filter'>
  readonly matches: Parameters<typeof rowsInOrder>[1]['filter']
  readonly filled: (row: number) => Row
  readonly check: () => void
}

/** Milliseconds between two turns of the event loop, which a consumer that awaits nothing else would not give. */
const SLICE_MS = 2

export function scanRows<Row>(work: ScanWork<Row>): Scan<Row> {
  const { cursor, limit } = work.options
  const after = cursor === undefined ? undefined : decodeCursor(cursor)
  const state: { last: Place | undefined } = { last: undefined }
  const ordered = cursor !== undefined || limit !== undefined
  const rows = holding(held => walk(work, after, ordered, state, held))
  return Object.defineProperty(rows, 'cursor', {
    get: () => (ordered && state.last ? encodeCursor(state.last.id) : undefined),
  }) as Scan<Row>
}

async function* walk<Row>(
  { store, options, matches, filled, check }: ScanWork<Row>,
  after: Place | undefined,
  ordered: boolean,
  state: { last: Place | undefined },
  held: Held,
): AsyncGenerator<Row, void, undefined> {
  const { signal, limit = Number.POSITIVE_INFINITY } = options
  const goOn = (): void => {
    signal?.throwIfAborted()
    check()
  }
  goOn()
  const pin = store.index.pin()
  held.release = pin.release
  try {
    if (options.vectors !== false) await store.index.vectorsReady()
    const scanned = { live: pin.live, rows: pin.rows, filter: matches }
    const wanted = Math.min(limit, store.index.count + 1)
    let given = 0
    let turn = performance.now()
    for (const one of rowsInOrder(store, scanned, after, wanted, ordered)) {
      if (performance.now() - turn > SLICE_MS) {
        await nextTurn()
        goOn()
        turn = performance.now()
      }
      if (!one) continue
      if (given === limit) return
      goOn()
      state.last = one.place
      given++
      yield filled(one.row)
    }
    // Not even one more row: nothing is left to go on with.
    state.last = undefined
  } finally {
    pin.release()
  }
}

function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
