/**
 * The one error class of this package. `code` is stable and listed in docs/errors.md; `message` is a sentence with the
 * values that were wrong; `details` holds them for programs.
 */
export class DriftError extends Error {
  readonly code: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: string,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options: { cause?: unknown } = {},
  ) {
    super(message, options)
    this.name = 'DriftError'
    this.code = code
    this.details = details
  }
}

export function closedError(): DriftError {
  return new DriftError('DRIFT_CLOSED', 'the database is closed')
}
