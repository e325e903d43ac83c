/**
 * DriftFs on the real disk. Every call blocks; a caller that must not block runs it in a thread of its own.
 * Rules: loop over short transfers, never retry a sync, know the path of every descriptor so that errors name it.
 */

import {
  close,
  closeSync,
  fdatasyncSync,
  fstatSync,
  fsync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmdirSync,
  statfsSync,
  statSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs'
import { constants, hostname } from 'node:os'
import { promisify } from 'node:util'
import type { DriftFs, FileLock, FileStat, OpenMode } from './drift-fs.js'
import { errnoOf, FsError, type FsOperation, fsError, wrapError } from './errors.js'
import { lockPidFile } from './pid-lock.js'
import { checkOffset, checkTransfer, readAll, type WriteLimit, writeAll } from './transfer.js'

export interface NodeFsOptions {
  /**
   * flock(2) without waiting: 0, or the errno. Given by the caller, because Node has none. Without it `lock` uses a pid
   * file beside the path; the two forms do not see each other, so all processes that share a folder use the same one.
   */
  readonly flock?: (fd: number, exclusive: boolean) => number
  readonly writeLimit?: WriteLimit
}

/** In a thread of the pool that Node has for its files. */
const writeLater = promisify(write)
const fsyncLater = promisify(fsync)

const FLAGS: Readonly<Record<OpenMode, string>> = { read: 'r', write: 'r+', create: 'wx+' }

export class NodeFs implements DriftFs {
  readonly #options: NodeFsOptions
  readonly #paths = new Map<number, string>()

  constructor(options: NodeFsOptions = {}) {
    this.#options = options
  }

  open(path: string, mode: OpenMode): number {
    return attempt('open', path, () => {
      if (!Object.hasOwn(FLAGS, mode)) throw fsError('EINVAL', 'open', path, `there is no mode ${mode}`)
      const fd = openSync(path, FLAGS[mode])
      if (fstatSync(fd).isDirectory()) {
        closeSync(fd)
        throw fsError('EISDIR', 'open', path, 'is a folder')
      }
      this.#paths.set(fd, path)
      return fd
    })
  }

  close(fd: number): void {
    const path = this.#path(fd, 'close')
    this.#paths.delete(fd)
    attempt('close', path, () => closeSync(fd))
  }

  closeAside(fd: number): void {
    this.#path(fd, 'close')
    this.#paths.delete(fd)
    close(fd, () => {}) // nothing was written that could be lost
  }

  isNameless(fd: number): boolean {
    const path = this.#path(fd, 'isNameless')
    return attempt('isNameless', path, () => {
      const { nlink, ino } = fstatSync(fd)
      // Some file systems in user space count no links at all.
      return nlink === 0 && statSync(path, { throwIfNoEntry: false })?.ino !== ino
    })
  }

  read(fd: number, into: Uint8Array, offset: number): number {
    const path = this.#path(fd, 'read')
    checkTransfer(into, offset, 'read', path)
    return attempt('read', path, () =>
      readAll((bytes, at) => readSync(fd, bytes, 0, bytes.length, at), into, offset),
    )
  }

  write(fd: number, bytes: Uint8Array, offset: number): void {
    const path = this.#path(fd, 'write')
    checkTransfer(bytes, offset, 'write', path)
    attempt('write', path, () =>
      writeAll(
        (part, at) => writeSync(fd, part, 0, part.length, at),
        bytes,
        offset,
        path,
        this.#options.writeLimit,
      ),
    )
  }

  async writeAside(fd: number, bytes: Uint8Array, offset: number, isSynced: boolean): Promise<void> {
    const path = this.#path(fd, 'write')
    checkTransfer(bytes, offset, 'write', path)
    try {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await writeLater(fd, bytes, done, bytes.length - done, offset + done)
        if (bytesWritten === 0) throw fsError('EIO', 'write', path, `no progress at ${offset + done}`)
        done += bytesWritten
      }
    } catch (cause) {
      throw wrapError(cause, 'write', path)
    }
    try {
      if (isSynced) await fsyncLater(fd)
    } catch (cause) {
      throw wrapError(cause, 'fsync', path)
    }
  }

  fdatasync(fd: number): void {
    attempt('fdatasync', this.#path(fd, 'fdatasync'), () => fdatasyncSync(fd))
  }

  fsync(fd: number): void {
    attempt('fsync', this.#path(fd, 'fsync'), () => fsyncSync(fd))
  }

  /** Nothing on Windows, where a folder cannot be opened and NTFS journals its names. */
  syncFolder(path: string): void {
    if (process.platform === 'win32') return
    attempt('syncFolder', path, () => {
      const fd = openSync(path, 'r')
      try {
        if (!fstatSync(fd).isDirectory()) throw fsError('ENOTDIR', 'syncFolder', path, 'is not a folder')
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
    })
  }

  truncate(fd: number, bytes: number): void {
    const path = this.#path(fd, 'truncate')
    checkOffset(bytes, 'truncate', path)
    attempt('truncate', path, () => ftruncateSync(fd, bytes))
  }

  rename(from: string, to: string): void {
    attempt('rename', from, () => renameSync(from, to))
  }

  link(from: string, to: string): void {
    attempt('link', from, () => linkSync(from, to))
  }

  remove(path: string): void {
    attempt('remove', path, () => {
      if (lstatSync(path).isDirectory()) rmdirSync(path)
      else unlinkSync(path)
    })
  }

  makeFolder(path: string): void {
    attempt('makeFolder', path, () => {
      try {
        mkdirSync(path)
      } catch (cause) {
        if (errnoOf(cause) !== 'EEXIST' || !statSync(path).isDirectory()) throw cause
      }
    })
  }

  list(path: string): string[] {
    return attempt('list', path, () => readdirSync(path).sort())
  }

  stat(path: string): FileStat | undefined {
    return attempt('stat', path, () => {
      try {
        const found = statSync(path)
        return found.isDirectory() ? { kind: 'folder', bytes: 0 } : { kind: 'file', bytes: found.size }
      } catch (cause) {
        if (errnoOf(cause) === 'ENOENT' || errnoOf(cause) === 'ENOTDIR') return undefined
        throw cause
      }
    })
  }

  freeBytes(folder: string): number {
    return attempt('freeBytes', folder, () => {
      const { bavail, bsize } = statfsSync(folder)
      return bavail * bsize
    })
  }

  lock(path: string): FileLock {
    const { flock } = this.#options
    const lock = attempt('lock', path, () => (flock ? lockByFlock(path, flock) : lockPidFile(path)))
    return { release: () => attempt('lock', path, () => lock.release()) }
  }

  #path(fd: number, operation: FsOperation): string {
    const path = this.#paths.get(fd)
    if (path === undefined) throw fsError('EBADF', operation, '', `descriptor ${fd} is not open here`)
    return path
  }
}

/**
 * The kernel frees it when the process ends, however it ends. The file stays: removing it would let two lockers hold two files. What is
 * written in it is for people only.
 */
function lockByFlock(path: string, flock: NonNullable<NodeFsOptions['flock']>): FileLock {
  const fd = openSync(path, 'a')
  let errno: number
  try {
    errno = flock(fd, true)
  } catch (error) {
    closeSync(fd)
    throw error
  }
  if (errno !== 0) {
    closeSync(fd)
    if (errno === constants.errno.EWOULDBLOCK || errno === constants.errno.EAGAIN) throw lockedError(path)
    throw fsError(errnoName(errno), 'lock', path, `flock failed with errno ${errno}`)
  }
  nameHolder(fd, `process ${process.pid} on ${hostname()}`)
  let held = true
  return {
    release() {
      if (!held) return
      held = false
      nameHolder(fd, '')
      closeSync(fd)
    },
  }
}

function nameHolder(fd: number, name: string): void {
  try {
    ftruncateSync(fd)
    writeSync(fd, name, 0)
  } catch {
    // A full disk may be opened, too, and the lock is held all the same.
  }
}

function lockedError(path: string): FsError {
  const holder = holderIn(path)
  const message = `lock ${path}: LOCKED, ${holder ?? 'another open'} holds it`
  return new FsError('DRIFT_FS_LOCKED', message, { operation: 'lock', path, holder })
}

/** @returns undefined when nobody has written it: the file of an earlier release is empty, and anybody may have written something else. */
function holderIn(path: string): string | undefined {
  try {
    return /^process \d+ on [\w.-]+$/.exec(readFileSync(path, 'utf8'))?.[0]
  } catch {
    return undefined // That it is locked is to be told, whether it may be read or not.
  }
}

function errnoName(errno: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `ERRNO_${errno}`
}

function attempt<T>(operation: FsOperation, path: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    throw wrapError(cause, operation, path)
  }
}
