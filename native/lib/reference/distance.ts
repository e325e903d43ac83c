/**
 * Exact distances in double precision. Four sums per row, because one chain of additions waits for itself.
 */
import type { KernelMetric } from '../kernels.js'

export function distances(
  metric: KernelMetric,
  query: Float32Array,
  rows: Float32Array,
  dim: number,
  first: number,
  count: number,
  out: Float32Array,
): void {
  const distance = distanceOf(metric)
  for (let j = 0; j < count; j++) out[j] = distance(query, 0, rows, (first + j) * dim, dim)
}

export function distancesGather(
  metric: KernelMetric,
  query: Float32Array,
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  count: number,
  out: Float32Array,
): void {
  const distance = distanceOf(metric)
  for (let j = 0; j < count; j++) out[j] = distance(query, 0, rows, index[j]! * dim, dim)
}

/** Distance of two vectors of `dim` values that start at `a[aAt]` and `b[bAt]`. */
export type PairDistance = (a: Float32Array, aAt: number, b: Float32Array, bAt: number, dim: number) => number

export function distanceOf(metric: KernelMetric): PairDistance {
  return metric === 'l2' ? squaredL2 : minusDot
}

export function squaredL2(a: Float32Array, aAt: number, b: Float32Array, bAt: number, dim: number): number {
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let i = 0
  for (; i + 4 <= dim; i += 4) {
    const d0 = a[aAt + i]! - b[bAt + i]!
    const d1 = a[aAt + i + 1]! - b[bAt + i + 1]!
    const d2 = a[aAt + i + 2]! - b[bAt + i + 2]!
    const d3 = a[aAt + i + 3]! - b[bAt + i + 3]!
    s0 += d0 * d0
    s1 += d1 * d1
    s2 += d2 * d2
    s3 += d3 * d3
  }
  for (; i < dim; i++) {
    const d = a[aAt + i]! - b[bAt + i]!
    s0 += d * d
  }
  return s0 + s1 + (s2 + s3)
}

function minusDot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, dim: number): number {
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  let i = 0
  for (; i + 4 <= dim; i += 4) {
    s0 += a[aAt + i]! * b[bAt + i]!
    s1 += a[aAt + i + 1]! * b[bAt + i + 1]!
    s2 += a[aAt + i + 2]! * b[bAt + i + 2]!
    s3 += a[aAt + i + 3]! * b[bAt + i + 3]!
  }
  for (; i < dim; i++) s0 += a[aAt + i]! * b[bAt + i]!
  return -(s0 + s1 + (s2 + s3))
}
