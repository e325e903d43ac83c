/**
 * Split a bucket that grew over twice its target into the two halves that 2-means finds.
 * Rule: one synchronous step; the bucket keeps its number and half of its rows, another gets the others, both in new chains.
 * Rows of neighbours that are now nearer to a new centroid stay where they are: they are found from where they are.
 */
import type { IndexState } from '../index-state.js'
import { kmeans } from '../kmeans.js'

/** 2-means of about fifty rows has settled by then. */
const ITERATIONS = 8

/** @returns the other bucket, or undefined when all rows of the bucket are the same point. */
export function splitBucket(state: IndexState, bucket: number): number | undefined {
  const { store, router, directory, shape } = state
  const { dim } = shape
  const index = directory.rowsOf(bucket)
  const { centroids, assignment } = kmeans(store.vectors, dim, {
    k: 2,
    seed: (shape.seed ^ Math.imul(bucket, 0x9e3779b1)) >>> 0,
    iterations: ITERATIONS,
    index,
    spherical: shape.metric === 'cosine',
  })
  if (centroids.length < 2 * dim) return undefined
  const stay = index.filter((_, i) => assignment[i] === 0)
  const leave = index.filter((_, i) => assignment[i] === 1)
  if (stay.length === 0 || leave.length === 0) return undefined
  const added = state.bucketFor(centroids.slice(dim))
  router.set(bucket, centroids.slice(0, dim))
  directory.rewrite(added, leave)
  directory.rewrite(bucket, stay)
  return added
}

/** Multiply-adds of a split of that many rows, roughly. */
export function splitWork(rows: number, dim: number): number {
  return rows * dim * 2 * (ITERATIONS + 2)
}
