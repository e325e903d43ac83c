/**
 * DriftFs in memory, as strict as a disk may be: nothing survives a power cut but what was synced, and a file's sync does not
 * keep its name. `powerCut` gives one disk that the machine could find afterwards. Model: ALICE (Pillai et al., OSDI 2014).
 * Memory is what the files hold plus what is not synced yet, so it also serves as the disk of a database without a folder.
 */

import { posix } from 'node:path'
import type { DriftFs, FileLock, FileStat, OpenMode } from './drift-fs.js'
import { FsError, type FsOperation, fsError, wrapError } from './errors.js'
import { type Choose, SimFile, type Survival } from './sim-file.js'
import { SimFolder, type SimNode } from './sim-folder.js'
import { checkOffset, checkTransfer, type WriteLimit, writeAll } from './transfer.js'

export interface SimFsOptions {
  /** Called before each operation takes effect, with its number from 1: the place to take a power cut at every point. */
  readonly before?: (operation: FsOperation, path: string, count: number) => void
  readonly writeLimit?: WriteLimit
  /** Bytes that the files may hold together; no limit when not given. `SimFs.capacity` changes it later. */
  readonly capacity?: number
}

export interface PowerCut {
  /** Unsynced writes and sizes; 'random' when not given. */
  readonly data?: Survival
  /** Unsynced names; 'random' when not given. */
  readonly entries?: Survival
  /** Decides everything random; 0 when neither it nor `choose` is given. */
  readonly seed?: number
  readonly choose?: Choose
}

const SURVIVALS: readonly Survival[] = ['none', 'all', 'random']
const CUT_OPTIONS: readonly string[] = ['data', 'entries', 'seed', 'choose'] satisfies (keyof PowerCut)[]
const OPTIONS: readonly string[] = ['before', 'writeLimit', 'capacity'] satisfies (keyof SimFsOptions)[]

interface OpenFile {
  readonly file: SimFile
  readonly path: string
  readonly writable: boolean
}

export class SimFs implements DriftFs {
  readonly #options: SimFsOptions
  readonly #locked = new Set<SimNode>()
  readonly #open = new Map<number, OpenFile>()
  #root = new SimFolder()
  #operations = 0
  #nextFd = 3
  /** Names take nothing, and a file that was removed gives its bytes back although it is still open. */
  capacity: number

  /** @throws FsError DRIFT_FS_EINVAL for an option that there is not: misspelt, it would do nothing. */
  constructor(options: SimFsOptions = {}) {
    assertKnown(options, OPTIONS)
    this.#options = options
    this.capacity = options.capacity ?? Number.POSITIVE_INFINITY
  }

  get operationCount(): number {
    return this.#operations
  }

  /** What the disk may hold after the power fails now. This disk goes on unchanged. @throws as the constructor. */
  powerCut(cut: PowerCut = {}, options: SimFsOptions = {}): SimFs {
    assertKnown(cut, CUT_OPTIONS)
    const choose = cut.choose ?? seededChoice(cut.seed ?? 0)
    const { data = 'random', entries = 'random' } = cut
    for (const [name, value] of Object.entries({ data, entries })) {
      if (!SURVIVALS.includes(value))
        throw wrongOption(`${name} is '${value}', expected one of ${SURVIVALS.join(', ')}`)
    }
    return SimFs.#withRoot(this.#root.cut(data, entries, choose), options)
  }

  /** What the next process finds when this one is killed: every write, no open file, no lock. This disk goes on unchanged. */
  processKill(options: SimFsOptions = {}): SimFs {
    return SimFs.#withRoot(this.#root.copy(), options)
  }

  /** Forgets the unsynced writes of one file, as a failed write-back may. */
  dropUnsynced(fd: number): void {
    this.#opened(fd, 'fsync').file.dropUnsynced()
  }

  open(path: string, mode: OpenMode): number {
    this.#count('open', path)
    if (!['read', 'write', 'create'].includes(mode))
      throw fsError('EINVAL', 'open', path, `there is no mode ${mode}`)
    const { folder, name, node } = this.#find(path, 'open')
    if (mode === 'create' && node) throw fsError('EEXIST', 'open', path, 'is there already')
    if (node?.kind === 'folder') throw fsError('EISDIR', 'open', path, 'is a folder')
    if (mode !== 'create' && !node) throw fsError('ENOENT', 'open', path, 'no such file')
    const file = node ?? new SimFile()
    if (!node) folder.change({ put: [name, file] })
    const fd = this.#nextFd++
    this.#open.set(fd, { file, path, writable: mode !== 'read' })
    return fd
  }

