export type { Id, Metric } from '@drift/core'
export type {
  BatchHits,
  CollectionStats,
  DeleteResult,
  Hit,
  StoredRow,
  UpsertResult,
} from './collection.js'
export { Collection } from './collection.js'
export type { DiskStats } from './disk.js'
export type { DriftStats } from './drift.js'
export { Drift } from './drift.js'
export { DriftError } from './errors.js'
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
export type { Columns, Payload, Row } from './rows.js'
