export { closeRead } from './close-read.js'
export type { DriftFs, FileLock, FileStat, OpenMode } from './drift-fs.js'
export {
  FsError,
  type FsErrorCode,
  type FsErrorDetails,
  type FsOperation,
  isOutOfSpace,
  isShortage,
} from './errors.js'
export { type Fault, FaultFs } from './fault-fs.js'
export { NodeFs, type NodeFsOptions } from './node-fs.js'
export type { Choose, Survival } from './sim-file.js'
export { type PowerCut, SimFs, type SimFsOptions } from './sim-fs.js'
export type { WriteLimit } from './transfer.js'
