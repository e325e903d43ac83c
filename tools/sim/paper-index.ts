// The index of "Drift-Aware Vector Indexing" (December 2025) as its text has it, in plain loops over exact distances: one bucket a row,
// search by P_eff until its sum reaches a confidence, scatter merge of urgent buckets under a budget.
// Rule: formulas as printed; what the text leaves open is a parameter here, and said in docs/bench/drift.md.
import { effectiveProbability } from '@drift/core'
import { kernels } from '@drift/native'

export interface PaperShape {
  readonly dim: number
  /** Rows a bucket is meant to have; it is split at twice as many. */
  readonly targetSize: number
  /** R(n): the paper's own saturates, its predecessor's rises linearly to the target size. */
  readonly density: 'saturating' | 'linear'
  /** Which rows n counts: the original counted dead ones too. */
  readonly counts: 'live' | 'stored'
  /** Rows that one scatter merge may move. */
  readonly moveBudget: number
}

const TAU_SHARE = 0.1
const BETA = 3
const EPSILON = 1e-3
const URGENT = 1.5
const NEIGHBOURS = 3
const LLOYD_PASSES = 10
/** Of a bucket's temperature at every touch and at every tick, as the original has them. */
const WARM = 0.05
const COOL = 0.98

interface Bucket {
  centroid: Float32Array
  /** Ids, dead ones too until the bucket is rewritten. */
  rows: number[]
  live: number
  temperature: number
}

export class PaperIndex {
  readonly #shape: PaperShape
  readonly #vectors = new Map<number, Float32Array>()
  readonly #home = new Map<number, Bucket>()
  #buckets: Bucket[] = []
  /** Rows that merges moved. */
  moves = 0

  constructor(shape: PaperShape) {
    this.#shape = shape
  }

  get buckets(): number {
    return this.#buckets.length
  }

