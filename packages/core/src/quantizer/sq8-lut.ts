/**
 * SQ8 distances by a table of the query (ADC), as the direct `distances` up to rounding. dim KiB per query, more than a
 * first-level cache from 32 dimensions on, so it is the slower form on every CPU measured (docs/quantizers.md); it is here for
 * tables that are not a distance to a line: weights, missing values, any sum over dimensions of a function of the code.
 * Source: Jegou, Douze, Schmid, Product Quantization for Nearest Neighbor Search (2011), section III.
 */
import { type KernelMetric, kernels } from '@drift/native'
import { requireLength, requireQuery } from './quantizer.js'
import type { Sq8Quantizer } from './sq8.js'

/** The query's table: entry d * 256 + c is what code c of dimension d adds to the distance. */
export function sq8Lut(
  quantizer: Sq8Quantizer,
  query: Float32Array,
  metric: KernelMetric = 'l2',
  out: Float32Array = new Float32Array(quantizer.dim * CODES),
): Float32Array {
  const { dim, min, step } = quantizer
  requireQuery(dim, query)
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
  requireLength('codes', codes.length, (first + count) * dim)
  requireLength('out', out.length, count)
  kernels.lutDistances(lut, dim, codes, first, count, out)
}

const CODES = 256