  close(fd: number): void {
    this.#use(fd, 'close')
    this.#open.delete(fd)
  }

  read(fd: number, into: Uint8Array, offset: number): number {
    const { file, path } = this.#use(fd, 'read')
    checkTransfer(into, offset, 'read', path)
    return file.read(into, offset)
  }

  write(fd: number, bytes: Uint8Array, offset: number): void {
    const { file, path, writable } = this.#use(fd, 'write')
    checkTransfer(bytes, offset, 'write', path)
    if (!writable && bytes.length > 0) throw fsError('EBADF', 'write', path, 'is open for reading only')
    const take = (part: Uint8Array, at: number): number => {
      const room = this.#roomFor(file, at, part.length)
      if (room === 0 && part.length > 0) throw fsError('ENOSPC', 'write', path, 'the disk is full')
      file.write(part.subarray(0, room), at)
      return room
    }
    try {
      writeAll(take, bytes, offset, path, this.#options.writeLimit)
    } catch (cause) {
      throw wrapError(cause, 'write', path)
    }
  }

  fdatasync(fd: number): void {
    this.#use(fd, 'fdatasync').file.sync()
  }

  fsync(fd: number): void {
    this.#use(fd, 'fsync').file.sync()
  }

  syncFolder(path: string): void {
    this.#count('syncFolder', path)
    this.#folder(path, 'syncFolder').sync()
  }

  truncate(fd: number, bytes: number): void {
    const { file, path, writable } = this.#use(fd, 'truncate')
    checkOffset(bytes, 'truncate', path)
    if (!writable) throw fsError('EINVAL', 'truncate', path, 'is open for reading only')
    if (bytes > file.bytes && this.#roomFor(file, file.bytes, bytes - file.bytes) < bytes - file.bytes)
      throw fsError('ENOSPC', 'truncate', path, 'the disk is full')
    file.truncate(bytes)
  }

  rename(from: string, to: string): void {
    this.#count('rename', from)
    const source = this.#find(from, 'rename')
    const target = this.#find(to, 'rename')
    const { node } = source
    if (!node) throw fsError('ENOENT', 'rename', from, 'no such file or folder')
    if (node === target.node) return
    if (node.kind === 'folder' && `${resolve(to)}/`.startsWith(`${resolve(from)}/`))
      throw fsError('EINVAL', 'rename', from, `cannot move into itself as ${to}`)
    if (target.node) checkReplaceable(node, target.node, to)
    if (source.folder === target.folder)
      source.folder.change({ remove: source.name, put: [target.name, node] })
    else {
      const change = { put: [target.name, node] as const }
      target.folder.change(change)
      source.folder.change({ remove: source.name, after: { folder: target.folder, change } })
    }
  }

  link(from: string, to: string): void {
    this.#count('link', from)
    const { node } = this.#find(from, 'link')
    const target = this.#find(to, 'link')
    if (!node) throw fsError('ENOENT', 'link', from, 'no such file')
    if (node.kind === 'folder') throw fsError('EPERM', 'link', from, 'is a folder')
    if (target.node) throw fsError('EEXIST', 'link', to, 'is there already')
    target.folder.change({ put: [target.name, node] })
  }

  remove(path: string): void {
    this.#count('remove', path)
    const { folder, name, node } = this.#find(path, 'remove')
    if (!node) throw fsError('ENOENT', 'remove', path, 'no such file or folder')
    if (node.kind === 'folder' && node.names.size > 0)
      throw fsError('ENOTEMPTY', 'remove', path, `the folder holds ${node.names.size} names`)
    folder.change({ remove: name })
  }

  makeFolder(path: string): void {
    this.#count('makeFolder', path)
    if (resolve(path) === '/') return
    const { folder, name, node } = this.#find(path, 'makeFolder')
    if (node?.kind === 'file') throw fsError('EEXIST', 'makeFolder', path, 'is a file')
    if (!node) folder.change({ put: [name, new SimFolder()] })
  }

  list(path: string): string[] {
    this.#count('list', path)
    return [...this.#folder(path, 'list').names.keys()].sort()
  }

  stat(path: string): FileStat | undefined {
    this.#count('stat', path)
    const node = this.#walk(resolve(path).split('/').filter(Boolean))
    return node && { kind: node.kind, bytes: node.bytes }
  }

  freeBytes(folder: string): number {
    this.#count('freeBytes', folder)
    this.#folder(folder, 'freeBytes')
    return Math.max(0, this.capacity - this.#root.storedBytes())
  }

  lock(path: string): FileLock {
    this.#count('lock', path)
    const { folder, name, node } = this.#find(path, 'lock')
    if (node?.kind === 'folder') throw fsError('EISDIR', 'lock', path, 'is a folder')
    const file = node ?? new SimFile()
    if (this.#locked.has(file)) throw fsError('LOCKED', 'lock', path, 'another open holds it')
    if (!node) folder.change({ put: [name, file] })
    this.#locked.add(file)
    let held = true
    return {
      release: () => {
        if (held) this.#locked.delete(file)
        held = false
      },
    }
  }

  /** How many of `count` bytes at `offset` the disk still takes: what lies inside the file has its place already. */
  #roomFor(file: SimFile, offset: number, count: number): number {
    if (this.capacity === Number.POSITIVE_INFINITY || offset + count <= file.bytes) return count
    const end = file.bytes + Math.max(0, this.capacity - this.#root.storedBytes())
    return Math.max(0, Math.min(count, end - offset))
  }

  static #withRoot(root: SimFolder, options: SimFsOptions): SimFs {
    const disk = new SimFs(options)
    disk.#root = root
    return disk
  }

  #count(operation: FsOperation, path: string): void {
    this.#operations += 1
    this.#options.before?.(operation, path, this.#operations)
  }

  #use(fd: number, operation: FsOperation): OpenFile {
    const opened = this.#opened(fd, operation)
    this.#count(operation, opened.path)
    return opened
  }

  #opened(fd: number, operation: FsOperation): OpenFile {
    const opened = this.#open.get(fd)
    if (!opened) throw fsError('EBADF', operation, '', `descriptor ${fd} is not open here`)
    return opened
  }

  #find(
    path: string,
    operation: FsOperation,
  ): { folder: SimFolder; name: string; node: SimNode | undefined } {
    const parts = resolve(path).split('/').filter(Boolean)
    const name = parts.pop()
    if (name === undefined) throw fsError('EISDIR', operation, path, 'is the root')
    const folder = this.#walk(parts)
    if (!folder) throw fsError('ENOENT', operation, path, 'its folder does not exist')
    if (folder.kind === 'file') throw fsError('ENOTDIR', operation, path, 'its folder is a file')
    return { folder, name, node: folder.names.get(name) }
  }

