/**
 * The first buckets of an index: k-means over its rows, or over an even sample of very many.
 * In the pool when there is one; otherwise here and at once, which stops this thread for about 40 us a row.
 */
import type { IndexState } from '../index-state.js'
import { hierarchicalKmeans } from '../kmeans.js'
import { type Homes, secondBuckets } from '../router/assign.js'
import { Scratch } from '../search/scratch.js'
import type { Snapshot } from '../search/snapshot.js'
import type { Job } from './assign.js'

/** Centroids of a sample this large are as good: about a dozen seconds of one core at 384 dimensions. */
const MAX_TRAINING_ROWS = 2 ** 18

/**
 * Make the buckets.
 *
 * @returns the buckets of each row, or undefined when only a sample was looked at and the rows have to be routed.
 */
export async function partitionRows(
  state: IndexState,
  snapshot: Snapshot,
  rows: Uint32Array,
  job: Job,
): Promise<Homes | undefined> {
  if (rows.length === 0) return { homes: rows, seconds: rows }
  const { shape, store } = state
  const sample = evenSample(rows, MAX_TRAINING_ROWS)
  const targetRows = Math.max(1, Math.round((shape.bucketRows * sample.length) / rows.length))
  const { seed } = shape
  const { centroids, assignment } =
    job.pool === undefined
      ? hierarchicalKmeans(store.vectors, shape.dim, {
          targetRows,
          seed,
          index: sample,
          signal: { throwIfAborted: job.check },
        })
      : (
          await job.pool.runAll([{ kind: 'partition', snapshot, rows: sample, targetRows, seed }], job.signal)
        )[0]!
  job.check()
  const first = state.directory.count
  state.addBuckets(centroids)
  if (sample.length < rows.length) return undefined
  const homes = assignment.map(cluster => first + cluster)
  if (job.pool === undefined)
    return secondBuckets(state.router, store.vectors, shape.dim, rows, homes, new Scratch(shape.dim))
  // The task's snapshot is older than the buckets: it gets one of now.
  const { snapshot: now, release } = state.pin()
  try {
    return (
      await job.pool.runAll([{ kind: 'second', snapshot: now, rows: rows.slice(), homes }], job.signal)
    )[0]!
  } finally {
    release()
  }
}

/** Every n-th of the rows, at most `limit`; all of them when they are fewer. */
function evenSample(rows: Uint32Array, limit: number): Uint32Array {
  if (rows.length <= limit) return rows
  const step = rows.length / limit
  return Uint32Array.from({ length: limit }, (_, i) => rows[Math.floor(i * step)]!)
}
