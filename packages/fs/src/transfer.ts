/**
 * The loops over short reads and short writes, shared by every DriftFs. The system may take fewer bytes than it was
 * given without any error (a full disk, RLIMIT_FSIZE, a signal), and says why only at the next call: never trust one call.
 */

import { types } from 'node:util'
import { type FsOperation, fsError } from './errors.js'

/** One raw call: moves some bytes at `offset` and says how many. Zero from a read means the end of the file. */
export type Transfer = (bytes: Uint8Array, offset: number) => number

/**
 * How many of `bytes` one raw write may take; for tests of the loop. It may throw an errno error to fail the call,
 * and a result of 0 stands for a device that makes no progress.
 */
export type WriteLimit = (bytes: number) => number

export function writeAll(
  write: Transfer,
  bytes: Uint8Array,
  offset: number,
  path: string,
  limit?: WriteLimit,
): void {
  let done = 0
  while (done < bytes.length) {
    const most = limit === undefined ? bytes.length : limit(bytes.length - done)
    const count = write(bytes.subarray(done, done + most), offset + done)
    if (count <= 0)
      throw fsError('EIO', 'write', path, `no progress after ${done} of ${bytes.length} bytes at ${offset}`)
    done += count
  }
}

/** @returns bytes read; fewer than `into` holds only at the end of the file. */
export function readAll(read: Transfer, into: Uint8Array, offset: number): number {
  let done = 0
  while (done < into.length) {
    const count = read(into.subarray(done), offset + done)
    if (count <= 0) break
    done += count
  }
  return done
}

/** Of wider values a transfer would move as many bytes as there are values. */
export function checkTransfer(bytes: Uint8Array, offset: number, operation: FsOperation, path: string): void {
  if (!types.isUint8Array(bytes)) throw fsError('EINVAL', operation, path, 'the bytes are no Uint8Array')
  checkOffset(offset, operation, path)
}

export function checkOffset(offset: number, operation: FsOperation, path: string): void {
  if (!Number.isSafeInteger(offset) || offset < 0)
    throw fsError('EINVAL', operation, path, `${offset} is not a position in a file`)
}
