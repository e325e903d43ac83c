/**
 * k-means over rows of a matrix: Lloyd's iterations from D^2 seeds.
 * Rules: the same seed gives the same result; inertia never grows; every returned centroid has a row, and the assignment is
 * to the nearest of them. Means are summed in double precision. Rows must be finite.
 */
import { Clusters, normaliseAll } from './clusters.js'
import { CoreError } from './errors.js'
import { sample, seedCentroids } from './kmeans-seeding.js'
import { seededRandom } from './random.js'

export interface KmeansOptions {
  /** Clusters wanted, at least 1; fewer come back when fewer distinct rows are there. */
  readonly k: number
  readonly seed: number
  /** Times that the centroids move, at most. Default 10: later moves gain less than a percent. */
  readonly iterations?: number
  /** Row numbers to cluster. Default: all rows. */
  readonly index?: Uint32Array | undefined
  /** Scale centroids to unit length, for rows of unit length (cosine). */
  readonly spherical?: boolean
  /** Rows that the centroids learn from, spread evenly over `index`; the assignment covers all. Default: all. */
  readonly sampleRows?: number
  /** Stop when an iteration gains less than this share of the inertia. Default 1e-4. */
  readonly tolerance?: number
  /** Asked between iterations; an object over shared memory will do where no event can arrive. */
  readonly signal?: Pick<AbortSignal, 'throwIfAborted'> | undefined
  /** After each assignment: its number from 0 and the inertia of the rows learnt from. */
  readonly onProgress?: ((iteration: number, inertia: number) => void) | undefined
}

export interface Kmeans {
  /** k' * dim values, k' <= k. */
  readonly centroids: Float32Array
  /** Per position of `index`: the number of its centroid. */
  readonly assignment: Uint32Array
  /** Sum of the squared distances of the rows to their centroids. */
  readonly inertia: number
  /** How many times the centroids moved. */
  readonly iterations: number
}

/** @throws CoreError DRIFT_DIMENSION, DRIFT_K, DRIFT_ITERATIONS; whatever the signal throws. */
export function kmeans(rows: Float32Array, dim: number, options: KmeansOptions): Kmeans {
  const {
    k,
    seed,
    iterations = DEFAULT_ITERATIONS,
    spherical = false,
    tolerance = DEFAULT_TOLERANCE,
  } = options
  requireMatrix(rows, dim)
  if (!Number.isSafeInteger(k) || k < 1)
    throw new CoreError('DRIFT_K', `k is ${k}, expected a positive integer`, { k })
  if (!Number.isSafeInteger(iterations) || iterations < 0) {
    throw new CoreError('DRIFT_ITERATIONS', `iterations is ${iterations}, expected 0 or more`, { iterations })
  }
  options.signal?.throwIfAborted()
  const index = options.index ?? everyRow(rows.length / dim)
  if (index.length === 0) {
    return { centroids: new Float32Array(0), assignment: new Uint32Array(0), inertia: 0, iterations: 0 }
  }

  const random = seededRandom(seed)
  const learnt = sample(index, options.sampleRows ?? index.length, random)
  const centroids = seedCentroids(rows, dim, learnt, k, random)
  if (spherical) normaliseAll(centroids, dim)
  const clusters = new Clusters(rows, dim, learnt, centroids)
  let moves = 0
  for (let before = Number.POSITIVE_INFINITY; ; moves++) {
    options.signal?.throwIfAborted()
    const inertia = clusters.assign()
    options.onProgress?.(moves, inertia)
    // A move may cost a rounding error; and nothing is left to gain at 0.
    if (moves >= iterations || !(inertia > 0) || before - inertia <= tolerance * inertia) break
    before = inertia
    clusters.rescueEmpty()
    clusters.move(spherical)
  }
  if (learnt === index) return clusters.result(moves)
  const all = new Clusters(rows, dim, index, centroids)
  options.signal?.throwIfAborted()
  all.assign()
  return all.result(moves)
}

