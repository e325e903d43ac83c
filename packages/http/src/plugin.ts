/**
 * driftPlugin: the routes of a database in any Fastify 5 application, in a scope of their own: its parsers, hooks and
 * error answers do not touch the host's routes.
 */
import type { Readable } from 'node:stream'
import { ARROW_TYPE, decodeFrame, FRAME_TYPE } from '@drift/client/wire'
import swagger from '@fastify/swagger'
import type {
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
} from 'fastify'
import type { TSchema } from 'typebox'
import { ASKED, Asked, ask, askedOf, failed, type RouteConfig, watch } from './asked.js'
import { assertSeesAll } from './auth.js'
import { readBody } from './body.js'
import { nameOrigins } from './cors.js'
import { doorOf } from './engine-door.js'
import { HttpError } from './errors.js'
import { Guard, principalOf } from './guard.js'
import { parseJson } from './json-body.js'
import type { Limits } from './limits.js'
import { Metrics } from './metrics.js'
import { openApi } from './openapi.js'
import { type AnswerEntry, type HandlerOptions, type PluginOptions, parsePlugin } from './options.js'
import type { Route } from './routes/route.js'
import { routes } from './routes/routes.js'
import { fingerprintOf, Runner } from './run.js'
import { NOTHING, validator } from './schema.js'
import { statusOf } from './status.js'
import { tracing } from './tracing.js'
import { LoopDelay, Turn } from './turn.js'

/** Protocols, from HTTP to another. */
const SWITCHED = 101

export const driftPlugin: FastifyPluginAsync<PluginOptions> = async (app, options) => {
  const { authenticate, keyed, limits } = parsePlugin(options, 'driftPlugin')
  const draining = options.draining ?? (() => false)
  const db = doorOf(options.db)
  const turn = new Turn(limits.queueMs)
  const runner = new Runner(db, limits, options.backupFolder, turn)
  const metrics = new Metrics(db, runner)
  app.addHook('onClose', async () => metrics.close())

  app.setValidatorCompiler(({ schema, httpPart }) => {
    const validate = validator(schema as TSchema, httpPart ?? 'body')
    return value => {
      try {
        return { value: validate(value) }
      } catch (error) {
        return { error: error as Error }
      }
    }
  })
  app.setSerializerCompiler(() => JSON.stringify)
  answerErrors(app)
  parseBodies(app, limits)
  app.decorateRequest(ASKED as unknown as string, null)
  const ended = logAnswers(app, metrics, draining, options.onAnswer)
  begin(app, await tracing(), ended)
  if (options.origins?.length) await nameOrigins(app, options.origins)
  letIn(app, new Guard({ authenticate, keyed, limits, hosts: options.hosts, draining }), limits, turn, runner)
  await app.register(swagger, openApi(authenticate !== undefined))

  const open: RouteConfig = { open: true, operation: 'health' }
  const hidden = { hide: true } as FastifySchema
  // Also for HEAD, which is what many probes send.
  const health = { config: open, schema: hidden, exposeHeadRoute: true }
  app.get('/livez', health, async () => ({ live: true }))
  app.get('/readyz', health, async (_, reply) => {
    const state = (await db.stats().catch(() => undefined))?.state
    // With a full disk reads and deletes go on, and deletes are what makes room; who opened a database to read it, asks for no more.
    const ready = !draining() && state !== undefined && state !== 'failed'
    reply.code(ready ? 200 : 503)
    return { ready }
  })
  app.get(
    '/metrics',
    { config: { scope: 'read', operation: 'metrics' }, schema: hidden },
    async (request, reply) => {
      assertSeesAll(principalOf(request), 'metrics name every collection')
      reply.type(metrics.contentType)
      return reply.send(await metrics.text())
    },
  )
  app.get('/v1/openapi.json', { config: { scope: 'read', operation: 'openapi' }, schema: hidden }, async () =>
    app.swagger(),
  )
  for (const route of routes) addRoute(app, route, runner)
  await options.routes?.(app)
}

/** Fastify is told no schemas: the body is checked when it is known to be JSON, and the OpenAPI document has its own. */
function addRoute(app: FastifyInstance, route: Route, runner: Runner): void {
  const { method, path, operation, scope, query = NOTHING, body = NOTHING } = route
  const checks = { query: validator(query, 'query'), body: validator(body) }
  app.route({
    method,
    url: `/v1${path}`,
    config: { scope, operation, route },
    handler: (request, reply) => runner.run(route, checks, request, reply),
  })
}

type Parsed = (error: Error | null, body?: unknown) => void

function parseBodies(app: FastifyInstance, limits: Limits): void {
  app.removeAllContentTypeParsers()
  const add = (type: string, limit: number, parse: (bytes: Buffer) => unknown): void => {
    app.addContentTypeParser(type, (request: FastifyRequest, payload: Readable, done: Parsed) => {
      const hash = fingerprintOf(request)
      readBody(payload, request.headers['content-length'], limit, hash, (error, bytes) => {
        if (bytes === undefined) return done(error)
        let body: unknown
        try {
          if (hash) askedOf(request)!.fingerprint = hash.digest('base64')
          body = parse(bytes)
        } catch (refused) {
          return done(refused as Error)
        }
        done(null, body)
      })
    })
  }
  add('application/json', limits.jsonBytes, bytes => parseJson(bytes, limits.jsonDepth))
  add(ARROW_TYPE, limits.binaryBytes, bytes => bytes)
  add(FRAME_TYPE, limits.binaryBytes, bytes => {
    try {
      return decodeFrame(bytes, meta => parseMeta(meta, limits))
    } catch (error) {
      if (error instanceof HttpError) throw error
      throw new HttpError('DRIFT_FRAME', (error as Error).message)
    }
  })
}