  #folder(path: string, operation: FsOperation): SimFolder {
    const node = this.#walk(resolve(path).split('/').filter(Boolean))
    if (!node) throw fsError('ENOENT', operation, path, 'no such folder')
    if (node.kind === 'file') throw fsError('ENOTDIR', operation, path, 'is a file')
    return node
  }

  #walk(parts: readonly string[]): SimNode | undefined {
    let node: SimNode | undefined = this.#root
    for (const part of parts) node = node?.kind === 'folder' ? node.names.get(part) : undefined
    return node
  }
}

/** The process stands in the root. */
function resolve(path: string): string {
  return posix.resolve('/', path)
}

function assertKnown(options: object, known: readonly string[]): void {
  const unknown = Object.keys(options).find(name => !known.includes(name))
  if (unknown !== undefined) throw wrongOption(`'${unknown}' is no option, expected ${known.join(', ')}`)
}

function wrongOption(message: string): FsError {
  return new FsError('DRIFT_FS_EINVAL', message, { operation: 'fsync', path: '' })
}

function checkReplaceable(node: SimNode, target: SimNode, to: string): void {
  if (node.kind === 'file' && target.kind === 'folder') throw fsError('EISDIR', 'rename', to, 'is a folder')
  if (node.kind === 'folder' && target.kind === 'file') throw fsError('ENOTDIR', 'rename', to, 'is a file')
  if (target.kind === 'folder' && target.names.size > 0)
    throw fsError('ENOTEMPTY', 'rename', to, `the folder holds ${target.names.size} names`)
}

/** mulberry32. */
function seededChoice(seed: number): Choose {
  let state = seed >>> 0
  return options => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % options
  }
}
