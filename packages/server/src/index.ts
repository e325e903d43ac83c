export type { Id, Metric } from '@drift/core'
export type {
  BatchHits,
  CollectionStats,
  DeleteResult,
  Hit,
  StoredRow,
  UpdateResult,
  UpsertResult,
} from './collection.js'
export { Collection } from './collection.js'
export type { DiskStats } from './disk.js'
export type { DriftStats } from './drift.js'
export { Drift } from './drift.js'
export { DriftError } from './errors.js'
export type { Filter } from './filter/filter.js'
export type { FilterPlan } from './filter/plan.js'
export type { MaintenanceEvent, MaintenanceMode } from './healing.js'
export type { RecoveryMode, RecoveryReport } from './log-recovery.js'
export type {
  CollectionOptions,
  FlushOptions,
  MaintainOptions,
  OpenOptions,
  Progress,
  SearchOptions,
  SyncMode,
  WriteOptions,
} from './options.js'
export type { IndexDeclarations, IndexKind } from './payload-index/payload-indexes.js'
export type { Columns, Payload, Row } from './rows.js'
export type { Scan, ScannedRow, ScanOptions } from './scan/rows.js'
