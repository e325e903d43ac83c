/**
 * k-means over rows of a matrix: Lloyd's iterations from D^2 seeds.
 * Rules: the same seed gives the same result (of one kernel variant); inertia never grows (but from batches); every returned
 * centroid has a row, and the assignment is to the nearest of them by f32 distances, however many were excluded unseen
 * (kmeans-heads.ts). Means are summed in double precision. Rows must be finite.
 */
import { types } from 'node:util'
import { kindOf, requireInteger, requireKnown } from './arguments.js'
import { Clusters, membersOf, normaliseAll } from './clusters.js'
import { CoreError, type CoreErrorCode } from './errors.js'
import { learnByBatches } from './kmeans-batches.js'
import { headSpace, headsOf } from './kmeans-heads.js'
import { sample, seedCentroids } from './kmeans-seeding.js'
import { seededRandom } from './random.js'
import { reassignRows } from './reassign.js'

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
  /**
   * Rows that one iteration looks at, drawn anew for each (mini-batch): for data so large that a few passes over it are too
   * many. All iterations are done then, and their inertia is the batch's. Default: all.
   */
  readonly batchRows?: number
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

/** @throws CoreError DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_ROW, DRIFT_K, DRIFT_ITERATIONS, DRIFT_BATCH_ROWS, DRIFT_OPTION; whatever the signal throws. */
export function kmeans(rows: Float32Array, dim: number, options: KmeansOptions): Kmeans {
  requireKnown(options, KMEANS_OPTIONS, 'kmeans')
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
  const { batchRows = Number.POSITIVE_INFINITY } = options
  if (!(batchRows >= 1)) throw badOption('DRIFT_BATCH_ROWS', 'batchRows', batchRows, 'at least 1')
  const { sampleRows = Number.POSITIVE_INFINITY } = options
  if (!(sampleRows >= 1)) throw badOption('DRIFT_OPTION', 'sampleRows', sampleRows, 'at least 1')
  if (!(tolerance >= 0)) throw badOption('DRIFT_OPTION', 'tolerance', tolerance, '0 or more')
  requireSeed(seed)
  options.signal?.throwIfAborted()
  const index = indexOf(rows, dim, options.index)
  if (index.length === 0) {
    return { centroids: new Float32Array(0), assignment: new Uint32Array(0), inertia: 0, iterations: 0 }
  }

  const random = seededRandom(seed)
  const learnt = sample(index, sampleRows, random)
  const centroids = seedCentroids(rows, dim, learnt, Math.min(k, learnt.length), random)
  if (spherical) normaliseAll(centroids, dim)
  const check = (): void => options.signal?.throwIfAborted()
  const finish = (moves: number): Kmeans => {
    const all = new Clusters(rows, dim, index, centroids)
    all.assign(check)
    if (all.rescueEmpty()) {
      all.move(spherical)
      all.assign(check)
    }
    return all.result(moves)
  }
  if (batchRows < learnt.length) {
    const { onProgress } = options
    const batches = { batchRows, iterations, spherical, check, onProgress }
    learnByBatches(rows, dim, learnt, centroids, random, batches)
    return finish(iterations)
  }
  const clusters = new Clusters(rows, dim, learnt, centroids)
  if (iterations * k >= HEADS_PAY * dim) {
    const space = headSpace(rows, dim, sample(learnt, HEAD_SAMPLE_ROWS, random), random)
    clusters.useHeads(space && headsOf(space, rows, learnt))
  }
  let moves = 0
  for (let before = Number.POSITIVE_INFINITY; ; moves++) {
    const inertia = clusters.assign(check)
    options.onProgress?.(moves, inertia)
    // A move may cost a rounding error; and nothing is left to gain at 0.
    if (moves >= iterations || !(inertia > 0) || before - inertia <= tolerance * inertia) break
    before = inertia
    clusters.rescueEmpty()
    clusters.move(spherical)
  }
  return learnt === index ? clusters.result(moves) : finish(moves)
}

