/**
 * The only door to the disk. Synchronous, because the engine decides where its threads wait, and small,
 * because every method has to be simulated. Knows no format. Paths are absolute or relative to the process.
 * Every failure is an FsError whose `code` names the errno (`DRIFT_FS_ENOSPC`, ...).
 */
export interface DriftFs {
  /** `read`: an existing file. `write`: an existing file, read and write. `create`: a new file, read and write; fails with EEXIST. A folder is EISDIR. */
  open(path: string, mode: OpenMode): number
  close(fd: number): void

  /**
   * `close` in another thread, for a descriptor that was only read: the last one of a removed file gives its blocks back, 0.1 s for 100 MB.
   * Absent on a disk where one thing happens after the other.
   */
  closeAside?(fd: number): void

  /** Whether no name leads to the open file any more: its bytes go when it is closed. Absent on a disk that cannot tell. */
  isNameless?(fd: number): boolean

  /** Read until `into` is full or the file ends. @returns bytes read. */
  read(fd: number, into: Uint8Array, offset: number): number

  /** Write all bytes at `offset`, looping over short writes; a gap before it reads as zeros. When it throws, any part may have been written. */
  write(fd: number, bytes: Uint8Array, offset: number): void

  /**
   * `write`, and when `isSynced` then `fsync`, in another thread, while this one goes on. The descriptor stays open and the bytes as they
   * are until it resolves. Absent on a disk where one thing happens after the other.
   */
  writeAside?(fd: number, bytes: Uint8Array, offset: number, isSynced: boolean): Promise<void>

  /** Data and the size needed to read it back are on stable storage. An error is final for this fd: the pages may be lost. */
  fdatasync(fd: number): void
  fsync(fd: number): void

  /** The folder's entries (created, renamed, removed names) are on stable storage. */
  syncFolder(path: string): void

  /** Cuts the file, or extends it with zeros. */
  truncate(fd: number, bytes: number): void

  /** Atomically replaces `to`, a file or an empty folder. Durable after syncFolder. */
  rename(from: string, to: string): void

  /**
   * A second name for a file that will not change any more; EEXIST when the name is taken. Durable after syncFolder. Absent where a
   * disk has no such thing; refused with an errno between two disks: the caller then copies.
   */
  link?(from: string, to: string): void

  /** A file or an empty folder. Durable after syncFolder. Open descriptors go on reading the file. */
  remove(path: string): void

  /** One folder; its parent must exist. No error when the folder exists. */
  makeFolder(path: string): void

  /** Entry names, sorted. */
  list(path: string): string[]

  /** What is at the path, or undefined when nothing is. */
  stat(path: string): FileStat | undefined

  /** Bytes that may still be written to the disk of this folder; Infinity when it has no limit. A quota need not show in it. */
  freeBytes(folder: string): number

  /** Exclusive advisory lock of a file (created when missing), freed by `release` or by the end of the process. Throws DRIFT_FS_LOCKED, with `holder` on a real disk. */
  lock(path: string): FileLock
}

export type OpenMode = 'read' | 'write' | 'create'

export interface FileStat {
  readonly kind: 'file' | 'folder'
  /** Size of a file; 0 for a folder. */
  readonly bytes: number
}

export interface FileLock {
  release(): void
}
