/**
 * The fixed random rotation: rounds of sign flips and Walsh-Hadamard transforms over the leading and the trailing power of two.
 * Storing to a Float32Array rounds every step as C does, so the bits are the same.
 */

const HALF = Math.fround(Math.SQRT1_2)

export function rotate(
  rows: Float32Array,
  dim: number,
  padded: number,
  first: number,
  count: number,
  flips: Uint32Array,
  out: Float32Array,
): void {
  let width = 64
  while (2 * width <= padded) width *= 2
  const scale = Math.fround(1 / Math.sqrt(width))
  for (let j = 0; j < count; j++) {
    const row = out.subarray(j * padded, (j + 1) * padded)
    row.fill(0)
    row.set(rows.subarray((first + j) * dim, (first + j + 1) * dim))
    for (let round = 0; round * padded < flips.length; round++) {
      for (let i = 0; i < padded; i++) if (flips[round * padded + i] !== 0) row[i] = -row[i]!
      hadamard(row, (round & 1) === 1 ? padded - width : 0, width, scale)
      if (width < padded) for (let i = 0; i < padded / 2; i++) mix(row, i, i + padded / 2, HALF)
    }
  }
}

function hadamard(values: Float32Array, start: number, width: number, scale: number): void {
  for (let half = 1; half < width; half *= 2) {
    const by = 2 * half === width ? scale : 1
    for (let i = start; i < start + width; i += 2 * half) {
      for (let j = i; j < i + half; j++) mix(values, j, j + half, by)
    }
  }
}

function mix(values: Float32Array, a: number, b: number, scale: number): void {
  const x = values[a]!
  const y = values[b]!
  values[a] = Math.fround(x + y) * scale
  values[b] = Math.fround(x - y) * scale
}
