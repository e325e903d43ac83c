/**
 * Random rotations of rows for codes, by seed, and back. A rotation spreads what a row holds over all values, so that codes of single
 * values or of few of them lose about the same everywhere. Rule: an index has one rotation, fixed for ever, so codes of any two indexes of
 * a dimension may be compared and none goes stale. Source: see `Kernels.rotate`; each of its steps is its own inverse.
 */
import { kernels, paddedDim } from '@drift/native'
import { seededRandom } from './random.js'

/** Two give every value a share of every other; the trailing values see the whole row only after the second. */
const ROUNDS = 4
const INDEX_SEED = 0x0dd5
const SIGN_BIT = 0x8000_0000

export class Rotation {
  readonly dim: number
  /** Values of a rotated row: a multiple of 64. */
  readonly padded: number
  readonly flips: Uint32Array

  /** @param seed - any integer; the same seed gives the same rotation everywhere. Default: that of every index. */
  constructor(dim: number, seed: number = INDEX_SEED) {
    this.dim = dim
    this.padded = paddedDim(dim)
    const random = seededRandom(seed)
    this.flips = new Uint32Array(new SharedArrayBuffer(4 * ROUNDS * this.padded))
    for (let i = 0; i < this.flips.length; i++) this.flips[i] = random() < 0.5 ? 0 : SIGN_BIT
  }

  /** Rows first .. first + count - 1 of dim values, as rows of `padded` values, into `out` from 0 on. */
  apply(rows: Float32Array, first: number, count: number, out: Float32Array): Float32Array {
    kernels.rotate(rows, this.dim, this.padded, first, count, this.flips, out)
    return out
  }

  /** The same backwards, up to rounding: the first `count` of `rows` into `out`, which gets dim values each. What a row has in its padding is lost. */
  undo(rows: Float32Array, count: number, out: Float32Array): Float32Array {
    const { padded, dim } = this
    const width = 2 ** Math.floor(Math.log2(padded))
    for (let j = 0; j < count; j++) {
      const row = rows.slice(j * padded, (j + 1) * padded)
      for (let round = ROUNDS - 1; round >= 0; round--) {
        if (width < padded) mix(row, padded / 2, 1, Math.SQRT1_2)
        const start = round % 2 === 1 ? padded - width : 0
        hadamard(row.subarray(start, start + width))
        for (let i = 0; i < padded; i++) if (this.flips[round * padded + i] !== 0) row[i] = -row[i]!
      }
      out.set(row.subarray(0, dim), j * dim)
    }
    return out
  }
}

/** Walsh-Hadamard transform, scaled to keep lengths. */
function hadamard(values: Float32Array): void {
  for (let half = 1; half < values.length; half *= 2) mix(values, half, values.length / (2 * half), 1)
  const scale = 1 / Math.sqrt(values.length)
  for (let i = 0; i < values.length; i++) values[i]! *= scale
}

/** (a, b) -> (a + b, a - b) * scale for values `half` apart, in `pieces` pieces of 2 * half values. */
function mix(values: Float32Array, half: number, pieces: number, scale: number): void {
  for (let piece = 0; piece < pieces; piece++) {
    const at = piece * 2 * half
    for (let i = at; i < at + half; i++) {
      const x = values[i]!
      const y = values[i + half]!
      values[i] = (x + y) * scale
      values[i + half] = (x - y) * scale
    }
  }
}
