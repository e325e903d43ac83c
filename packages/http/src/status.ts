/** Which HTTP status a code is answered with; docs/http.md shows the same table. What is not here is our fault: 500. */

export const STATUS: Readonly<Record<string, number>> = {
  DRIFT_UNAUTHORIZED: 401,
  DRIFT_FORBIDDEN: 403,
  DRIFT_HOST: 403,
  DRIFT_NO_COLLECTION: 404,
  DRIFT_DROPPED: 404,
  DRIFT_NO_INDEX: 404,
  DRIFT_NO_POINT: 404,
  DRIFT_NO_ROUTE: 404,
  DRIFT_METHOD: 405,
  DRIFT_REQUEST_TIMEOUT: 408,
  DRIFT_COLLECTION_MISMATCH: 409,
  DRIFT_BACKUP_EXISTS: 409,
  DRIFT_INDEX_EXISTS: 409,
  DRIFT_MAINTENANCE_OFF: 409,
  DRIFT_BODY_TOO_LARGE: 413,
  DRIFT_BATCH_TOO_LARGE: 413,
  DRIFT_MEDIA_TYPE: 415,
  DRIFT_IDEMPOTENCY_MISMATCH: 422,
  DRIFT_RATE_LIMIT: 429,
  DRIFT_QUEUE_FULL: 429,
  DRIFT_HEADERS_TOO_LARGE: 431,
  DRIFT_CANCELLED: 499,
  // Of the family of what a caller gets wrong, which this is not.
  DRIFT_PAYLOAD_BYTES: 500,
  DRIFT_NOT_IMPLEMENTED: 501,
  DRIFT_OVERLOADED: 503,
  DRIFT_BUSY: 503,
  DRIFT_CLOSED: 503,
  DRIFT_DRAINING: 503,
  DRIFT_WAL_FAILED: 503,
  DRIFT_COMMIT_FAILED: 503,
  DRIFT_FLUSH_FAILED: 503,
  DRIFT_READ_ONLY: 503,
  DRIFT_DISK_FULL: 507,
  DRIFT_FULL: 507,
  DRIFT_FS_ENOSPC: 507,
}

/** What a caller can get wrong. Families stand for what starts with them. */
const CALLER: readonly string[] = [
  'DRIFT_ARROW',
  'DRIFT_BATCH',
  'DRIFT_COST',
  'DRIFT_CURSOR*',
  'DRIFT_DIMENSION',
  'DRIFT_EF',
  'DRIFT_EMPTY_BATCH',
  'DRIFT_FILTER*',
  'DRIFT_FRAME',
  'DRIFT_ID',
  'DRIFT_IDEMPOTENCY_KEY',
  'DRIFT_INDEX*',
  'DRIFT_JSON',
  'DRIFT_K',
  'DRIFT_METRIC',
  'DRIFT_NAME',
  'DRIFT_OPTION',
  'DRIFT_PATCH*',
  'DRIFT_PAYLOAD*',
  'DRIFT_PROBES',
  'DRIFT_RADIUS*',
  'DRIFT_RECALL*',
  'DRIFT_REQUEST',
  'DRIFT_SCHEMA',
  'DRIFT_UNKNOWN_OPTION',
  'DRIFT_VECTOR_TYPE',
  'DRIFT_VECTOR_VALUE',
  'DRIFT_ZERO_VECTOR',
]

export function statusOf(code: string): number {
  const status = STATUS[code]
  if (status !== undefined) return status
  const callers = CALLER.some(entry =>
    entry.endsWith('*') ? code.startsWith(entry.slice(0, -1)) : code === entry,
  )
  return callers ? 400 : 500
}
