/**
 * Heads: short vectors by which most centroids are excluded without a look at the whole (`nearestByHeads`). The head of a row is
 * its projection on the directions in which rows differ most, and one value more: the length of what the projection leaves out.
 * Rule: heads lie no farther apart than rows do. For orthonormal directions that is the reverse triangle inequality; what
 * f32 makes of it is paid for by `slack`. Directions by orthogonal iteration (Golub and Van Loan, 7.3.2): any will do, the best exclude most.
 */
import { kernels } from '@drift/native'
import { meanOf } from './mean.js'

export interface HeadSpace {
  readonly dim: number
  /** Values of a head. */
  readonly headDim: number
  readonly middle: Float32Array
  /** (headDim - 1) * dim values, orthonormal. */
  readonly directions: Float32Array
}

export interface Heads {
  readonly space: HeadSpace
  /** Per position of the index headDim values. */
  readonly rows: Float32Array
  /** Added to every squared length that is left out: more than it can be off by. */
  readonly padding: number
  /** How much nearer than two heads the rows may lie, squared, by rounding. */
  readonly slack: number
}

/** Learnt from a sample of the rows; undefined when no few directions hold most of what rows differ by. */
export function headSpace(
  rows: Float32Array,
  dim: number,
  sample: Uint32Array,
  random: () => number,
): HeadSpace | undefined {
  const count = sample.length
  const most = HEAD_STEP * Math.floor(Math.min(dim * HEAD_SHARE_MAX, HEAD_MAX) / HEAD_STEP) - 1
  if (most < 1 || count < 2 * most) return undefined
  const middle = meanOf(rows, dim, sample)
  const gaps = new Float32Array(count * dim)
  for (let j = 0; j < count; j++) writeGap(gaps, j * dim, rows, sample[j]! * dim, middle)
  const columns = transposed(gaps, count, dim)

  // From rows of the sample: they lie where rows differ already.
  const directions = new Float32Array(most * dim)
  for (let b = 0; b < most; b++) {
    const row = Math.floor(((b + random()) * count) / most)
    directions.set(gaps.subarray(row * dim, (row + 1) * dim), b * dim)
  }
  if (!orthonormalise(directions, dim)) return undefined
  const weights = new Float32Array(count)
  for (let pass = 0; pass < PASSES; pass++) {
    for (let b = 0; b < most; b++) {
      const direction = directions.subarray(b * dim, (b + 1) * dim)
      kernels.distances('ip', direction, gaps, dim, 0, count, weights)
      kernels.distances('ip', weights, columns, count, 0, dim, direction)
    }
    if (!orthonormalise(directions, dim)) return undefined
  }

  const total = squaresOf(gaps)
  let held = 0
  for (let b = 0; b < most; b++) {
    kernels.distances('ip', directions.subarray(b * dim, (b + 1) * dim), gaps, dim, 0, count, weights)
    held += squaresOf(weights)
    const headDim = b + 2
    const isEnough = held >= HELD_ENOUGH * total || (b === most - 1 && held >= HELD_LEAST * total)
    if (headDim % HEAD_STEP === 0 && isEnough)
      return { dim, headDim, middle, directions: directions.slice(0, (headDim - 1) * dim) }
  }
  return undefined
}

export function headsOf(space: HeadSpace, rows: Float32Array, index: Uint32Array): Heads {
  const heads = projected(space, rows, index)
  let largest = 0
  for (let at = space.headDim - 1; at < heads.length; at += space.headDim)
    largest = Math.max(largest, heads[at]!)
  const scale = largest * Math.max(1, space.dim / ROUNDING_DIM)
  leaveOut(heads, space.headDim, PADDING * scale)
  return { space, rows: heads, padding: PADDING * scale, slack: SLACK * scale }
}

