/** Bitmaps of rows: what two of them have in common. */

export function bitsAnd(a: Uint32Array, b: Uint32Array, words: number, out: Uint32Array): number {
  let count = 0
  for (let i = 0; i < words; i++) {
    out[i] = a[i]! & b[i]!
    count += bitsIn(out[i]!)
  }
  return count
}

function bitsIn(bits: number): number {
  let word = bits - ((bits >>> 1) & 0x5555_5555)
  word = (word & 0x3333_3333) + ((word >>> 2) & 0x3333_3333)
  return Math.imul((word + (word >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}
