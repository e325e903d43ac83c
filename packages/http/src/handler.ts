/** createHandler: a database behind any host that has (request, response) or Fetch requests. */
import { randomUUID } from 'node:crypto'
import { type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import type { Drift } from '@drift/server'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import inject from 'light-my-request'
import { HttpError } from './errors.js'
import { assertKnown } from './known.js'
import { Methods } from './methods.js'
import { HANDLER_KEYS, type HandlerOptions, parsePlugin } from './options.js'
import { answerError, driftPlugin } from './plugin.js'

/** Statuses whose `Response` has to have no body. */
const WITHOUT_BODY: readonly number[] = [204, 205, 304]

export interface Handler {
  /** For node:http, Express, Connect: answers every request that it is given. */
  (request: IncomingMessage, response: ServerResponse): void
  /** For hosts that speak Fetch. */
  readonly fetch: (request: Request) => Promise<Response>
  /** Refuses requests from now on. Those under way go on, and the database stays open: it is to be closed after them. */
  readonly close: () => Promise<void>
}

/** @throws HttpError DRIFT_UNKNOWN_OPTION, DRIFT_OPTION, DRIFT_INSECURE */
export function createHandler(db: Drift, options: HandlerOptions): Handler {
  assertKnown(options, HANDLER_KEYS, 'createHandler')
  parsePlugin({ ...options, db }, 'createHandler')
  let isClosed = false
  const draining = (): boolean => isClosed || (options.draining?.() ?? false)
  const app = createApp(db, { ...options, draining }, { logger: false })
  const ready = app.ready()
  // Of what `routes` throws, who calls learns from each call.
  ready.then(undefined, () => undefined)
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    ready.then(
      () => app.routing(request, response),
      error => response.destroy(error as Error),
    )
  }
  return Object.assign(handle, {
    fetch: (request: Request) => answerFetch(handle, request),
    close: () => {
      isClosed = true
      return app.close()
    },
  })
}

/** An application of our own: also what is no route of ours is answered in our way. */
export function createApp(db: Drift, options: HandlerOptions, server: FastifyServerOptions): FastifyInstance {
  const app = Fastify({
    // The plugin logs answers itself, without URLs: ids are data.
    logController: new LogController({ disableRequestLogging: true }),
    exposeHeadRoutes: false,
    genReqId: () => randomUUID(),
    return503OnClosing: false,
    routerOptions: { maxParamLength: 2_048 },
    ...server,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply),
  } as FastifyServerOptions) as FastifyInstance
  // Not encapsulated: its guard also stands before what is not found.
  const whole = Object.assign((...given: Parameters<typeof driftPlugin>) => driftPlugin(...given), {
    [Symbol.for('skip-override')]: true,
  })
  const methods = new Methods()
  app.addHook('onRoute', ({ method, url }) => methods.add(method, url))
  app.register(whole, { ...options, db })
  const refuse = ({ method, url }: FastifyRequest, reply: FastifyReply): never => {
    const known = methods.of(url)
    // One that takes this method was not found for another reason.
    if (known.length > 0 && !known.includes(method)) {
      const allow = known.join(', ')
      reply.header('allow', allow)
      throw new HttpError('DRIFT_METHOD', `this path does not take ${method}, only ${allow}`, { allow })
    }
    throw new HttpError('DRIFT_NO_ROUTE', 'there is nothing here; /v1/openapi.json lists what there is')
  }
  // Behind the guard, and before a byte of the body.
  app.addHook('preParsing', async (request, reply) => {
    if (request.is404) refuse(request, reply)
  })
  app.setNotFoundHandler(refuse)
  return app as unknown as FastifyInstance
}

/** A request whose client is gone is ended as that of a closed connection is, from when its answer begins on. */
async function answerFetch(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
  request: Request,
): Promise<Response> {
  const { signal } = request
  signal.throwIfAborted()
  const url = new URL(request.url)
  // Not Fastify's own `inject`, which needs a Node that can `require` ES modules.
  const answer = await inject(handle, {
    method: request.method as 'GET',
    url: url.pathname + url.search,
    headers: { host: url.host, ...Object.fromEntries(request.headers) },
    ...(request.body ? { payload: Readable.fromWeb(request.body as never) } : {}),
    payloadAsStream: true,
    // Of methods, the routes know better which there are.
    validate: false,
  })
  const stream = answer.stream()
  const gone = (): void => void stream.destroy(signal.reason as Error)
  stream.once('close', () => {
    signal.removeEventListener('abort', gone)
    answer.raw.res.destroy()
  })
  // Who reads is told of it.
  stream.on('error', () => undefined)
  const body = bodyOf(stream)
  signal.addEventListener('abort', gone)
  if (signal.aborted) gone()
  signal.throwIfAborted()
  const headers = Object.entries(answer.headers).flatMap(([name, value]) =>
    [value ?? []].flat().map(each => [name, String(each)] as [string, string]),
  )
  const { statusCode: status } = answer
  if (!WITHOUT_BODY.includes(status)) return new Response(body, { status, headers })
  stream.resume()
  return new Response(null, { status, headers })
}

/** As `Readable.toWeb`, which throws into the process when the stream ends just as it is cancelled. */
function bodyOf(stream: Readable): ReadableStream<Uint8Array> {
  const parts = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await parts.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: () => void stream.destroy(),
    },
    { highWaterMark: 0 },
  )
}

/** What Node's parser refuses never becomes a request: the answer is written to the socket by hand. */
function answerBrokenRequest(this: Server | unknown, error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const [status, code] = BROKEN[error.code ?? ''] ?? [400, 'DRIFT_REQUEST']
  const body = JSON.stringify({
    error: {
      code,
      message: 'the request is not HTTP as it should be, too large or too slow',
      requestId: randomUUID(),
    },
  })
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

const BROKEN: Readonly<Record<string, [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'DRIFT_HEADERS_TOO_LARGE'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'DRIFT_REQUEST_TIMEOUT'],
}
