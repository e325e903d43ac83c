// `npm run bench -- growth`: the same generator at rising numbers of rows, so that the report can say how speed falls.
import { type CompareOptions, compare } from './compare.js'
import { GROWTH } from './results.js'
import type { Source } from './vectors.js'

const SIZES = [100_000, 200_000, 500_000, 1_000_000]

/** Sizes up to `options.maxRows`. They share their queries, and the smaller ones are the first rows of the larger. */
export function growth(dim: number, options: CompareOptions): Promise<void> {
  const sources = SIZES.filter(rows => rows <= options.maxRows).map(
    (rows): Source => ({ name: `${GROWTH}${rows}x${dim}`, from: { rows, dim } }),
  )
  return compare(sources, { ...options, ks: [10] })
}