export interface HierarchicalKmeansOptions
  extends Pick<KmeansOptions, 'seed' | 'iterations' | 'index' | 'spherical' | 'signal'> {
  /** Rows wanted per cluster. Default 25. */
  readonly targetRows?: number
  /** Branches of one split, at most. Default 64. */
  readonly branching?: number
  /** After each assignment of a split: rows that are in their cluster, of all. What it throws ends the work. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** As in `Kmeans`, but a row may lie nearer to a centroid of another branch. */
export type Partition = Pick<Kmeans, 'centroids' | 'assignment'>

/**
 * About n / targetRows clusters without n * k work: split into branches, and those again, until a cluster has at most
 * 2 * targetRows rows. Larger ones remain only where all rows are the same point.
 *
 * @throws CoreError DRIFT_DIMENSION, DRIFT_TARGET_ROWS, DRIFT_BRANCHING; whatever the signal throws.
 */
export function hierarchicalKmeans(
  rows: Float32Array,
  dim: number,
  options: HierarchicalKmeansOptions,
): Partition {
  const { targetRows = DEFAULT_TARGET_ROWS, branching = DEFAULT_BRANCHING } = options
  requireMatrix(rows, dim)
  if (!(targetRows >= 1)) throw badOption('DRIFT_TARGET_ROWS', 'targetRows', targetRows, 'at least 1')
  if (!(branching >= 2)) throw badOption('DRIFT_BRANCHING', 'branching', branching, 'at least 2')
  const index = options.index ?? everyRow(rows.length / dim)
  const random = seededRandom(options.seed)
  const assignment = new Uint32Array(index.length)
  const centroids: Float32Array[] = []
  let done = 0
  const waiting = [everyRow(index.length)] // positions of `index`, a branch each
  for (let branch = waiting.pop(); branch !== undefined; branch = waiting.pop()) {
    const k = branches(branch.length, targetRows, branching)
    const split = kmeans(rows, dim, {
      ...options,
      k,
      seed: Math.floor(random() * 2 ** 32),
      index: branch.map(position => index[position]!),
      sampleRows: SAMPLE_ROWS_PER_BRANCH * k,
      onProgress: () => options.onProgress?.(done, index.length),
    })
    const parts = partsOf(branch, split.assignment, split.centroids.length / dim)
    for (const [part, positions] of parts.entries()) {
      if (positions.length > 2 * targetRows && parts.length > 1) {
        waiting.push(positions)
        continue
      }
      for (const position of positions) assignment[position] = centroids.length
      centroids.push(split.centroids.subarray(part * dim, (part + 1) * dim))
      done += positions.length
    }
  }
  return { centroids: concatenate(centroids, dim), assignment }
}

const DEFAULT_ITERATIONS = 10
const DEFAULT_TOLERANCE = 1e-4
/** Buckets of the index: about one block of 32 entries when they are full. */
const DEFAULT_TARGET_ROWS = 25
/** 64 centroids stay in the cache while rows pass by: two levels make 4 096 clusters. */
const DEFAULT_BRANCHING = 64
/** More rows than this per centroid do not move it by much (faiss trains on as many). */
const SAMPLE_ROWS_PER_BRANCH = 256

/** Row numbers 0 .. count - 1. */
function everyRow(count: number): Uint32Array {
  const index = new Uint32Array(count)
  for (let row = 0; row < count; row++) index[row] = row
  return index
}

/** @throws CoreError DRIFT_DIMENSION unless `rows` is a whole number of rows of `dim` values. */
function requireMatrix(rows: Float32Array, dim: number): void {
  if (Number.isSafeInteger(dim) && dim >= 1 && rows.length % dim === 0) return
  const what = `${rows.length} values are no whole number of rows of dimension ${dim}`
  throw new CoreError('DRIFT_DIMENSION', what, { dim, length: rows.length })
}

/** Clusters to split a branch into: all at once when they are few, else levels of about equal width. */
function branches(count: number, targetRows: number, branching: number): number {
  const clusters = Math.max(1, Math.round(count / targetRows))
  return clusters <= branching ? clusters : Math.min(branching, Math.ceil(Math.sqrt(clusters)))
}

/** The positions of each part, in order. */
function partsOf(positions: Uint32Array, assignment: Uint32Array, count: number): Uint32Array[] {
  const sizes = new Uint32Array(count)
  for (const part of assignment) sizes[part]!++
  const parts = Array.from(sizes, size => new Uint32Array(size))
  const filled = new Uint32Array(count)
  for (let j = 0; j < positions.length; j++) {
    const part = assignment[j]!
    parts[part]![filled[part]!++] = positions[j]!
  }
  return parts
}

function concatenate(vectors: readonly Float32Array[], dim: number): Float32Array {
  const all = new Float32Array(vectors.length * dim)
  vectors.forEach((vector, i) => {
    all.set(vector, i * dim)
  })
  return all
}

function badOption(code: string, name: string, value: number, expected: string): CoreError {
  return new CoreError(code, `${name} is ${value}, expected ${expected}`, { [name]: value })
}
