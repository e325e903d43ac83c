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
  for (let first = 0; first < counts.length; first += PIECE_ROWS) {
    if (first > 0) await ownTurn()
    countPiece(store, segment, live, first, counts)
  }
  return counts
}

/** Where each row of the segment is in the index, NO_ROW for one that does not count; in memory that threads share. */
export async function livePlaces(store: Store, segment: LiveSegment, live: LiveBits): Promise<Uint32Array> {
  const places = new Uint32Array(new SharedArrayBuffer(segment.rows.byteLength)).fill(NO_ROW)
  for (let first = 0; first < places.length; first += PIECE_ROWS) {
    if (first > 0) await ownTurn()
    placePiece(store, segment, live, first, places)
  }
  return places
}

function countPiece(
  store: Store,
  segment: LiveSegment,
  live: LiveBits,
  first: number,
  counts: Uint8Array,
): void {
  const end = Math.min(counts.length, first + PIECE_ROWS)
  for (let i = first; i < end; i++) if (countsAt(store, segment, live, i)) counts[i] = 1
}

function placePiece(
  store: Store,
  segment: LiveSegment,
  live: LiveBits,
  first: number,
  places: Uint32Array,
): void {
  const end = Math.min(places.length, first + PIECE_ROWS)
  for (let i = first; i < end; i++) if (countsAt(store, segment, live, i)) places[i] = segment.rows[i]!
}

function countsAt({ payloads }: Store, { reader, rows }: LiveSegment, live: LiveBits, i: number): boolean {
  const row = rows[i]!
  const isLive = row !== NO_ROW && (live === undefined || ((live[row >>> 5]! >>> (row & 31)) & 1) === 1)
  // A row number that was given to another row since is not this one's.
  return isLive && payloads.rowIsAt(row, reader, i)
}