/** The heads of centroids, to be held against those of rows. */
export function centroidHeads({ space, padding }: Heads, centroids: Float32Array): Float32Array {
  const index = Uint32Array.from({ length: centroids.length / space.dim }, (_, c) => c)
  const heads = projected(space, centroids, index)
  leaveOut(heads, space.headDim, padding)
  return heads
}

/** Heads come in multiples of this: whole vectors of every instruction set. */
const HEAD_STEP = 16
/** Longer heads take longer than the comparisons they save; the directions cost dim * HEAD_MAX^2. */
const HEAD_SHARE_MAX = 1 / 3
const HEAD_MAX = 192
/** Share of the rows' squared distance from their middle: at 0.8, 1 in 250 centroids is left (384-d sentence embeddings). */
const HELD_ENOUGH = 0.8
const HELD_LEAST = 0.6
/** A third pass holds 0.5 % more. */
const PASSES = 2
/**
 * Of the largest squared distance from the middle, up to ROUNDING_DIM dimensions and in proportion beyond. A projection and its
 * square are off by less than 2^-21 of that. A length left out is off by 2^-21 / (2 * sqrt(PADDING)) then, and the square
 * of a difference of two such by less than SLACK. Centroids lie no farther out than rows, or little when they are scaled.
 */
const ROUNDING_DIM = 512
const PADDING = 2 ** -20
const SLACK = 2 ** -11

function projected(
  { dim, headDim, middle, directions }: HeadSpace,
  rows: Float32Array,
  index: Uint32Array,
): Float32Array {
  const heads = new Float32Array(index.length * headDim)
  kernels.project(rows, dim, index, index.length, middle, directions, headDim - 1, heads)
  return heads
}

/** The last place of a head: of the squared length, the length that its projection leaves out. Padding all alike brings those nearer. */
function leaveOut(heads: Float32Array, headDim: number, padding: number): void {
  for (let start = 0; start < heads.length; start += headDim) {
    const last = start + headDim - 1
    let left = heads[last]!
    for (let i = start; i < last; i++) left -= heads[i]! * heads[i]!
    heads[last] = Math.sqrt(Math.max(0, left) + padding)
  }
}

/** out[at ..] = row - middle. @returns its squares. */
function writeGap(
  out: Float32Array,
  at: number,
  rows: Float32Array,
  from: number,
  middle: Float32Array,
): number {
  let squares = 0
  for (let d = 0; d < middle.length; d++) {
    const gap = rows[from + d]! - middle[d]!
    out[at + d] = gap
    squares += gap * gap
  }
  return squares
}

function transposed(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(matrix.length)
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) out[j * rows + i] = matrix[i * columns + j]!
  }
  return out
}

function squaresOf(values: Float32Array): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!
  return sum
}

/** Gram and Schmidt, twice for each: once leaves what rounding makes of nearly equal vectors. @returns whether it could. */
function orthonormalise(vectors: Float32Array, dim: number): boolean {
  const shares = new Float32Array(vectors.length / dim)
  for (let b = 0; b < shares.length; b++) {
    const vector = vectors.subarray(b * dim, (b + 1) * dim)
    const before = squaresOf(vector)
    if (!scale(vector, before)) return false
    for (let round = 0; round < 2 && b > 0; round++) {
      kernels.distances('ip', vector, vectors, dim, 0, b, shares)
      for (let c = 0; c < b; c++) {
        for (let d = 0; d < dim; d++) vector[d]! += shares[c]! * vectors[c * dim + d]!
      }
      if (!scale(vector, squaresOf(vector))) return false
    }
  }
  return true
}

/** To unit length, unless nothing but rounding is left of it. */
function scale(vector: Float32Array, squares: number): boolean {
  if (!(squares > NOTHING_LEFT && squares < Number.POSITIVE_INFINITY)) return false
  const factor = 1 / Math.sqrt(squares)
  for (let d = 0; d < vector.length; d++) vector[d]! *= factor
  return true
}

/** The square of what f32 leaves of a unit vector that lay in the others' span, with room. */
const NOTHING_LEFT = 1e-10
