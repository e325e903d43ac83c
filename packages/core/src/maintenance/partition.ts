/**
 * The buckets of an index that has none: k-means with as many clusters as rows / bucketRows, over all rows or an even sample of very
 * many. The first Lloyd passes assign by the router itself, so they cost one routing a row instead of a comparison with every centroid;
 * the later ones among the neighbours of the bucket that the row is in, which costs a tenth of that. The buckets exist and are empty
 * meanwhile; searches find the rows where they are.
 */
import type { IndexState } from '../index-state.js'
import { seededRandom } from '../random.js'
import type { Job } from './assign.js'
import { findNeighbours, routeRows } from './route.js'
import { Slices } from './slices.js'

/** Lloyd passes. Entries that a query scans at recall@10 0.95, 100 000 commit embeddings: see docs/bench/notes.md. */
const PASSES = 8
const GLOBAL_PASSES = 2

/** Rows per bucket that a sample has at least: fewer place its centroid too roughly. */
const SAMPLE_ROWS = 10

/** Make buckets for the rows, which are live and of this state. */
export async function partitionRows(state: IndexState, rows: Uint32Array, job: Job): Promise<void> {
  if (rows.length === 0) return
  const { shape } = state
  const buckets = Math.max(1, Math.round(rows.length / shape.bucketRows))
  const random = seededRandom(shape.seed)
  const sample = evenSample(rows, Math.max(2 ** 18, SAMPLE_ROWS * buckets))
  state.addBuckets(seeds(state, sample, buckets, random))
  const homes = new Uint32Array(sample.length)
  for (let pass = 0; pass < PASSES; pass++) {
    const slices = new Slices(job.check)
    const means = new Means(buckets, shape.dim)
    const among = pass < GLOBAL_PASSES ? undefined : await findNeighbours(state, slices, job)
    const routing =
      among === undefined ? { seconds: false } : { from: { homes, neighbours: among }, seconds: false }
    await routeRows(state, sample, routing, slices, job, async (part, found, first) => {
      homes.set(found.homes, first)
      for (let i = 0; i < part.length; i++) means.add(found.homes[i]!, state.store.vectors, part[i]!)
      job.onProgress(pass * sample.length + first + part.length, (PASSES + 1) * sample.length)
      await slices.spend(part.length * shape.dim * 4)
    })
    // An empty bucket gets a row at random: near many others, most likely.
    state.setCentroids(means.centroids(() => rowVector(state, sample[Math.floor(random() * sample.length)]!)))
  }
}

/** Rows at random, each once. */
function seeds(state: IndexState, sample: Uint32Array, count: number, random: () => number): Float32Array {
  const { dim } = state.shape
  const order = sample.slice()
  const centroids = new Float32Array(count * dim)
  for (let i = 0; i < count; i++) {
    const at = i + Math.floor(random() * (order.length - i))
    const row = order[at]!
    order[at] = order[i]!
    order[i] = row
    centroids.set(rowVector(state, row), i * dim)
  }
  return centroids
}

function rowVector({ store, shape }: IndexState, row: number): Float32Array {
  return store.vectors.subarray(row * shape.dim, (row + 1) * shape.dim)
}

/** Sums of rows by bucket. */
class Means {
  readonly #dim: number
  readonly #sums: Float64Array
  readonly #counts: Uint32Array

  constructor(buckets: number, dim: number) {
    this.#dim = dim
    this.#sums = new Float64Array(buckets * dim)
    this.#counts = new Uint32Array(buckets)
  }

  add(bucket: number, vectors: Float32Array, row: number): void {
    const into = bucket * this.#dim
    const from = row * this.#dim
    for (let i = 0; i < this.#dim; i++) this.#sums[into + i]! += vectors[from + i]!
    this.#counts[bucket]!++
  }

  /** dim values a bucket; what `otherwise` says where there is no row. */
  centroids(otherwise: () => Float32Array): Float32Array {
    const out = new Float32Array(this.#sums.length)
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      const count = this.#counts[bucket]!
      const at = bucket * this.#dim
      if (count === 0) out.set(otherwise(), at)
      else for (let i = at; i < at + this.#dim; i++) out[i] = this.#sums[i]! / count
    }
    return out
  }
}

/** Every n-th of the rows, at most `limit`; all of them when they are fewer. */
function evenSample(rows: Uint32Array, limit: number): Uint32Array {
  if (rows.length <= limit) return rows
  const step = rows.length / limit
  return Uint32Array.from({ length: limit }, (_, i) => rows[Math.floor(i * step)]!)
}
