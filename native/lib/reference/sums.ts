/**
 * Sums of rows by group.
 */
export function sumRows(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  group: Uint32Array,
  count: number,
  sums: Float64Array,
): void {
  for (let j = 0; j < count; j++) {
    const from = index[j]! * dim
    const to = group[j]! * dim
    for (let i = 0; i < dim; i++) sums[to + i]! += rows[from + i]!
  }
}
