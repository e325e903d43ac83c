/**
 * The one rotation of every index: codes are made in the rotated space, where no direction is special. It is fixed for ever, so codes
 * of any two indexes of a dimension may be compared and none goes stale. Source: see `Kernels.rotate`.
 */
import { kernels, paddedDim } from '@drift/native'
import { seededRandom } from './random.js'

const ROUNDS = 4
const SEED = 0x0dd5
const SIGN_BIT = 0x8000_0000

export class Rotation {
  readonly dim: number
  /** A multiple of 64. */
  readonly padded: number
  readonly flips: Uint32Array

  constructor(dim: number) {
    this.dim = dim
    this.padded = paddedDim(dim)
    const random = seededRandom(SEED)
    this.flips = new Uint32Array(new SharedArrayBuffer(4 * ROUNDS * this.padded))
    for (let i = 0; i < this.flips.length; i++) this.flips[i] = random() < 0.5 ? 0 : SIGN_BIT
  }

  /** Rows first .. first + count - 1 of dim values, as rows of `padded` values, into `out` from 0 on. */
  apply(rows: Float32Array, first: number, count: number, out: Float32Array): Float32Array {
    kernels.rotate(rows, this.dim, this.padded, first, count, this.flips, out)
    return out
  }

  /** The vector of dim values that `apply` makes this one of, up to rounding. */
  invert(rotated: Float32Array): Float32Array {
    const { padded, dim } = this
    const values = rotated.slice(0, padded)
    let width = 64
    while (2 * width <= padded) width *= 2
    // Every step of a round is its own inverse.
    for (let round = ROUNDS - 1; round >= 0; round--) {
      if (width < padded) mix(values, 0, padded / 2, 1, Math.SQRT1_2)
      const start = (round & 1) === 1 ? padded - width : 0
      for (let half = 1; half < width; half *= 2)
        mix(values.subarray(start, start + width), 0, half, width / (2 * half), 1)
      const scale = 1 / Math.sqrt(width)
      for (let i = start; i < start + width; i++) values[i]! *= scale
      for (let i = 0; i < padded; i++) if (this.flips[round * padded + i] !== 0) values[i] = -values[i]!
    }
    return values.slice(0, dim)
  }
}

/** (a, b) -> (a + b, a - b) * scale for values `half` apart, in `pieces` pieces of 2 * half values from `start` on. */
function mix(values: Float32Array, start: number, half: number, pieces: number, scale: number): void {
  for (let piece = 0; piece < pieces; piece++) {
    const at = start + piece * 2 * half
    for (let i = at; i < at + half; i++) {
      const x = values[i]!
      const y = values[i + half]!
      values[i] = (x + y) * scale
      values[i + half] = (x - y) * scale
    }
  }
}
