/**
 * A centroid goes back to the mean of its rows when those have drifted away from it, and the entries get codes around it.
 * Rule: the mean is measured only when rows came or went since the last time, so looking again costs nothing.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { meanOf } from '../mean.js'
import { centroidAt, homeRows, rotatedRows, seenIn, squared } from './region.js'

/** ||mean - centroid||^2 over the mean squared distance of the rows to the centroid, from which on it pays. */
export const DRIFTED = 0.03

/** @returns that ratio; 0 for a bucket without rows, or whose rows all lie on the centroid. */
export function driftOf(state: IndexState, bucket: number): number {
  const { directory, health } = state
  const changes = directory.changes[bucket]!
  const known = health.driftOf(bucket, changes)
  if (known !== undefined) return known
  const { mean, spread } = measure(state, bucket)
  const drift = spread > 0 ? squared(mean, centroidAt(state.router, bucket), 0) / spread : 0
  health.setDrift(bucket, changes, drift)
  return drift
}

/** @param beyond - of drift: up to there the centroid stays. @returns whether it moved. */
export function recentreBucket(state: IndexState, bucket: number, beyond = 0): boolean {
  const { directory, health } = state
  if (directory.homesIn(bucket) === 0) return false
  const known = health.driftOf(bucket, directory.changes[bucket]!)
  if (known !== undefined && known <= beyond) return false
  const { mean, spread } = measure(state, bucket)
  const drift = spread > 0 ? squared(mean, centroidAt(state.router, bucket), 0) / spread : 0
  const isOff = drift > beyond
  if (isOff) state.recentre(bucket, mean)
  health.setDrift(bucket, directory.changes[bucket]!, isOff ? 0 : drift)
  return isOff
}

function measure(state: IndexState, bucket: number): { mean: Float32Array; spread: number } {
  const { padded } = state.router
  const rows = homeRows(seenIn(state), bucket)
  const vectors = rotatedRows(state.slabs, rows)
  const centroid = centroidAt(state.router, bucket).slice()
  const count = rows.length
  if (count === 0) return { mean: centroid, spread: 0 }
  const distances = new Float32Array(count)
  kernels.distances('l2', centroid, vectors, padded, 0, count, distances)
  const spread = distances.reduce((sum, distance) => sum + distance, 0) / count
  return { mean: meanOf(vectors, padded), spread }
}
