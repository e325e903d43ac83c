export type { Id, Metric } from '@drift/core'
export type { ToArrowOptions } from './arrow/export.js'
export type { ArrowInput, FromArrowOptions, FromArrowResult } from './arrow/import.js'
export type { BackupOptions, BackupReport } from './backup/backup.js'
export type { CheckOptions } from './check/check.js'
export type { CheckReport, Finding, FindingKind } from './check/report.js'
export type {
  BatchHits,
  CollectionStats,
  DeleteResult,
  Hit,
  StoredRow,
  UpsertResult,
} from './collection.js'
export { Collection } from './collection.js'
export type { DriftStats } from './drift.js'
export { Drift } from './drift.js'
export { DriftError } from './errors.js'
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
export type { Loss } from './repair/plan.js'
export type { RepairOptions, RepairReport } from './repair/repair.js'
export type { Columns, Payload, Row } from './rows.js'
