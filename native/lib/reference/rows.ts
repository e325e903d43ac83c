/** Lengths of vectors, and those of length 1; new rows: the exact vector to where it is kept, at unit length where the metric wants it, and its rotated image as SQ8. */
import { rotate } from './rotate.js'
import { sq8Encode } from './sq8.js'

export function squaredLengths(rows: Float32Array, dim: number, count: number, out: Float64Array): void {
  for (let j = 0; j < count; j++) out[j] = squaredLength(rows, j * dim, dim)
}

export function normalise(rows: Float32Array, dim: number, count: number, out: Float32Array): void {
  for (let j = 0; j < count; j++) scale(rows, j * dim, dim, unitScale(rows, j * dim, dim), out, j * dim)
}

export function encodeRows(
  from: Float32Array,
  dim: number,
  sources: Uint32Array,
  isUnit: boolean,
  kept: Float32Array,
  places: Uint32Array,
  padded: number,
  flips: Uint32Array,
  rows: Uint32Array,
  codes: Uint8Array,
  factors: Float32Array,
): void {
  const rotated = new Float32Array(padded)
  for (let j = 0; j < sources.length; j++) {
    const start = sources[j]! * dim
    const exact = kept.subarray(places[j]! * dim, (places[j]! + 1) * dim)
    scale(from, start, dim, isUnit ? unitScale(from, start, dim) : 1, exact, 0)
    rotate(exact, dim, padded, 0, 1, flips, rotated)
    const row = rows[j]!
    sq8Encode(rotated, padded, 0, 1, codes.subarray(row * padded), factors.subarray(2 * row))
  }
}

/** What rounding its values to floats does to the squared length of a unit row, at most, and as much again. */
const UNIT_ERROR = 2 ** -22

/** A row of unit length stays as it is, so that scaling again changes nothing. */
function unitScale(values: Float32Array, start: number, dim: number): number {
  const squares = squaredLength(values, start, dim)
  return Math.abs(squares - 1) <= UNIT_ERROR ? 1 : 1 / Math.sqrt(squares)
}

function scale(
  from: Float32Array,
  start: number,
  dim: number,
  by: number,
  to: Float32Array,
  at: number,
): void {
  for (let i = 0; i < dim; i++) to[at + i] = from[start + i]! * by
}

/** In four sums, as one would wait for each addition. */
function squaredLength(values: Float32Array, start: number, dim: number): number {
  const sums = [0, 0, 0, 0]
  const whole = dim - (dim % 4)
  for (let i = 0; i < dim; i++) {
    const value = values[start + i]!
    sums[i < whole ? i % 4 : 0]! += value * value
  }
  return sums[0]! + sums[1]! + (sums[2]! + sums[3]!)
}
