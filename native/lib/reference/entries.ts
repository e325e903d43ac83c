/** Reading buckets: chains of blocks of 32 entries, each a row number. */

const BLOCK_ENTRIES = 32
const NONE = 0xffff_ffff

export function collectRows(
  entries: Uint32Array,
  next: Uint32Array,
  heads: Uint32Array,
  buckets: Uint32Array,
  count: number,
  home: Uint32Array,
  second: Uint32Array,
  marks: Uint32Array,
  mark: number,
  rowLimit: number,
  out: Uint32Array,
): number {
  const blocks = next.length
  let found = 0
  for (let i = 0; i < count; i++) {
    const bucket = buckets[i]!
    let left = blocks
    chain: for (let block = heads[bucket]!; block < blocks && left-- > 0; block = next[block]!) {
      for (let j = block * BLOCK_ENTRIES; j < (block + 1) * BLOCK_ENTRIES; j++) {
        const row = entries[j]!
        if (row === NONE) break chain
        if (row >= rowLimit) continue
        const at = home[row]!
        if (at !== bucket && (second[row] !== bucket || marks[at] === mark)) continue
        if (found < out.length) out[found] = row
        found++
      }
    }
  }
  return found
}
