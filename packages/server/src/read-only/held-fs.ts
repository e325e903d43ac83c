/**
 * A disk that cannot be written, and on which files that are held stay as they are when the writer removes them: their descriptors are
 * opened once, and every later open of the same name shares them. Until they are let go a folder also holds what it held when it was
 * listed first. What a read-only database reads everything through.
 */
import { closeRead, type DriftFs, type FileLock, type FileStat, type OpenMode } from '@drift/fs'
import { DriftError } from '../errors.js'

interface Held {
  readonly fd: number
  readonly stat: FileStat
  users: number
}

export class HeldFs implements DriftFs {
  readonly #inner: DriftFs
  readonly #held = new Map<string, Held>()
  readonly #listed = new Map<string, readonly string[]>()
  #isLetGo = false
  readonly #shared = new Map<number, Held>()
  #nextShared = -1

  constructor(inner: DriftFs) {
    this.#inner = inner
  }

  /** @throws DRIFT_FS_ENOENT when the file is gone already. */
  hold(path: string): void {
    if (this.#held.has(path)) return
    const stat = this.#inner.stat(path) ?? { kind: 'file', bytes: 0 }
    this.#held.set(path, { fd: this.#inner.open(path, 'read'), stat, users: 0 })
  }

  /** Opened again they are looked for by name. Descriptors in use go on until they are closed. */
  letGo(): void {
    for (const held of this.#held.values()) if (held.users === 0) closeRead(this.#inner, held.fd)
    this.#held.clear()
    this.#isLetGo = true
  }

  open(path: string, mode: OpenMode): number {
    if (mode !== 'read') throw refused('open', path)
    const held = this.#held.get(path)
    if (!held) return this.#inner.open(path, mode)
    held.users++
    this.#shared.set(this.#nextShared, held)
    return this.#nextShared--
  }

  close(fd: number): void {
    const held = this.#shared.get(fd)
    if (!held) {
      this.#inner.close(fd)
      return
    }
    this.#shared.delete(fd)
    held.users--
    if (held.users === 0 && ![...this.#held.values()].includes(held)) this.#inner.close(held.fd)
  }

  freeBytes(folder: string): number {
    return this.#inner.freeBytes(folder)
  }

  read(fd: number, into: Uint8Array, offset: number): number {
    return this.#inner.read(this.#shared.get(fd)?.fd ?? fd, into, offset)
  }

  list(path: string): string[] {
    if (this.#isLetGo) return this.#inner.list(path)
    const names = this.#listed.get(path) ?? this.#inner.list(path)
    this.#listed.set(path, names)
    return [...names]
  }

  stat(path: string): FileStat | undefined {
    return this.#held.get(path)?.stat ?? this.#inner.stat(path)
  }

  write(fd: number): never {
    throw refused('write', `fd ${fd}`)
  }

  fdatasync(fd: number): never {
    throw refused('fdatasync', `fd ${fd}`)
  }

  fsync(fd: number): never {
    throw refused('fsync', `fd ${fd}`)
  }

  syncFolder(path: string): never {
    throw refused('syncFolder', path)
  }

  truncate(fd: number): never {
    throw refused('truncate', `fd ${fd}`)
  }

  rename(from: string): never {
    throw refused('rename', from)
  }

  remove(path: string): never {
    throw refused('remove', path)
  }

  makeFolder(path: string): never {
    throw refused('makeFolder', path)
  }

  lock(path: string): FileLock {
    throw refused('lock', path)
  }
}

function refused(operation: string, path: string): DriftError {
  return new DriftError('DRIFT_READ_ONLY', `${operation} ${path}: the database is open read-only`, { path })
}
