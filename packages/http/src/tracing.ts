/**
 * OpenTelemetry spans, one per request, when the host has the API package and has given it somewhere to go; without that, nothing.
 * Names and statuses only: no vectors, payloads, keys or ids.
 */
import type { TextMapGetter, Tracer } from '@opentelemetry/api'
import type { FastifyRequest } from 'fastify'
import type { Asked } from './asked.js'

const TRACER = '@drift/http'

const getter: TextMapGetter<Readonly<Record<string, string | string[] | undefined>>> = {
  keys: headers => Object.keys(headers),
  get: (headers, name) => headers[name],
}

/** @returns what begins a request's span; undefined without the API package. */
export async function tracing(): Promise<((request: FastifyRequest, asked: Asked) => void) | undefined> {
  const api = await import('@opentelemetry/api').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  })
  if (!api) return undefined
  /** Undefined while nobody has registered an SDK, which may be at any time. */
  const tracer = (): Tracer | undefined => {
    const provider = api.trace.getTracerProvider()
    return provider instanceof api.ProxyTracerProvider
      ? provider.getDelegateTracer(TRACER)
      : provider.getTracer(TRACER)
  }
  return (request, asked) => {
    const active = tracer()
    if (active === undefined) return
    const parent = api.propagation.extract(api.context.active(), request.headers, getter)
    const { operation, url } = asked.config
    const { name } = (request.params ?? {}) as { name?: string }
    const attributes = {
      'http.request.method': request.method,
      ...(url === undefined ? {} : { 'http.route': url }),
      ...(name === undefined ? {} : { 'db.collection.name': name }),
    }
    const kind = api.SpanKind.SERVER
    const span = active.startSpan(
      operation ?? `${request.method} ${url ?? '?'}`,
      { kind, attributes },
      parent,
    )
    asked.traced = status => {
      span.setAttribute('http.response.status_code', status)
      if (status >= 500) span.setStatus({ code: api.SpanStatusCode.ERROR })
      span.end()
    }
  }
}
