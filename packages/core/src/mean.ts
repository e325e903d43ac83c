/** The mean of rows: dim values, summed as f64. @param which - of the rows; all when undefined. At least one. */
export function meanOf(rows: Float32Array, dim: number, which?: Uint32Array): Float32Array {
  const count = which?.length ?? rows.length / dim
  const sums = new Float64Array(dim)
  for (let i = 0; i < count; i++) {
    const from = (which ? which[i]! : i) * dim
    for (let d = 0; d < dim; d++) sums[d]! += rows[from + d]!
  }
  return Float32Array.from(sums, sum => sum / count)
}
