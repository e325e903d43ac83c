/**
 * Trained scalar quantization: each dimension gets its own range, and a value one byte.
 * Rule: a value inside the range comes back within half a step; outside it is clamped. A range is the 1st to the 99th
 * percentile of the rows it was trained on, so that a few outliers do not take the resolution of all the others.
 * The engine's default codes (kernels.sq8Encode) need no training; these fit data whose dimensions differ in scale.
 */
import { CoreError } from '../errors.js'
import { validateVectors } from '../metric.js'

/** A code c of dimension d stands for min[d] + c * step[d]; step 0 stands for min[d] alone. */
export interface Sq8Quantizer {
  readonly dim: number
  readonly min: Float32Array
  readonly step: Float32Array
}

export interface Sq8Training {
  /** Share of the rows outside the range at each end, in [0, 0.5). Default 0.01; 0, and few rows, mean minimum and maximum. */
  readonly clip?: number
  /** Rows to learn from, spread evenly over all. Default 10 000: 100 rows beyond each end place it well. */
  readonly sampleRows?: number
}

/** @throws CoreError DRIFT_EMPTY_BATCH, DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_SQ8_OPTION. */
export function trainSq8(
  rows: Float32Array,
  dim: number,
  { clip = DEFAULT_CLIP, sampleRows = DEFAULT_SAMPLE_ROWS }: Sq8Training = {},
): Sq8Quantizer {
  requireDim(dim)
  validateVectors(rows, dim)
  if (rows.length === 0) throw new CoreError('DRIFT_EMPTY_BATCH', 'SQ8 needs at least one row to learn from')
  if (!(clip >= 0 && clip < 0.5)) throw badOption('clip', clip, 'in [0, 0.5)')
  if (!(sampleRows >= 1)) throw badOption('sampleRows', sampleRows, 'at least 1')
  const count = rows.length / dim
  const taken = Math.min(count, Math.floor(sampleRows))
  const column = new Float32Array(taken)
  const min = new Float32Array(dim)
  const step = new Float32Array(dim)
  for (let d = 0; d < dim; d++) {
    for (let j = 0; j < taken; j++) column[j] = rows[Math.floor((j * count) / taken) * dim + d]!
    column.sort()
    const low = percentile(column, clip)
    min[d] = low
    step[d] = (percentile(column, 1 - clip) - low) / MAX_CODE
  }
  return { dim, min, step }
}

/**
 * Nearest code of every value.
 *
 * @param codes - filled from its start, one byte a value; at least as long as `rows`.
 * @throws CoreError DRIFT_DIMENSION, DRIFT_VECTOR_VALUE; nothing is written then.
 */
export function encodeSq8(quantizer: Sq8Quantizer, rows: Float32Array, codes: Uint8Array): void {
  const { dim, min, step } = quantizer
  validateVectors(rows, dim)
  requireLength('codes', codes.length, rows.length)
  // A clamped array rounds half to even and clamps to 0..255 as it stores; truncation would bias by half a step.
  const out = new Uint8ClampedArray(codes.buffer, codes.byteOffset, codes.length)
  const scale = Float64Array.from(step, value => (value === 0 ? 0 : 1 / value))
  for (let start = 0; start < rows.length; start += dim) {
    for (let d = 0; d < dim; d++) out[start + d] = (rows[start + d]! - min[d]!) * scale[d]!
  }
}

/** The values that the codes stand for, row-major. */
export function decodeSq8(
  quantizer: Sq8Quantizer,
  codes: Uint8Array,
  out: Float32Array = new Float32Array(codes.length),
): Float32Array {
  const { dim, min, step } = quantizer
  if (codes.length % dim !== 0) throw badLength('codes', codes.length, `a multiple of ${dim}`)
  requireLength('out', out.length, codes.length)
  for (let start = 0; start < codes.length; start += dim) {
    for (let d = 0; d < dim; d++) out[start + d] = min[d]! + codes[start + d]! * step[d]!
  }
  return out
}

/** Refuse an array shorter than `needed` by its name. */
export function requireLength(name: string, length: number, needed: number): void {
  if (length < needed) throw badLength(name, length, `at least ${needed}`)
}

export function badLength(name: string, length: number, expected: string): CoreError {
  return new CoreError('DRIFT_DIMENSION', `${name} has ${length} values, expected ${expected}`, {
    name,
    length,
  })
}

const DEFAULT_CLIP = 0.01
const DEFAULT_SAMPLE_ROWS = 10_000
const MAX_CODE = 255

/** Between the two nearest of the sorted values; the ends when there are too few to leave one whole row outside. */
function percentile(sorted: Float32Array, share: number): number {
  const last = sorted.length - 1
  const tooFew = Math.min(share, 1 - share) * sorted.length < 1
  const at = tooFew ? Math.round(share) * last : share * last
  const below = Math.floor(at)
  const low = sorted[below]!
  const high = sorted[Math.min(below + 1, last)]!
  return low + (high - low) * (at - below)
}

function requireDim(dim: number): void {
  if (!Number.isInteger(dim) || dim < 1) {
    throw new CoreError('DRIFT_DIMENSION', `dimension ${dim} is not a positive integer`, { dim })
  }
}

function badOption(name: string, value: number, expected: string): CoreError {
  return new CoreError('DRIFT_SQ8_OPTION', `${name} is ${value}, expected ${expected}`, { name, value })
}
