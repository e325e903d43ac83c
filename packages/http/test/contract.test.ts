// Proves: what the OpenAPI document says of a route is what the route takes and answers; nothing that is sent is passed over in silence.

import { createServer } from 'node:http'
import { join } from 'node:path'
import { ARROW_TYPE } from '@drift/client/wire'
import { Drift } from '@drift/server'
import { Compile } from 'typebox/compile'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createHandler, createKey } from '../src/index.js'
import { routes } from '../src/routes/routes.js'
import { randomVectors, started, temporaryFolder } from './fixture.js'
import type {} from './types.js'

interface Operation {
  readonly requestBody?: { readonly required?: boolean }
  readonly responses: Record<string, { readonly content: Record<string, { readonly schema: object }> }>
}

type Document = { readonly paths: Record<string, Record<string, Operation>> }

async function documentOf(url: string): Promise<Document> {
  return (await (await fetch(`${url}/v1/openapi.json`)).json()) as Document
}

interface Shape {
  readonly properties?: Readonly<Record<string, Shape>>
  readonly items?: Shape
}

/** Fields of an answer that its schema, and so the client's types (types.ts), does not name; also those in lists. */
function unnamed(answer: unknown, { properties, items }: Shape, at = 'answer'): string[] {
  if (items) return (answer as unknown[]).flatMap((each, i) => unnamed(each, items, `${at}[${i}]`))
  if (!properties) return []
  return Object.entries(answer as object).flatMap(([name, value]) => {
    const shape = properties[name]
    return shape ? unnamed(value, shape, `${at}.${name}`) : [`${at}.${name}`]
  })
}

const sent = (method: string, body?: unknown, headers: Record<string, string> = {}): RequestInit => ({
  method,
  ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
})

describe('the document', () => {
  it('says of which type every answer is, and what a whole answer looks like', async () => {
    for (const route of routes) {
      const { url, db } = await started({ backupFolder: temporaryFolder() })
      const notes = await db.collection('notes', { dim: 4, metric: 'l2' })
      await notes.upsert([{ id: 'a', vector: [1, 2, 3, 4], payload: { lang: 'en' } }])
      const path = `/v1${route.path}`
      const answer = await fetch(
        url + path.replace(':name', 'notes').replace(':id', 'a'),
        sent(route.method, route.example.body),
      )
      const text = await answer.text()
      if (!answer.ok) continue
      const shown = (await documentOf(url)).paths[path.replaceAll(/:(\w+)/g, '{$1}')]![
        route.method.toLowerCase()
      ]!
      const type = answer.headers.get('content-type')!.split(';')[0]!
      expect([route.operation, Object.keys(shown.responses['200']!.content)]).toEqual([
        route.operation,
        expect.arrayContaining([type]),
      ])
      const schema = Compile(shown.responses['200']!.content[type]!.schema)
      for (const line of text.trimEnd().split('\n'))
        expect([line, schema.Check(JSON.parse(line))]).toEqual([line, true])
      expect([route.operation, shown.requestBody?.required ?? false]).toEqual([
        route.operation,
        route.body !== undefined && route.bodyOptional !== true,
      ])
    }
  })

  it('names the fields of every answer but of those that are for a person to read', async () => {
    const { url } = await started()
    const { paths } = await documentOf(url)
    const open = routes.filter(({ method, path }) => {
      const shown = paths[`/v1${path.replaceAll(/:(\w+)/g, '{$1}')}`]![method.toLowerCase()]!
      const { properties, anyOf } = Object.values(shown.responses['200']!.content)[0]!.schema as {
        properties?: object
        anyOf?: object[]
      }
      return anyOf === undefined && Object.keys(properties ?? {}).length === 0
    })
    expect(open.map(({ operation }) => operation)).toEqual(['compact'])
  })

  it('fits what a used collection says of itself', async () => {
    const { url, db } = await started({ open: { shadow: 1, maintenance: 'manual' } })
    const indexes = { n: 'number', lang: 'keyword' } as const
    const notes = await db.collection('notes', { dim: 8, metric: 'l2', indexes, memtableRows: 1_024 })
    const ids = Array.from({ length: 6_000 }, (_, n) => n)
    const vectors = randomVectors(ids.length, 8, 1)
    await notes.upsert({ ids, vectors, payloads: ids.map(n => ({ n })) })
    await notes.flush()
    for (const n of ids.slice(0, 40)) await notes.search(vectors.subarray(8 * n, 8 * n + 8))
    const { paths } = await documentOf(url)
    const collection = '/v1/collections/notes'
    const query = { query: [...vectors.subarray(0, 8)], k: 3, payload: true, filter: { n: { $gte: 7 } } }
    for (const [method, path, pattern, body] of [
      ['POST', `${collection}/maintain`, '/v1/collections/{name}/maintain'],
      ['GET', `${collection}/stats?buckets=true`, '/v1/collections/{name}/stats'],
      ['GET', '/v1/stats', '/v1/stats'],
      ['POST', '/v1/check', '/v1/check'],
      ['POST', `${collection}/search`, '/v1/collections/{name}/search', query],
      ['POST', `${collection}/explain`, '/v1/collections/{name}/explain', query],
      ['POST', `${collection}/points/delete`, '/v1/collections/{name}/points/delete', { ids: [1] }],
    ] as const) {
      const answer = await (await fetch(url + path, sent(method, body))).json()
      const { responses } = paths[pattern]![method.toLowerCase()]!
      const schema = Compile(responses['200']!.content['application/json']!.schema)
      expect([pattern, [...schema.Errors(answer)]]).toEqual([pattern, []])
      expect([pattern, unnamed(answer, schema.Type() as Shape)]).toEqual([pattern, []])
    }
    expect((await notes.stats()).recall).not.toEqual([])
  })

  it('fits the answer to rows in Arrow, too', async () => {
    const { url, db } = await started()
    const notes = await db.collection('notes', { dim: 1, metric: 'l2' })
    await notes.upsert([{ id: 'a', vector: [1] }])
    const collection = `${url}/v1/collections/notes`
    const bytes = await (
      await fetch(`${collection}/scan`, sent('POST', {}, { accept: ARROW_TYPE }))
    ).arrayBuffer()
    const answer = await fetch(`${collection}/points`, {
      method: 'PUT',
      body: bytes,
      headers: { 'content-type': ARROW_TYPE },
    })
    const { responses } = (await documentOf(url)).paths['/v1/collections/{name}/points']!['put']!
    expect(Compile(responses['200']!.content['application/json']!.schema).Check(await answer.json())).toBe(
      true,
    )
  })
})

