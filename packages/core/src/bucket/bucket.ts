/**
 * Reading one bucket: a chain of blocks whose entries are row numbers.
 * Rule: an entry counts only while its row is live and the row's home is this bucket, so a delete or a move never
 * searches for entries. A row that died and was taken again may be met twice; callers drop the second.
 */
import { BLOCK_ENTRIES, type Chains, NONE } from './extent.js'

/** Where rows are collected; grows on demand and keeps its contents. */
export interface RowRoom {
  readonly rows: Uint32Array
  /** @returns `rows`, now at least `count` long. */
  reserveRows(count: number): Uint32Array
}

/**
 * Append the rows that count to room.rows[at ...].
 *
 * @param home - undefined for a reader of a pinned view: rows that moved since are still met through the pinned chain,
 *   and a stale entry names a row that is live anyway.
 * @param rowLimit - entries from here on are newer than the view.
 * @returns the new end.
 */
export function rowsOfChain(
  { entries, next }: Chains,
  head: number,
  live: Uint32Array,
  home: Uint32Array | undefined,
  bucket: number,
  rowLimit: number,
  room: RowRoom,
  at: number,
): number {
  let out = room.rows
  let end = at
  // NONE ends the chain, and so does a block appended after a worker attached to the slab.
  for (let block = head; block < next.length; block = next[block]!) {
    if (end + BLOCK_ENTRIES > out.length) out = room.reserveRows(end + BLOCK_ENTRIES)
    const first = block * BLOCK_ENTRIES
    for (let i = first; i < first + BLOCK_ENTRIES; i++) {
      const row = entries[i]!
      if (row === NONE) return end
      if (row >= rowLimit || ((live[row >>> 5]! >>> (row & 31)) & 1) === 0) continue
      if (home !== undefined && home[row] !== bucket) continue
      out[end++] = row
    }
  }
  return end
}
