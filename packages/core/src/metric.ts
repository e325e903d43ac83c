/**
 * What nearness means: how vectors are checked and prepared for a metric, and how kernel distances are told to people.
 * Inside, smaller is nearer and there are two kernels: cosine is the inner product over rows of unit length.
 */
import { types } from 'node:util'
import { type KernelMetric, kernels } from '@drift/native'
import { CoreError } from './errors.js'

export type Metric = 'l2' | 'cosine' | 'ip'

export function kernelMetric(metric: Metric): KernelMetric {
  return metric === 'l2' ? 'l2' : 'ip'
}

/**
 * By which a query's buckets are ranked. Centroids are means of rows, so under cosine they lie inside the unit sphere, the looser
 * the bucket the deeper; squared L2 takes that into account, an inner product would favour tight buckets.
 */
export function routingMetric(metric: Metric): KernelMetric {
  return metric === 'ip' ? 'ip' : 'l2'
}

/**
 * Refuse what float32 kernels cannot rank: NaN, infinities, values beyond float32 (1e39 would be stored as infinity),
 * and, in plain arrays, anything that is not a number (null would be stored as 0).
 *
 * @param values - rows of `dim` values, one after the other.
 * @throws CoreError DRIFT_DIMENSION, DRIFT_VECTOR_VALUE.
 */
export function validateVectors(values: ArrayLike<number>, dim: number): void {
  if (typeof values !== 'object' || values === null || !Number.isInteger(values.length)) {
    throw new CoreError('DRIFT_VECTOR_VALUE', `vectors are ${typeof values}, expected a Float32Array`)
  }
  if (values.length % dim !== 0) {
    throw new CoreError(
      'DRIFT_DIMENSION',
      `${values.length} values are no whole number of vectors of ${dim}`,
      {
        dim,
        length: values.length,
      },
    )
  }
  // The squares of float32 values add up to a finite double unless one of them is none.
  if (types.isFloat32Array(values) && Number.isFinite(squaredLength(values, 0, values.length))) return
  for (let i = 0; i < values.length; i++) {
    const value = values[i]
    if (typeof value !== 'number' || !(Math.abs(value) <= FLOAT32_MAX)) refuse(value, i, dim)
  }
}

/** Of `dim` values from `start` on, in double precision; in four sums, as one would wait for each addition. */
export function squaredLength(vectors: Float32Array, start: number, dim: number): number {
  const end = start + dim
  let a = 0
  let b = 0
  let c = 0
  let d = 0
  let i = start
  for (; i + 4 <= end; i += 4) {
    a += vectors[i]! * vectors[i]!
    b += vectors[i + 1]! * vectors[i + 1]!
    c += vectors[i + 2]! * vectors[i + 2]!
    d += vectors[i + 3]! * vectors[i + 3]!
  }
  for (; i < end; i++) a += vectors[i]! * vectors[i]!
  return a + b + (c + d)
}

/**
 * Make rows first .. first + count - 1 ready for the metric's kernel, in place: cosine scales each to unit length
 * (in double precision, so neither 1e-30 nor 1e30 is lost), the others stay as they are. Rows must be validated.
 *
 * @throws CoreError DRIFT_ZERO_VECTOR with the row number, counted from `first`; nothing is changed then.
 */
export function prepare(
  metric: Metric,
  vectors: Float32Array,
  dim: number,
  first: number,
  count: number,
): void {
  if (metric !== 'cosine') return
  for (let row = 0; row < count; row++) refuseZero(vectors, dim, first, row)
  const rows = vectors.subarray(first * dim, (first + count) * dim)
  kernels.normalise(rows, dim, count, rows)
}

/** Whether kernels can rank a vector of numbers. */
export function isRankable(metric: Metric, vector: Float32Array): boolean {
  const squares = squaredLength(vector, 0, vector.length)
  return metric === 'cosine'
    ? squares > 0 && squares < Number.POSITIVE_INFINITY
    : squares <= MAX_SQUARED_LENGTH
}

/** The distance users see: l2 squared Euclidean, ip minus the inner product, cosine 1 - similarity in [0, 2]. */
export function publicDistance(metric: Metric, kernelDistance: number): number {
  return metric === 'cosine' ? Math.min(2, Math.max(0, 1 + kernelDistance)) : kernelDistance + 0 // -0 + 0 is 0
}

/** Greater is nearer: cosine similarity, inner product, or minus squared Euclidean. Takes a public distance. */
export function score(metric: Metric, distance: number): number {
  return metric === 'cosine' ? 1 - distance : 0 - distance // 0 - x, as -x turns 0 into -0
}

const FLOAT32_MAX = 3.4028234663852886e38

/** The squared distance of two such vectors is still finite. */
export const MAX_SQUARED_LENGTH: number = FLOAT32_MAX / 4

function refuse(value: unknown, position: number, dim: number): never {
  const row = Math.floor(position / dim)
  const what = `value ${position % dim} of vector ${row} is ${String(value)}, expected a finite float32 number`
  throw new CoreError('DRIFT_VECTOR_VALUE', what, { row, column: position % dim, value })
}

function refuseZero(vectors: Float32Array, dim: number, first: number, row: number): void {
  const start = (first + row) * dim
  for (let i = start; i < start + dim; i++) if (vectors[i] !== 0) return
  throw new CoreError('DRIFT_ZERO_VECTOR', `vector ${row} is all zeros and has no direction for cosine`, {
    row,
  })
}

/** One vector that the metric can rank into `out`, as `prepare` would leave it. @param squares - its `squaredLength`. */
export function prepareInto(metric: Metric, vector: Float32Array, squares: number, out: Float32Array): void {
  if (metric !== 'cosine') {
    out.set(vector)
    return
  }
  const inverse = 1 / Math.sqrt(squares)
  for (let i = 0; i < out.length; i++) out[i] = vector[i]! * inverse
}
