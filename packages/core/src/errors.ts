/**
 * The one error class of this package: a stable `code` to branch on, a sentence that names the values for people,
 * and `details` for logs. A failure of something below is kept as `cause`.
 */
export class CoreError extends Error {
  override readonly name = 'CoreError'
  readonly code: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: string,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options)
    this.code = code
    this.details = details
  }
}
