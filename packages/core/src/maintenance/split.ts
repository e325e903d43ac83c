/**
 * Split a bucket that grew over twice its target into the two halves that 2-means finds.
 * Rule: one synchronous step; the bucket keeps its number and half of its rows, another gets the others, both in new chains.
 * Second entries go to the nearer half.
 * Rows of neighbours that are now nearer to a new centroid stay where they are: they are found from where they are.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { kmeans } from '../kmeans.js'

/** 2-means of about fifty rows has settled by then. */
const ITERATIONS = 8

/** @returns the other bucket, or undefined when all rows of the bucket are the same point. */
export function splitBucket(state: IndexState, bucket: number): number | undefined {
  const { store, directory, shape, router } = state
  const { home, second, pointDim } = store
  const all = directory.rowsOf(bucket)
  const index = all.filter(row => home[row] === bucket)
  const { points, at } = store.points(index)
  const { centroids, assignment } = kmeans(points, pointDim, {
    k: 2,
    seed: (shape.seed ^ Math.imul(bucket, 0x9e3779b1)) >>> 0,
    iterations: ITERATIONS,
    index: at,
  })
  if (centroids.length < 2 * pointDim) return undefined
  const leaving = assignment.reduce((sum, half) => sum + half, 0)
  if (leaving === 0 || leaving === index.length) return undefined
  const added = state.bucketFor(store.rotatePoints(centroids.slice(pointDim)))
  router.set(bucket, store.rotatePoints(centroids.slice(0, pointDim)))
  for (let i = 0; i < index.length; i++) if (assignment[i] === 1) home[index[i]!] = added
  const guests = all.filter(row => second[row] === bucket)
  const halves = new Uint32Array(guests.length)
  const visitors = store.points(guests)
  const distances = new Float32Array(guests.length)
  // biome-ignore format: one call
  kernels.nearest(visitors.points, pointDim, visitors.at, guests.length, centroids, 2, halves, distances)
  for (let i = 0; i < guests.length; i++) if (halves[i] === 1) second[guests[i]!] = added
  const isIn = (row: number, half: number): boolean => home[row] === half || second[row] === half
  directory.rewrite(
    added,
    all.filter(row => isIn(row, added)),
  )
  directory.rewrite(
    bucket,
    all.filter(row => isIn(row, bucket)),
  )
  return added
}

/** Multiply-adds that a split of that many rows is worth: 2-means of few rows is mostly calls. */
export function splitWork(rows: number, dim: number): number {
  return rows * (dim * 2 * (ITERATIONS + 2) + SPLIT_WORK)
}

const SPLIT_WORK = 100_000
