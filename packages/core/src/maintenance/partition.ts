/**
 * The first buckets of an index: k-means over its rows, or over an even sample of very many.
 * In the pool when there is one; otherwise here and at once, which stops this thread for about 40 us a row.
 */
import type { IndexState } from '../index-state.js'
import { hierarchicalKmeans } from '../kmeans.js'
import type { Snapshot } from '../search/snapshot.js'
import type { Job } from './assign.js'

/** Centroids of a sample this large are as good: about a dozen seconds of one core at 384 dimensions. */
const MAX_TRAINING_ROWS = 2 ** 18

/**
 * Make the buckets.
 *
 * @returns the bucket of each row, or undefined when only a sample was looked at and the rows have to be routed.
 */
export async function partitionRows(
  state: IndexState,
  snapshot: Snapshot,
  rows: Uint32Array,
  job: Job,
): Promise<Uint32Array | undefined> {
  if (rows.length === 0) return new Uint32Array(0)
  const { shape, store } = state
  const sample = evenSample(rows, MAX_TRAINING_ROWS)
  const targetRows = Math.max(1, Math.round((shape.bucketRows * sample.length) / rows.length))
  const spherical = shape.metric === 'cosine'
  const { seed } = shape
  const { centroids, assignment } =
    job.pool === undefined
      ? hierarchicalKmeans(store.vectors, shape.dim, {
          targetRows,
          seed,
          spherical,
          index: sample,
          signal: { throwIfAborted: job.check },
        })
      : (
          await job.pool.runAll(
            [{ kind: 'partition', snapshot, rows: sample, targetRows, seed, spherical }],
            job.signal,
          )
        )[0]!
  job.check()
  const first = state.directory.count
  state.addBuckets(centroids)
  return sample.length < rows.length ? undefined : assignment.map(cluster => first + cluster)
}

/** Every n-th of the rows, at most `limit`; all of them when they are fewer. */
function evenSample(rows: Uint32Array, limit: number): Uint32Array {
  if (rows.length <= limit) return rows
  const step = rows.length / limit
  return Uint32Array.from({ length: limit }, (_, i) => rows[Math.floor(i * step)]!)
}
