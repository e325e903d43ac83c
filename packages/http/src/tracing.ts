/** OpenTelemetry spans, one per request, when the host has the API package; without it, nothing. */
import type { Span, TextMapGetter } from '@opentelemetry/api'
import type { FastifyInstance, FastifyRequest } from 'fastify'

const getter: TextMapGetter<Readonly<Record<string, string | string[] | undefined>>> = {
  keys: headers => Object.keys(headers),
  get: (headers, name) => headers[name],
}

/** Names and statuses only: no vectors, payloads, keys or ids. */
export async function addTracing(app: FastifyInstance): Promise<void> {
  const api = await import('@opentelemetry/api').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  })
  if (!api) return
  const spans = new WeakMap<FastifyRequest, Span>()
  app.addHook('onRequest', async request => {
    const parent = api.propagation.extract(api.context.active(), request.headers, getter)
    const { config, url } = request.routeOptions
    const { operation } = config as { operation?: string }
    const { name } = (request.params ?? {}) as { name?: string }
    const attributes = {
      'http.request.method': request.method,
      ...(url === undefined ? {} : { 'http.route': url }),
      ...(name === undefined ? {} : { 'db.collection.name': name }),
    }
    const tracer = api.trace.getTracer('@drift/http')
    const kind = api.SpanKind.SERVER
    spans.set(
      request,
      tracer.startSpan(operation ?? `${request.method} ${url ?? '?'}`, { kind, attributes }, parent),
    )
  })
  app.addHook('onResponse', async (request, { statusCode }) => {
    const span = spans.get(request)
    span?.setAttribute('http.response.status_code', statusCode)
    if (statusCode >= 500) span?.setStatus({ code: api.SpanStatusCode.ERROR })
    span?.end()
  })
}
