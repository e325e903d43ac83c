/**
 * The one error class of this package. `code` is the server's, the same as the embedded engine's (docs/errors.md), or
 * one of this side: DRIFT_UNREACHABLE, DRIFT_TIMEOUT, DRIFT_ANSWER, and DRIFT_PAYLOAD and DRIFT_JSON for what cannot be sent.
 */
export class ClientError extends Error {
  readonly code: string
  readonly details: Readonly<Record<string, unknown>>
  /** Of the answer; undefined when there was none. */
  readonly status: number | undefined
  /** Find the request in the server's log by it. */
  readonly requestId: string | undefined

  constructor(
    code: string,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    answer: { status?: number; requestId?: string; cause?: unknown } = {},
  ) {
    super(message, answer.cause === undefined ? {} : { cause: answer.cause })
    this.name = 'ClientError'
    this.code = code
    this.details = details
    this.status = answer.status
    this.requestId = answer.requestId
  }
}
