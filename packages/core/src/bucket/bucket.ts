/**
 * Reading one bucket: a chain of blocks whose entries are row numbers.
 * Rule: an entry counts only while its row is live and the row's home is this bucket, so a delete or a move never
 * searches for entries. A row that died and was taken again may be met twice; callers drop the second.
 */
import { BLOCK_ENTRIES, type Chains, NONE } from './extent.js'

/**
 * Append the rows that count to out[at ...].
 *
 * @param home - undefined for a reader of a pinned view: rows that moved since are still met through the pinned chain,
 *   and a stale entry names a row that is live anyway.
 * @param rowLimit - entries from here on are newer than the view.
 * @returns the new end of `out`, which has room for every entry of the chain.
 */
export function rowsOfChain(
  chains: Chains,
  head: number,
  live: Uint32Array,
  home: Uint32Array | undefined,
  bucket: number,
  rowLimit: number,
  out: Uint32Array,
  at: number,
): number {
  const { entries, next } = chains
  // NONE ends the chain, and so does a block appended after a worker attached to the slab.
  for (let block = head; block < next.length; block = next[block]!) {
    const first = block * BLOCK_ENTRIES
    for (let i = first; i < first + BLOCK_ENTRIES; i++) {
      const row = entries[i]!
      if (row === NONE) return at
      if (row >= rowLimit || ((live[row >>> 5]! >>> (row & 31)) & 1) === 0) continue
      if (home !== undefined && home[row] !== bucket) continue
      out[at++] = row
    }
  }
  return at
}

/** Entries of the chain, counting or not, rounded up to blocks: the room that `rowsOfChain` may need. */
export function roomOfChain(chains: Chains, head: number): number {
  let room = 0
  for (let block = head; block < chains.next.length; block = chains.next[block]!) room += BLOCK_ENTRIES
  return room
}
