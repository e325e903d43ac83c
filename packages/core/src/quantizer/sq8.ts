/**
 * Trained scalar quantization: each dimension gets its own range, and a value one byte.
 * Rule: a value inside the range comes back within half a step; outside it is clamped. A range is that of the rows it was
 * trained on but for the outermost thousandths, so that a few outliers do not take the resolution of all the others.
 * The engine's default codes (kernels.sq8Encode) need no training; these fit data whose dimensions differ in scale.
 */
import { type KernelMetric, kernels } from '@drift/native'
import { requireKnown } from '../arguments.js'
import { badOption, type Quantizer, quantizerOf, requireTrainingRows } from './quantizer.js'
import { corrupt, type StoredQuantizer, writeStored } from './stored.js'

/** A code c of dimension d stands for min[d] + c * step[d]; step 0 stands for min[d] alone. */
export interface Sq8Quantizer extends Quantizer {
  readonly min: Float32Array
  readonly step: Float32Array
}

export interface Sq8Training {
  readonly dim: number
  /** Share of the rows outside the range at each end, in [0, 0.5). Default 0.001; 0, and few rows, mean minimum and maximum. */
  readonly clip?: number
  /** Rows to learn from, spread evenly over all. Default 10 000, ten beyond each end. */
  readonly sampleRows?: number
}

const SQ8_OPTIONS: Record<keyof Sq8Training, true> = { dim: true, clip: true, sampleRows: true }

/** @throws CoreError DRIFT_EMPTY_BATCH, DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_OPTION. */
export function trainSq8(vectors: Float32Array, options: Sq8Training): Sq8Quantizer {
  requireKnown(options, SQ8_OPTIONS, 'trainSq8')
  const { dim, clip = DEFAULT_CLIP, sampleRows = DEFAULT_SAMPLE_ROWS } = options
  requireTrainingRows(vectors, dim)
  if (!(clip >= 0 && clip < 0.5)) throw badOption('clip', clip, 'in [0, 0.5)')
  if (!(sampleRows >= 1)) throw badOption('sampleRows', sampleRows, 'at least 1')
  const count = vectors.length / dim
  const taken = Math.min(count, Math.floor(sampleRows))
  const column = new Float32Array(taken)
  const min = new Float32Array(dim)
  const step = new Float32Array(dim)
  for (let d = 0; d < dim; d++) {
    for (let j = 0; j < taken; j++) column[j] = vectors[Math.floor((j * count) / taken) * dim + d]!
    column.sort()
    const low = percentile(column, clip)
    min[d] = low
    step[d] = (percentile(column, 1 - clip) - low) / MAX_CODE
  }
  return sq8Of(min, step)
}

/** @throws CoreError DRIFT_QUANTIZER_CORRUPT. */
export function sq8From({ dim, values }: StoredQuantizer): Sq8Quantizer {
  if (values.length !== 2 * dim) throw corrupt(`has ${values.length} values for ranges of ${dim} dimensions`)
  const step = values.slice(dim)
  if (!step.every(value => value >= 0)) throw corrupt('holds a range that is no range')
  return sq8Of(values.slice(0, dim), step)
}

function sq8Of(min: Float32Array, step: Float32Array): Sq8Quantizer {
  const dim = min.length
  const values = new Float32Array(2 * dim)
  values.set(min)
  values.set(step, dim)
  const quantizer = quantizerOf({
    kind: 'sq8',
    dim,
    blockRows: 1,
    blockBytes: dim,
    bytes: writeStored({ kind: 'sq8', dim, subspaces: 0, bits: 8, rotated: false, seed: 0, values }),
    encode: (vectors, _count, codes) => encode(min, step, vectors, codes),
    decode(codes, count, out) {
      for (let start = 0; start < count * dim; start += dim) {
        for (let d = 0; d < dim; d++) out[start + d] = min[d]! + codes[start + d]! * step[d]!
      }
    },
    distances(metric, query, codes, count, out) {
      const line = foldQuery(metric, query, min, step)
      kernels.affineDistances(metric, line.offset, line.step, codes, dim, 0, count, out)
    },
  })
  return { ...quantizer, min, step }
}

/** On real rows 0.01 loses ten times as much as this, nearly all of it in what it clips: docs/quantizers.md. */
const DEFAULT_CLIP = 0.001
const DEFAULT_SAMPLE_ROWS = 10_000
const MAX_CODE = 255

function encode(min: Float32Array, step: Float32Array, vectors: Float32Array, codes: Uint8Array): void {
  const dim = min.length
  // A clamped array rounds half to even and clamps to 0..255 as it stores; truncation would bias by half a step.
  const out = new Uint8ClampedArray(codes.buffer, codes.byteOffset, codes.length)
  const scale = Float64Array.from(step, value => (value === 0 ? 0 : 1 / value))
  for (let start = 0; start < vectors.length; start += dim) {
    for (let d = 0; d < dim; d++) out[start + d] = (vectors[start + d]! - min[d]!) * scale[d]!
  }
}

/** l2: the terms are (query - min - step * code)^2; ip: -query * min - query * step * code. */
function foldQuery(
  metric: KernelMetric,
  query: Float32Array,
  min: Float32Array,
  step: Float32Array,
): { readonly offset: Float32Array; readonly step: Float32Array } {
  if (metric === 'l2') return { offset: query.map((value, d) => value - min[d]!), step }
  return {
    offset: query.map((value, d) => -value * min[d]!),
    step: query.map((value, d) => value * step[d]!),
  }
}

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
