// Topics from a seed: places around which vectors lie, each with a share of the rows and, if wanted, directions of its own.
// Rule: what is drawn depends on the order of the draws and the generator alone.
import { gaussian } from '@drift/core'

export interface TopicShape {
  readonly dim: number
  readonly topics: number
  /** Share of the r-th topic is proportional to r ^ -zipf; 0 makes them even. */
  readonly zipf: number
  /** Standard deviation of a value inside its topic; the centres have 1. */
  readonly spread: number
  /**
   * Directions in which a topic is spread, each topic in its own; beside them a value has only the noise NOISE. Undefined: all,
   * in which case the rows of a topic are equally far from each other and nearness says little, unlike in embeddings.
   */
  readonly latent: number | undefined
}

const NOISE = 0.05

export class Topics {
  readonly dim: number
  readonly count: number
  /** Running sums of the shares; the last one is 1. */
  readonly shares: readonly number[]
  /** count * dim values; may be moved. */
  readonly centres: Float32Array
  readonly #axes: Float32Array
  readonly #spread: number
  readonly #latent: number | undefined

  constructor({ dim, topics, zipf, spread, latent }: TopicShape, random: () => number) {
    this.dim = dim
    this.count = topics
    this.#spread = spread
    this.#latent = latent
    this.centres = Float32Array.from({ length: topics * dim }, () => gaussian(random))
    this.#axes = Float32Array.from({ length: topics * dim * (latent ?? 0) }, () => gaussian(random))
    this.shares = cumulativeShares(topics, zipf)
  }

  /** A topic by its share. */
  pick(random: () => number): number {
    return firstAbove(this.shares, random())
  }

  /** A vector of the topic into `into`, dim values. */
  draw(topic: number, random: () => number, into: Float32Array): void {
    const { dim } = this
    const latent = this.#latent
    into.set(this.centres.subarray(topic * dim, (topic + 1) * dim))
    const noise = latent === undefined ? this.#spread : NOISE
    for (let d = 0; d < dim; d++) into[d]! += noise * gaussian(random)
    if (latent === undefined) return
    for (let axis = 0; axis < latent; axis++) {
      const along = (this.#spread * gaussian(random)) / Math.sqrt(latent)
      const from = (topic * latent + axis) * dim
      for (let d = 0; d < dim; d++) into[d]! += along * this.#axes[from + d]!
    }
  }
}

/** Ends at exactly 1, so that every draw falls into a topic. */
function cumulativeShares(topics: number, zipf: number): number[] {
  const weights = Array.from({ length: topics }, (_, i) => (i + 1) ** -zipf)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let sum = 0
  return weights.map((weight, i) => {
    sum += weight / total
    return i === topics - 1 ? 1 : sum
  })
}

/** The first place whose value is above `draw`. */
export function firstAbove(ascending: readonly number[], draw: number): number {
  let [low, high] = [0, ascending.length - 1]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle]! > draw) high = middle
    else low = middle + 1
  }
  return low
}
