/** What a search gives back: row numbers, ids and public distances, in memory that is the caller's. */
import type { Id } from '../id.js'
import type { IndexState } from '../index-state.js'
import { type Metric, publicDistance } from '../metric.js'

/** The nearest rows, nearest first. */
export interface SearchResult {
  readonly rows: Uint32Array
  readonly ids: Id[]
  /** As `publicDistance` tells them: smaller is nearer. */
  readonly distances: Float32Array
  /** Rows whose codes or vectors were looked at, and buckets. */
  readonly scannedRows: number
  readonly scannedBuckets: number
}

/** k results per query, nearest first. */
export interface BatchResult {
  readonly k: number
  /** NONE behind the last. */
  readonly rows: Uint32Array
  /** Undefined behind the last. */
  readonly ids: (Id | undefined)[]
  /** +Infinity behind the last. */
  readonly distances: Float32Array
  /** Found per query. */
  readonly counts: Uint32Array
}

/** @param distances - of the kernel; they become the public ones in place. */
export function answerOf(
  { store, shape }: IndexState,
  rows: Uint32Array,
  distances: Float32Array,
  scannedRows: number,
  scannedBuckets: number,
): SearchResult {
  const { ids: table } = store
  const ids: Id[] = new Array(rows.length)
  for (let i = 0; i < rows.length; i++) ids[i] = table.idAt(rows[i]!)
  return { rows, ids, distances: publicDistances(shape.metric, distances), scannedRows, scannedBuckets }
}

/** In place. */
export function publicDistances(metric: Metric, distances: Float32Array): Float32Array {
  if (metric === 'l2') return distances
  for (let i = 0; i < distances.length; i++) {
    if (distances[i] !== Number.POSITIVE_INFINITY) distances[i] = publicDistance(metric, distances[i]!)
  }
  return distances
}
