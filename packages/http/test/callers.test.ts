// Proves: tenants and callers are kept apart, and what an application adds stands behind the same guard.
import { connect } from '@drift/client'
import { FaultFs, SimFs } from '@drift/fs'
import { Drift } from '@drift/server'
import Fastify from 'fastify'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createKey, driftPlugin, principalOf } from '../src/index.js'
import { started } from './fixture.js'

describe('callers', () => {
  it('of two tenants have the same names and different rows', async () => {
    const [left, right, all] = [createKey(), createKey(), createKey()]
    const { url } = await started({
      keys: [
        { id: 'left', hash: left.hash, scope: 'admin', tenant: 'left' },
        { id: 'right', hash: right.hash, scope: 'admin', tenant: 'right' },
        { id: 'all', hash: all.hash, scope: 'admin' },
      ],
    })
    const [a, b] = [await connect(url, { key: left.key }), await connect(url, { key: right.key })]
    const docs = await a.collection('docs', { dim: 1, metric: 'l2' })
    await docs.upsert([{ id: 1, vector: [1] }])
    expect(await b.collections()).toEqual([])
    await expect(b.collection('docs')).rejects.toMatchObject({ code: 'DRIFT_NO_COLLECTION' })
    await expect(b.collection('left--docs')).rejects.toMatchObject({ code: 'DRIFT_NO_COLLECTION' })
    expect((await b.collection('docs', { dim: 2 })).dim).toBe(2)
    expect(await a.collections()).toEqual(['docs'])
    expect((await a.stats()).collections.map(({ name }) => name)).toEqual(['docs'])
    expect(await (await connect(url, { key: all.key })).collections()).toEqual(['left--docs', 'right--docs'])
  })

  it('learn why flushes fail and what was recovered when they are admins of all collections, and only that flushes fail otherwise', async () => {
    const [admin, reader, tenant] = [createKey(), createKey(), createKey()]
    const db = await Drift.open('/db', { fs: new FailingSegments(new SimFs(), []), threads: 0 })
    onTestFinished(() => db.close().catch(() => undefined))
    const { url } = await started({
      db,
      keys: [
        { id: 'admin', hash: admin.hash, scope: 'admin' },
        { id: 'reader', hash: reader.hash, scope: 'read' },
        { id: 'tenant', hash: tenant.hash, scope: 'admin', tenant: 'left' },
      ],
    })
    const statsOf = async (key: string) => (await connect(url, { key })).stats()
    const before = await statsOf(admin.key)
    expect([before.failing, 'lastError' in before]).toEqual([false, false])
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    await docs.upsert([{ id: 1, vector: [1] }])
    await expect(docs.flush()).rejects.toThrow('EIO')
    expect(await statsOf(admin.key)).toMatchObject({
      failing: true,
      lastError: expect.stringContaining('EIO'),
      recovery: { mode: 'strict' },
    })
    for (const { key } of [reader, tenant]) {
      const told = await statsOf(key)
      expect([told.failing, 'lastError' in told, 'recovery' in told]).toEqual([true, false, false])
    }
  })

  it('may be known by a function, and extra routes stand behind the same guard', async () => {
    const { url } = await started({
      authenticate: ({ headers }) =>
        headers['x-user'] ? { id: String(headers['x-user']), scope: 'read', collections: ['*'] } : undefined,
      routes(app) {
        app.get('/whoami', { config: { scope: 'read' } as object }, async request => ({
          id: principalOf(request).id,
        }))
        app.get('/secret', async () => 'for admins')
      },
    })
    const ask = (path: string, user?: string): Promise<Response> =>
      fetch(url + path, user ? { headers: { 'x-user': user } } : {})
    expect(await (await ask('/whoami', 'ann')).json()).toEqual({ id: 'ann' })
    expect((await ask('/whoami')).status).toBe(401)
    expect((await ask('/secret', 'ann')).status).toBe(403)
    expect((await ask('/livez')).status).toBe(200)
  })

  it('of an application keep their own routes, parsers and errors', async () => {
    await using db = await Drift.open(':memory:')
    const app = Fastify()
    app.post('/mine', async request => ({ got: request.body }))
    await app.register(driftPlugin, { db, open: true, prefix: '/vectors' })
    expect((await app.inject({ method: 'GET', url: '/vectors/v1/collections' })).json()).toEqual({
      collections: [],
    })
    const mine = await app.inject({
      method: 'POST',
      url: '/mine',
      payload: 'text',
      headers: { 'content-type': 'text/plain' },
    })
    expect(mine.json()).toEqual({ got: 'text' })
    await app.close()
  })
})

/** A disk that takes the log and no segments. */
class FailingSegments extends FaultFs {
  override open(path: string, mode: 'read' | 'write' | 'create'): number {
    if (mode === 'create' && path.includes('seg-'))
      return new FaultFs(new SimFs(), [{ at: 1, errno: 'EIO' }]).open(path, mode)
    return super.open(path, mode)
  }
}
