/**
 * A small log on a simulated disk, whose records tell their own LSN, so that a test knows a right record from any other.
 */

import { type DriftFs, FaultFs, FsError, type OpenMode, SimFs } from '@drift/fs'
import { expect } from 'vitest'
import { CoreError } from '../src/errors.js'
import { PAGE_BYTES, walFileName } from '../src/wal/format.js'
import { type WalEnd, WalLog, type WalRecord } from '../src/wal/log.js'
import { type ReadWalOptions, readWal, type WalScan } from '../src/wal/reader.js'

export const FOLDER = '/db'
export const DATABASE: Uint8Array = new Uint8Array(16).fill(0xdb)
export const SMALL_FILE: number = 8 * PAGE_BYTES

/** mulberry32. */
export function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** The record of an LSN, so that a reader can tell a right one from any other. */
export function recordOf(lsn: number, length = 20 + ((lsn * 37) % 90)): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (lsn * 131 + index * 7) & 255)
}

export function newDisk(options?: ConstructorParameters<typeof SimFs>[0]): SimFs {
  const fs = new SimFs(options)
  fs.makeFolder(FOLDER)
  fs.syncFolder('/')
  return fs
}

/** A disk with another thread, which does what it was given when the test says so. */
export class ThreadedDisk extends FaultFs {
  openFiles = 0
  #given: ((failure: string | undefined) => void) | undefined

  constructor(disk: SimFs) {
    super(disk, [])
  }

  /** @param failure - for want of room, with this message. */
  turn(failure?: string): void {
    const given = this.#given!
    this.#given = undefined
    given(failure)
  }

  writeAside(fd: number, bytes: Uint8Array, offset: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#given = failure => {
        if (failure !== undefined) {
          reject(new FsError('DRIFT_FS_ENOSPC', failure, { operation: 'write', path: 'spare' }))
          return
        }
        this.write(fd, bytes, offset)
        this.fsync(fd)
        resolve()
      }
    })
  }

  override open(path: string, mode: OpenMode): number {
    const fd = super.open(path, mode)
    this.openFiles++
    return fd
  }

  override close(fd: number): void {
    super.close(fd)
    this.openFiles--
  }
}

export function openLog(
  fs: DriftFs,
  from: Partial<WalScan> & { fileBytes?: number; nonce?: bigint } = {},
): WalLog {
  const { end, fileBytes = SMALL_FILE, nonce = 42n } = from
  const position: { firstFile: number; firstLsn: number; previous?: WalEnd } = end
    ? { firstFile: end.file, firstLsn: end.lsn, previous: end }
    : { firstFile: 1, firstLsn: 1 }
  const carry = from.clean === false && from.records ? { carry: from.records } : {}
  return WalLog.open({ fs, folder: FOLDER, database: DATABASE, nonce, fileBytes, ...position, ...carry })
}

export function read(fs: DriftFs, options: Partial<ReadWalOptions> = {}): WalScan {
  return readWal(fs, FOLDER, { database: DATABASE, floorLsn: 1, ...options })
}

export function lsns(records: Iterable<WalRecord>): number[] {
  return [...records].map(({ lsn }) => lsn)
}

export function upTo(last: number, first = 1): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index)
}

/** Records in order and each with its own bytes. Compares by hand: a matcher per record would take most of a crash test's time. */
export function expectRecords(scan: WalScan, last: number, first = 1, message = ''): void {
  let lsn = first
  for (const record of scan.records) {
    if (record.lsn !== lsn) expect.fail(`found LSN ${record.lsn}, expected ${lsn} ${message}`)
    if (Buffer.compare(record.bytes, recordOf(lsn)) !== 0)
      expect.fail(`record ${lsn} has other bytes ${message}`)
    lsn += 1
  }
  if (lsn !== last + 1) expect.fail(`found records up to ${lsn - 1}, expected ${last} ${message}`)
}

export function commit(log: WalLog, ...groups: number[]): void {
  for (const count of groups) {
    log.append(upTo(log.nextLsn + count - 1, log.nextLsn).map(lsn => recordOf(lsn)))
    log.sync()
  }
}

export function kindOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(CoreError)
    const { code, details } = error as CoreError
    expect(code).toBe('DRIFT_WAL_CORRUPT')
    expect(typeof details['file']).toBe('string')
    expect(typeof details['offset']).toBe('number')
    return details['kind'] as string
  }
  return 'no error'
}

export function patch(fs: SimFs, file: number, offset: number, bytes: Uint8Array): void {
  const fd = fs.open(`${FOLDER}/${walFileName(file)}`, 'write')
  fs.write(fd, bytes, offset)
  fs.fsync(fd)
  fs.close(fd)
}

export function content(fs: SimFs, file: number): Uint8Array {
  const path = `${FOLDER}/${walFileName(file)}`
  const into = new Uint8Array(fs.stat(path)!.bytes)
  const fd = fs.open(path, 'read')
  fs.read(fd, into, 0)
  fs.close(fd)
  return into
}
