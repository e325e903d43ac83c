/**
 * Where the buckets are: one centroid per bucket, as f32 and as SQ8 codes.
 * Rule: routing estimates all centroids by SQ8, takes 3 x probes + 16 of them, and orders those exactly.
 * A worker may read a centroid while it is replaced: that costs one query a little recall, never a wrong row.
 */
import { allocateSlab, growSlab, kernels, MAX_SLAB_BYTES, type KernelMetric } from '@drift/native'
import { CoreError } from '../errors.js'
import type { Scratch } from '../search/scratch.js'

const FIRST_CENTROIDS = 256

/** What routing reads. */
export interface RouterViews {
  readonly centroids: Float32Array
  readonly codes: Uint8Array
  readonly factors: Float32Array
  /** Centroids, and so buckets, to consider. */
  readonly count: number
}

export interface RouterSlabs {
  readonly centroids: SharedArrayBuffer
  readonly codes: SharedArrayBuffer
  readonly factors: SharedArrayBuffer
}

/**
 * The `probes` nearest buckets of the prepared query in scratch.probes, nearest first.
 * The query's SQ8 half is in `scratch` already. @returns how many: min(probes, count).
 */
export function route(
  router: RouterViews,
  metric: KernelMetric,
  query: Float32Array,
  probes: number,
  scratch: Scratch,
): number {
  const { count } = router
  const dim = query.length
  const candidates = Math.min(count, 3 * probes + 16)
  scratch.reserveRoutes(count, candidates)
  const { centroidDistances: distances, routes, probes: chosen, routePositions: positions, routeDistances } = scratch
  kernels.sq8Distances(metric, scratch.codes, scratch.codeFactors, router.codes, router.factors, dim, 0, count, distances)
  const near = kernels.topK(distances, count, candidates, routes, routeDistances)
  kernels.distancesGather(metric, query, router.centroids, dim, routes, near, distances)
  const found = kernels.topK(distances, near, Math.min(probes, near), positions, routeDistances)
  for (let i = 0; i < found; i++) chosen[i] = routes[positions[i]!]!
  return found
}

export class Router implements RouterViews {
  readonly dim: number
  readonly slabs: RouterSlabs
  centroids: Float32Array
  codes: Uint8Array
  factors: Float32Array
  count = 0
  #capacity = 0
  readonly #max: number

  constructor(dim: number) {
    this.dim = dim
    this.#max = Math.floor(MAX_SLAB_BYTES / Math.max(4 * dim, 8))
    this.slabs = {
      centroids: allocateSlab(0, this.#max * dim * 4),
      codes: allocateSlab(0, this.#max * dim),
      factors: allocateSlab(0, this.#max * 8),
    }
    this.centroids = new Float32Array(0)
    this.codes = new Uint8Array(0)
    this.factors = new Float32Array(0)
  }

  /** Append centroids (a multiple of dim values). */
  add(centroids: Float32Array): void {
    const more = centroids.length / this.dim
    this.#reserve(this.count + more)
    this.#write(this.count, more, centroids)
    this.count += more
  }

  set(bucket: number, centroid: Float32Array): void {
    this.#write(bucket, 1, centroid)
  }

  get bytes(): number {
    return this.slabs.centroids.byteLength + this.slabs.codes.byteLength + this.slabs.factors.byteLength
  }

  #write(first: number, count: number, centroids: Float32Array): void {
    this.centroids.set(centroids, first * this.dim)
    kernels.sq8Encode(this.centroids, this.dim, first, count, this.codes, this.factors)
  }

  #reserve(count: number): void {
    if (count <= this.#capacity) return
    if (count > this.#max) {
      throw new CoreError('DRIFT_FULL', `${count} buckets exceed the ${this.#max} that a slab holds`, { limit: this.#max })
    }
    const capacity = Math.min(this.#max, Math.max(FIRST_CENTROIDS, count, 2 * this.#capacity))
    growSlab(this.slabs.centroids, capacity * this.dim * 4)
    growSlab(this.slabs.codes, capacity * this.dim)
    growSlab(this.slabs.factors, capacity * 8)
    this.centroids = new Float32Array(this.slabs.centroids, 0, capacity * this.dim)
    this.codes = new Uint8Array(this.slabs.codes, 0, capacity * this.dim)
    this.factors = new Float32Array(this.slabs.factors, 0, capacity * 2)
    this.#capacity = capacity
  }
}
