/**
 * What every request passes before a byte of its body is read, in this order: header fields, draining, host, key, rate, scope,
 * collection, type and encoding, bytes in flight. Rule: deny by default; a route that says nothing is for admins. It answers at once
 * unless the host's own `authenticate` takes its time.
 */
import { ARROW_TYPE, FRAME_TYPE } from '@drift/client/wire'
import type { FastifyRequest } from 'fastify'
import { type Asked, askedOf } from './asked.js'
import { type Authenticate, allows, EVERYTHING, type Principal, seesCollection } from './auth.js'
import { HttpError } from './errors.js'
import type { Limits } from './limits.js'
import { Windows } from './windows.js'

export interface GuardOptions {
  /** Undefined: everyone is let in. */
  readonly authenticate: Authenticate | undefined
  /** By random keys: no failed login of others keeps out who has one. */
  readonly keyed: boolean
  readonly limits: Limits
  /** Host headers that are answered: a page of another site reaches a server of this machine under the site's own name. */
  readonly hosts: readonly string[] | undefined
  readonly draining: () => boolean
}

/** Fields of one request; a browser behind three proxies sends about 40. */
const MAX_HEADERS = 64
const SECOND_MS = 1_000
const MINUTE_MS = 60_000

export function principalOf(request: FastifyRequest): Principal {
  const principal = askedOf(request)?.principal
  if (!principal) throw new HttpError('DRIFT_UNAUTHORIZED', 'nobody asked')
  return principal
}

export class Guard {
  readonly #authenticate: Authenticate | undefined
  readonly #keyed: boolean
  readonly #limits: Limits
  readonly #hosts: readonly string[] | undefined
  readonly #draining: () => boolean
  readonly #requests: Windows
  readonly #failures: Windows
  /** Without keys: the one who asked last. */
  #local: Principal = EVERYTHING
  #bytesInFlight = 0

  constructor({ authenticate, keyed, limits, hosts, draining }: GuardOptions) {
    this.#authenticate = authenticate
    this.#keyed = keyed
    this.#limits = limits
    this.#hosts = hosts?.map(name => name.toLowerCase())
    this.#draining = draining
    this.#requests = new Windows(limits.requestsPerSecond, SECOND_MS)
    this.#failures = new Windows(limits.failedLoginsPerMinute, MINUTE_MS)
  }

  /** @returns a promise only where `authenticate` gives one. @throws HttpError for a request that is refused. */
  pass(request: FastifyRequest, asked: Asked): void | Promise<void> {
    if (request.raw.rawHeaders.length > 2 * MAX_HEADERS) {
      throw new HttpError('DRIFT_HEADERS_TOO_LARGE', `a request has at most ${MAX_HEADERS} header fields`)
    }
    if (asked.config.open) return
    if (this.#draining()) {
      throw new HttpError('DRIFT_DRAINING', 'the server is shutting down', {}, { retryAfter: 5 })
    }
    if (this.#hosts && !this.#hosts.includes(hostname(request.headers.host))) {
      throw new HttpError('DRIFT_HOST', 'this server is not known under the name in the Host header')
    }
    const principal = this.#identify(request)
    if (!isPromise(principal)) return this.#admit(request, asked, principal)
    return principal.then(known => this.#admit(request, asked, known))
  }

  #identify(request: FastifyRequest): Principal | Promise<Principal> {
    const { ip, headers } = request
    if (!this.#authenticate) {
      if (this.#local.id !== ip) this.#local = { ...EVERYTHING, id: ip }
      return this.#local
    }
    // What a caller knows by heart can be guessed, so there nobody is asked any more. Behind a proxy all callers have one address.
    if (!this.#keyed) this.#assertMayTry(ip)
    const { method, url } = request
    const found = headerOnce(request) ? this.#authenticate({ method, url, ip, headers }) : undefined
    return isPromise(found) ? found.then(known => this.#known(known, ip)) : this.#known(found, ip)
  }

  #known(principal: Principal | undefined, ip: string): Principal {
    if (principal) return principal
    this.#assertMayTry(ip)
    this.#failures.take(ip, performance.now())
    throw new HttpError('DRIFT_UNAUTHORIZED', 'this needs a key: Authorization: Bearer <key>')
  }

  #assertMayTry(ip: string): void {
    const wait = this.#failures.wait(ip, performance.now())
    if (wait > 0) throw tooMany('failed logins', wait)
  }

  #admit(request: FastifyRequest, asked: Asked, principal: Principal): void {
    asked.principal = principal
    const wait = this.#requests.take(principal.id, performance.now())
    if (wait > 0) throw tooMany('requests', wait)
    const { scope = 'admin', route, url } = asked.config
    if (url === undefined) return // there is no such route, which is said later
    if (!allows(principal, scope)) {
      throw new HttpError('DRIFT_FORBIDDEN', `this takes a key with the scope ${scope}`)
    }
    const { name } = request.params as { name?: string }
    // As for one that is not there: which collections others have is theirs to know.
    if (name !== undefined && !seesCollection(principal, name)) throw noCollection(name)
    const { 'content-encoding': encoding, 'content-type': type = '' } = request.headers
    if (encoding !== undefined && encoding !== 'identity') {
      throw new HttpError('DRIFT_MEDIA_TYPE', 'compressed bodies are not taken')
    }
    if (
      route &&
      ((type.startsWith(FRAME_TYPE) && !route.frames) || (type.startsWith(ARROW_TYPE) && !route.arrow))
    ) {
      throw new HttpError('DRIFT_MEDIA_TYPE', `this takes application/json, not ${type.slice(0, 80)}`)
    }
    this.#reserve(request, asked)
  }

  /**
   * All bodies together: what many callers send at once has to fit in memory, too. Held until the answer is sent or the client is
   * gone. Without a length, the longest body there is, is expected.
   */
  #reserve({ headers }: FastifyRequest, asked: Asked): void {
    const chunked = headers['transfer-encoding'] !== undefined
    if (!chunked && headers['content-length'] === undefined) return
    const { jsonBytes, binaryBytes, bytesInFlight } = this.#limits
    const longest = headers['content-type']?.startsWith('application/json') ? jsonBytes : binaryBytes
    const bytes = chunked ? longest : Math.min(longest, Number(headers['content-length']))
    if (this.#bytesInFlight + bytes > bytesInFlight && this.#bytesInFlight > 0) {
      throw new HttpError(
        'DRIFT_OVERLOADED',
        'the bodies of other requests fill the memory set aside for them',
      )
    }
    this.#bytesInFlight += bytes
    asked.hold(() => {
      this.#bytesInFlight -= bytes
    })
  }
}

function isPromise<T extends object>(
  value: T | undefined | Promise<T | undefined>,
): value is Promise<T | undefined> {
  return typeof (value as Promise<T> | undefined)?.then === 'function'
}

function noCollection(name: string): HttpError {
  return new HttpError('DRIFT_NO_COLLECTION', `there is no collection '${name.slice(0, 80)}'`)
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
  let keys = 0
  for (let i = 0; i < raw.rawHeaders.length; i += 2) {
    const name = raw.rawHeaders[i]!.toLowerCase()
    if (name === 'authorization' || name === 'x-api-key') keys++
  }
  return keys <= 1
}

function hostname(host = ''): string {
  return host.replace(/:\d+$/, '').toLowerCase()
}
