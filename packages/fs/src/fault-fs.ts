/**
 * DriftFs with planned failures: the n-th call fails with a given errno, once or from then on. A failed call has no
 * effect unless the fault says so. Run a workload with the fault at 1, 2, 3, ... until it completes: every error path is then met.
 */

import type { DriftFs, FileLock, FileStat, OpenMode } from './drift-fs.js'
import { FsError, type FsOperation, fsError } from './errors.js'

export interface Fault {
  /** The call that fails, counted from 1 among the calls that match `operation`. */
  readonly at: number
  /** `EIO`, `ENOSPC`, ... */
  readonly errno: string
  /** Later matching calls fail too. */
  readonly forever?: boolean
  /** Which methods match; every one when not given. */
  readonly operation?: FsOperation | readonly FsOperation[]
  /** A failing write first writes this share of its bytes, in 0 .. 1. */
  readonly written?: number
  /** A failing sync also forgets what it should have kept, as a failed write-back may. The inner disk is a SimFs. */
  readonly dropUnsynced?: boolean
}

export class FaultFs implements DriftFs {
  readonly #inner: DriftFs & { dropUnsynced?(fd: number): void }
  readonly #faults: { readonly fault: Fault; calls: number }[]
  #operations = 0

  /** @throws FsError DRIFT_FS_EINVAL for a fault that could never be met. */
  constructor(inner: DriftFs, plan: readonly Fault[]) {
    for (const fault of plan) assertMet(fault)
    this.#inner = inner
    this.#faults = plan.map(fault => ({ fault, calls: 0 }))
  }

  get operationCount(): number {
    return this.#operations
  }

  open(path: string, mode: OpenMode): number {
    this.#meet('open', path)
    return this.#inner.open(path, mode)
  }

  /** A failing close has closed the descriptor, as in POSIX. */
  close(fd: number): void {
    this.#meet('close', `fd ${fd}`, () => this.#inner.close(fd))
    this.#inner.close(fd)
  }

  read(fd: number, into: Uint8Array, offset: number): number {
    this.#meet('read', `fd ${fd}`)
    return this.#inner.read(fd, into, offset)
  }

  write(fd: number, bytes: Uint8Array, offset: number): void {
    this.#meet('write', `fd ${fd}`, ({ written = 0 }) =>
      this.#inner.write(fd, bytes.subarray(0, Math.floor(bytes.length * written)), offset),
    )
    this.#inner.write(fd, bytes, offset)
  }

  fdatasync(fd: number): void {
    this.#meet('fdatasync', `fd ${fd}`, fault => this.#failSync(fd, fault))
    this.#inner.fdatasync(fd)
  }

  fsync(fd: number): void {
    this.#meet('fsync', `fd ${fd}`, fault => this.#failSync(fd, fault))
    this.#inner.fsync(fd)
  }

  syncFolder(path: string): void {
    this.#meet('syncFolder', path)
    this.#inner.syncFolder(path)
  }

  truncate(fd: number, bytes: number): void {
    this.#meet('truncate', `fd ${fd}`)
    this.#inner.truncate(fd, bytes)
  }

  rename(from: string, to: string): void {
    this.#meet('rename', from)
    this.#inner.rename(from, to)
  }

  link(from: string, to: string): void {
    this.#meet('link', from)
    if (!this.#inner.link) throw fsError('ENOTSUP', 'link', from, 'the inner disk has no links')
    this.#inner.link(from, to)
  }

  remove(path: string): void {
    this.#meet('remove', path)
    this.#inner.remove(path)
  }

  makeFolder(path: string): void {
    this.#meet('makeFolder', path)
    this.#inner.makeFolder(path)
  }

  list(path: string): string[] {
    this.#meet('list', path)
    return this.#inner.list(path)
  }

  stat(path: string): FileStat | undefined {
    this.#meet('stat', path)
    return this.#inner.stat(path)
  }

  freeBytes(folder: string): number {
    this.#meet('freeBytes', folder)
    return this.#inner.freeBytes(folder)
  }

  lock(path: string): FileLock {
    this.#meet('lock', path)
    return this.#inner.lock(path)
  }

  /** Counts the call, and throws when it is planned to fail. `effect` is what the failing call does all the same. */
  #meet(operation: FsOperation, path: string, effect?: (fault: Fault) => void): void {
    this.#operations += 1
    let hit: Fault | undefined
    for (const entry of this.#faults) {
      const { fault } = entry
      if (fault.operation !== undefined && ![fault.operation].flat().includes(operation)) continue
      entry.calls += 1
      if (entry.calls === fault.at || (fault.forever === true && entry.calls > fault.at)) hit ??= fault
    }
    if (!hit) return
    effect?.(hit)
    throw fsError(hit.errno, operation, path, `planned for call ${hit.at}`)
  }

  #failSync(fd: number, fault: Fault): void {
    if (fault.dropUnsynced) this.#inner.dropUnsynced?.(fd)
  }
}

/** What a disk need not have: what it does aside goes by the others. */
type Optional = 'closeAside' | 'writeAside' | 'isNameless'

/** Those that are met here. */
const OPERATIONS: { readonly [O in Exclude<FsOperation, Optional>]: true } = {
  open: true,
  close: true,
  read: true,
  write: true,
  fdatasync: true,
  fsync: true,
  syncFolder: true,
  truncate: true,
  rename: true,
  link: true,
  remove: true,
  makeFolder: true,
  list: true,
  stat: true,
  freeBytes: true,
  lock: true,
}

function assertMet({ at, operation }: Fault): void {
  const named = [operation ?? []].flat()
  const unknown = named.find(name => !Object.hasOwn(OPERATIONS, name))
  if (unknown === undefined && Number.isInteger(at) && at >= 1) return
  const what =
    unknown === undefined ? `call ${at}: they count from 1` : `'${unknown}': there is no such operation`
  throw new FsError('DRIFT_FS_EINVAL', `a fault is planned for ${what}`, {
    operation: named[0] ?? 'open',
    path: '',
  })
}
