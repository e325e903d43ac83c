/**
 * SQ8: one byte per value with a scale per row. Codes, scales and estimates are the same bits in every variant: each
 * step is one correctly rounded f32 operation (Math.fround here), and the sum of products is an exact integer.
 */
import type { KernelMetric } from '../kernels.js'

/** Adding and subtracting 1.5 * 2^52 leaves a double rounded to an integer, ties to even. */
const ROUNDER = 6755399441055744

export function sq8Encode(
  rows: Float32Array,
  dim: number,
  first: number,
  count: number,
  codes: Uint8Array,
  factors: Float32Array,
): void {
  for (let row = first; row < first + count; row++) {
    const start = row * dim
    const step = stepOf(rows, start, dim)
    let norm = 0
    for (let i = start; i < start + dim; i++) {
      const x = rows[i]!
      codes[i] = 128 + codeOf(x, step)
      norm += x * x
    }
    factors[2 * row] = factorOf(rows, start, dim, step)
    factors[2 * row + 1] = norm
  }
}

export function sq8Query(query: Float32Array, out: Int8Array, outFactors: Float32Array): void {
  const step = stepOf(query, 0, query.length)
  let norm = 0
  let sum = 0
  for (let i = 0; i < query.length; i++) {
    const x = query[i]!
    const code = codeOf(x, step)
    out[i] = code
    sum += code
    norm += x * x
  }
  outFactors[0] = factorOf(query, 0, query.length, step)
  outFactors[1] = norm
  outFactors[2] = sum
}

export function sq8Distances(
  metric: KernelMetric,
  query: Int8Array,
  queryFactors: Float32Array,
  codes: Uint8Array,
  factors: Float32Array,
  dim: number,
  first: number,
  count: number,
  out: Float32Array,
): void {
  for (let j = 0; j < count; j++) {
    out[j] = estimate(metric, query, queryFactors, codes, factors, dim, first + j)
  }
}

export function sq8DistancesGather(
  metric: KernelMetric,
  query: Int8Array,
  queryFactors: Float32Array,
  codes: Uint8Array,
  factors: Float32Array,
  dim: number,
  index: Uint32Array,
  count: number,
  out: Float32Array,
): void {
  for (let j = 0; j < count; j++) {
    out[j] = estimate(metric, query, queryFactors, codes, factors, dim, index[j]!)
  }
}

/** One distance of sq8Distances. */
export function estimate(
  metric: KernelMetric,
  query: Int8Array,
  queryFactors: Float32Array,
  codes: Uint8Array,
  factors: Float32Array,
  dim: number,
  row: number,
): number {
  const start = row * dim
  let s0 = 0
  let s1 = 0
  let i = 0
  for (; i + 2 <= dim; i += 2) {
    s0 = (s0 + codes[start + i]! * query[i]!) | 0
    s1 = (s1 + codes[start + i + 1]! * query[i + 1]!) | 0
  }
  if (i < dim) s0 = (s0 + codes[start + i]! * query[i]!) | 0
  const sum = s0 + s1 - 128 * queryFactors[2]!
  const scale = Math.fround(queryFactors[0]! * factors[2 * row]!)
  const product = Math.fround(scale * Math.fround(sum))
  if (metric === 'ip') return -product
  return Math.fround(Math.fround(queryFactors[1]! + factors[2 * row + 1]!) - 2 * product)
}

/** Of the codes: max|x| / 127. */
function stepOf(values: Float32Array, start: number, dim: number): number {
  let largest = 0
  for (let i = start; i < start + dim; i++) {
    const magnitude = Math.abs(values[i]!)
    if (magnitude > largest) largest = magnitude
  }
  return Math.fround(largest / 127)
}

/** ||x||^2 / <codes, x>, with x in sixteenths of a step: integers, whose sums are exact. */
function factorOf(values: Float32Array, start: number, dim: number, step: number): number {
  if (step === 0) return 0
  let squares = 0
  let product = 0
  for (let i = start; i < start + dim; i++) {
    const steps = Math.max(-127, Math.min(127, Math.fround(values[i]! / step)))
    const fine = Math.fround(steps * 16) + ROUNDER - ROUNDER
    squares += fine * fine
    product += fine * codeOf(values[i]!, step)
  }
  return product > 0 ? Math.fround(step * (squares / (16 * product))) : step
}

/** A subnormal step is so coarse that x / step can leave the range, and can even be zero: hence the limits. */
function codeOf(x: number, step: number): number {
  if (step === 0) return 0
  return Math.max(-127, Math.min(127, Math.fround(x / step) + ROUNDER - ROUNDER))
}
