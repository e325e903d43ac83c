/**
 * The two buckets of a row: its home, whose centroid is nearest by squared L2 under every metric, because k-means partitions by it;
 * and a second one that is near in another direction, so that a query which the home's boundary cuts off still meets the row.
 * Source: SOAR (Sun et al., NeurIPS 2023): the second minimises ||r2||^2 + lambda (r2 . r1 / ||r1||)^2, r1 and r2 the residuals.
 */
import { kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import type { Scratch } from '../search/scratch.js'
import { type RouterViews, route } from './router.js'

/** Buckets of rows, by position. */
export interface Homes {
  readonly homes: Uint32Array
  /** NONE where there is only one bucket. */
  readonly seconds: Uint32Array
}

/** SQ8 is off by about 0.5 %: the nearest centroid is practically always among its best sixteen. */
const CANDIDATES = 16

/** Price of a second residual that points where the first does. 1 to 2 serve alike on sentence embeddings and on SIFT. */
const LAMBDA = 1.5

/** The buckets of rows[first .. first + count), into the same places of `into`. The router has at least one centroid. */
export function nearestBuckets(
  router: RouterViews,
  vectors: Float32Array,
  dim: number,
  rows: Uint32Array,
  first: number,
  count: number,
  into: Homes,
  scratch: Scratch,
): void {
  for (let i = first; i < first + count; i++) {
    const start = rows[i]! * dim
    scratch.query.set(vectors.subarray(start, start + dim))
    kernels.sq8Query(scratch.query, scratch.codes, scratch.codeFactors)
    const near = route(router, 'l2', CANDIDATES, scratch)
    chooseTwo(router.centroids, dim, scratch.query, scratch.routes, near, i, into, scratch)
  }
}

/**
 * The second bucket of rows whose home is known: among the buckets nearest to the home's centroid.
 *
 * @param homes - of each row.
 */
export function secondBuckets(
  router: RouterViews,
  vectors: Float32Array,
  dim: number,
  rows: Uint32Array,
  homes: Uint32Array,
  scratch: Scratch,
): Homes {
  const into = { homes: homes.slice(), seconds: new Uint32Array(rows.length).fill(NONE) }
  const order = Uint32Array.from(rows, (_, i) => i).sort((a, b) => homes[a]! - homes[b]!)
  let near = 0
  let around = NONE
  for (const i of order) {
    const home = homes[i]!
    if (home !== around) {
      scratch.query.set(router.centroids.subarray(home * dim, (home + 1) * dim))
      kernels.sq8Query(scratch.query, scratch.codes, scratch.codeFactors)
      near = route(router, 'l2', 2 * CANDIDATES, scratch)
      around = home
    }
    const vector = vectors.subarray(rows[i]! * dim, (rows[i]! + 1) * dim)
    chooseTwo(router.centroids, dim, vector, scratch.routes, near, i, into, scratch)
  }
  return into
}

/** The best two of the `near` candidates for one vector, into place i. */
function chooseTwo(
  centroids: Float32Array,
  dim: number,
  vector: Float32Array,
  candidates: Uint32Array,
  near: number,
  i: number,
  into: Homes,
  scratch: Scratch,
): void {
  const { routeDistances, fromHome } = scratch
  kernels.distancesGather('l2', vector, centroids, dim, candidates, near, routeDistances)
  const best = nearestOf(routeDistances, near)
  const home = candidates[best]!
  into.homes[i] = home
  const toHome = routeDistances[best]!
  const centroid = centroids.subarray(home * dim, (home + 1) * dim)
  kernels.distancesGather('l2', centroid, centroids, dim, candidates, near, fromHome)
  let second = NONE
  let least = Number.POSITIVE_INFINITY
  for (let j = 0; j < near; j++) {
    if (j === best) continue
    const distance = routeDistances[j]!
    // By the law of cosines: the length of r2 along r1, times ||r1||.
    const along = (toHome + distance - fromHome[j]!) / 2
    const loss = toHome > 0 ? distance + (LAMBDA * along * along) / toHome : distance
    if (loss >= least) continue
    least = loss
    second = candidates[j]!
  }
  into.seconds[i] = second
}

/** The position of the smallest; the first of equal ones. */
function nearestOf(distances: Float32Array, count: number): number {
  let best = 0
  for (let i = 1; i < count; i++) if (distances[i]! < distances[best]!) best = i
  return best
}
