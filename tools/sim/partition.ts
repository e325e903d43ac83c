// A partition as it stands at a search step, seen from outside the engine: centroids and the buckets of every live row. What the
// baselines' stop rules are computed over, so that they and Drift choose among the same buckets.
// Rule: only live entries are known here; what an engine still scans of the dead is the engine's cost and is measured on it.
import type { VectorIndex } from '@drift/core'
import { NONE } from '@drift/core'

export interface Partition {
  readonly dim: number
  readonly buckets: number
  readonly centroids: Float32Array
  /** Live entries of each bucket, first and second ones. */
  readonly lives: Uint32Array
  /** The two buckets of an id; NONE where there is none. */
  bucketsOf(id: number): readonly [number, number]
}

export function partitionOf(index: VectorIndex, ids: Uint32Array): Partition {
  const centroids = index.centroids()
  const buckets = centroids.length / index.dim
  const lives = new Uint32Array(buckets)
  const homes = new Map<number, readonly [number, number]>()
  for (const id of ids) {
    const pair = index.bucketsOf(index.find(id))
    homes.set(id, pair)
    for (const bucket of pair) if (bucket !== NONE) lives[bucket]!++
  }
  return { dim: index.dim, buckets, centroids, lives, bucketsOf: id => homes.get(id) ?? [NONE, NONE] }
}
