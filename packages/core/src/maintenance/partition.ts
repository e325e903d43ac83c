/**
 * The buckets of an index that has none: k-means with MADE times as many clusters as rows / bucketRows, over all rows or an even sample of
 * very many. Lloyd passes assign by the router itself, so they cost one routing a row instead of a comparison with every centroid; the later
 * ones look only at the buckets that were near to the row before (docs/adr/0045-passes-over-near-buckets.md) and favour
 * small ones (docs/adr/0051-weights-against-large-buckets.md). The buckets exist and are empty meanwhile; searches find the rows where they
 * are.
 */
import { allocateSlab, kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { seededRandom } from '../random.js'
import type { Job } from './assign.js'
import { groupBuckets } from './grouping.js'
import { routeRows } from './route.js'
import { Slices } from './slices.js'

/** Lloyd passes over all buckets, and those after them over the ones near to each row. */
const PASSES = 2
const NEAR_PASSES = 4

/**
 * In the latter the squared distance from a bucket is weighed by this power of the rows that it had in the pass before, so that large buckets
 * shrink: frequency-sensitive competitive learning (Ahalt et al., Neural Networks 1990), tempered.
 */
const WEIGHT_POWER = 0.1

/** Buckets made for each that is asked for: sizes are more even by weights, so that fewer buckets are parted in the end. */
const MADE = 1.1

/** Buckets that are near to a row. */
const NEAR = 16

/** Rows that are compared with theirs at once. */
const PART_ROWS = 256

/** Multiply-adds that a row's part of a mean is worth, for each of its values. */
const MEAN_WORK = 8

/** Rows per bucket that a sample has at least: fewer place its centroid too roughly. */
const SAMPLE_ROWS = 10

/** Make buckets for the rows, which are live and of this state. */
export async function partitionRows(state: IndexState, rows: Uint32Array, job: Job): Promise<void> {
  if (rows.length === 0) return
  const { shape } = state
  const { pointDim } = state.store
  const buckets = Math.max(1, Math.round((MADE * rows.length) / shape.bucketRows))
  const random = seededRandom(shape.seed)
  const sample = evenSample(rows, Math.max(2 ** 18, SAMPLE_ROWS * buckets))
  const means = new Means(buckets, pointDim)
  seed(state, sample, means.centroids, random)
  state.addRotatedBuckets(state.store.rotatePoints(means.centroids))
  const slices = new Slices(job.check)
  await groupBuckets(state, slices)
  const moveCentroids = async () => {
    // An empty bucket gets a row at random: near many others, most likely.
    means.divide(() => point(state, sample[Math.floor(random() * sample.length)]!))
    state.router.replace(state.store.rotatePoints(means.centroids))
    await groupBuckets(state, slices)
  }
  const near = new Uint32Array(allocateSlab(4 * sample.length * NEAR))
  for (let pass = 0; pass < PASSES; pass++) {
    means.clear()
    await routeRows(
      state,
      sample,
      { seconds: false, near: NEAR },
      slices,
      job,
      async (part, found, first) => {
        means.add(state.store.points(part), found.homes)
        near.set(found.near, first * NEAR)
        job.onProgress(pass * sample.length + first + part.length, (PASSES + 1) * sample.length)
        await slices.spend(part.length * pointDim * MEAN_WORK)
      },
    )
    await moveCentroids()
  }
  const homes = new Uint32Array(PART_ROWS)
  for (let pass = 0; pass < NEAR_PASSES; pass++) {
    const weights = means.weights()
    means.clear()
    for (let first = 0; first < sample.length; first += PART_ROWS) {
      const part = sample.subarray(first, first + PART_ROWS)
      const lists = near.subarray(first * NEAR, (first + part.length) * NEAR)
      kernels.indexAssign(state.slabs, part, 0, part.length, homes, undefined, lists, NEAR, weights)
      means.add(state.store.points(part), homes.subarray(0, part.length))
      await slices.spend(part.length * pointDim * (MEAN_WORK + NEAR))
    }
    await moveCentroids()
  }
}

/** Rows at random, each once, into all of `centroids`. */
function seed(state: IndexState, sample: Uint32Array, centroids: Float32Array, random: () => number): void {
  const { pointDim } = state.store
  const order = sample.slice()
  for (let i = 0; i < centroids.length / pointDim; i++) {
    const at = i + Math.floor(random() * (order.length - i))
    const row = order[at]!
    order[at] = order[i]!
    order[i] = row
    centroids.set(point(state, row), i * pointDim)
  }
}

/** Good until rows are asked for again. */
function point({ store }: IndexState, row: number): Float32Array {
  const { points, at } = store.points(Uint32Array.of(row))
  return points.subarray(at[0]! * store.pointDim, (at[0]! + 1) * store.pointDim)
}

/** Sums of rows by bucket, and their means. In slabs, because these go back to the system at once when they are let go. */
class Means {
  /** dim values a bucket. */
  readonly centroids: Float32Array
  readonly #dim: number
  readonly #sums: Float64Array
  readonly #counts: Uint32Array

  constructor(buckets: number, dim: number) {
    this.#dim = dim
    this.centroids = new Float32Array(allocateSlab(4 * buckets * dim))
    this.#sums = new Float64Array(allocateSlab(8 * buckets * dim))
    this.#counts = new Uint32Array(buckets)
  }

  clear(): void {
    this.#sums.fill(0)
    this.#counts.fill(0)
  }

  /** A point for each of `buckets`. */
  add({ points, at }: ReturnType<IndexState['store']['points']>, buckets: Uint32Array): void {
    kernels.sumRows(points, this.#dim, at, buckets, at.length, this.#sums)
    for (const bucket of buckets) this.#counts[bucket]!++
  }

  /** Of each bucket, against the size that it has so far. */
  weights(): Float32Array {
    return Float32Array.from(this.#counts, count => Math.max(1, count) ** WEIGHT_POWER)
  }

  /** The means into `centroids`; what `otherwise` says where there is no row. */
  divide(otherwise: () => Float32Array): void {
    const out = this.centroids
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      const count = this.#counts[bucket]!
      const at = bucket * this.#dim
      if (count === 0) out.set(otherwise(), at)
      else for (let i = at; i < at + this.#dim; i++) out[i] = this.#sums[i]! / count
    }
  }
}

/** Every n-th of the rows, at most `limit`; all of them when they are fewer. */
function evenSample(rows: Uint32Array, limit: number): Uint32Array {
  if (rows.length <= limit) return rows
  const step = rows.length / limit
  return Uint32Array.from({ length: limit }, (_, i) => rows[Math.floor(i * step)]!)
}
