/** Distances to codes on a line per dimension: the query is folded into the line's offset and step beforehand. */
import type { KernelMetric } from '../kernels.js'

export function affineDistances(
  metric: KernelMetric,
  offset: Float32Array,
  step: Float32Array,
  codes: Uint8Array,
  dim: number,
  first: number,
  count: number,
  out: Float32Array,
): void {
  for (let j = 0; j < count; j++) {
    const start = (first + j) * dim
    let sum = 0
    for (let i = 0; i < dim; i++) {
      const gap = offset[i]! - step[i]! * codes[start + i]!
      sum += metric === 'l2' ? gap * gap : gap
    }
    out[j] = sum
  }
}
