export type {
  BucketStats,
  Explanation,
  HealReport,
  Id,
  IndexQuantizer,
  MeasuredRecall,
  Metric,
} from '@drift/core'
export type { ArrowInput } from './arrow/batches.js'
export type { ToArrowOptions } from './arrow/export.js'
export type { FromArrowOptions, FromArrowResult } from './arrow/import.js'
export { arrowRows } from './arrow/import.js'
export type { BackupOptions, BackupReport } from './backup/backup.js'
export type { CheckOptions } from './check/check.js'
export type { CheckReport, Finding, FindingKind } from './check/report.js'
export type {
  BatchHits,
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
export type { RecoveryLoss, RecoveryMode, RecoveryReport } from './log-recovery.js'
export type {
  BatchSearchOptions,
  CollectionOptions,
  FlushOptions,
  GetOptions,
  MaintainOptions,
  OpenOptions,
  Progress,
  SearchOptions,
  SyncMode,
  WriteOptions,
} from './options.js'
export type { PaceStats } from './pace.js'
export type { IndexDeclarations, IndexKind } from './payload-index/payload-indexes.js'
export type { Loss } from './repair/plan.js'
export type { RepairOptions, RepairReport } from './repair/repair.js'
export { assertId, type Columns, type Payload, type Row } from './rows.js'
export type { Scan, ScannedRow, ScanOptions } from './scan/rows.js'
export type { RecallBelow } from './shadow.js'
export type { CollectionStats } from './stats.js'
