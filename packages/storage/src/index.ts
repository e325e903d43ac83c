/** Bytes at rest: segments, tombstone files, index files, checkpoints and the manifest that names them. */
export { IdFilter } from './bloom.js'
export {
  type Checkpoint,
  type CheckpointEntry,
  type CheckpointInput,
  NO_HOME,
  readCheckpoint,
  type SegmentHomes,
  writeCheckpoint,
} from './checkpoint.js'
export { decodeFloats, encodeFloats } from './codec/floats.js'
export { decodeIds, encodeIds } from './codec/ids.js'
export { isDamage, StorageError, type StorageErrorCode, type StorageErrorDetails } from './errors.js'
export {
  INDEX_COLUMNS,
  type IndexColumn,
  IndexFile,
  type IndexFileInput,
  type IndexFileSizes,
  NO_ROW,
  type SegmentPlaces,
  writeIndexFile,
} from './index-file.js'
export { type DecodedManifest, decodeManifest } from './manifest/format.js'
export {
  type CollectionEntry,
  chooseManifest,
  commitManifest,
  type LoadedManifest,
  loadManifest,
  type Manifest,
  type ManifestFile,
  manifestName,
  readManifests,
  removeOldManifests,
} from './manifest/manifest.js'
export { MAGIC_BYTES, type Metric } from './segment/format.js'
export {
  type Inspected,
  type Inspection,
  inspectIndex,
  inspectSegment,
  inspectTombstones,
  isTruthSection,
  salvageSegment,
} from './segment/inspection.js'
export type { Origins } from './segment/origins.js'
export { PageCache, type PageCacheStats } from './segment/page-cache.js'
export { SegmentReader, type SegmentReaderOptions } from './segment/reader.js'
export type { FileEntry } from './segment/section-writer.js'
export type { Stats } from './segment/stats.js'
export { type SegmentEntry, type SegmentInput, writeSegment } from './segment/writer.js'
export { readTombstones, type TombstoneEntry, type TombstoneInput, writeTombstones } from './tombstones.js'
