// Proves: a write under an idempotency key is applied once, however often it is sent and whoever sends it.
import { connect } from '@drift/client'
import { encodeFrame, FRAME_TYPE } from '@drift/client/wire'
import { describe, expect, it } from 'vitest'
import { started } from './fixture.js'

const JSON_HEADERS = { 'content-type': 'application/json' }

describe('a write that is sent again', () => {
  it('under the same key is applied once, and answered as the first time', async () => {
    const { url, db } = await started()
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    const put = async (id: string, key: string): Promise<[number, unknown]> => {
      const answer = await fetch(`${url}/v1/collections/docs/points`, {
        method: 'PUT',
        headers: { ...JSON_HEADERS, 'idempotency-key': key },
        body: JSON.stringify({ rows: [{ id, vector: [1] }] }),
      })
      return [answer.status, await answer.json()]
    }
    const [[, first], [, second]] = await Promise.all([put('a', 'k1'), put('a', 'k1')])
    expect(second).toEqual(first)
    await docs.upsert([{ id: 'a', vector: [2] }])
    expect((await put('a', 'k1'))[1]).toEqual(first)
    expect((await docs.get('a'))?.vector[0]).toBe(2)
    expect(await put('b', 'k1')).toMatchObject([422, { error: { code: 'DRIFT_IDEMPOTENCY_MISMATCH' } }])
    expect((await put('a', 'k2'))[1]).not.toEqual(first)
  })

  it.each(['JSON', 'a frame'])(
    'is another request under its key when %s differs in the middle only',
    async kind => {
      const { url, db } = await started()
      const dim = 64
      const docs = await db.collection('docs', { dim, metric: 'l2' })
      const ids = Array.from({ length: 2_000 }, (_, i) => i)
      const put = async (value: number): Promise<number> => {
        const vectors = new Float32Array(ids.length * dim).fill(1)
        vectors[vectors.length / 2] = value
        const isFrame = kind === 'a frame'
        const answer = await fetch(`${url}/v1/collections/docs/points`, {
          method: 'PUT',
          headers: {
            'content-type': isFrame ? FRAME_TYPE : 'application/json',
            'idempotency-key': 'one',
          },
          body: isFrame
            ? encodeFrame(ids.length, dim, { ids }, vectors)
            : JSON.stringify({ ids, vectors: [...vectors] }),
        })
        await answer.arrayBuffer()
        return answer.status
      }
      expect(await put(2)).toBe(200)
      expect(await put(2)).toBe(200)
      expect(await put(3)).toBe(422)
      expect((await docs.get(ids.length / 2))?.vector[0]).toBe(2)
    },
  )

  it('is remembered for so many keys, and a failure is not remembered', async () => {
    const { url, db } = await started({ limits: { idempotencyKeys: 2 } })
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    const put = async (key: string, vector: unknown = [1]): Promise<Record<string, unknown>> =>
      (
        await fetch(`${url}/v1/collections/docs/points`, {
          method: 'PUT',
          headers: { ...JSON_HEADERS, 'idempotency-key': key },
          body: JSON.stringify({ rows: [{ id: 1, vector }] }),
        })
      ).json() as Promise<Record<string, unknown>>
    expect(await put('bad', [1, 2])).toHaveProperty('error')
    const first = await put('k1')
    expect(await put('k1')).toEqual(first)
    await put('k2')
    await put('k3')
    expect(await put('k1')).not.toEqual(first)
    expect(await docs.count()).toBe(1)
  })

  it('by the client, after an answer that was lost, counts once', async () => {
    const { url, db } = await started()
    await db.collection('docs', { dim: 1, metric: 'l2' })
    let calls = 0
    const remote = await connect(url, {
      backoffMs: 1,
      fetch: async (input, init) => {
        const answer = await fetch(input, init)
        if (init?.method !== 'PUT' || ++calls > 2) return answer
        await answer.arrayBuffer()
        throw new TypeError('the answer was lost')
      },
    })
    const docs = await remote.collection('docs')
    expect(await docs.upsert([{ id: 1, vector: [1] }])).toMatchObject({ upserted: 1, replaced: 0 })
    expect(calls).toBe(3)
  })
})
