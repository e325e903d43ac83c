/** The nearest buckets of a rotated query: by 1-bit estimates, then by SQ8 distances. */
import { BLOCK_ENTRIES, blockBytes, type IndexSlabs } from '../index-slabs.js'
import type { KernelMetric } from '../kernels.js'
import { scanSigns } from './signs.js'
import { sq8DistancesGather, sq8Query } from './sq8.js'

/** A query in the forms that the stages take. */
export interface PreparedQuery {
  readonly rotated: Float32Array
  readonly codes: Int8Array
  readonly factors: Float32Array
}

export interface Routed {
  readonly bucket: number
  readonly distance: number
}

export function prepareRotated(rotated: Float32Array): PreparedQuery {
  const codes = new Int8Array(rotated.length)
  const factors = new Float32Array(3)
  sq8Query(rotated, codes, factors)
  return { rotated, codes, factors }
}

/** At least the min(wanted, all) buckets nearest by estimate, of those that are not empty, ordered by the distance of their codes. */
export function route(
  index: IndexSlabs,
  metric: KernelMetric,
  query: PreparedQuery,
  wanted: number,
  isEmpty: (bucket: number) => boolean = () => false,
): Routed[] {
  const { bucketCount, padded, centroidFactors } = index
  let buckets = Array.from({ length: bucketCount }, (_, bucket) => bucket).filter(bucket => !isEmpty(bucket))
  if (wanted < buckets.length) {
    const estimates = new Float32Array(Math.ceil(bucketCount / BLOCK_ENTRIES) * BLOCK_ENTRIES)
    for (let first = 0; first < bucketCount; first += BLOCK_ENTRIES) {
      const start = (first / BLOCK_ENTRIES) * blockBytes(padded)
      scanSigns(query.rotated, index.router, start, 0, 0, estimates.subarray(first, first + BLOCK_ENTRIES))
    }
    if (metric === 'ip') {
      // ||q - c||^2 - ||c||^2 orders like -<q, c>.
      for (const bucket of buckets) estimates[bucket]! -= centroidFactors[2 * bucket + 1]!
    }
    buckets = buckets.sort((a, b) => estimates[a]! - estimates[b]!).slice(0, wanted)
  }
  return rank(index, metric, query, Uint32Array.from(buckets))
}

/** The buckets, nearest first by the distance of their codes. */
export function rank(
  { centroidCodes, centroidFactors, padded }: IndexSlabs,
  metric: KernelMetric,
  { codes, factors }: PreparedQuery,
  buckets: Uint32Array,
): Routed[] {
  const out = new Float32Array(buckets.length)
  sq8DistancesGather(
    metric,
    codes,
    factors,
    centroidCodes,
    centroidFactors,
    padded,
    buckets,
    buckets.length,
    out,
  )
  return Array.from(buckets, (bucket, i) => ({ bucket, distance: out[i]! })).sort(
    (a, b) => a.distance - b.distance || a.bucket - b.bucket,
  )
}
