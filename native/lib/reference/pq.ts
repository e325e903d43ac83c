/**
 * Distances by look-up, in a table of floats with a byte per code and in one of bytes with 4 bits per code. Both are the
 * same bits in every variant: the first adds in f32 and in the order below, the second adds integers.
 */

const CODES = 256
const GROUP_BYTES = 16
const BLOCK_ROWS = 32

export function lutDistances(
  lut: Float32Array,
  width: number,
  codes: Uint8Array,
  first: number,
  count: number,
  out: Float32Array,
): void {
  const whole = width - (width % 4)
  for (let j = 0; j < count; j++) {
    const start = (first + j) * width
    let s0 = 0
    let s1 = 0
    let s2 = 0
    let s3 = 0
    for (let i = 0; i < whole; i += 4) {
      s0 = Math.fround(s0 + lut[i * CODES + codes[start + i]!]!)
      s1 = Math.fround(s1 + lut[(i + 1) * CODES + codes[start + i + 1]!]!)
      s2 = Math.fround(s2 + lut[(i + 2) * CODES + codes[start + i + 2]!]!)
      s3 = Math.fround(s3 + lut[(i + 3) * CODES + codes[start + i + 3]!]!)
    }
    for (let i = whole; i < width; i++) s0 = Math.fround(s0 + lut[i * CODES + codes[start + i]!]!)
    out[j] = Math.fround(s0 + s1) + Math.fround(s2 + s3)
  }
}

export function fastScan(
  lut: Uint8Array,
  groups: number,
  blocks: Uint8Array,
  stride: number,
  blockCount: number,
  out: Uint16Array,
): void {
  const bytes = groups * GROUP_BYTES
  for (let block = 0; block < blockCount; block++) {
    const sums = out.subarray(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS).fill(0)
    for (let i = 0; i < bytes; i++) {
      const codes = blocks[block * stride + i]!
      const row = i % GROUP_BYTES
      const table = i - row
      sums[row]! += lut[table + (codes & 15)]!
      sums[row + GROUP_BYTES]! += lut[table + (codes >> 4)]!
    }
  }
}
