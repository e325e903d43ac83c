/**
 * The one error class of this package. `code` is stable and is what callers branch on; the message is a sentence
 * with the values; `details` holds those values for logs.
 */

export type CoreErrorCode = `DRIFT_${string}`

export class CoreError extends Error {
  override readonly name: string = 'CoreError'
  readonly code: CoreErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: CoreErrorCode,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.code = code
    this.details = details
  }
}
