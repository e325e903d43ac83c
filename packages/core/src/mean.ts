/** The mean of rows: dim values, summed as f64. */
import { kernels } from '@drift/native'

/** @param which - of the rows; all when undefined. At least one. */
export function meanOf(
  rows: Float32Array,
  dim: number,
  which: Uint32Array = Uint32Array.from({ length: rows.length / dim }, (_, i) => i),
): Float32Array {
  const count = which.length
  const sums = new Float64Array(dim)
  kernels.sumRows(rows, dim, which, new Uint32Array(count), count, sums)
  return Float32Array.from(sums, sum => sum / count)
}
