/**
 * Every failure of this package, by code. `DRIFT_CORRUPT_*` means that bytes on disk are not what was written: the file must not be
 * used, a derived file is dropped and rebuilt. `DRIFT_FORMAT_*` means that the file is whole but newer than this code: it must not
 * be treated as damage. Failures of the disk itself pass through as the file system's own errors.
 */

export type StorageErrorCode =
  /** The file ends before what it says it holds. */
  | 'DRIFT_CORRUPT_TRUNCATED'
  /** Not a file of the expected kind. */
  | 'DRIFT_CORRUPT_MAGIC'
  | 'DRIFT_CORRUPT_CRC'
  /** An offset, length or count points outside of what holds it. */
  | 'DRIFT_CORRUPT_BOUNDS'
  /** Checksums agree, and the content still makes no sense. */
  | 'DRIFT_CORRUPT_DECODE'
  /** A whole file, but not the one that was asked for. */
  | 'DRIFT_CORRUPT_IDENTITY'
  | 'DRIFT_FORMAT_VERSION'
  | 'DRIFT_FORMAT_FEATURE'
  /** The caller's mistake. */
  | 'DRIFT_ARGUMENT'
  | 'DRIFT_CLOSED'
  | 'DRIFT_MANIFEST_EXISTS'

export interface StorageErrorDetails {
  readonly path?: string
  /** Byte offset in the file. */
  readonly offset?: number
  /** Section kind (segment/format.ts). */
  readonly section?: number
  /** Page number in the section. */
  readonly page?: number
}

export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly code: StorageErrorCode
  readonly details: StorageErrorDetails

  constructor(code: StorageErrorCode, message: string, details: StorageErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
  }
}

/** Whether the error says that bytes on disk are damaged: a wrong checksum or field, sectors that the device cannot read, or a folder under the file's name. */
export function isDamage(error: unknown): error is Error {
  if (error instanceof StorageError) return error.code.startsWith('DRIFT_CORRUPT_')
  return (
    error instanceof Error &&
    'code' in error &&
    (error.code === 'DRIFT_FS_EIO' || error.code === 'DRIFT_FS_EISDIR')
  )
}

type Arrays =
  | typeof Uint8Array
  | typeof Uint32Array
  | typeof Float32Array
  | typeof Float64Array
  | typeof BigUint64Array

/** Throws DRIFT_ARGUMENT unless the value is an array of one of the types. One whose memory was transferred holds nothing, but was not empty. */
export function requireArray(value: unknown, what: string, ...types: readonly Arrays[]): void {
  // By its tag: an array of another realm is none of the types here.
  const view = ArrayBuffer.isView(value) ? (value as Uint8Array) : undefined
  const array = types.some(({ name }) => name === view?.[Symbol.toStringTag]) ? view : undefined
  const expected = () => types.map(({ name }) => name).join(' or ')
  requireArgument(array !== undefined, () => `${what} is ${nameOf(value)}, expected ${expected()}`)
  requireArgument(
    array!.length > 0 || !isDetached(array!.buffer),
    () => `the memory of ${what} was transferred`,
  )
}

function nameOf(value: unknown): string {
  return typeof value === 'object' && value !== null ? (value.constructor?.name ?? 'an object') : typeof value
}

function isDetached(buffer: ArrayBufferLike): boolean {
  try {
    return new Uint8Array(buffer).length < 0
  } catch {
    return true
  }
}

/** Throws DRIFT_ARGUMENT unless `valid`. The message names the value. */
export function requireArgument(valid: boolean, message: () => string): void {
  if (!valid) throw new StorageError('DRIFT_ARGUMENT', message())
}
