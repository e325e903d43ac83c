// What a traced process asked of the file system (shim.c), and a simulated disk that lives through it. Stopped after any record, that disk
// gives what stable storage may hold when the power fails there.
import { readFileSync } from 'node:fs'
import type { OpenMode, SimFs } from '@drift/fs'

/** As in shim.c. */
const KINDS = [
  'opened',
  'closed',
  'wrote',
  'sized',
  'synced',
  'renamed',
  'linked',
  'removed',
  'folder made',
  'printed',
] as const
const HEAD_BYTES = 24

export interface TraceRecord {
  readonly kind: (typeof KINDS)[number]
  /** The descriptor. */
  readonly number: number
  /** Of a write; the size that a file was given; 1 when opening may have made the file. */
  readonly offset: number
  /** A path, or what was written. */
  readonly first: Uint8Array
  /** The other path. */
  readonly second: Uint8Array
}

/** All whole records: the process may have died inside the last. */
export function readTrace(file: string): TraceRecord[] {
  const bytes = readFileSync(file)
  const records: TraceRecord[] = []
  for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
    const [n, m] = [bytes.readUInt32LE(at + 16), bytes.readUInt32LE(at + 20)]
    const body = at + HEAD_BYTES
    if (body + n + m > bytes.length) break
    records.push({
      kind: KINDS[bytes.readUInt32LE(at) - 1]!,
      number: bytes.readInt32LE(at + 4),
      offset: Number(bytes.readBigUInt64LE(at + 8)),
      first: bytes.subarray(body, body + n),
      second: bytes.subarray(body + n, body + n + m),
    })
    at = body + n + m
  }
  return records
}

export interface ReplayOptions {
  /** The folder that was traced: the root of the simulated disk. */
  readonly folder: string
  /** What the process found there, all of it on stable storage. */
  readonly base: SimFs
  /** A device that lies: syncs of these paths do nothing. */
  readonly unsynced?: (path: string) => boolean
}

export class Replay {
  readonly disk: SimFs
  printed = ''
  readonly #options: ReplayOptions
  /** A file's own descriptor, none for a folder. */
  readonly #open = new Map<number, { path: string; fd?: number }>()

  constructor(options: ReplayOptions) {
    this.#options = options
    this.disk = options.base.processKill()
  }

  apply({ kind, number, offset, first, second }: TraceRecord): void {
    const { disk } = this
    const opened = this.#open.get(number)
    switch (kind) {
      case 'printed':
        this.printed += Buffer.from(first)
        break
      case 'opened': {
        const path = this.#path(first)
        const found = disk.stat(path)
        const mode: OpenMode = found ? 'write' : 'create'
        if (!found && offset === 0) throw new Error(`${path} was there, and the trace does not know it`)
        this.#open.set(number, found?.kind === 'folder' ? { path } : { path, fd: disk.open(path, mode) })
        break
      }
      case 'closed':
        if (opened?.fd !== undefined) disk.close(opened.fd)
        this.#open.delete(number)
        break
      case 'wrote':
        disk.write(opened!.fd!, first, offset)
        break
      case 'sized':
        disk.truncate(opened!.fd!, offset)
        break
      case 'synced':
        if (this.#options.unsynced?.(opened!.path)) break
        if (opened!.fd === undefined) disk.syncFolder(opened!.path)
        else disk.fdatasync(opened!.fd)
        break
      case 'renamed':
        disk.rename(this.#path(first), this.#path(second))
        break
      case 'linked':
        disk.link(this.#path(first), this.#path(second))
        break
      case 'removed':
        disk.remove(this.#path(first))
        break
      case 'folder made':
        disk.makeFolder(this.#path(first))
    }
  }

  #path(bytes: Uint8Array): string {
    return Buffer.from(bytes).toString().slice(this.#options.folder.length) || '/'
  }
}
