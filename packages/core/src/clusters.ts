/**
 * One partition in the making: rows, centroids that move (Lloyd 1982), and which row belongs where.
 * Rule: no step makes the inertia grow. Sums are kept in double precision, so that means do not depend on the order by much.
 */
import { kernels } from '@drift/native'
import type { Kmeans } from './kmeans.js'

/** Owns `centroids` from here on and moves them in place; `rows` and `index` are only read. */
export class Clusters {
  readonly #rows: Float32Array
  readonly #dim: number
  readonly #index: Uint32Array
  readonly #centroids: Float32Array
  readonly #k: number
  readonly #assignment: Uint32Array
  readonly #distances: Float32Array
  readonly #sizes: Uint32Array
  #inertia = 0

  constructor(rows: Float32Array, dim: number, index: Uint32Array, centroids: Float32Array) {
    this.#rows = rows
    this.#dim = dim
    this.#index = index
    this.#centroids = centroids
    this.#k = centroids.length / dim
    this.#assignment = new Uint32Array(index.length)
    this.#distances = new Float32Array(index.length)
    this.#sizes = new Uint32Array(this.#k)
  }

  /** Every row to its nearest centroid. @returns the inertia. */
  assign(): number {
    const [index, assignment] = [this.#index, this.#assignment]
    kernels.nearest(
      this.#rows,
      this.#dim,
      index,
      index.length,
      this.#centroids,
      this.#k,
      assignment,
      this.#distances,
    )
    this.#sizes.fill(0)
    this.#inertia = 0
    for (let j = 0; j < index.length; j++) {
      this.#sizes[assignment[j]!]!++
      this.#inertia += this.#distances[j]!
    }
    return this.#inertia
  }

  /** Give each empty cluster the row that fits worst where it is: the most that one row can gain. */
  rescueEmpty(): void {
    for (let cluster = 0; cluster < this.#k; cluster++) {
      if (this.#sizes[cluster] !== 0) continue
      const worst = largest(this.#distances)
      if (!(this.#distances[worst]! > 0)) return // every row lies on its centroid: no more distinct rows
      this.#sizes[this.#assignment[worst]!]!--
      this.#sizes[cluster] = 1
      this.#assignment[worst] = cluster
      this.#distances[worst] = 0
    }
  }

  /** Every centroid to the mean of its rows; of unit length if spherical. Where there is no mean it stays. */
  move(spherical: boolean): void {
    const dim = this.#dim
    const sums = sumByCluster(this.#rows, dim, this.#index, this.#assignment, this.#k)
    for (let cluster = 0; cluster < this.#k; cluster++) {
      const sum = sums.subarray(cluster * dim, (cluster + 1) * dim)
      const divisor = spherical ? length(sum) : this.#sizes[cluster]!
      if (divisor === 0) continue
      for (let d = 0; d < dim; d++) this.#centroids[cluster * dim + d] = sum[d]! / divisor
    }
  }

  /** The partition as it stands, without clusters that have no row. */
  result(iterations: number): Kmeans {
    const renamed = new Uint32Array(this.#k)
    let kept = 0
    for (let cluster = 0; cluster < this.#k; cluster++) {
      if (this.#sizes[cluster] === 0) continue
      const start = cluster * this.#dim
      this.#centroids.copyWithin(kept * this.#dim, start, start + this.#dim)
      renamed[cluster] = kept++
    }
    const assignment = this.#assignment.map(cluster => renamed[cluster]!)
    return {
      centroids: this.#centroids.slice(0, kept * this.#dim),
      assignment,
      inertia: this.#inertia,
      iterations,
    }
  }
}

/** Every centroid to unit length, in place. */
export function normaliseAll(centroids: Float32Array, dim: number): void {
  for (let start = 0; start < centroids.length; start += dim) {
    const centroid = centroids.subarray(start, start + dim)
    const size = length(centroid)
    if (size > 0) for (let d = 0; d < dim; d++) centroid[d] = centroid[d]! / size
  }
}

function sumByCluster(
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  assignment: Uint32Array,
  k: number,
): Float64Array {
  const sums = new Float64Array(k * dim)
  for (let j = 0; j < index.length; j++) {
    const from = index[j]! * dim
    const to = assignment[j]! * dim
    for (let d = 0; d < dim; d++) sums[to + d]! += rows[from + d]!
  }
  return sums
}

function length(vector: Float32Array | Float64Array): number {
  let squares = 0
  for (let d = 0; d < vector.length; d++) squares += vector[d]! * vector[d]!
  return Math.sqrt(squares)
}

function largest(values: Float32Array): number {
  let best = 0
  for (let j = 1; j < values.length; j++) if (values[j]! > values[best]!) best = j
  return best
}
