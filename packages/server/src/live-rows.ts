/** Which rows of a segment count, and where they are in the index. In pieces between which the event loop turns: a pin keeps the moment. */
import { ownTurn } from '@drift/core'
import { NO_ROW } from '@drift/storage'
import type { LiveSegment, Store } from './store.js'

/** Rows between two turns of the event loop: some 0.2 ms. */
export const PIECE_ROWS = 8_192

/** One bit a row of the index, while its pin is open; undefined: every row is live. */
export type LiveBits = Uint32Array | undefined

/** 1 for each row of the segment that counts. */
export async function liveRows(store: Store, segment: LiveSegment, live: LiveBits): Promise<Uint8Array> {
  const counts = new Uint8Array(segment.rows.length)
  await eachLive(store, segment, live, i => {
    counts[i] = 1
  })
  return counts
}

/** Where each row of the segment is in the index, NO_ROW for one that does not count; in memory that threads share. */
export async function livePlaces(store: Store, segment: LiveSegment, live: LiveBits): Promise<Uint32Array> {
  const places = new Uint32Array(new SharedArrayBuffer(segment.rows.byteLength)).fill(NO_ROW)
  await eachLive(store, segment, live, (i, row) => {
    places[i] = row
  })
  return places
}

async function eachLive(
  store: Store,
  { reader, rows }: LiveSegment,
  live: LiveBits,
  visit: (i: number, row: number) => void,
): Promise<void> {
  for (let i = 0; i < rows.length; i++) {
    if (i % PIECE_ROWS === PIECE_ROWS - 1) await ownTurn()
    const row = rows[i]!
    const isLive = row !== NO_ROW && (live === undefined || ((live[row >>> 5]! >>> (row & 31)) & 1) === 1)
    // A row number that was given to another row since is not this one's.
    if (isLive && store.payloads.rowIsAt(row, reader, i)) visit(i, row)
  }
}
