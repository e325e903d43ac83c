/** The public names of @drift/core. */
export type { IndexQuantizer, PaperOptions, SearchOptions, VectorIndexOptions } from './arguments.js'
export { INDEX_QUANTIZERS, MAX_DIM } from './arguments.js'
export { NONE } from './bucket/extent.js'
export type { SharedVectors, VectorSource } from './cold-vectors.js'
export { CoreError } from './errors.js'
export { decodeId, encodeId, type Id, MAX_ENCODED_ID_BYTES, writeId } from './id.js'
export { IdTable } from './id-table.js'
export {
  IMAGE_COLUMNS,
  type ImageColumn,
  type ImageSizes,
  type IndexImage,
  type TakenImage,
} from './index-image.js'
export type { Appended } from './index-state.js'
export type { IndexStats } from './index-stats.js'
export {
  type HierarchicalKmeansOptions,
  hierarchicalKmeans,
  type Kmeans,
  type KmeansOptions,
  kmeans,
  type Partition,
} from './kmeans.js'
export type { Healed, HealState } from './maintenance/apply.js'
export type { MaintenanceOptions } from './maintenance/assign.js'
export type { HealOptions, HealReport } from './maintenance/heal.js'
export {
  type BucketStats,
  HEAL_POLICIES,
  type HealPolicy,
  type Operation,
  type OperationKind,
  type PlanOptions,
  type Tier,
} from './maintenance/plan.js'
export { Scheduler, type SchedulerOptions } from './maintenance/scheduler.js'
export { ownTurn } from './maintenance/slices.js'
export type { Memtable } from './memtable.js'
export { type Metric, prepare, publicDistance, score, validateVectors } from './metric.js'
export { notify } from './notify.js'
export { builtEntry } from './pool/entry.js'
export { IndexPool, type IndexPoolOptions } from './pool/pool.js'
export { Threads, type ThreadsOptions } from './pool/threads.js'
export { deserialiseQuantizer } from './quantizer/deserialise.js'
export { type PqTraining, trainPq } from './quantizer/pq.js'
export { codesLength, type Quantizer, type QuantizerKind } from './quantizer/quantizer.js'
export { type SignOptions, signQuantizer, trainSign } from './quantizer/sign.js'
export { type Sq8Quantizer, type Sq8Training, trainSq8 } from './quantizer/sq8.js'
export { sq8Lut, sq8LutDistances } from './quantizer/sq8-lut.js'
export { gaussian, seededRandom } from './random.js'
export { PRIOR_WEIGHTS, priorFloor } from './recall/map.js'
export type { MeasuredRecall, ShadowOptions } from './recall/monitor.js'
export { fixRows } from './search/allowed.js'
export type { BatchResult, SearchResult } from './search/answer.js'
export type { ExplainedBucket, Explanation } from './search/explain.js'
export { effectiveProbability } from './search/paper.js'
export type { WithinOptions } from './search/queries.js'
export type { Weights } from './search/view.js'
export { PIECE_VALUES, type Staging } from './staging.js'
export { type Pin, VectorIndex } from './vector-index.js'
export { isWalDraft, MAX_RECORD_BYTES, PAGE_BYTES as WAL_PAGE_BYTES } from './wal/format.js'
export { inspectWal, type WalFileReport, type WalFrameReport } from './wal/inspect.js'
export type { WalRecord } from './wal/log.js'
export { WalThread } from './wal/port.js'
export { type ReadWalOptions, readWal, type WalDamage, type WalScan } from './wal/reader.js'
export { salvageWal, type WalLoss, type WalSalvage } from './wal/salvage.js'
export { whyNoSync } from './wal/sync.js'
export { HIGH_WATER_BYTES, type WalAppend, WalWriter, type WalWriterOptions } from './wal/writer.js'
