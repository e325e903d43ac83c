// Clustered vectors from a seed: what stands in for embeddings where no data folder is given.
// Cluster sizes follow Zipf's law, because real topics do: a few big ones and a long tail.
import { seededRandom } from '@drift/core'
import { Topics } from './topics.js'

export interface MixOptions {
  readonly rows: number
  readonly dim: number
  readonly clusters: number
  readonly seed: number
  /** Size of the r-th cluster is proportional to r ^ -zipf; 0 makes them even. Default 1. */
  readonly zipf?: number
  /** Standard deviation of a value inside its cluster; the centres have 1. Default 0.3. */
  readonly spread?: number
  /** Directions in which a cluster is spread, as of `Topics`. Default: all. */
  readonly latent?: number
}

export interface Mix {
  /** rows * dim, row-major, in random order of clusters. */
  readonly vectors: Float32Array
  /** The cluster that each row was drawn from. */
  readonly cluster: Uint32Array
}

export function mix({ rows, dim, clusters, seed, zipf = 1, spread = 0.3, latent }: MixOptions): Mix {
  const random = seededRandom(seed)
  const topics = new Topics({ dim, topics: clusters, zipf, spread, latent }, random)
  const vectors = new Float32Array(rows * dim)
  const cluster = new Uint32Array(rows)
  for (let row = 0; row < rows; row++) {
    cluster[row] = topics.pick(random)
    topics.draw(cluster[row]!, random, vectors.subarray(row * dim, (row + 1) * dim))
  }
  return { vectors, cluster }
}
