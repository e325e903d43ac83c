/**
 * A random rotation of rows for codes, by seed, and its inverse. It spreads what a row holds over all values, so that codes of
 * single values or of few of them lose about the same everywhere. A rotated row has `padded` values, a multiple of 64.
 * Source: see `Kernels.rotate`; each of its steps is its own inverse.
 */
import { kernels, paddedDim } from '@drift/native'
import { seededRandom } from '../random.js'

export interface Rotation {
  /** Values of a rotated row. */
  readonly padded: number
  /** `count` rows of `dim` values to as many of `padded` in `out`. */
  apply(rows: Float32Array, count: number, out: Float32Array): void
  /** The same backwards; `rows` are overwritten. What a row has in its padding is lost. */
  undo(rows: Float32Array, count: number, out: Float32Array): void
}

/** @param seed - any integer; the same seed gives the same rotation everywhere. */
export function rotationOf(dim: number, seed: number): Rotation {
  const padded = paddedDim(dim)
  const width = 2 ** Math.floor(Math.log2(padded))
  const random = seededRandom(seed)
  const flips = Uint32Array.from({ length: ROUNDS * padded }, () => (random() < 0.5 ? 0 : SIGN_BIT))

  return {
    padded,
    apply(rows, count, out) {
      kernels.rotate(rows, dim, padded, 0, count, flips, out)
    },
    undo(rows, count, out) {
      for (let j = 0; j < count; j++) {
        const row = rows.subarray(j * padded, (j + 1) * padded)
        for (let round = ROUNDS - 1; round >= 0; round--) {
          if (width < padded) mixHalves(row)
          hadamard(row, round % 2 === 0 ? 0 : padded - width, width)
          flip(row, flips, round * padded)
        }
        out.set(row.subarray(0, dim), j * dim)
      }
    },
  }
}

/** Two give every value a share of every other; the trailing values see the whole row only after the second. */
const ROUNDS = 4
const SIGN_BIT = 0x8000_0000

function flip(row: Float32Array, flips: Uint32Array, from: number): void {
  for (let i = 0; i < row.length; i++) if (flips[from + i] !== 0) row[i] = -row[i]!
}

/** Walsh-Hadamard transform of row[start .. start + width), scaled to keep lengths. */
function hadamard(row: Float32Array, start: number, width: number): void {
  for (let half = 1; half < width; half *= 2) {
    for (let i = start; i < start + width; i += 2 * half) {
      for (let a = i; a < i + half; a++) {
        const x = row[a]!
        const y = row[a + half]!
        row[a] = x + y
        row[a + half] = x - y
      }
    }
  }
  const scale = 1 / Math.sqrt(width)
  for (let i = start; i < start + width; i++) row[i]! *= scale
}

function mixHalves(row: Float32Array): void {
  const half = row.length / 2
  for (let i = 0; i < half; i++) {
    const x = row[i]!
    const y = row[i + half]!
    row[i] = (x + y) * Math.SQRT1_2
    row[i + half] = (x - y) * Math.SQRT1_2
  }
}