describe('what is sent to a route that does not take it', () => {
  it.each([
    ['POST', '/collections/notes/count?filter=1', undefined],
    ['GET', '/collections/notes/points/a?typ=number', undefined],
    ['DELETE', '/collections/notes?dry=true', undefined],
    ['DELETE', '/collections/notes', { dryRun: true }],
    ['POST', '/collections/notes/flush', { wait: false }],
    ['POST', '/sync', { wait: false }],
  ])('%s %s with %o is refused, and nothing is done', async (method, path, body) => {
    const { url, db } = await started()
    const notes = await db.collection('notes', { dim: 1, metric: 'l2' })
    await notes.upsert([{ id: 'a', vector: [1] }])
    const answer = await fetch(`${url}/v1${path}`, sent(method, body))
    expect([answer.status, await answer.json()]).toMatchObject([
      400,
      { error: { code: 'DRIFT_UNKNOWN_OPTION' } },
    ])
    expect(db.collections()).toEqual(['notes'])
  })

  it('a body that a parser of the host has read is refused and not waited for', async () => {
    await using db = await Drift.open(':memory:')
    await db.collection('notes', { dim: 1 })
    const handler = createHandler(db, { open: true })
    const server = createServer(async (request, response) => {
      for await (const _ of request);
      handler(request, response)
    })
    onTestFinished(() => void server.close())
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const answer = await fetch(`http://127.0.0.1:${port}/v1/collections/notes/count`, sent('POST', {}))
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: { code: 'DRIFT_REQUEST' } }])
    await handler.close()
  })
})

describe('a probe that sends HEAD', () => {
  it.each(['/livez', '/readyz'])('%s is answered without a key', async path => {
    const { hash } = createKey()
    const { url } = await started({ keys: [{ id: 'k', hash, scope: 'read' }] })
    expect((await fetch(url + path, { method: 'HEAD' })).status).toBe(200)
  })
})

