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
}

export interface Mix {
  /** rows * dim, row-major, in random order of clusters. */
  readonly vectors: Float32Array
  /** The cluster that each row was drawn from. */
  readonly cluster: Uint32Array
}

export function mix({ rows, dim, clusters, seed, zipf = 1, spread = 0.3 }: MixOptions): Mix {
  const random = seededRandom(seed)
  const centres = Float32Array.from({ length: clusters * dim }, () => gaussian(random))
  const shares = cumulativeShares(clusters, zipf)
  const vectors = new Float32Array(rows * dim)
  const cluster = new Uint32Array(rows)
  for (let row = 0; row < rows; row++) {
    const draw = random()
    const chosen = shares.findIndex(share => draw < share)
    cluster[row] = chosen
    for (let d = 0; d < dim; d++) {
      vectors[row * dim + d] = centres[chosen * dim + d]! + spread * gaussian(random)
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