/** Unlike the vectors behind it, it is built value by value, in one step. */
function parseMeta(meta: Uint8Array, { metaBytes, jsonDepth }: Limits): unknown {
  if (meta.length <= metaBytes) return parseJson(meta, jsonDepth, 'meta')
  const message = `meta has ${meta.length} bytes, and in a frame at most ${metaBytes}: send fewer rows at once`
  throw new HttpError('DRIFT_BODY_TOO_LARGE', message, { limit: metaBytes })
}

function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply))
}

/** Also for what no route was found for. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, code, message, details, retryAfter } = failed(request, error)
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .send({ error: { code, message, details, requestId: request.id } })
}

function begin(
  app: FastifyInstance,
  trace: ((request: FastifyRequest, asked: Asked) => void) | undefined,
  tellCut: (request: FastifyRequest, reply: FastifyReply) => void,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    const asked = ask(request, reply, tellCut)
    reply.header('x-request-id', request.id)
    reply.header('x-content-type-options', 'nosniff')
    reply.header('cache-control', 'no-store')
    trace?.(request, asked)
    watch(request, reply)
    done()
  })
}

/** All that a request passes before its body, in one hook and without promises unless there have to be. */
function letIn(
  app: FastifyInstance,
  guard: Guard,
  { eventLoopDelayMs }: Limits,
  turn: Turn,
  { gates }: Runner,
): void {
  const delay = eventLoopDelayMs > 0 ? new LoopDelay() : undefined
  app.addHook('onClose', async () => delay?.close())
  /** To refuse a search before its body is read costs a fraction of it, so the server catches up. */
  const refusal = (lastsMs: number): HttpError | undefined => {
    const waitMs = lastsMs + gates.search.expectedMs
    if (turn.isTooLong(waitMs)) return overloaded(`a search would wait ${waitMs.toFixed(0)} ms for its turn`)
    if (delay && delay.ms > eventLoopDelayMs) return overloaded('the server is too busy for searches')
    return undefined
  }
  app.addHook('onRequest', (request, _, done) => {
    const asked = askedOf(request)!
    const passed = guard.pass(request, asked)
    const lastsMs = turn.lasts()
    const refused = asked.config.route?.cost === 'search' ? refusal(lastsMs) : undefined
    if (passed) passed.then(() => done(refused), done)
    else done(refused)
  })
}

function overloaded(message: string): HttpError {
  return new HttpError('DRIFT_OVERLOADED', message, {}, { retryAfter: 1 })
}

/** @returns what logs an answer that `onResponse` is never called for, since its connection closed before its end. */
function logAnswers(
  app: FastifyInstance,
  metrics: Metrics,
  draining: () => boolean,
  onAnswer: HandlerOptions['onAnswer'],
): (request: FastifyRequest, reply: FastifyReply) => void {
  const ended = (request: FastifyRequest, reply: FastifyReply, asked: Asked): void => {
    const { open, operation = 'other', url = '(none)' } = asked.config
    const isUnsaid = asked.isCut && !reply.raw.headersSent
    // A route of the host's answered behind Fastify's back, as for a WebSocket: that its connection ends at last cuts no answer.
    const isSwitched = isUnsaid && reply.sent && request.headers.upgrade !== undefined
    const by = asked.isCut && !isSwitched ? (draining() ? 'DRIFT_DRAINING' : 'DRIFT_CANCELLED') : undefined
    const { code = by } = asked
    // A client that left before its answer began was told nothing: Fastify's 200 is only a default then.
    const status = isSwitched ? SWITCHED : isUnsaid && code ? statusOf(code) : reply.statusCode
    const ms = reply.elapsedTime
    const cut = code !== undefined && status < 400 ? true : undefined
    asked.traced?.(status)
    metrics.observe(operation, status, ms)
    if (cut) metrics.cut(operation, code!)
    if (open && status < 400) return
    const entry: AnswerEntry = {
      requestId: request.id,
      method: request.method,
      route: url,
      collection: (request.params as { name?: string } | undefined)?.name?.slice(0, 64),
      status,
      ms: Math.round(ms * 1000) / 1000,
      // Undefined for what was refused before it was known who asks.
      caller: asked.principal?.id,
      code,
      cut,
    }
    request.log.info(entry, cut ? 'cut' : 'answered')
    if (onAnswer) void told(onAnswer, entry, request)
  }
  app.addHook('onResponse', (request, reply, done) => {
    // A hook of the host's may have refused it before ours.
    const asked = askedOf(request) ?? new Asked(request, reply)
    asked.end(false)
    if (!asked.isCut) ended(request, reply, asked)
    done()
  })
  return (request, reply) => ended(request, reply, askedOf(request)!)
}

/** Never rejects: the answer is out, and the process is not to end for what its host makes of it, at once or later. */
async function told(
  onAnswer: NonNullable<HandlerOptions['onAnswer']>,
  entry: AnswerEntry,
  request: FastifyRequest,
): Promise<void> {
  try {
    await onAnswer(entry)
  } catch (error) {
    request.log.error({ requestId: request.id, err: error }, 'onAnswer threw')
  }
}
