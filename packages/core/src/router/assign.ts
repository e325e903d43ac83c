/**
 * The home of a row: the bucket whose centroid is nearest by squared L2, under every metric, because k-means partitions by it.
 * Few centroids are compared exactly; of many, the best by SQ8 are.
 */
import { kernels } from '@drift/native'
import type { Scratch } from '../search/scratch.js'
import { type RouterViews, route } from './router.js'

/** Up to here the blocked exact kernel takes no longer than SQ8 and an exact pass over the best. */
const EXACT_CENTROIDS = 1024

/** SQ8 is off by about 0.5 %: the nearest centroid is practically always among its best sixteen. */
const CANDIDATES = 16

/** homes[first + i] = nearest bucket of rows[first + i], i < count. The router has at least one centroid. */
export function nearestBuckets(
  router: RouterViews,
  vectors: Float32Array,
  dim: number,
  rows: Uint32Array,
  first: number,
  count: number,
  homes: Uint32Array,
  scratch: Scratch,
): void {
  if (router.count <= EXACT_CENTROIDS) {
    const part = rows.subarray(first, first + count)
    const nearest = homes.subarray(first, first + count)
    kernels.nearest(
      vectors,
      dim,
      part,
      count,
      router.centroids,
      router.count,
      nearest,
      new Float32Array(count),
    )
    return
  }
  for (let i = first; i < first + count; i++) {
    const start = rows[i]! * dim
    scratch.query.set(vectors.subarray(start, start + dim))
    kernels.sq8Query(scratch.query, scratch.codes, scratch.codeFactors)
    const near = route(router, 'l2', CANDIDATES, scratch)
    const { routes, routeDistances } = scratch
    kernels.distancesGather('l2', scratch.query, router.centroids, dim, routes, near, routeDistances)
    homes[i] = routes[nearestOf(routeDistances, near)]!
  }
}

/** The position of the smallest; the first of equal ones. */
function nearestOf(distances: Float32Array, count: number): number {
  let best = 0
  for (let i = 1; i < count; i++) if (distances[i]! < distances[best]!) best = i
  return best
}
