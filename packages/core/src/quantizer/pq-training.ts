/** Codebooks of product quantization: k-means in every subspace by itself. */
import { kmeans } from '../kmeans.js'
import type { PqTraining } from './pq.js'

/**
 * @param rows - as many whole rows of bounds[last] values as there are to learn from.
 * @param bounds - of the subspaces.
 * @returns per subspace `centroids` * its width values. Where fewer distinct pieces are there, the last one is repeated.
 */
export function trainCodebooks(
  rows: Float32Array,
  bounds: Uint32Array,
  centroids: number,
  {
    seed,
    iterations,
    signal,
    onProgress,
  }: Pick<PqTraining, 'seed' | 'signal' | 'onProgress'> & { readonly iterations: number },
): Float32Array {
  const subspaces = bounds.length - 1
  const inner = bounds[subspaces]!
  const count = rows.length / inner
  const books = new Float32Array(centroids * inner)
  for (let m = 0; m < subspaces; m++) {
    const [from, to] = [bounds[m]!, bounds[m + 1]!]
    const width = to - from
    const column = columnOf(rows, inner, from, to, count)
    const found = kmeans(column, width, { k: centroids, seed: seed + m, iterations, signal }).centroids
    const book = books.subarray(centroids * from, centroids * to)
    book.set(found)
    for (let at = found.length; at < book.length; at += width)
      book.copyWithin(at, found.length - width, found.length)
    onProgress?.(m + 1, subspaces)
  }
  return books
}

/** Values from .. to - 1 of the first `count` rows of `dim`, row by row. */
export function columnOf(
  rows: Float32Array,
  dim: number,
  from: number,
  to: number,
  count: number,
): Float32Array {
  const column = new Float32Array(count * (to - from))
  for (let j = 0, at = 0; j < count; j++) {
    for (let i = j * dim + from; i < j * dim + to; i++) column[at++] = rows[i]!
  }
  return column
}