describe('a key for some collections', () => {
  it('neither backs up nor checks all of them, whatever its scope', async () => {
    const { key, hash } = createKey()
    const { url } = await started({
      keys: [{ id: 'k', hash, scope: 'admin', collections: ['mine*'] }],
      backupFolder: temporaryFolder(),
    })
    const headers = { authorization: `Bearer ${key}` }
    expect((await fetch(`${url}/v1/check`, sent('POST', undefined, headers))).status).toBe(403)
    expect((await fetch(`${url}/v1/backups`, sent('POST', { name: 'all' }, headers))).status).toBe(403)
  })

  it('a backup that is there is named as the caller did, not as a path of the machine', async () => {
    const backupFolder = temporaryFolder()
    const { url } = await started({ backupFolder })
    const backup = (): Promise<Response> => fetch(`${url}/v1/backups`, sent('POST', { name: 'monday' }))
    expect((await backup()).status).toBe(200)
    const again = await backup()
    const text = await again.text()
    expect([again.status, text.includes(backupFolder)]).toEqual([409, false])
    expect(text).toContain("there is a backup 'monday'")
  })

  it('a backup whose name the database keeps for itself is refused, and named as the caller did', async () => {
    const backupFolder = join(temporaryFolder(), 'db')
    const { url } = await started({ db: backupFolder, backupFolder })
    const backup = (name: string): Promise<Response> => fetch(`${url}/v1/backups`, sent('POST', { name }))
    const refused = await backup('quarantine')
    const text = await refused.text()
    expect([refused.status, text.includes(backupFolder)]).toEqual([400, false])
    expect(text).toMatch(/DRIFT_NAME.*'quarantine'/)
    expect((await backup('monday')).status).toBe(200)
  })

  it("of a tenant is told nothing of the tenant's name", async () => {
    const { key, hash } = createKey()
    const { url } = await started({ keys: [{ id: 'k', hash, scope: 'admin', tenant: 'acme' }] })
    const ask = async (method: string, name: string, body?: unknown): Promise<string> =>
      (
        await fetch(`${url}/v1/collections/${name}`, sent(method, body, { authorization: `Bearer ${key}` }))
      ).text()
    await ask('PUT', 'docs', { dim: 2 })
    const refused = [
      await ask('GET', 'nope'),
      await ask('PUT', 'docs', { dim: 3 }),
      await ask('PUT', 'x.y', { dim: 3 }),
    ]
    for (const text of refused) expect(text).not.toContain('acme')
    expect(refused[0]).toContain("'nope'")
  })
})

describe('names that objects have', () => {
  it('are names of payloads like any other, in JSON as in frames', async () => {
    const { url, db } = await started()
    const cars = await db.collection('cars', { dim: 1, metric: 'l2' })
    const points = `${url}/v1/collections/cars/points`
    const rows = [{ id: 'f1', vector: [1], payload: { constructor: 'Ferrari', prototype: false } }]
    expect((await fetch(points, sent('PUT', { rows }))).status).toBe(200)
    const patch = { constructor: { prototype: { polluted: true } } }
    const target = { filter: { constructor: 'Ferrari' }, patch }
    expect(await (await fetch(points, sent('PATCH', target))).json()).toMatchObject({ updated: 1 })
    expect((await cars.get('f1'))?.payload).toEqual({ ...patch, prototype: false })
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined()
  })
})

describe('the list of collections', () => {
  it('leaves out one that is dropped while it is made', async () => {
    const { url, db } = await started()
    for (let i = 0; i < 20; i++) await db.collection(`c${i}`, { dim: 1 })
    const lists = Array.from({ length: 10 }, () => fetch(`${url}/v1/collections`))
    for (let i = 0; i < 20; i++) await db.drop(`c${i}`)
    for (const list of lists) expect((await list).status).toBe(200)
  })
})

describe('a method that a path does not take', () => {
  it.each([
    ['GET', '/v1/collections/docs/search', 'POST'],
    ['POST', '/v1/stats', 'GET'],
    ['POST', '/v1/collections/do%20cs?x=/y', 'DELETE, GET, PUT'],
    ['DELETE', '/v1/collections/docs/points/get', 'GET, POST'],
    ['HEAD', '/v1/collections', 'GET'],
    ['POST', '/livez', 'GET, HEAD'],
    ['DELETE', '/v1/openapi.json', 'GET'],
    ['POST', '/mine/7', 'GET'],
  ])('%s %s is answered 405 with those that it does', async (method, path, allow) => {
    const { url } = await started({
      routes: app => void app.get('/mine/:id', { config: { scope: 'read' } as object }, async () => 'mine'),
    })
    const answer = await fetch(url + path, sent(method, method === 'POST' ? {} : undefined))
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, allow])
    if (method === 'HEAD') return
    const { error } = (await answer.json()) as { error: { code: string; message: string } }
    expect(error).toMatchObject({ code: 'DRIFT_METHOD', message: expect.stringContaining(allow) })
  })

  it.each([
    ['POST', '/v1/nowhere', 404],
    ['POST', '/v1/stats', 405],
  ])('%s %s is answered before its body is read', async (method, path, status) => {
    const { url } = await started()
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(url + path, { method, headers, body: '{"cut' })
    expect(answer.status).toBe(status)
  })

  it('is told to who has a key only, and a path that is none stays 404', async () => {
    const { key, hash } = createKey()
    const { url } = await started({ keys: [{ id: 'reader', hash, scope: 'read' }] })
    const ask = async (method: string, path: string, headers?: Record<string, string>) => {
      const answer = await fetch(url + path, { method, ...(headers ? { headers } : {}) })
      return [answer.status, answer.headers.get('allow')]
    }
    const headers = { authorization: `Bearer ${key}` }
    expect(await ask('DELETE', '/v1/stats')).toEqual([401, null])
    expect(await ask('DELETE', '/v1/stats', headers)).toEqual([405, 'GET'])
    expect(await ask('DELETE', '/v1/statistics', headers)).toEqual([404, null])
    expect(await ask('DELETE', '/v1/stats/', headers)).toEqual([404, null])
  })
})
