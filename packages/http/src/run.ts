/** Runs a route for a request: the collection of the path, the queue of its cost, the idempotency key of a write. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { IDEMPOTENCY_HEADER } from '@drift/client/wire'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Principal, seesCollection } from './auth.js'
import { type DriftDoor, notImplemented } from './engine-door.js'
import { HttpError } from './errors.js'
import { Gate } from './gate.js'
import { principalOf } from './guard.js'
import { IdempotencyTable } from './idempotency.js'
import type { Limits } from './limits.js'
import type { Call, Cost, Route } from './routes/route.js'

/** Between a tenant and a collection's name; a tenant has no `-` in it, so the first one ends it. */
const TENANT_MARK = '--'
/** Of a body's beginning and of its end, for telling two requests under one key apart. */
const FINGERPRINT_BYTES = 64 * 1024

const fingerprints = new WeakMap<FastifyRequest, string>()

/** Called by the parsers, which see the body's bytes. */
export function fingerprint(request: FastifyRequest, bytes: Uint8Array): void {
  if (request.headers[IDEMPOTENCY_HEADER] === undefined) return
  const hash = createHash('sha256').update(String(bytes.length)).update(bytes.subarray(0, FINGERPRINT_BYTES))
  hash.update(bytes.subarray(Math.max(0, bytes.length - FINGERPRINT_BYTES)))
  fingerprints.set(request, hash.digest('base64'))
}

export class Runner {
  readonly gates: Readonly<Record<Exclude<Cost, 'light'>, Gate>>
  readonly #db: DriftDoor
  readonly #limits: Limits
  readonly #backupFolder: string | undefined
  readonly #recent: IdempotencyTable

  constructor(db: DriftDoor, limits: Limits, backupFolder: string | undefined) {
    this.#db = db
    this.#limits = limits
    this.#backupFolder = backupFolder
    this.#recent = new IdempotencyTable(limits.idempotencyKeys)
    this.gates = {
      search: new Gate('search', {
        running: limits.searches,
        waiting: limits.waitingSearches,
        waitMs: limits.queueMs,
      }),
      write: new Gate('write', { running: limits.writes, waiting: 0, waitMs: Number.POSITIVE_INFINITY }),
      long: new Gate('long call', {
        running: limits.longCalls,
        waiting: 0,
        waitMs: Number.POSITIVE_INFINITY,
      }),
    }
  }

  async run(route: Route, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    if (route.body && !route.bodyOptional && (request.body === undefined || request.body === null)) {
      throw new HttpError('DRIFT_JSON', 'this needs a body and its content-type')
    }
    const principal = principalOf(request)
    const call = this.#call(request, reply, principal)
    const work = (): Promise<unknown> => this.#queued(route, call).catch(asNotImplemented)
    const key = request.headers[IDEMPOTENCY_HEADER]
    if (!route.writes || key === undefined) return work()
    const { method, url } = request
    const print = `${method} ${url} ${fingerprints.get(request) ?? ''}`
    const collection = call.storedName(call.params['name'] ?? '')
    return this.#recent.once(collection, principal.id, String(key), print, work)
  }

  async #queued(route: Route, call: Call): Promise<unknown> {
    if (route.cost === 'light') return route.run(call)
    const gate = this.gates[route.cost]
    if (route.cost === 'search') return gate.run(() => route.run(call))
    gate.enter()
    let streams = false
    try {
      const answer = await route.run(call)
      streams = answer instanceof Readable
      if (streams) (answer as Readable).once('close', () => gate.leave())
      return answer
    } finally {
      if (!streams) gate.leave()
    }
  }

  #call(request: FastifyRequest, reply: FastifyReply, principal: Principal): Call {
    const params = request.params as Record<string, string>
    const prefix = principal.tenant === undefined ? '' : principal.tenant + TENANT_MARK
    const storedName = (name: string): string => prefix + name
    const gone = new AbortController()
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) gone.abort(new HttpError('DRIFT_CANCELLED', 'the client is gone'))
    })
    return {
      db: this.#db,
      params,
      body: request.body,
      query: request.query as Record<string, string | undefined>,
      limits: this.#limits,
      principal,
      signal: gone.signal,
      accept: request.headers.accept ?? '',
      backupFolder: this.#backupFolder,
      reply,
      collection: options => this.#db.collection(storedName(params['name']!), options),
      visibleName(stored) {
        const name = stored.startsWith(prefix) ? stored.slice(prefix.length) : undefined
        return name !== undefined && seesCollection(principal, name) ? name : undefined
      },
      storedName,
    }
  }
}

/** The schema knows every option by now: one that the engine refuses to know is one that it does not have yet. */
function asNotImplemented(error: unknown): never {
  const { code, details } = error as { code?: unknown; details?: { option?: unknown } }
  if (code === 'DRIFT_UNKNOWN_OPTION' && typeof details?.option === 'string')
    throw notImplemented(details.option)
  throw error
}
