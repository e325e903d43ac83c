/**
 * One partition in the making: rows, centroids that move (Lloyd 1982), and which row belongs where.
 * Rule: no step makes the inertia grow. Sums are kept in double precision, so that means do not depend on the order by much.
 */
import { kernels } from '@drift/native'
import type { Kmeans } from './kmeans.js'
import { centroidHeads, type Heads } from './kmeans-heads.js'

/** Moves `centroids` and changes `assignment` in place; `rows` and `index` are only read. */
export class Clusters {
  readonly #rows: Float32Array
  readonly #dim: number
  readonly #index: Uint32Array
  readonly #centroids: Float32Array
  readonly #assignment: Uint32Array
  readonly #distances: Float32Array
  readonly #sizes: Uint32Array
  /** Per cluster the sum of the rows that `#summed` says, so that a move only adds and takes what changed. None before the first. */
  readonly #sums: Float64Array
  #summed: Uint32Array | undefined
  #heads: Heads | undefined
  #isAssigned: boolean
  #inertia = 0

  /** @param assignment - per position of `index`, its centroid. Without it `assign` comes first. */
  constructor(
    rows: Float32Array,
    dim: number,
    index: Uint32Array,
    centroids: Float32Array,
    assignment?: Uint32Array,
  ) {
    this.#rows = rows
    this.#dim = dim
    this.#index = index
    this.#centroids = centroids
    this.#assignment = assignment ?? new Uint32Array(index.length)
    this.#isAssigned = assignment !== undefined
    this.#distances = new Float32Array(index.length)
    this.#sizes = new Uint32Array(centroids.length / dim)
    for (const cluster of assignment ?? []) this.#sizes[cluster]!++
    this.#sums = new Float64Array(centroids.length)
  }

  /** Heads of the rows of `index`: from the second assignment on they exclude centroids, while that pays. */
  useHeads(heads: Heads | undefined): void {
    this.#heads = heads
  }

  /** Every row to its nearest centroid. @param check - called every few thousand rows. @returns the inertia. */
  assign(check: () => void = () => {}): number {
    const count = this.#index.length
    const [assignment, distances, sizes] = [this.#assignment, this.#distances, this.#sizes]
    const heads = this.#isAssigned ? this.#heads : undefined
    const ends = heads && centroidHeads(heads, this.#centroids)
    let compared = 0
    for (let first = 0; first < count; first += CHECK_ROWS) {
      check()
      compared += this.#assignSome(first, Math.min(CHECK_ROWS, count - first), heads, ends)
    }
    if (compared > COMPARED_MAX * count * sizes.length) this.#heads = undefined
    this.#isAssigned = true
    sizes.fill(0)
    let inertia = 0
    for (let j = 0; j < count; j++) {
      sizes[assignment[j]!]!++
      inertia += distances[j]!
    }
    this.#inertia = inertia
    return inertia
  }

  #assignSome(first: number, count: number, heads?: Heads, ends?: Float32Array): number {
    const [rows, dim, centroids, k] = [this.#rows, this.#dim, this.#centroids, this.#sizes.length]
    const index = this.#index.subarray(first, first + count)
    const assignment = this.#assignment.subarray(first, first + count)
    const distances = this.#distances.subarray(first, first + count)
    if (heads === undefined || ends === undefined) {
      kernels.nearest(rows, dim, index, count, centroids, k, assignment, distances)
      return 0
    }
    const { headDim } = heads.space
    const some = heads.rows.subarray(first * headDim, (first + count) * headDim)
    // biome-ignore format: one call
    return kernels.nearestByHeads(rows, dim, index, count, centroids, k, some, headDim, ends, heads.slack, assignment, distances)
  }

  /** Give each empty cluster the row that fits worst where it is: the most that one row can gain. @returns whether one did. */
  rescueEmpty(): boolean {
    let isRescued = false
    for (let cluster = 0; cluster < this.#sizes.length; cluster++) {
      if (this.#sizes[cluster] !== 0) continue
      const worst = largest(this.#distances)
      if (!(this.#distances[worst]! > 0)) break // every row lies on its centroid: no more distinct rows
      this.#sizes[this.#assignment[worst]!]!--
      this.#sizes[cluster] = 1
      this.#assignment[worst] = cluster
      this.#distances[worst] = 0
      isRescued = true
    }
    return isRescued
  }

  /** Every centroid to the mean of its rows; of unit length if spherical. One without rows, or whose rows cancel, stays. */
  move(spherical: boolean): void {
    const dim = this.#dim
    this.#sum()
    for (let cluster = 0; cluster < this.#sizes.length; cluster++) {
      const sum = this.#sums.subarray(cluster * dim, (cluster + 1) * dim)
      const divisor = spherical ? length(sum) : this.#sizes[cluster]!
      if (this.#sizes[cluster] === 0 || divisor === 0) continue
      for (let d = 0; d < dim; d++) this.#centroids[cluster * dim + d] = sum[d]! / divisor
    }
  }

  /** The sums follow the assignment. */
  #sum(): void {
    const [rows, dim, index, assignment, sums] = [
      this.#rows,
      this.#dim,
      this.#index,
      this.#assignment,
      this.#sums,
    ]
    const summed = this.#summed
    if (summed === undefined) {
      kernels.sumRows(rows, dim, index, assignment, assignment.length, sums)
      this.#summed = assignment.slice()
      return
    }
    for (let j = 0; j < assignment.length; j++) {
      const cluster = assignment[j]!
      const before = summed[j]!
      if (cluster === before) continue
      addRow(sums, before, -1, rows, index[j]!, dim)
      addRow(sums, cluster, 1, rows, index[j]!, dim)
      summed[j] = cluster
    }
  }

  /** The partition as it stands, without clusters that have no row. */
  result(iterations: number): Kmeans {
    const renamed = new Uint32Array(this.#sizes.length)
    let kept = 0
    for (let cluster = 0; cluster < this.#sizes.length; cluster++) {
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

/** The positions of each cluster, in order. */
export function membersOf(assignment: Uint32Array, clusters: number): Uint32Array[] {
  const sizes = new Uint32Array(clusters)
  for (const cluster of assignment) sizes[cluster]!++
  const positions = Array.from(sizes, size => new Uint32Array(size))
  const filled = new Uint32Array(clusters)
  for (let j = 0; j < assignment.length; j++) {
    const cluster = assignment[j]!
    positions[cluster]![filled[cluster]!++] = j
  }
  return positions
}

/** Every centroid to unit length, in place. */
export function normaliseAll(centroids: Float32Array, dim: number): void {
  for (let start = 0; start < centroids.length; start += dim) {
    const centroid = centroids.subarray(start, start + dim)
    const size = length(centroid)
    if (size > 0) for (let d = 0; d < dim; d++) centroid[d] = centroid[d]! / size
  }
}

/** Rows of one call, some tens of milliseconds. */
const CHECK_ROWS = 8192
/** Share of the pairs that heads may leave to be compared: one costs as much as excluding a dozen without heads. */
const COMPARED_MAX = 1 / 16

function addRow(
  sums: Float64Array,
  cluster: number,
  sign: number,
  rows: Float32Array,
  row: number,
  dim: number,
): void {
  const [from, to] = [row * dim, cluster * dim]
  for (let d = 0; d < dim; d++) sums[to + d]! += sign * rows[from + d]!
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
