/**
 * The one error class of this package, and what any error looks like from outside: a status, a stable code, a sentence.
 * Rule: what the caller did wrong is told in full; what failed on our side is told by its code alone and logged, since
 * messages from below hold paths.
 */
import { ARROW_TYPE, FRAME_TYPE } from '@drift/client/wire'
import { statusOf } from './status.js'

export class HttpError extends Error {
  readonly code: string
  readonly details: Readonly<Record<string, unknown>>
  readonly statusCode: number
  /** Seconds after which to try again, when that may help. */
  readonly retryAfter: number | undefined

  constructor(
    code: string,
    message: string,
    details: Readonly<Record<string, unknown>> = {},
    options: { cause?: unknown; retryAfter?: number } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'HttpError'
    this.code = code
    this.details = details
    this.statusCode = statusOf(code)
    this.retryAfter = options.retryAfter
  }
}

export interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
  readonly retryAfter: number | undefined
}

/** Fastify's code for a body of a type that has no parser. */
const FOREIGN_TYPE = 'FST_ERR_CTP_INVALID_MEDIA_TYPE'
const NO_SUCH_BODY = `the content-type of the body is not taken here: send application/json, ${FRAME_TYPE} or ${ARROW_TYPE}`

/** Any error as it is answered. */
export function refusalOf(error: unknown): Refusal {
  const thrown = error as Partial<HttpError> & { statusCode?: number; headers?: Record<string, string> }
  const known = typeof thrown?.code === 'string' ? thrown.code : undefined
  const code = known?.startsWith('DRIFT_') ? known : fromFastify(known, thrown?.statusCode)
  const status = statusOf(code)
  const retryAfter = thrown?.retryAfter ?? (status === 429 || status === 503 ? 1 : undefined)
  if (status < 500 || error instanceof HttpError) {
    const message = known === FOREIGN_TYPE ? NO_SUCH_BODY : (thrown.message ?? code)
    return { status, code, message, details: plain(thrown.details), retryAfter }
  }
  const message = 'the server could not do this; its log has the reason under the request id'
  return { status, code, message, details: {}, retryAfter }
}

/** Codes of Fastify and its parsers, in ours. */
function fromFastify(code: string | undefined, status: number | undefined): string {
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return 'DRIFT_BODY_TOO_LARGE'
  if (code === FOREIGN_TYPE || code === 'FST_ERR_CTP_EMPTY_TYPE') return 'DRIFT_MEDIA_TYPE'
  if (code === 'FST_ERR_CTP_EMPTY_JSON_BODY' || code === 'FST_ERR_CTP_INVALID_JSON_BODY') return 'DRIFT_JSON'
  if (status === 404) return 'DRIFT_NO_ROUTE'
  if (status !== undefined && status >= 400 && status < 500) return 'DRIFT_REQUEST'
  return 'DRIFT_INTERNAL'
}

/** Numbers, strings and booleans of an error's details: the rest may be anything. */
function plain(details: Readonly<Record<string, unknown>> | undefined): Record<string, unknown> {
  const kept = Object.entries(details ?? {}).filter(([, value]) =>
    ['number', 'string', 'boolean'].includes(typeof value),
  )
  return Object.fromEntries(kept)
}
