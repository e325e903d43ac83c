/**
 * driftPlugin: the routes of a database in any Fastify 5 application, in a scope of their own: its parsers, hooks and
 * error answers do not touch the host's routes.
 */
import { ARROW_TYPE, decodeFrame, FRAME_TYPE } from '@drift/client/wire'
import type { Drift } from '@drift/server'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import underPressure from '@fastify/under-pressure'
import type {
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
} from 'fastify'
import type { TSchema } from 'typebox'
import { type ApiKey, type Authenticate, authenticator } from './auth.js'
import { nameOrigins } from './cors.js'
import { doorOf } from './engine-door.js'
import { HttpError, refusalOf } from './errors.js'
import { addGuard, principalOf, type RouteGuard } from './guard.js'
import { parseJson } from './json-body.js'
import { type Limits, parseLimits } from './limits.js'
import { Metrics } from './metrics.js'
import { openApi, schemaOf } from './openapi.js'
import type { Route } from './routes/route.js'
import { routes } from './routes/routes.js'
import { fingerprint, Runner } from './run.js'
import { validator } from './schema.js'
import { addTracing } from './tracing.js'
import { Turn } from './turn.js'

export interface HandlerOptions {
  /** Who may do what. One of `keys`, `authenticate` and `open` has to be given. */
  readonly keys?: readonly ApiKey[]
  /** Instead of keys: decides by a request's headers, before its body is read; undefined refuses. */
  readonly authenticate?: Authenticate
  /** True: everyone may do everything. For a host that guards the handler itself. */
  readonly open?: boolean
  readonly limits?: Partial<Limits>
  /** Backups are made below this folder, under names of their own. Without it there are none. */
  readonly backupFolder?: string
  /** Further routes, behind the same guard: `config: { scope: 'read' }`, without it for admins only. */
  readonly routes?: (app: FastifyInstance) => void | Promise<void>
  /** Told of each request when it has been answered. Holds no keys, vectors or payloads. */
  readonly onAnswer?: (entry: AnswerEntry) => void
  /** Names in the Host header that are answered. Default: any. */
  readonly hosts?: readonly string[]
  /** Origins whose pages may call from a browser, such as https://app.example.com. Default: none. */
  readonly origins?: readonly string[]
  /** True while no new requests are taken. */
  readonly draining?: () => boolean
}

export interface PluginOptions extends HandlerOptions {
  readonly db: Drift
}

export interface AnswerEntry {
  readonly requestId: string
  readonly method: string
  /** The pattern, not the URL: ids are data. */
  readonly route: string
  readonly collection: string | undefined
  readonly status: number
  readonly ms: number
  /** The key's name. */
  readonly caller: string | undefined
  /** Of the error that was answered. */
  readonly code: string | undefined
}

