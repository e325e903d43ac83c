/**
 * Distances to trained SQ8 codes with an exact query (ADC), with and without a table. Both forms give the distance
 * to the decoded row, up to rounding. Smaller is nearer: l2 squared Euclidean, ip minus the inner product.
 * Source of the table form: Jegou, Douze, Schmid, Product Quantization for Nearest Neighbor Search (2011), section III.
 */
import type { KernelMetric } from '@drift/native'
import { validateVectors } from '../metric.js'
import { badLength, requireLength, type Sq8Quantizer } from './sq8.js'

/**
 * The query's table for ADC: entry d * 256 + c is what code c of dimension d adds to the distance. dim KiB, so it pays from
 * some hundred rows a query; below, and on machines with small caches, `sq8Distances` is faster.
 */
export function sq8Lut(
  quantizer: Sq8Quantizer,
  query: Float32Array,
  metric: KernelMetric = 'l2',
  out: Float32Array = new Float32Array(quantizer.dim * CODES),
): Float32Array {
  const { dim, min, step } = quantizer
  requireQuery(quantizer, query)
  requireLength('out', out.length, dim * CODES)
  for (let d = 0; d < dim; d++) {
    for (let c = 0; c < CODES; c++) {
      const value = min[d]! + c * step[d]!
      const gap = query[d]! - value
      out[d * CODES + c] = metric === 'l2' ? gap * gap : -query[d]! * value
    }
  }
  return out
}

/** out[j] = distance of the query of `lut` to row first + j of `codes`, j < count, by the metric the table was made for. */
export function sq8LutDistances(
  lut: Float32Array,
  codes: Uint8Array,
  first: number,
  count: number,
  out: Float32Array,
): void {
  const dim = lut.length / CODES
  requireRange(codes, dim, first, count, out)
  for (let j = 0; j < count; j++) {
    const start = (first + j) * dim
    let even = 0
    let odd = 0
    let d = 0
    for (; d + 1 < dim; d += 2) {
      even += lut[d * CODES + codes[start + d]!]!
      odd += lut[(d + 1) * CODES + codes[start + d + 1]!]!
    }
    if (d < dim) even += lut[d * CODES + codes[start + d]!]!
    out[j] = even + odd
  }
}

/** The same distances without a table: out[j] = distance to row first + j of `codes`, j < count. */
export function sq8Distances(
  quantizer: Sq8Quantizer,
  metric: KernelMetric,
  query: Float32Array,
  codes: Uint8Array,
  first: number,
  count: number,
  out: Float32Array,
): void {
  const { dim, min, step } = quantizer
  requireQuery(quantizer, query)
  requireRange(codes, dim, first, count, out)
  if (metric === 'l2') {
    const offset = Float64Array.from(query, (value, d) => value - min[d]!)
    for (let j = 0; j < count; j++) out[j] = squaredGap(offset, step, codes, (first + j) * dim)
    return
  }
  const weight = Float64Array.from(query, (value, d) => value * step[d]!)
  const constant = query.reduce((sum, value, d) => sum + value * min[d]!, 0)
  for (let j = 0; j < count; j++) out[j] = -constant - weightedSum(weight, codes, (first + j) * dim)
}

const CODES = 256

function squaredGap(offset: Float64Array, step: Float32Array, codes: Uint8Array, start: number): number {
  let sum = 0
  for (let d = 0; d < offset.length; d++) {
    const gap = offset[d]! - step[d]! * codes[start + d]!
    sum += gap * gap
  }
  return sum
}

function weightedSum(weight: Float64Array, codes: Uint8Array, start: number): number {
  let sum = 0
  for (let d = 0; d < weight.length; d++) sum += weight[d]! * codes[start + d]!
  return sum
}

function requireQuery({ dim }: Sq8Quantizer, query: Float32Array): void {
  if (query.length !== dim) throw badLength('query', query.length, String(dim))
  validateVectors(query, dim)
}

function requireRange(codes: Uint8Array, dim: number, first: number, count: number, out: Float32Array): void {
  requireLength('codes', codes.length, (first + count) * dim)
  requireLength('out', out.length, count)
}
