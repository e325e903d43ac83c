// Proves: rows by many ids come in the order of the ids, with the vectors that were asked for, and hold up no other request.
import { Collection } from '@drift/server'
import { describe, expect, it, onTestFinished } from 'vitest'
import { randomVectors, started } from './fixture.js'

const JSON_HEADERS = { 'content-type': 'application/json' }

describe('rows by many ids', () => {
  const dim = 64
  const count = 20_000
  const vectors = randomVectors(count, dim, 7)
  const ids = Array.from({ length: count }, (_, i) => i)
  const get = (url: string, wanted: readonly unknown[], options: object = {}): Promise<Response> =>
    fetch(`${url}/v1/collections/docs/points/get`, {
      method: 'POST',
      headers: JSON_HEADERS,
      body: JSON.stringify({ ids: wanted, ...options }),
    })

  it('are read without their vectors when those are not asked for', async () => {
    const { url, db } = await started({ open: { maintenance: 'off', shadow: false } })
    const docs = await db.collection('docs', { dim, metric: 'l2', cold: 'disk' })
    await docs.upsert({ ids, vectors })
    await docs.flush()
    const vectorsRead = async (): Promise<number> => {
      const { hits, misses } = (await db.stats()).pageCache
      return hits + misses
    }
    for (const wanted of [ids.slice(0, 9), ids]) {
      const before = await vectorsRead()
      const answer = await get(url, wanted, { vectors: false })
      expect(await answer.json()).toEqual({ rows: wanted.map(id => ({ id })) })
      expect(await vectorsRead()).toBe(before)
      await (await get(url, wanted)).arrayBuffer()
      expect(await vectorsRead()).toBe(before + wanted.length)
    }
  })

  it('come in the order of the ids, and no other request waits for all of them', async () => {
    const { url, db } = await started({ open: { maintenance: 'off', shadow: false } })
    const docs = await db.collection('docs', { dim, metric: 'l2' })
    await docs.upsert({ ids, vectors, payloads: ids.map(i => ({ i })) })
    await docs.flush()
    const began = performance.now()
    let isDone = false
    const answer = get(url, [...ids.toReversed(), 'nobody']).then(async given => {
      const text = await given.text()
      isDone = true
      return text
    })
    let longestMs = 0
    for (let last = began; !isDone; last = performance.now()) {
      await new Promise(setImmediate)
      longestMs = Math.max(longestMs, performance.now() - last)
    }
    expect(longestMs).toBeLessThan((performance.now() - began) / 3)
    const { rows } = JSON.parse(await answer) as {
      rows: ({ id: number; vector: number[]; payload: object } | null)[]
    }
    expect(rows).toHaveLength(count + 1)
    expect(rows.at(-1)).toBeNull()
    expect(rows.slice(0, -1).map(row => row?.id)).toEqual(ids.toReversed())
    expect(rows.at(-2)).toEqual({ id: 0, vector: [...vectors.subarray(0, dim)], payload: { i: 0 } })
  })

  it('are looked up once each', async () => {
    const { url, db } = await started()
    const docs = await db.collection('docs', { dim, metric: 'l2' })
    await docs.upsert({ ids, vectors })
    const lookedUp: unknown[] = []
    const { getMany: lookUp } = Collection.prototype
    Collection.prototype.getMany = function (some: readonly unknown[], options) {
      lookedUp.push(...some)
      return lookUp.call(this, some as never, options) as never
    }
    onTestFinished(() => {
      Collection.prototype.getMany = lookUp
    })
    const { rows } = (await (await get(url, ids)).json()) as { rows: { id: number }[] }
    expect(rows.map(({ id }) => id)).toEqual(ids)
    expect(lookedUp).toEqual(ids)
  })

  it('are refused when the last of them is no id', async () => {
    const { url, db } = await started()
    await db.collection('docs', { dim, metric: 'l2' })
    const answer = await get(url, [...ids, 'x'.repeat(2_000)])
    expect([answer.status, await answer.json()]).toMatchObject([400, { error: { code: 'DRIFT_ID' } }])
  })
})
