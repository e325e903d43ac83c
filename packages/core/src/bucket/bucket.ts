/**
 * Reading one bucket: a chain of blocks whose entries are row numbers.
 * Rule: an entry counts only while its row is live and calls this bucket its home or its second, so a delete or a move
 * never searches for entries. A row that died and was taken again may be met twice; callers drop the second.
 */
import { BLOCK_ENTRIES, type Chains, NONE } from './extent.js'

/** Where rows are collected; grows on demand and keeps its contents. */
export interface RowRoom {
  readonly rows: Uint32Array
  /** @returns `rows`, now at least `count` long. */
  reserveRows(count: number): Uint32Array
}

/** Which entries of a chain count. */
export interface EntryFilter {
  readonly home: Uint32Array
  readonly second: Uint32Array
  /** A row met in its second bucket is left out when its home is marked too: it is met there. By bucket; undefined: never. */
  readonly marks: Uint32Array | undefined
  readonly mark: number
}

/**
 * Append the rows that count to room.rows[at ...].
 *
 * @param filter - undefined for a reader of a pinned view: rows that moved since are still met through the pinned chain,
 *   and a stale entry names a row that is live anyway.
 * @param rowLimit - entries from here on are newer than the view.
 * @returns the new end.
 */
export function rowsOfChain(
  { entries, next }: Chains,
  head: number,
  live: Uint32Array,
  filter: EntryFilter | undefined,
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
      if (filter !== undefined && !counts(filter, row, bucket)) continue
      out[end++] = row
    }
  }
  return end
}

function counts({ home, second, marks, mark }: EntryFilter, row: number, bucket: number): boolean {
  const at = home[row]!
  return at === bucket || (second[row] === bucket && (marks === undefined || marks[at] !== mark))
}
