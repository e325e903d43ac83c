/**
 * What one request, one connection and all of them together may take. Every limit can be set; the defaults are for a
 * server that strangers can reach.
 */
import { HttpError } from './errors.js'
import { assertKnown } from './known.js'

export interface Limits {
  /** Of a JSON body. JSON of vectors is parsed at about 40 MB/s on the event loop: 8 MiB hold it for 0.2 s. */
  readonly jsonBytes: number
  /** Of a binary body. */
  readonly binaryBytes: number
  /** Of the JSON in a frame. Ids and payloads are parsed and checked at 30 to 100 MB/s on the event loop: 16 MiB hold it for half a second. */
  readonly metaBytes: number
  /** Of all bodies that are being read or worked on; more are refused with 503. */
  readonly bytesInFlight: number
  /** Levels of a JSON body. */
  readonly jsonDepth: number
  /** Rows of one upsert, and ids of one get or delete. */
  readonly rows: number
  readonly k: number
  readonly ef: number
  /** Queries of one batch. */
  readonly queries: number
  /** k times queries: the hits of one answer. */
  readonly hits: number
  /** Of one caller in a second: key, or address without keys. */
  readonly requestsPerSecond: number
  /** Answers 401 to one address in a minute. */
  readonly failedLoginsPerMinute: number
  /** Searches that run at once; further ones wait. */
  readonly searches: number
  /**
   * Longest wait for that, and before that to be looked at when many come at once; then 503. Two fifths of it while more come than there is
   * time for.
   */
  readonly queueMs: number
  /** Searches that wait; one more is refused with 429. */
  readonly waitingSearches: number
  /** Writes that are under way; one more is refused with 429. */
  readonly writes: number
  /** Long calls at once: scans, backups, compactions, checks. */
  readonly longCalls: number
  /** Mean delay of the event loop over a second above which searches are refused with 503; 0 for never. */
  readonly eventLoopDelayMs: number
  /** Idempotency keys remembered per collection. */
  readonly idempotencyKeys: number
}

export const DEFAULT_LIMITS: Limits = {
  jsonBytes: 8 * 1024 * 1024,
  binaryBytes: 64 * 1024 * 1024,
  metaBytes: 16 * 1024 * 1024,
  bytesInFlight: 256 * 1024 * 1024,
  jsonDepth: 32,
  rows: 50_000,
  k: 10_000,
  ef: 4_096,
  queries: 1_024,
  hits: 1_000_000,
  requestsPerSecond: 1_000,
  failedLoginsPerMinute: 10,
  searches: 16,
  queueMs: 250,
  waitingSearches: 1_024,
  writes: 256,
  longCalls: 4,
  eventLoopDelayMs: 1_000,
  idempotencyKeys: 1_024,
}

/** @throws HttpError DRIFT_UNKNOWN_OPTION; DRIFT_OPTION for what is no positive integer. */
export function parseLimits(given: Partial<Limits> = {}): Limits {
  assertKnown(given, DEFAULT_LIMITS, 'limits')
  for (const [name, value] of Object.entries(given)) {
    const least = name === 'eventLoopDelayMs' ? 0 : 1
    if (Number.isSafeInteger(value) && value >= least) continue
    const message = `limit ${name} is ${value}, expected a whole number of at least ${least}`
    throw new HttpError('DRIFT_OPTION', message, { option: name })
  }
  return { ...DEFAULT_LIMITS, ...given }
}

/** @throws HttpError DRIFT_COST */
export function within(limits: Limits, limit: keyof Limits, value: unknown): void {
  if (typeof value !== 'number' || value <= limits[limit]) return
  throw new HttpError('DRIFT_COST', `${limit} is ${value}, this server allows ${limits[limit]}`, {
    limit: limits[limit],
    what: limit,
  })
}
