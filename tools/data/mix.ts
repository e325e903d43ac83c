// Clustered vectors from a seed: what stands in for embeddings where no data folder is given.
// Cluster sizes follow Zipf's law, because real topics do: a few big ones and a long tail.
import { gaussian, seededRandom } from '@drift/core'

export interface MixOptions {
  readonly rows: number
  readonly dim: number
  readonly clusters: number
  readonly seed: number
  /** Size of the r-th cluster is proportional to r ^ -zipf; 0 makes them even. Default 1. */
  readonly zipf?: number
  /** Standard deviation of a value inside its cluster; the centres have 1. Default 0.3. */
  readonly spread?: number
  /**
   * Directions in which a cluster is spread, each cluster in its own; beside them a value has only the noise NOISE. Default: all,
   * in which case the rows of a cluster are equally far from each other and nearness says little, unlike in embeddings.
   */
  readonly latent?: number
}

const NOISE = 0.05

export interface Mix {
  /** rows * dim, row-major, in random order of clusters. */
  readonly vectors: Float32Array
  /** The cluster that each row was drawn from. */
  readonly cluster: Uint32Array
}

export function mix({ rows, dim, clusters, seed, zipf = 1, spread = 0.3, latent }: MixOptions): Mix {
  const random = seededRandom(seed)
  const centres = Float32Array.from({ length: clusters * dim }, () => gaussian(random))
  const axes = Float32Array.from({ length: clusters * dim * (latent ?? 0) }, () => gaussian(random))
  const shares = cumulativeShares(clusters, zipf)
  const vectors = new Float32Array(rows * dim)
  const cluster = new Uint32Array(rows)
  for (let row = 0; row < rows; row++) {
    const chosen = firstAbove(shares, random())
    cluster[row] = chosen
    const into = vectors.subarray(row * dim, (row + 1) * dim)
    into.set(centres.subarray(chosen * dim, (chosen + 1) * dim))
    const noise = latent === undefined ? spread : NOISE
    for (let d = 0; d < dim; d++) into[d]! += noise * gaussian(random)
    for (let axis = 0; axis < (latent ?? 0); axis++) {
      const along = (spread * gaussian(random)) / Math.sqrt(latent!)
      const from = (chosen * latent! + axis) * dim
      for (let d = 0; d < dim; d++) into[d]! += along * axes[from + d]!
    }
  }
  return { vectors, cluster }
}

/** Ends at exactly 1, so that every draw falls into a cluster. */
function cumulativeShares(clusters: number, zipf: number): number[] {
  const weights = Array.from({ length: clusters }, (_, i) => (i + 1) ** -zipf)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let sum = 0
  return weights.map((weight, i) => {
    sum += weight / total
    return i === clusters - 1 ? 1 : sum
  })
}

/** The first place whose value is above `draw`. */
function firstAbove(ascending: readonly number[], draw: number): number {
  let [low, high] = [0, ascending.length - 1]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle]! > draw) high = middle
    else low = middle + 1
  }
  return low
}
