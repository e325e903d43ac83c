// Proves: every route has a scope, a schema, limits and an example that works as it stands; the OpenAPI document shows
// all of them; what an engine does not have is answered 501 and nothing else.
import { FRAME_TYPE } from '@drift/client/wire'
import { Drift } from '@drift/server'
import Fastify from 'fastify'
import { describe, expect, it } from 'vitest'
import { createHandler, driftPlugin } from '../src/index.js'
import { routes } from '../src/routes/routes.js'
import { ErrorAnswer, validator } from '../src/schema.js'
import { started, temporaryFolder } from './fixture.js'

interface Document {
  readonly openapi: string
  readonly paths: Record<
    string,
    Record<string, { operationId?: string; requestBody?: { content: Record<string, { schema: object }> } }>
  >
}

describe('the table of routes', () => {
  it.each(routes.map(route => [route.operation, route] as const))(
    '%s is guarded, described and exemplified',
    (_, route) => {
      expect(['read', 'write', 'admin']).toContain(route.scope)
      expect(['light', 'search', 'write', 'long']).toContain(route.cost)
      expect(route.summary.length).toBeGreaterThan(5)
      if (['PUT', 'PATCH', 'DELETE'].includes(route.method)) expect(route.writes).toBe(true)
      if (route.writes) expect(route.scope).not.toBe('read')
      validator(route.answer)(route.example.answer)
      if (route.body) validator(route.body)(route.example.body)
      else expect(route.example.body).toBeUndefined()
    },
  )

  it('has no operation twice', () => {
    expect(new Set(routes.map(({ operation }) => operation)).size).toBe(routes.length)
    expect(new Set(routes.map(({ method, path }) => `${method} ${path}`)).size).toBe(routes.length)
  })

  it('is what Fastify serves: nothing is reachable that is not in it', async () => {
    const found: { url: string; config: object }[] = []
    await using db = await Drift.open(':memory:')
    const app = Fastify()
    app.addHook('onRoute', ({ url, method, config }) => {
      if (method !== 'HEAD') found.push({ url: `${method} ${url}`, config: config ?? {} })
    })
    await app.register(driftPlugin, { db, open: true })
    await app.ready()
    const table = routes.map(({ method, path }) => `${method} /v1${path}`)
    const others = found.filter(({ url }) => !table.includes(url))
    expect(found.length - others.length).toBe(routes.length)
    expect(others.map(({ url }) => url).sort()).toEqual([
      'GET /livez',
      'GET /metrics',
      'GET /readyz',
      'GET /v1/openapi.json',
    ])
    for (const { url, config } of found) {
      expect('scope' in config || (['GET /livez', 'GET /readyz'].includes(url) && 'open' in config)).toBe(
        true,
      )
    }
    await app.close()
  })

  it('says what it takes in place of a field, parameter or type that it does not', async () => {
    const { url } = await started()
    const ask = async (path: string, init: RequestInit): Promise<string | undefined> => {
      const answer = (await (await fetch(`${url}/v1/collections/${path}`, init)).json()) as {
        error?: { message: string }
      }
      return answer.error?.message
    }
    const json = { 'content-type': 'application/json' }
    expect(await ask('docs', { method: 'PUT', headers: json, body: '{"dims":3}' })).toBe(
      'body.dims is not known here, only dim, metric, memtableRows, cold, quantizer, indexes',
    )
    expect(
      await ask('docs', { method: 'PUT', headers: json, body: '{"dim":3,"quantizer":"sq9"}' }),
    ).toContain("'auto', 'sign', 'sq8' or 'pq'")
    expect(await ask('docs', { method: 'PUT', headers: json, body: '{"dim":3}' })).toBe(undefined)
    expect(await ask('docs', { method: 'PUT', headers: json, body: '{"dim":3,"quantizer":"pq"}' })).toContain(
      "collection 'docs' has quantizer auto, not pq",
    )
    expect(await ask('docs/stats?bucket=true', {})).toBe('query.bucket is not known here, only buckets')
    const rows = '{"rows":[{"id":1,"vector":[1,2,3],"text":"a"}]}'
    expect(await ask('docs/points', { method: 'PUT', headers: json, body: rows })).toBe(
      'body.rows.0.text is not known here, only id, vector, payload',
    )
    const text = { 'content-type': 'text/plain' }
    expect(await ask('docs/points', { method: 'PUT', headers: text, body: rows })).toContain(
      `send application/json, ${FRAME_TYPE} or application/vnd.apache.arrow.stream`,
    )
  })

  it('is the OpenAPI document', async () => {
    const { url } = await started()
    const document = (await (await fetch(`${url}/v1/openapi.json`)).json()) as Document
    expect(document.openapi).toBe('3.1.0')
    for (const { method, path, operation, body, frames } of routes) {
      const shown = document.paths[`/v1${path.replaceAll(/:(\w+)/g, '{$1}')}`]?.[method.toLowerCase()]
      expect(shown?.operationId).toBe(operation)
      expect(Boolean(shown?.requestBody?.content['application/json'])).toBe(body !== undefined)
      expect(Boolean(shown?.requestBody?.content[FRAME_TYPE])).toBe(frames === true)
    }
  })

  it.each(routes.map(route => [route.operation, route] as const))(
    'the example of %s works',
    async (_, route) => {
      const { url, db } = await started({ backupFolder: temporaryFolder() })
      const notes = await db.collection('notes', { dim: 4, metric: 'l2' })
      await notes.upsert([
        { id: 'a', vector: [1, 2, 3, 4], payload: { lang: 'en' } },
        { id: 'b', vector: [9, 9, 9, 9] },
      ])
      const path = `/v1${route.path.replace(':name', 'notes').replace(':id', 'a')}`
      const { body } = route.example
      const answer = await fetch(url + path, {
        method: route.method,
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      })
      const text = await answer.text()
      if (answer.status === 501) {
        expect(JSON.parse(text)).toMatchObject({ error: { code: 'DRIFT_NOT_IMPLEMENTED' } })
        expect(validator(ErrorAnswer)(JSON.parse(text))).toBeDefined()
        expect([
          'explain',
          'compact',
          'backup',
          'check',
          'updatePayload',
          'createIndex',
          'dropIndex',
        ]).toContain(route.operation)
        return
      }
      // An engine with indexes may say that there is none to drop.
      if (route.operation === 'dropIndex') return void expect([200, 400, 404]).toContain(answer.status)
      expect([answer.status, text.slice(0, 200)]).toEqual([200, expect.any(String)])
      validator(route.answer)(JSON.parse(text.split('\n')[0]!))
    },
  )
})

