/**
 * What every request passes before a byte of its body is read, in this order: header fields, draining, host, key, rate, scope,
 * collection, encoding, bytes in flight. Rule: deny by default; a route that says nothing is for admins.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type Authenticate, allows, EVERYTHING, type Principal, type Scope, seesCollection } from './auth.js'
import { HttpError } from './errors.js'
import type { Limits } from './limits.js'

/** In the `config` of a route. */
export interface RouteGuard {
  /** Needed to call it. Default `admin`. */
  readonly scope?: Scope
  /** Anyone may, also without a key: health checks only. */
  readonly open?: boolean
}

export interface GuardOptions {
  /** Undefined: everyone is let in. */
  readonly authenticate: Authenticate | undefined
  readonly limits: Limits
  /** Host headers that are answered: a page of another site reaches a server of this machine under the site's own name. */
  readonly hosts: readonly string[] | undefined
  readonly draining: () => boolean
}

/** Fields of one request; a browser behind three proxies sends about 40. */
const MAX_HEADERS = 64

const principals = new WeakMap<FastifyRequest, Principal>()

export function principalOf(request: FastifyRequest): Principal {
  const principal = principals.get(request)
  if (!principal) throw new HttpError('DRIFT_UNAUTHORIZED', 'nobody asked')
  return principal
}

/** Adds the hooks. @rate-limit has to be registered in this scope before. */
export function addGuard(
  app: FastifyInstance,
  { authenticate, limits, hosts, draining }: GuardOptions,
): void {
  const requests = app.createRateLimit({
    max: limits.requestsPerSecond,
    timeWindow: 1_000,
    keyGenerator: request => principals.get(request)?.id ?? request.ip,
  })
  const failures = app.createRateLimit({ max: limits.failedLoginsPerMinute, timeWindow: 60_000 })
  const inFlight = new BytesInFlight(limits)

  const identify = async (request: FastifyRequest): Promise<Principal> => {
    if (!authenticate) return { ...EVERYTHING, id: request.ip }
    const failed = await failures(request, { increment: false })
    if (!failed.isAllowed && failed.remaining === 0) throw tooMany('failed logins', failed.ttlInSeconds)
    const { method, url, ip, headers } = request
    const principal = headerOnce(request) ? await authenticate({ method, url, ip, headers }) : undefined
    if (principal) return principal
    await failures(request)
    throw new HttpError('DRIFT_UNAUTHORIZED', 'this needs a key: Authorization: Bearer <key>')
  }

  app.addHook('onRequest', async (request, reply) => {
    const guard = request.routeOptions.config as RouteGuard
    if (request.raw.rawHeaders.length > 2 * MAX_HEADERS) {
      throw new HttpError('DRIFT_HEADERS_TOO_LARGE', `a request has at most ${MAX_HEADERS} header fields`)
    }
    if (guard.open) return
    if (draining())
      throw new HttpError('DRIFT_DRAINING', 'the server is shutting down', {}, { retryAfter: 5 })
    if (hosts && !hosts.includes(hostname(request.headers.host))) {
      throw new HttpError('DRIFT_HOST', 'this server is not known under the name in the Host header')
    }
    const principal = await identify(request)
    principals.set(request, principal)
    const rate = await requests(request)
    if (!rate.isAllowed && rate.isExceeded) throw tooMany('requests', rate.ttlInSeconds)
    if (request.is404) return
    if (!allows(principal, guard.scope ?? 'admin')) {
      throw new HttpError('DRIFT_FORBIDDEN', `this takes a key with the scope ${guard.scope ?? 'admin'}`)
    }
    const { name } = request.params as { name?: string }
    // As for one that is not there: which collections others have is theirs to know.
    if (name !== undefined && !seesCollection(principal, name)) throw noCollection(name)
    const encoding = request.headers['content-encoding']
    if (encoding !== undefined && encoding !== 'identity') {
      throw new HttpError('DRIFT_MEDIA_TYPE', 'compressed bodies are not taken')
    }
    inFlight.reserve(request, reply)
  })
}

function noCollection(name: string): HttpError {
  return new HttpError('DRIFT_NO_COLLECTION', `there is no collection '${name.slice(0, 80)}'`)
}

/** All bodies together: what many callers send at once has to fit in memory, too. */
class BytesInFlight {
  readonly #limits: Limits
  #bytes = 0

  constructor(limits: Limits) {
    this.#limits = limits
  }

  /** Until the answer is sent or the client is gone. Without a length, the longest body there is, is expected. */
  reserve(request: FastifyRequest, reply: FastifyReply): void {
    const { headers } = request
    const chunked = headers['transfer-encoding'] !== undefined
    const longest = String(headers['content-type']).startsWith('application/json')
      ? this.#limits.jsonBytes
      : this.#limits.binaryBytes
    const bytes = chunked ? longest : Math.min(longest, Number(headers['content-length'] ?? 0))
    if (this.#bytes + bytes > this.#limits.bytesInFlight && this.#bytes > 0) {
      throw new HttpError(
        'DRIFT_OVERLOADED',
        'the bodies of other requests fill the memory set aside for them',
      )
    }
    this.#bytes += bytes
    let held = bytes
    const release = (): void => {
      this.#bytes -= held
      held = 0
    }
    reply.raw.once('finish', release)
    reply.raw.once('close', release)
  }
}

function tooMany(what: string, seconds: number): HttpError {
  return new HttpError(
    'DRIFT_RATE_LIMIT',
    `too many ${what}; try again in ${seconds} s`,
    {},
    { retryAfter: seconds },
  )
}

/** Node keeps the first of two Authorization headers, and others may keep the last. */
function headerOnce({ raw }: FastifyRequest): boolean {
  const names = raw.rawHeaders.filter((_, i) => i % 2 === 0).map(name => name.toLowerCase())
  return names.filter(name => name === 'authorization' || name === 'x-api-key').length <= 1
}

function hostname(host = ''): string {
  return host.replace(/:\d+$/, '').toLowerCase()
}
