/** Runs a route for a request: the collection of the path, the queue of its cost, the idempotency key of a write. */
import { createHash, type Hash } from 'node:crypto'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { IDEMPOTENCY_HEADER } from '@drift/client/wire'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Asked, askedOf, failed } from './asked.js'
import { type Principal, seesCollection } from './auth.js'
import { type CollectionDoor, type DriftDoor, notImplemented } from './engine-door.js'
import { HttpError, type Refusal } from './errors.js'
import { Gate } from './gate.js'
import { principalOf } from './guard.js'
import { IdempotencyTable } from './idempotency.js'
import type { Limits } from './limits.js'
import { type Call, type Cost, isFrame, type Route } from './routes/route.js'
import { statusOf } from './status.js'
import type { Turn } from './turn.js'

/** Between a tenant and a collection's name; a tenant has no `-` in it, so the first one ends it. */
const TENANT_MARK = '--'
/**
 * For the parsers, which see the body's bytes: tells two requests under one key apart. All of a body counts, 1.1 ms a megabyte: two pages of
 * one import may begin and end alike.
 */
export function fingerprintOf({ headers }: FastifyRequest): Hash | undefined {
  return headers[IDEMPOTENCY_HEADER] === undefined ? undefined : createHash('sha256')
}

/** Of a route, compiled once; each throws for what does not fit. */
export interface Checks {
  readonly query: (query: unknown) => unknown
  readonly body: (body: unknown) => unknown
}

export class Runner {
  readonly gates: Readonly<Record<Exclude<Cost, 'light'>, Gate>>
  readonly db: DriftDoor
  readonly limits: Limits
  readonly backupFolder: string | undefined
  readonly #recent: IdempotencyTable

  constructor(db: DriftDoor, limits: Limits, backupFolder: string | undefined, turn: Turn) {
    this.db = db
    this.limits = limits
    this.backupFolder = backupFolder
    this.#recent = new IdempotencyTable(limits.idempotencyKeys)
    this.gates = {
      search: new Gate('search', {
        running: limits.searches,
        waiting: limits.waitingSearches,
        waitMs: limits.queueMs,
        turn,
      }),
      write: new Gate('write', { running: limits.writes, waiting: 0, waitMs: Number.POSITIVE_INFINITY }),
      long: new Gate('long call', {
        running: limits.longCalls,
        waiting: 0,
        waitMs: Number.POSITIVE_INFINITY,
      }),
    }
  }

  run(route: Route, checks: Checks, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    checks.query(request.query)
    requireBody(route, checks.body, request.body)
    const call = new RequestCall(this, request, reply)
    const key = request.headers[IDEMPOTENCY_HEADER]
    if (!route.writes || key === undefined) return this.#queued(route, call, request)
    const { method, url } = request
    const print = `${method} ${url} ${askedOf(request)?.fingerprint ?? ''}`
    const collection = call.storedName(call.params['name'] ?? '')
    return this.#recent.once(collection, call.principal.id, String(key), print, () =>
      this.#queued(route, call, request),
    )
  }

  async #queued(route: Route, call: Call, { raw }: FastifyRequest): Promise<unknown> {
    try {
      if (route.cost === 'light') return await route.run(call)
      const gate = this.gates[route.cost]
      if (route.cost === 'search') return await gate.run(() => searched(route, call))
      return await streamed(gate, () => unhurried(raw.socket, () => route.run(call)))
    } catch (error) {
      throw unmarked(asNotImplemented(error), call.storedName(''))
    }
  }
}

/** Nobody waits for the answer of one whose client went away while it stood in the queue. */
function searched(route: Route, call: Call): Promise<unknown> {
  if (call.isCut) throw new HttpError('DRIFT_CANCELLED', 'the client is gone')
  return route.run(call)
}

/** While the server works on an answer its connection is not one on which nothing happens, however long that takes. */
async function unhurried<T>(socket: Partial<Socket>, work: () => Promise<T>): Promise<T> {
  const { timeout = 0 } = socket
  if (timeout === 0) return work()
  socket.setTimeout?.(0)
  try {
    return await work()
  } finally {
    socket.setTimeout?.(timeout)
  }
}

/** An answer that is a stream holds its place until it has been sent. */
async function streamed(gate: Gate, work: () => Promise<unknown>): Promise<unknown> {
  gate.enter()
  let streams = false
  try {
    const answer = await work()
    streams = answer instanceof Readable
    if (streams) (answer as Readable).once('close', () => gate.leave())
    return answer
  } finally {
    if (!streams) gate.leave()
  }
}

function requireBody(route: Route, check: Checks['body'], body: unknown): void {
  if (body === undefined) {
    if (route.body === undefined || route.bodyOptional) return
    throw new HttpError('DRIFT_JSON', 'this needs a body and its content-type')
  }
  if (isFrame(body) || Buffer.isBuffer(body)) {
    if (isFrame(body) ? route.frames : route.arrow) return
    throw new HttpError('DRIFT_MEDIA_TYPE', 'this takes application/json')
  }
  check(body)
}

class RequestCall implements Call {
  readonly reply: FastifyReply
  readonly principal: Principal
  readonly #runner: Runner
  readonly #request: FastifyRequest

  constructor(runner: Runner, request: FastifyRequest, reply: FastifyReply) {
    this.principal = principalOf(request)
    this.reply = reply
    this.#runner = runner
    this.#request = request
  }

  get db(): DriftDoor {
    return this.#runner.db
  }

  get limits(): Limits {
    return this.#runner.limits
  }

  get backupFolder(): string | undefined {
    return this.#runner.backupFolder
  }

  get params(): Readonly<Record<string, string>> {
    return this.#request.params as Record<string, string>
  }

  get body(): unknown {
    return this.#request.body
  }

  get query(): Readonly<Record<string, string | undefined>> {
    return this.#request.query as Record<string, string | undefined>
  }

  get signal(): AbortSignal {
    return (askedOf(this.#request) as Asked).signal
  }

  get isCut(): boolean {
    return (askedOf(this.#request) as Asked).isCut
  }

  failed(error: unknown): Refusal {
    return failed(this.#request, error)
  }

  get accept(): string {
    return this.#request.headers.accept ?? ''
  }

  collection(options?: Readonly<Record<string, unknown>>): Promise<CollectionDoor> {
    return this.db.collection(this.storedName(this.params['name']!), options)
  }

  visibleName(stored: string): string | undefined {
    const prefix = this.storedName('')
    const name = stored.startsWith(prefix) ? stored.slice(prefix.length) : undefined
    return name !== undefined && seesCollection(this.principal, name) ? name : undefined
  }

  storedName(name: string): string {
    const { tenant } = this.principal
    return tenant === undefined ? name : tenant + TENANT_MARK + name
  }
}

/** A caller does not see the tenant in front of its collections, in what the engine says neither. */
function unmarked(error: unknown, mark: string): unknown {
  const { code, message, details } = error as HttpError
  if (mark === '' || typeof code !== 'string' || statusOf(code) >= 500) return error
  const without = (text: unknown): unknown => (typeof text === 'string' ? text.replaceAll(mark, '') : text)
  const shown = Object.entries(details ?? {}).map(([name, value]) => [name, without(value)])
  return new HttpError(code, without(message) as string, Object.fromEntries(shown), { cause: error })
}

/** The schema knows every option by now: one that the engine refuses to know is one that it does not have yet. */
function asNotImplemented(error: unknown): unknown {
  const { code, details } = error as { code?: unknown; details?: { option?: unknown } }
  return code === 'DRIFT_UNKNOWN_OPTION' && typeof details?.option === 'string'
    ? notImplemented(details.option)
    : error
}