describe('what an engine does not have', () => {
  it.each([
    ['/search', { query: [1, 2, 3, 4], filter: { lang: 'en' } }],
    ['/search', { query: [1, 2, 3, 4], recall: 0.9 }],
    ['/count', { filter: { lang: 'en' } }],
    ['/scan', { limit: 1 }],
    ['/points/delete', { filter: { lang: 'nobody' } }],
  ])('%s with %o is either done or answered 501, never done without it', async (path, body) => {
    const { url, db } = await started()
    const notes = await db.collection('notes', { dim: 4, metric: 'l2' })
    await notes.upsert([{ id: 'a', vector: [1, 2, 3, 4] }])
    const answer = await fetch(`${url}/v1/collections/notes${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
    const text = await answer.text()
    if (answer.status === 501) expect(text).toContain('DRIFT_NOT_IMPLEMENTED')
    else expect(answer.status).toBe(200)
    if (path === '/count' && answer.status === 200) expect(JSON.parse(text)).toEqual({ count: 0 })
    expect(await notes.count()).toBe(1)
  })
})

describe('createHandler', () => {
  it('answers Fetch requests, with bodies and streams', async () => {
    await using db = await Drift.open(':memory:')
    const handler = createHandler(db, { open: true })
    const ask = (method: string, path: string, body?: unknown): Promise<Response> =>
      handler.fetch(
        new Request(`http://any${path}`, {
          method,
          ...(body === undefined
            ? {}
            : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
        }),
      )
    expect((await ask('PUT', '/v1/collections/notes', { dim: 2, metric: 'l2' })).status).toBe(200)
    const rows = [{ id: 'a', vector: [1, 2] }]
    expect(await (await ask('PUT', '/v1/collections/notes/points', { rows })).json()).toMatchObject({
      upserted: 1,
    })
    expect(await (await ask('POST', '/v1/collections/notes/scan')).text()).toBe(
      '{"id":"a","vector":[1,2]}\n{"end":true,"rows":1}\n',
    )
    const missing = await ask('GET', '/v1/nowhere')
    expect([missing.status, missing.headers.get('x-content-type-options')]).toEqual([404, 'nosniff'])
    await handler.close()
  })

  it('is not made without saying who may come in', async () => {
    await using db = await Drift.open(':memory:')
    expect(() => createHandler(db, {})).toThrow(expect.objectContaining({ code: 'DRIFT_INSECURE' }))
  })
})
