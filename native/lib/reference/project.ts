/**
 * Projections of rows on directions, from a middle point.
 */
export function project(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  count: number,
  middle: Float32Array,
  directions: Float32Array,
  width: number,
  out: Float32Array,
): void {
  const gap = new Float32Array(dim)
  for (let j = 0; j < count; j++) {
    let squares = 0
    for (let d = 0; d < dim; d++) {
      gap[d] = rows[index[j]! * dim + d]! - middle[d]!
      squares += gap[d]! * gap[d]!
    }
    for (let b = 0; b < width; b++) {
      let dot = 0
      for (let d = 0; d < dim; d++) dot += gap[d]! * directions[b * dim + d]!
      out[j * (width + 1) + b] = dot
    }
    out[j * (width + 1) + width] = squares
  }
}