export const driftPlugin: FastifyPluginAsync<PluginOptions> = async (app, options) => {
  const limits = parseLimits(options.limits)
  const authenticate = whoMay(options)
  const draining = options.draining ?? (() => false)
  const db = doorOf(options.db)
  const runner = new Runner(db, limits, options.backupFolder)
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
  logAnswers(app, metrics, options.onAnswer)
  parseBodies(app, limits)
  await addTracing(app)
  if (options.origins?.length) await nameOrigins(app, options.origins)
  await app.register(rateLimit, { global: false })
  addGuard(app, { authenticate, limits, hosts: options.hosts, draining })
  shedLateSearches(app, limits.queueMs)
  if (limits.eventLoopDelayMs > 0) await shedSearches(app, limits.eventLoopDelayMs)
  await app.register(swagger, openApi(authenticate !== undefined))

  const open: RouteGuard & { operation: string } = { open: true, operation: 'health' }
  const hidden = { hide: true } as FastifySchema
  app.get('/livez', { config: open, schema: hidden }, async () => ({ live: true }))
  app.get('/readyz', { config: open, schema: hidden }, async (_, reply) => {
    const ready = !draining() && (await db.stats().catch(() => undefined))?.state === 'open'
    reply.code(ready ? 200 : 503)
    return { ready }
  })
  app.get(
    '/metrics',
    { config: { scope: 'read', operation: 'metrics' }, schema: hidden },
    async (request, reply) => {
      const { collections, tenant } = principalOf(request)
      if (tenant !== undefined || !collections.includes('*')) {
        throw new HttpError(
          'DRIFT_FORBIDDEN',
          'metrics name every collection; this takes a key for all of them',
        )
      }
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

/** @throws HttpError DRIFT_INSECURE when nobody said who may come in. */
function whoMay({ keys, authenticate, open }: HandlerOptions): Authenticate | undefined {
  const given = [keys, authenticate, open || undefined].filter(way => way !== undefined)
  if (given.length !== 1) {
    throw new HttpError(
      'DRIFT_INSECURE',
      'give one of keys, authenticate and open: true, to say who may do what',
    )
  }
  return keys ? authenticator(keys) : authenticate
}

function addRoute(app: FastifyInstance, route: Route, runner: Runner): void {
  const { method, path, operation, scope, frames, arrow } = route
  app.route({
    method,
    url: `/v1${path}`,
    config: { scope, operation, route },
    schema: schemaOf(route),
    // Only some routes take other bodies than JSON.
    preParsing: async request => {
      const type = request.headers['content-type'] ?? ''
      if ((type.startsWith(FRAME_TYPE) && !frames) || (type.startsWith(ARROW_TYPE) && !arrow)) {
        throw new HttpError('DRIFT_MEDIA_TYPE', `this takes application/json, not ${type.slice(0, 80)}`)
      }
    },
    handler: (request, reply) => runner.run(route, request, reply),
  })
}

function parseBodies(app: FastifyInstance, limits: Limits): void {
  app.removeAllContentTypeParsers()
  const add = (type: string, bodyLimit: number, parse: (bytes: Buffer) => unknown): void => {
    app.addContentTypeParser(
      type,
      { parseAs: 'buffer', bodyLimit },
      async (request: FastifyRequest, bytes: Buffer) => {
        fingerprint(request, bytes)
        return parse(bytes)
      },
    )
  }
  add('application/json', limits.jsonBytes, bytes => parseJson(bytes, limits.jsonDepth))
  add(ARROW_TYPE, limits.binaryBytes, bytes => bytes)
  add(FRAME_TYPE, limits.binaryBytes, bytes => {
    try {
      return decodeFrame(bytes)
    } catch (error) {
      throw new HttpError('DRIFT_FRAME', (error as Error).message)
    }
  })
}

const codes = new WeakMap<FastifyRequest, string>()

function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply))
}

/** Also for what no route was found for. */
export function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, code, message, details, retryAfter } = refusalOf(error)
  codes.set(request, code)
  // Below 500 the code tells it all, and the message may hold a caller's data.
  if (status >= 500 && !(error instanceof HttpError))
    request.log.error({ requestId: request.id, err: error }, code)
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .send({ error: { code, message, details, requestId: request.id } })
}

function logAnswers(app: FastifyInstance, metrics: Metrics, onAnswer: HandlerOptions['onAnswer']): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
    reply.header('x-content-type-options', 'nosniff')
    reply.header('cache-control', 'no-store')
  })
  app.addHook('onResponse', async (request, reply) => {
    const { statusCode: status, elapsedTime: ms } = reply
    metrics.observe(request, status, ms)
    const { open } = request.routeOptions.config as RouteGuard
    if (open && status < 400) return
    const entry: AnswerEntry = {
      requestId: request.id,
      method: request.method,
      route: request.routeOptions.url ?? '(none)',
      collection: (request.params as { name?: string } | undefined)?.name?.slice(0, 64),
      status,
      ms: Math.round(ms * 1000) / 1000,
      caller: callerOf(request),
      code: codes.get(request),
    }
    request.log.info(entry, 'answered')
    onAnswer?.(entry)
  })
}

function callerOf(request: FastifyRequest): string | undefined {
  try {
    return principalOf(request).id
  } catch {
    // Refused before it was known who asks.
    return undefined
  }
}

/** Before its body is read: to refuse costs a fraction of a search, so the server catches up. */
function shedLateSearches(app: FastifyInstance, queueMs: number): void {
  const turn = new Turn()
  app.addHook('onRequest', async request => {
    const waited = turn.waited()
    const { route } = request.routeOptions.config as { route?: Route }
    if (route?.cost !== 'search' || waited <= queueMs) return
    throw new HttpError(
      'DRIFT_OVERLOADED',
      `a search waited more than ${queueMs} ms to be looked at`,
      {},
      { retryAfter: 1 },
    )
  })
}

async function shedSearches(app: FastifyInstance, maxEventLoopDelay: number): Promise<void> {
  await app.register(underPressure, {
    maxEventLoopDelay,
    pressureHandler(request) {
      const { route } = request.routeOptions.config as { route?: Route }
      if (route?.cost !== 'search') return
      throw new HttpError('DRIFT_OVERLOADED', 'the server is too busy for searches', {}, { retryAfter: 1 })
    },
  })
}