export interface HierarchicalKmeansOptions
  extends Pick<KmeansOptions, 'seed' | 'index' | 'spherical' | 'signal'> {
  /** Moves of the centroids of one split, at most. Default 5. */
  readonly iterations?: number
  /** Rows wanted per cluster. Default 25. */
  readonly targetRows?: number
  /** Branches of one split, at most. Default 64. */
  readonly branching?: number
  /** After each assignment of a split: rows that are in their cluster, of all. What it throws ends the work. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** As in `Kmeans`, but a few rows lie nearer to another centroid than to theirs. */
export type Partition = Pick<Kmeans, 'centroids' | 'assignment'>

/**
 * About n / targetRows clusters without n * k work: split into branches, and those again, until a cluster has at most
 * 2 * targetRows rows; then let rows change to nearer clusters (reassign.ts), and split again what grew too large by that.
 * Clusters above 2 * targetRows remain only where all their rows are the same point.
 *
 * @throws CoreError DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_ROW, DRIFT_TARGET_ROWS, DRIFT_BRANCHING, DRIFT_OPTION; whatever the signal throws.
 */
export function hierarchicalKmeans(
  rows: Float32Array,
  dim: number,
  options: HierarchicalKmeansOptions,
): Partition {
  requireKnown(options, HIERARCHICAL_OPTIONS, 'hierarchicalKmeans')
  const { targetRows = DEFAULT_TARGET_ROWS, branching = DEFAULT_BRANCHING } = options
  const { iterations = SPLIT_ITERATIONS, spherical = false, signal } = options
  requireMatrix(rows, dim)
  if (!(targetRows >= 1)) throw badOption('DRIFT_TARGET_ROWS', 'targetRows', targetRows, 'at least 1')
  if (!(Number.isInteger(branching) && branching >= 2)) {
    throw badOption('DRIFT_BRANCHING', 'branching', branching, 'an integer of at least 2')
  }
  requireSeed(options.seed)
  const index = indexOf(rows, dim, options.index)
  const limit = 2 * targetRows
  const random = seededRandom(options.seed)
  let done = 0
  const report = (): void => {
    options.signal?.throwIfAborted()
    options.onProgress?.(done, index.length)
  }

  const split = (positions: Uint32Array, k: number): Leaf[] => {
    const { centroids, assignment } = kmeans(rows, dim, {
      iterations,
      spherical,
      signal,
      k,
      seed: Math.floor(random() * 2 ** 32),
      index: positions.map(position => index[position]!),
      sampleRows: SAMPLE_ROWS_PER_BRANCH * k,
      onProgress: report,
    })
    return leavesOf(centroids, dim, assignment, positions)
  }
  const splitByLevels = (branches: Uint32Array[]): Leaf[] => {
    const leaves: Leaf[] = []
    for (let branch = branches.pop(); branch !== undefined; branch = branches.pop()) {
      const parts = split(branch, branchesOf(branch.length, targetRows, branching))
      for (const part of parts) {
        if (part.positions.length > limit && parts.length > 1) branches.push(part.positions)
        else {
          leaves.push(part)
          done += part.positions.length
        }
      }
    }
    return leaves
  }

  const { centroids, assignment } = partitionOf(splitByLevels([everyRow(index.length)]), dim, index.length)
  for (let pass = 0; pass < HEALING_PASSES; pass++) {
    if (pass > 0) new Clusters(rows, dim, index, centroids, assignment).move(spherical)
    const k = Math.max(1, Math.ceil(GROUPS_PER_ROOT * Math.sqrt(centroids.length / dim)))
    const groups = kmeans(centroids, dim, {
      k,
      seed: Math.floor(random() * 2 ** 32),
      iterations: GROUP_ITERATIONS,
    })
    reassignRows(rows, dim, index, { centroids, assignment }, groups, report)
  }
  const healed = leavesOf(centroids, dim, assignment, everyRow(index.length)).filter(
    leaf => leaf.positions.length > 0,
  )
  const large = healed.filter(leaf => leaf.positions.length > limit).map(leaf => leaf.positions)
  const fitting = healed.filter(leaf => leaf.positions.length <= limit)
  for (const positions of large) done -= positions.length
  return partitionOf([...fitting, ...splitByLevels(large)], dim, index.length)
}

const KMEANS_OPTIONS: Record<keyof KmeansOptions, true> = {
  k: true,
  seed: true,
  iterations: true,
  index: true,
  spherical: true,
  sampleRows: true,
  batchRows: true,
  tolerance: true,
  signal: true,
  onProgress: true,
}
const HIERARCHICAL_OPTIONS: Record<keyof HierarchicalKmeansOptions, true> = {
  seed: true,
  index: true,
  spherical: true,
  signal: true,
  iterations: true,
  targetRows: true,
  branching: true,
  onProgress: true,
}

const DEFAULT_ITERATIONS = 10
const DEFAULT_TOLERANCE = 1e-4
/** Making heads costs about as much as twice this many times dim centroids cost for one iteration. */
const HEADS_PAY = 2
const HEAD_SAMPLE_ROWS = 2048
/** Buckets of the index: about one block of 32 entries when they are full. */
const DEFAULT_TARGET_ROWS = 25
/** 64 centroids stay in the cache while rows pass by: two levels make 4 096 clusters. */
const DEFAULT_BRANCHING = 64
/** Splits aim above the target, as uneven clusters are split again: then the mean comes out at about the target. */
const SPLIT_SLACK = 1.2
/** More rows than this per centroid do not move it by much (faiss trains on as many). */
const SAMPLE_ROWS_PER_BRANCH = 256
/** Inertia falls by 4 % in the first pass and by as much in the second, after the centroids moved; a third gains 1 %. */
const HEALING_PASSES = 2
/** Groups of centroids only say where to look; twice the root of their number makes looking cheapest. */
const GROUPS_PER_ROOT = 2
const GROUP_ITERATIONS = 5
/** A split needs no last percent: the healing passes are iterations of the whole. */
const SPLIT_ITERATIONS = 5

/** Row numbers 0 .. count - 1. */
function everyRow(count: number): Uint32Array {
  const index = new Uint32Array(count)
  for (let row = 0; row < count; row++) index[row] = row
  return index
}

/** The rows asked for, or all. @throws CoreError DRIFT_ROW. */
function indexOf(rows: Float32Array, dim: number, index: Uint32Array | undefined): Uint32Array {
  const count = rows.length / dim
  if (index === undefined) return everyRow(count)
  if (!types.isUint32Array(index)) {
    throw new CoreError('DRIFT_ROW', `index is ${kindOf(index)}, expected a Uint32Array`)
  }
  for (let i = 0; i < index.length; i++) {
    if (index[i]! >= count) requireInteger('DRIFT_ROW', `index[${i}]`, index[i]!, 0, count - 1)
  }
  return index
}

function requireSeed(seed: number): void {
  if (!Number.isSafeInteger(seed)) throw badOption('DRIFT_OPTION', 'seed', seed, 'a safe integer')
}

/** @throws CoreError DRIFT_VECTOR_VALUE; DRIFT_DIMENSION unless `rows` is a whole number of rows of `dim` values. */
function requireMatrix(rows: Float32Array, dim: number): void {
  if (!types.isFloat32Array(rows)) {
    throw new CoreError('DRIFT_VECTOR_VALUE', `rows are ${kindOf(rows)}, expected a Float32Array`)
  }
  if (Number.isSafeInteger(dim) && dim >= 1 && rows.length % dim === 0) return
  const what = `${rows.length} values are no whole number of rows of dimension ${dim}`
  throw new CoreError('DRIFT_DIMENSION', what, { dim, length: rows.length })
}

/** A cluster in the making: `positions` of the index. */
interface Leaf {
  readonly centroid: Float32Array
  readonly positions: Uint32Array
}

/** Clusters to split a branch into: all at once when they are few, else levels of about equal width. */
function branchesOf(count: number, targetRows: number, branching: number): number {
  const clusters = Math.max(1, Math.round(count / (SPLIT_SLACK * targetRows)))
  return clusters <= branching ? clusters : Math.min(branching, Math.ceil(Math.sqrt(clusters)))
}

function leavesOf(
  centroids: Float32Array,
  dim: number,
  assignment: Uint32Array,
  positions: Uint32Array,
): Leaf[] {
  return membersOf(assignment, centroids.length / dim).map((members, cluster) => ({
    centroid: centroids.subarray(cluster * dim, (cluster + 1) * dim),
    positions: members.map(member => positions[member]!),
  }))
}

function partitionOf(leaves: readonly Leaf[], dim: number, count: number): Partition {
  const centroids = new Float32Array(leaves.length * dim)
  const assignment = new Uint32Array(count)
  for (const [cluster, { centroid, positions }] of leaves.entries()) {
    centroids.set(centroid, cluster * dim)
    for (const position of positions) assignment[position] = cluster
  }
  return { centroids, assignment }
}

function badOption(code: CoreErrorCode, name: string, value: number, expected: string): CoreError {
  return new CoreError(code, `${name} is ${value}, expected ${expected}`, { option: name, [name]: value })
}
