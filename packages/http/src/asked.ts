/**
 * What is known of a request while it is under way, in one object that is made when its headers are there. Rule: a request costs one
 * object and one listener here; what only some requests need is made when it is asked for.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Principal, Scope } from './auth.js'
import { HttpError, type Refusal, refusalOf } from './errors.js'
import type { Route } from './routes/route.js'

/** In the `config` of a route. */
export interface RouteGuard {
  /** Needed to call it. Default `admin`. */
  readonly scope?: Scope
  /** Anyone may, also without a key: health checks only. */
  readonly open?: boolean
}

/** What this package's own routes have in their `config`; Fastify adds the URL's pattern, which a request for no route lacks. */
export interface RouteConfig extends RouteGuard {
  readonly operation?: string
  readonly route?: Route
  readonly url?: string
}

export const ASKED: unique symbol = Symbol('drift.asked')

type Holder = { [ASKED]?: Asked | null }

export class Asked {
  readonly config: RouteConfig
  principal: Principal | undefined
  /** Of the error that was answered, or that cut an answer which had begun. */
  code: string | undefined
  /** Of the body, for telling two requests under one idempotency key apart. */
  fingerprint: string | undefined
  /** Ends the span, when there is one. */
  traced: ((status: number) => void) | undefined
  /** The client went away before it had its answer. */
  isCut = false
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #tellCut: ((request: FastifyRequest, reply: FastifyReply) => void) | undefined
  #isOver = false
  #release: (() => void) | undefined
  #gone: AbortController | undefined

  /** @param tellCut - called when the connection closes before the answer was written. */
  constructor(
    request: FastifyRequest,
    reply: FastifyReply,
    tellCut?: (request: FastifyRequest, reply: FastifyReply) => void,
  ) {
    this.config = request.routeOptions.config as RouteConfig
    this.#request = request
    this.#reply = reply
    this.#tellCut = tellCut
  }

  /** Aborts when the client goes away before it has its answer. */
  get signal(): AbortSignal {
    if (this.#gone === undefined) {
      this.#gone = new AbortController()
      if (this.isCut) this.#gone.abort(clientGone())
    }
    return this.#gone.signal
  }

  /** @param release - gives back what is held for the request, once, when it ends: at once if the client went while somebody asked who it is. */
  hold(release: () => void): void {
    if (this.#isOver) release()
    else this.#release = release
  }

  /** @param isCut - before the answer was written. May be called again. */
  end(isCut: boolean): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#release?.()
    if (!isCut) return
    this.isCut = true
    this.#gone?.abort(clientGone())
    this.#tellCut?.(this.#request, this.#reply)
  }
}

/** Makes it; `watch` sees to its end. `ASKED` has to be a decorator of requests. */
export function ask(
  request: FastifyRequest,
  reply: FastifyReply,
  tellCut: (request: FastifyRequest, reply: FastifyReply) => void,
): Asked {
  const asked = new Asked(request, reply, tellCut)
  ;(request as Holder)[ASKED] = asked
  ;(reply.raw as Holder)[ASKED] = asked
  return asked
}

/** Ends it with its connection. */
export function watch({ raw: { socket } }: FastifyRequest, { raw }: FastifyReply): void {
  raw.on('close', closed)
  // Behind a hook of the host's that took its time the client may be gone by now.
  if (raw.destroyed) closed.call(raw)
  else if (!raw.socket) watchPipelined(raw, socket)
}

/** Node gives an answer the connection, and tells it when one closes, only when those ahead of it have been written. */
function watchPipelined(raw: ServerResponse, socket: Socket): void {
  const lost = (): void => {
    raw.destroy()
    raw.emit('close')
  }
  if (socket.destroyed) lost()
  else {
    socket.setMaxListeners(0).on('close', lost)
    raw.on('close', () => socket.off('close', lost))
  }
}

/** Undefined for a request that was refused before it was looked at. */
export function askedOf(request: FastifyRequest): Asked | undefined {
  return (request as Holder)[ASKED] ?? undefined
}

/** What an error is answered with. The log gets what is not told: below 500 the code tells it all, and the message may hold a caller's data. */
export function failed(request: FastifyRequest, error: unknown): Refusal {
  const refusal = refusalOf(error)
  const asked = askedOf(request)
  if (asked) asked.code = refusal.code
  if (refusal.status >= 500 && !(error instanceof HttpError))
    request.log.error({ requestId: request.id, err: error }, refusal.code)
  return refusal
}

function closed(this: ServerResponse): void {
  ;(this as Holder)[ASKED]?.end(!this.writableFinished)
}

function clientGone(): HttpError {
  return new HttpError('DRIFT_CANCELLED', 'the client is gone')
}
