/** Bitmaps over rows: bit r & 31 of word r >>> 5 for row r. */

export function bitsSet(words: Uint32Array): number {
  let count = 0
  for (let i = 0; i < words.length; i++) count += bitsIn(words[i]!)
  return count
}

/** Bits that both have. */
export function bitsInBoth(a: Uint32Array, b: Uint32Array): number {
  let count = 0
  for (let i = Math.min(a.length, b.length) - 1; i >= 0; i--) count += bitsIn(a[i]! & b[i]!)
  return count
}

function bitsIn(bits: number): number {
  let word = bits - ((bits >>> 1) & 0x5555_5555)
  word = (word & 0x3333_3333) + ((word >>> 2) & 0x3333_3333)
  return Math.imul((word + (word >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}
