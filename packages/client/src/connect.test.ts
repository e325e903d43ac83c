// Proves: what is wrong with how a connection is asked for is said at once, and nobody is made to wait for an hour or to read what is no answer.
import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type ConnectOptions, connect, type RemoteCollection, type RemoteDrift } from './index.js'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A server that is none of ours. */
async function answering(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

it.each([
  [{ apiKey: 'secret' }, 'DRIFT_UNKNOWN_OPTION'],
  [{ timeoutMs: '10' }, 'DRIFT_OPTION'],
  [{ retries: -1 }, 'DRIFT_OPTION'],
  [null, 'DRIFT_OPTION'],
  [{ key: 'a\nb' }, 'DRIFT_OPTION'],
  [{ headers: { 'a b': 'c' } }, 'DRIFT_OPTION'],
  [{ headers: 5 }, 'DRIFT_OPTION'],
  [{ fetch: 5 }, 'DRIFT_OPTION'],
])('refuses the options %j', async (options, code) => {
  const url = await answering((_, response) => response.end('{"collections":[]}'))
  await expect(connect(url, options as never)).rejects.toMatchObject({ code })
})

it.each([
  ['/v1', /; give the URL without \/v1: http:\/\/127.0.0.1:\d+$/],
  ['/v1/', /; give the URL without \/v1: http:\/\/127.0.0.1:\d+$/],
  ['/other', /no Drift server has its routes under http:\/\/127.0.0.1:\d+\/other\/v1;/],
])('says where the server is not, and where it may be, of the path %s', async (path, message) => {
  const url = await answering((request, response) => {
    const isThere = request.url === '/v1/collections'
    response.writeHead(isThere ? 200 : 404).end(isThere ? '{"collections":[]}' : '')
  })
  await connect(url)
  const call = connect(url + path)
  await expect(call).rejects.toMatchObject({ code: 'DRIFT_ANSWER', status: 404 })
  await expect(call).rejects.toThrow(message)
})

it('says of a key that may not create that it may open', async () => {
  const url = await answering((request, response) => {
    if (request.method === 'GET') response.end('{"collections":[],"name":"docs","dim":3,"metric":"l2"}')
    else response.writeHead(403).end('{"error":{"code":"DRIFT_FORBIDDEN","message":"no"}}')
  })
  const db = await connect(url)
  await expect(db.collection('docs', { dim: 3 })).rejects.toThrow(
    'without options, a collection that is there',
  )
  expect((await db.collection('docs')).dim).toBe(3)
})

it('ends by its signal while it connects, and with every call of a database', async () => {
  const reason = new Error('enough')
  let hears = true
  const url = await answering((_, response) => void (hears && response.end('{"collections":[]}')))
  const db = await connect(url)
  hears = false
  for (const call of [
    (signal: AbortSignal) => connect(url, { signal }),
    (signal: AbortSignal) => db.collections({ signal }),
    (signal: AbortSignal) => db.drop('docs', { signal }),
    (signal: AbortSignal) => db.sync({ signal }),
    (signal: AbortSignal) => db.stats({ signal }),
  ]) {
    const controller = new AbortController()
    const outcome = call(controller.signal)
    setImmediate(() => controller.abort(reason))
    await expect(outcome).rejects.toBe(reason)
  }
})

it('takes bytes for Arrow and nothing else, which JSON would make something of', async () => {
  const url = await answering((_, response) => {
    response.end('{"collections":[],"name":"docs","dim":3,"metric":"l2"}')
  })
  const docs = await (await connect(url)).collection('docs')
  for (const input of [5, {}, [new Uint8Array(4)], 'bytes', new Float32Array(4)]) {
    await expect(docs.fromArrow(input as never)).rejects.toMatchObject({ code: 'DRIFT_ARROW' })
  }
})

it('does not wait for who says to come back in an hour', async () => {
  let asked = 0
  const url = await answering((_, response) => {
    asked++
    response
      .writeHead(429, { 'retry-after': '3600' })
      .end('{"error":{"code":"DRIFT_RATE_LIMIT","message":"later"}}')
  })
  await expect(connect(url)).rejects.toMatchObject({
    code: 'DRIFT_RATE_LIMIT',
    details: { retryAfter: 3_600 },
  })
  expect(asked).toBe(1)
})

it.each(['<html>\n', 'null\n', '{"id":"a","vector":[1,2,3]}\n{"end":true,"rows":2}\n'])(
  'says of lines that are no rows, or not all, that no Drift server sent them: %j',
  async line => {
    const url = await answering((request, response) => {
      if (request.url!.endsWith('/scan')) response.setHeader('content-type', 'application/x-ndjson').end(line)
      else response.end('{"collections":[],"name":"docs","dim":3,"metric":"l2"}')
    })
    const docs = await (await connect(url)).collection('docs')
    const rows = async () => {
      for await (const _ of docs.scan());
    }
    await expect(rows()).rejects.toMatchObject({ code: 'DRIFT_ANSWER' })
  },
)

it.each(['http://user:word@127.0.0.1:7700', 'http://127.0.0.1:7700/?key=x', 'http://127.0.0.1:7700/#x'])(
  'refuses the URL %s, which is more than a place, and does not show it',
  async url => {
    const refused = connect(url, { retries: 0 })
    await expect(refused).rejects.toMatchObject({ code: 'DRIFT_URL' })
    await expect(refused).rejects.not.toThrow(url)
  },
)

it('waits without end when timeoutMs is infinite, and longer than timers can', async () => {
  const url = await answering((_, response) => void setImmediate(() => response.end('{"collections":[]}')))
  for (const timeoutMs of [Number.POSITIVE_INFINITY, 2 ** 40]) await connect(url, { timeoutMs, retries: 0 })
})

it('says where a redirect leads in place of following it with half a request', async () => {
  const url = await answering((_, response) =>
    response.writeHead(301, { location: 'https://elsewhere/' }).end(),
  )
  await expect(connect(url)).rejects.toMatchObject({
    code: 'DRIFT_ANSWER',
    message: expect.stringContaining('https://elsewhere/'),
  })
})

it('gives what JSON does not have, no limit and bigints, as the embedded engine does', async () => {
  const recovery = { losses: [{ file: 'a' }, { file: 'b', ids: ['x', { $bigint: '5' }] }] }
  const answer = { disk: { freeBytes: null }, maintenance: { maxSearchWaitMs: null }, recovery }
  const url = await answering((request, response) =>
    response.end(JSON.stringify(request.url!.endsWith('/stats') ? answer : { collections: [] })),
  )
  expect(await (await connect(url)).stats()).toEqual({
    disk: { freeBytes: Number.POSITIVE_INFINITY },
    maintenance: { maxSearchWaitMs: Number.POSITIVE_INFINITY },
    recovery: { losses: [{ file: 'a' }, { file: 'b', ids: ['x', 5n] }] },
  })
})

const vector = [1, 2, 3]
const CALLS: Readonly<Record<string, (docs: RemoteCollection) => Promise<unknown>>> = {
  search: docs => docs.search(vector),
  explain: docs => docs.explain(vector),
  searchBatch: docs => docs.searchBatch(new Float32Array(3)),
  get: docs => docs.get('a'),
  getMany: docs => docs.getMany(['a']),
  count: docs => docs.count(),
  upsert: docs => docs.upsert([{ id: 'a', vector }]),
  delete: docs => docs.delete(['a']),
  updatePayload: docs => docs.updatePayload(['a'], {}),
  stats: docs => docs.stats(),
  flush: docs => docs.flush(),
  scan: docs => docs.scan().next(),
  toArrow: docs => docs.toArrow().next(),
}

it.each(
  Object.entries(CALLS).flatMap(([name, call]) =>
    (['{}', 'null', '{"hits":5,"rows":"a","count":"a","lsn":null}', '<html>'] as const).map(
      body => [name, body, call] as const,
    ),
  ),
)('%s says of %s, with status 200, that no Drift server sent it', async (_, body, call) => {
  const url = await answering((request, response) => {
    if (/collections(\/docs)?$/.test(request.url!))
      response.end('{"collections":[],"name":"docs","dim":3,"metric":"l2"}')
    else response.setHeader('content-type', body === '<html>' ? 'text/html' : 'application/json').end(body)
  })
  const docs = await (await connect(url)).collection('docs')
  await expect(call(docs)).rejects.toMatchObject({ code: 'DRIFT_ANSWER' })
})

it('says of a list of collections that is none that no Drift server sent it', async () => {
  for (const body of ['{}', 'null', '[]', '{"collections":5}', '{"error":{"code":5,"message":{}}}']) {
    const url = await answering((_, response) => response.end(body))
    await expect(connect(url)).rejects.toMatchObject({ code: 'DRIFT_ANSWER', message: expect.any(String) })
  }
})

const SLOW: readonly [string, (db: RemoteDrift, docs: RemoteCollection) => Promise<unknown>][] = [
  ['check', db => db.check()],
  ['backup', db => db.backup('monday')],
  ['flush', (_, docs) => docs.flush()],
  ['compact', (_, docs) => docs.compact()],
  ['maintain', (_, docs) => docs.maintain()],
  ['createIndex', (_, docs) => docs.createIndex('lang', 'keyword')],
  ['fromArrow', (_, docs) => docs.fromArrow(new Uint8Array(8))],
]

describe.each(SLOW)('%s, which may take hours,', (_, call) => {
  const DONE = '{"done":true,"upserted":1,"lsn":1,"name":"monday","findings":[]}'

  /** Looks as Drift until the call, which `listener` gets. */
  async function slowly(
    listener: (response: ServerResponse, asked: number) => void,
    options?: ConnectOptions,
  ): Promise<{ readonly asked: () => number; readonly calling: () => Promise<unknown> }> {
    let asked = 0
    const url = await answering((request, response) => {
      if (request.method !== 'GET') listener(response, ++asked)
      else response.end('{"collections":[],"name":"docs","dim":3,"metric":"l2"}')
    })
    const db = await connect(url, { backoffMs: 0, ...options })
    const docs = await db.collection('docs')
    return { asked: () => asked, calling: () => call(db, docs) }
  }

  it('is waited for as long as it takes', async () => {
    let begin: (response: ServerResponse) => void = () => undefined
    const began = new Promise<ServerResponse>(resolve => (begin = resolve))
    const { calling } = await slowly(response => begin(response), { retries: 0 })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const called = calling()
      called.catch(() => undefined)
      const response = await began
      vi.advanceTimersByTime(24 * 3_600_000)
      response.end(DONE)
      await called
    } finally {
      vi.useRealTimers()
    }
  })

  it('is ended by the time that was given for it, and not begun again', async () => {
    const { asked, calling } = await slowly(() => undefined, { timeoutMs: 500 })
    await expect(calling()).rejects.toMatchObject({ code: 'DRIFT_TIMEOUT', details: { timeoutMs: 500 } })
    expect(asked()).toBeLessThanOrEqual(1)
  })

  it('is not begun again for a proxy that would not wait, and is for a server that was not ready', async () => {
    const late = await slowly(response => response.writeHead(504).end())
    await expect(late.calling()).rejects.toMatchObject({ status: 504 })
    expect(late.asked()).toBe(1)
    const early = await slowly((response, asked) => response.writeHead(asked < 3 ? 503 : 200).end(DONE))
    await early.calling()
    expect(early.asked()).toBe(3)
  })
})

it('says of a fetch that has a limit of its own that it took too long, and does not begin again', async () => {
  let asked = 0
  const url = await answering((request, response) => {
    if (request.method === 'GET') return response.end('{"collections":[]}')
    asked++
  })
  // The class of Node's own, which it shows nowhere else.
  const own = Reflect.get(globalThis, Symbol.for('undici.globalDispatcher.1')) as object
  const dispatcher: unknown = Reflect.construct(own.constructor, [{ headersTimeout: 500 }])
  const hasty: typeof fetch = (input, init) => fetch(input, { ...init, dispatcher } as RequestInit)
  const db = await connect(url, { backoffMs: 0, fetch: hasty })
  await expect(db.check()).rejects.toMatchObject({
    code: 'DRIFT_TIMEOUT',
    message: expect.stringContaining('Headers Timeout'),
  })
  expect(asked).toBe(1)
})
