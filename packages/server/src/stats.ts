/** A collection in figures, all of one moment. */
import type { BucketStats, IndexQuantizer, MeasuredRecall, Metric } from '@drift/core'
import type { IndexDeclarations } from './payload-index/payload-indexes.js'
import type { Store } from './store.js'

export interface CollectionStats {
  readonly name: string
  readonly dim: number
  readonly metric: Metric
  /** Where the exact vectors of flushed rows are. */
  readonly cold: 'resident' | 'disk'
  readonly quantizer: IndexQuantizer
  readonly rows: number
  /** Those, too, that are empty and wait to be used again. */
  readonly buckets: number
  /** How each bucket is doing; with `{ buckets: true }` only. */
  readonly bucketStats?: readonly BucketStats[]
  readonly segments: number
  /** Rows that are only in the log and in memory. */
  readonly unflushedRows: number
  readonly diskBytes: number
  /** Rows in segments, those that were deleted or replaced and are still there included. */
  readonly diskRows: number
  /** Bytes by slab. */
  readonly memory: Readonly<Record<string, number>>
  /** Measured by k and target: see `shadow` of `Drift.open`. */
  readonly recall: readonly MeasuredRecall[]
  /** Payload indexes that answer. */
  readonly indexes: IndexDeclarations
}

export function collectionStats(store: Store, withBuckets = false): CollectionStats {
  const { config, index, payloads, segments, frozen, active } = store
  const stats = index.stats()
  let unflushedRows = 0
  for (const generation of [...frozen, active]) unflushedRows += store.rowsOf(generation).length
  return {
    name: config.name,
    dim: config.dim,
    metric: config.metric,
    cold: config.cold ?? 'resident',
    quantizer: config.quantizer ?? 'auto',
    rows: stats.rows,
    buckets: stats.buckets,
    ...(withBuckets ? { bucketStats: index.bucketStats() } : {}),
    segments: segments.length,
    unflushedRows,
    diskBytes: segments.reduce((bytes, { entry }) => bytes + entry.bytes, 0),
    diskRows: segments.reduce((rows, { entry }) => rows + entry.rows, 0),
    memory: {
      ...stats.memory,
      payloads: payloads.memoryBytes,
      places: store.placeBytes,
      payloadIndexes: store.indexes.bytes,
      scanOrder: store.order.bytes,
    },
    recall: index.measuredRecall,
    indexes: store.indexes.declarations(),
  }
}
