// Proves: with the OpenTelemetry API and a real SDK in the process every request is one span, a child of the caller's, which names the
// operation and its outcome and holds no ids, vectors, payloads or keys.

import { connect } from '@drift/client'
import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createKey } from '../src/index.js'
import { started } from './fixture.js'

const exporter = new InMemorySpanExporter()
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })

beforeAll(() => {
  trace.setGlobalTracerProvider(provider)
  propagation.setGlobalPropagator(new W3CTraceContextPropagator())
})
afterAll(async () => {
  trace.disable()
  propagation.disable()
  await provider.shutdown()
})

/** Spans of these requests: one ends after its answer has been sent. */
async function spansOf(count: number, requests: () => Promise<unknown>): Promise<ReadableSpan[]> {
  exporter.reset()
  await requests()
  while (exporter.getFinishedSpans().length < count) await new Promise(resolve => setImmediate(resolve))
  return exporter.getFinishedSpans()
}

describe('spans', () => {
  it('name the operation, the route, the collection and the status', async () => {
    const { url } = await started()
    const db = await connect(url)
    const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
    const spans = await spansOf(2, async () => {
      await docs.upsert([{ id: 'a', vector: [1, 2] }])
      await docs.search([1, 2])
    })
    expect(spans.map(({ name }) => name)).toEqual(['upsert', 'search'])
    for (const { kind, attributes, status } of spans) {
      expect(kind).toBe(SpanKind.SERVER)
      expect(status.code).toBe(SpanStatusCode.UNSET)
      expect(attributes).toMatchObject({
        'db.collection.name': 'docs',
        'http.response.status_code': 200,
        'http.route': expect.stringContaining('/v1/collections/:name/'),
      })
    }
  })

  it('are children of the span that the caller names', async () => {
    const { url } = await started()
    const parent = provider.getTracer('caller').startSpan('page')
    const headers: Record<string, string> = {}
    propagation.inject(trace.setSpan(ROOT_CONTEXT, parent), headers)
    expect(context.active()).toBe(ROOT_CONTEXT)
    const [span] = await spansOf(1, () => fetch(`${url}/v1/collections`, { headers }))
    expect(span!.spanContext().traceId).toBe(parent.spanContext().traceId)
    expect(span!.parentSpanContext?.spanId).toBe(parent.spanContext().spanId)
  })

  it('end for what is refused before it is a route, too, and hold nothing that a caller sent', async () => {
    const { key, hash } = createKey()
    const { url } = await started({ keys: [{ id: 'me', hash, scope: 'admin' }] })
    // connect and collection are requests of their own.
    const secret = { id: 'secret-id', vector: [1234.5], payload: { secret: 'word' } }
    const spans = await spansOf(5, async () => {
      const docs = await (await connect(url, { key })).collection('docs', { dim: 1, metric: 'l2' })
      await docs.upsert([secret])
      await fetch(`${url}/v1/collections/docs/points/secret-id`, {
        headers: { authorization: `Bearer ${key}` },
      })
      await fetch(`${url}/v1/collections/docs/points/secret-id`, {
        headers: { authorization: 'Bearer nobody' },
      })
    })
    expect(spans.map(({ attributes }) => attributes['http.response.status_code'])).toEqual([
      200, 200, 200, 200, 401,
    ])
    const text = JSON.stringify(spans.map(({ name, attributes, events }) => ({ name, attributes, events })))
    for (const part of ['secret', 'word', '1234', key]) expect(text).not.toContain(part)
  })
})