  insert(ids: Uint32Array, vectors: Float32Array): void {
    const { dim, targetSize } = this.#shape
    for (const [i, id] of ids.entries()) {
      const vector = vectors.subarray(i * dim, (i + 1) * dim)
      this.#vectors.set(id, vector)
      if (this.#buckets.length === 0) this.#add(vector)
      this.#place(id, this.#nearest(vector, this.#buckets)[0]!.bucket)
    }
    for (const bucket of this.#buckets) if (bucket.live > 2 * targetSize) this.#split(bucket)
  }

  delete(ids: Uint32Array): void {
    for (const id of ids) {
      this.#home.get(id)!.live--
      this.#home.delete(id)
      this.#vectors.delete(id)
    }
  }

  /** Urgency = Emptiness / (T + epsilon) + beta * ZombieRatio; the most urgent bucket gives its survivors to its three neighbours. */
  maintain(): void {
    const urgent = this.#buckets
      .map(bucket => ({ bucket, urgency: this.#urgency(bucket) }))
      .filter(({ urgency }) => urgency > URGENT)
      .sort((a, b) => b.urgency - a.urgency)
    for (const { bucket } of urgent) if (this.#scatter(bucket)) break
    for (const bucket of this.#buckets) bucket.temperature *= COOL
  }

  /**
   * @param lambda - in units of 1 / distance.
   * @param confidence - of the sum, un-normalised: it may be above 1.
   */
  search(
    query: Float32Array,
    k: number,
    lambda: number,
    confidence: number,
  ): { ids: number[]; buckets: number; rows: number } {
    const scored = this.#nearest(query, this.#buckets)
      .map(({ bucket, distance }) => ({
        bucket,
        score: this.#score(distance, bucket, lambda),
      }))
      .sort((a, b) => b.score - a.score)
    const found: { id: number; square: number }[] = []
    let [sum, buckets, rows] = [0, 0, 0]
    for (const { bucket, score } of scored) {
      if (sum >= confidence) break
      sum += score
      buckets++
      rows += bucket.rows.length
      bucket.temperature += WARM * (1 - bucket.temperature)
      for (const id of bucket.rows) {
        const vector = this.#vectors.get(id)
        if (vector) found.push({ id, square: squareBetween(query, vector) })
      }
    }
    found.sort((a, b) => a.square - b.square)
    return { ids: found.slice(0, k).map(({ id }) => id), buckets, rows }
  }

  /** Median over the queries of the distance to the nearest centroid: what lambda is scaled by. */
  medianNearest(queries: Float32Array): number {
    const { dim } = this.#shape
    const distances: number[] = []
    for (let i = 0; i < queries.length; i += dim) {
      distances.push(this.#nearest(queries.subarray(i, i + dim), this.#buckets)[0]!.distance)
    }
    return distances.sort((a, b) => a - b)[distances.length >> 1]!
  }

  #score(distance: number, bucket: Bucket, lambda: number): number {
    const { density, counts, targetSize } = this.#shape
    const count = counts === 'live' ? bucket.live : bucket.rows.length
    return density === 'linear'
      ? Math.exp(-lambda * distance) * Math.min(1, count / targetSize)
      : effectiveProbability(distance, count, lambda, TAU_SHARE * targetSize)
  }

  #urgency({ rows, live, temperature }: Bucket): number {
    const emptiness = Math.max(0, (this.#shape.targetSize - live) / this.#shape.targetSize)
    const zombies = rows.length === 0 ? 0 : (rows.length - live) / rows.length
    return emptiness / (temperature + EPSILON) + BETA * zombies
  }

  /** @returns whether anything was done: over its budget, the bucket is only rewritten without its dead. */
  #scatter(bucket: Bucket): boolean {
    const survivors = bucket.rows.filter(id => this.#home.get(id) === bucket)
    const others = this.#buckets.filter(other => other !== bucket)
    if (survivors.length > this.#shape.moveBudget || others.length === 0) {
      const dead = bucket.rows.length - survivors.length
      bucket.rows = survivors
      return dead > 0
    }
    const targets = this.#nearest(bucket.centroid, others)
      .slice(0, NEIGHBOURS)
      .map(near => near.bucket)
    for (const id of survivors) this.#place(id, this.#nearest(this.#vectors.get(id)!, targets)[0]!.bucket)
    this.moves += survivors.length
    this.#buckets = others
    return true
  }

  #split(bucket: Bucket): void {
    const ids = bucket.rows.filter(id => this.#home.get(id) === bucket)
    const vectors = ids.map(id => this.#vectors.get(id)!)
    let sides: Float32Array[] = [vectors[0]!, farthest(vectors[0]!, vectors)]
    let side: number[] = []
    for (let pass = 0; pass < LLOYD_PASSES; pass++) {
      side = vectors.map(v => (squareBetween(v, sides[0]!) <= squareBetween(v, sides[1]!) ? 0 : 1))
      sides = sides.map((old, s) => meanOf(vectors.filter((_, i) => side[i] === s)) ?? old)
    }
    if (!side.includes(1)) return
    bucket.rows = []
    bucket.live = 0
    bucket.centroid = sides[0]!
    const twin = this.#add(sides[1]!)
    for (const [i, id] of ids.entries()) this.#place(id, side[i] === 0 ? bucket : twin)
  }

  #add(centroid: Float32Array): Bucket {
    const bucket = { centroid: centroid.slice(), rows: [], live: 0, temperature: 0.5 }
    this.#buckets.push(bucket)
    return bucket
  }

  #place(id: number, bucket: Bucket): void {
    bucket.rows.push(id)
    bucket.live++
    this.#home.set(id, bucket)
  }

  #nearest(query: Float32Array, among: readonly Bucket[]): { bucket: Bucket; distance: number }[] {
    return among
      .map(bucket => ({ bucket, distance: Math.sqrt(squareBetween(query, bucket.centroid)) }))
      .sort((a, b) => a.distance - b.distance)
  }
}

const square = new Float32Array(1)

function squareBetween(a: Float32Array, b: Float32Array): number {
  kernels.distances('l2', a, b, a.length, 0, 1, square)
  return square[0]!
}

function farthest(from: Float32Array, among: readonly Float32Array[]): Float32Array {
  const distances = among.map(vector => squareBetween(from, vector))
  return among[distances.indexOf(Math.max(...distances))]!
}

function meanOf(vectors: readonly Float32Array[]): Float32Array | undefined {
  if (vectors.length === 0) return undefined
  const mean = new Float32Array(vectors[0]!.length)
  for (const vector of vectors) for (let d = 0; d < mean.length; d++) mean[d]! += vector[d]! / vectors.length
  return mean
}
