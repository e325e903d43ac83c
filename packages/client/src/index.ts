export { type CollectionInfo, RemoteCollection } from './collection.js'
export { connect, RemoteDrift } from './connect.js'
export { ClientError } from './errors.js'
export type {
  BatchHits,
  BucketStats,
  CallOptions,
  CollectionOptions,
  CollectionStats,
  Columns,
  DeleteResult,
  DriftStats,
  Filter,
  HealReport,
  Hit,
  Id,
  MeasuredRecall,
  Metric,
  Payload,
  Row,
  Scan,
  ScannedRow,
  ScanOptions,
  SearchOptions,
  StoredRow,
  UpsertResult,
} from './rows.js'
export type { ConnectOptions } from './transport.js'
