/**
 * Errors of this package. `code` is stable:
 * DRIFT_KERNEL_ARGUMENT (a wrong type, length or number; nothing was touched), DRIFT_KERNEL_VARIANT (a variant that
 * does not exist or that this CPU lacks), DRIFT_HNSW_LAYOUT (words that are not a graph, or a damaged one),
 * DRIFT_SLAB_SIZE (a size that memory cannot have), DRIFT_OUT_OF_MEMORY (no room for a slab or a kernel's scratch),
 * DRIFT_FLOCK (the system refused a lock for another reason than a holder).
 */
export type NativeErrorCode =
  | 'DRIFT_KERNEL_ARGUMENT'
  | 'DRIFT_KERNEL_VARIANT'
  | 'DRIFT_HNSW_LAYOUT'
  | 'DRIFT_SLAB_SIZE'
  | 'DRIFT_OUT_OF_MEMORY'
  | 'DRIFT_FLOCK'

export class NativeError extends Error {
  override readonly name = 'NativeError'
  readonly code: NativeErrorCode
  /** The values that the message speaks of. */
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: NativeErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
  }
}
