// Proves: a handler behind Fetch gives back what a request held when its client goes away, and answers what has no body.
import { Drift } from '@drift/server'
import { describe, expect, it } from 'vitest'
import { createHandler, type Handler } from '../src/index.js'

const ROWS = 20_000
/** Of the event loop, more than giving a slot back takes. */
const TURNS = 1_000
const ORIGIN = 'https://app.example.com'

async function handlerOver(db: Drift): Promise<Handler> {
  const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
  await docs.upsert({ ids: Array.from({ length: ROWS }, (_, i) => i), vectors: new Float32Array(ROWS) })
  return createHandler(db, {
    open: true,
    origins: [ORIGIN],
    limits: { longCalls: 1, requestsPerSecond: 1_000_000 },
  })
}

const scan = (signal?: AbortSignal): Request =>
  new Request('http://any/v1/collections/docs/scan', { method: 'POST', ...(signal ? { signal } : {}) })

/** The one slot for long calls, once it is free. */
async function whole(handler: Handler): Promise<string | undefined> {
  for (let turn = 0; turn < TURNS; turn++) {
    const answer = await handler.fetch(scan())
    const text = await answer.text()
    if (answer.status === 200) return text.trimEnd().split('\n').at(-1)
    await new Promise(resolve => setImmediate(resolve))
  }
  return undefined
}

describe('a Fetch request', () => {
  it('whose answer is cancelled gives its slot back', async () => {
    await using db = await Drift.open(':memory:')
    const handler = await handlerOver(db)
    for (const reads of [0, 1]) {
      const reader = (await handler.fetch(scan())).body!.getReader()
      for (let i = 0; i < reads; i++) await reader.read()
      await reader.cancel()
      expect(await whole(handler)).toBe(`{"end":true,"rows":${ROWS}}`)
    }
    await handler.close()
  })

  it('that is aborted before, while it is worked on, and while it is read, is refused and gives its slot back', async () => {
    await using db = await Drift.open(':memory:')
    const handler = await handlerOver(db)
    await expect(handler.fetch(scan(AbortSignal.abort()))).rejects.toThrow('abort')
    const early = new AbortController()
    const asked = handler.fetch(scan(early.signal))
    early.abort()
    await expect(asked).rejects.toThrow('abort')
    expect(await whole(handler)).toBe(`{"end":true,"rows":${ROWS}}`)
    const late = new AbortController()
    const reader = (await handler.fetch(scan(late.signal))).body!.getReader()
    await reader.read()
    late.abort()
    await expect(reader.read()).rejects.toThrow('abort')
    expect(await whole(handler)).toBe(`{"end":true,"rows":${ROWS}}`)
    await handler.close()
  })

  it('of a browser that asks what it may send is answered without a body', async () => {
    await using db = await Drift.open(':memory:')
    const handler = await handlerOver(db)
    const headers = { origin: ORIGIN, 'access-control-request-method': 'PUT' }
    const url = 'http://any/v1/collections/docs/points'
    const asked = await handler.fetch(new Request(url, { method: 'OPTIONS', headers }))
    expect([asked.status, asked.body, asked.headers.get('access-control-allow-origin')]).toEqual([
      204,
      null,
      ORIGIN,
    ])
    expect((await handler.fetch(new Request(url, { method: 'OPTIONS' }))).status).toBe(204)
    await handler.close()
  })

  it('with a method that nobody knows is answered, and one to a closed handler is refused', async () => {
    await using db = await Drift.open(':memory:')
    const handler = createHandler(db, { open: true })
    const ask = async (method: string): Promise<unknown> => {
      const answer = await handler.fetch(new Request('http://any/v1/collections', { method }))
      const { error } = (await answer.json()) as { error?: { code: string } }
      return [answer.status, error?.code]
    }
    expect(await ask('FROB')).toEqual([404, 'DRIFT_NO_ROUTE'])
    expect(await ask('GET')).toEqual([200, undefined])
    await handler.close()
    expect(await ask('GET')).toEqual([503, 'DRIFT_DRAINING'])
  })
})
