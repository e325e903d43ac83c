/**
 * The one error class of this package: every failure of a DriftFs names its errno, the method and the path.
 */

import type { DriftFs } from './drift-fs.js'

export type FsOperation = keyof DriftFs
export type FsErrorCode = `DRIFT_FS_${string}`

export interface FsErrorDetails {
  readonly operation: FsOperation
  /** Of the file, also when the method was given a descriptor; empty for a descriptor that is not open. */
  readonly path: string
  /** Of a lock that is held, in words: `process 7 on host-a`; undefined where nobody tells. */
  readonly holder?: string | undefined
  readonly cause?: unknown
}

/** No room for more bytes: a full disk, a quota, a limit on the size of files. */
const OUT_OF_SPACE: ReadonlySet<string> = new Set(['DRIFT_FS_ENOSPC', 'DRIFT_FS_EDQUOT', 'DRIFT_FS_EFBIG'])
const OUT_OF_DESCRIPTORS: ReadonlySet<string> = new Set(['DRIFT_FS_EMFILE', 'DRIFT_FS_ENFILE'])

export class FsError extends Error {
  override readonly name: string = 'FsError'
  readonly code: FsErrorCode
  readonly operation: FsOperation
  readonly path: string
  readonly holder: string | undefined

  constructor(code: FsErrorCode, message: string, details: FsErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.operation = details.operation
    this.path = details.path
    this.holder = details.holder
  }

  /** The same values for logs, and for those who carry errors between threads. */
  get details(): { readonly operation: FsOperation; readonly path: string } {
    return { operation: this.operation, path: this.path }
  }
}

/** Whether the failure ends when somebody frees space. Goes by the code, so that an error of another thread counts too. */
export function isOutOfSpace(error: unknown): boolean {
  return OUT_OF_SPACE.has(String(errnoOf(error)))
}

/** Whether the failure ends by itself: no space, or no file descriptors. */
export function isShortage(error: unknown): boolean {
  return isOutOfSpace(error) || OUT_OF_DESCRIPTORS.has(String(errnoOf(error)))
}

/** @param errno - `ENOENT`, `EIO`, ... or `LOCKED`. */
export function fsError(errno: string, operation: FsOperation, path: string, reason: string): FsError {
  return new FsError(`DRIFT_FS_${errno}`, `${operation} ${path}: ${errno}, ${reason}`, { operation, path })
}

/** What node:fs threw, as an FsError. */
export function wrapError(cause: unknown, operation: FsOperation, path: string): FsError {
  if (cause instanceof FsError) return cause
  const errno = errnoOf(cause) ?? 'EUNKNOWN'
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new FsError(`DRIFT_FS_${errno}`, `${operation} ${path}: ${reason}`, { operation, path, cause })
}

export function errnoOf(cause: unknown): string | undefined {
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
}
