export type { DriftFs, FileLock, FileStat, OpenMode } from './drift-fs.js'
