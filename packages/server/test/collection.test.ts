// What a user of one process sees: rows go in, come back, are found, replaced and deleted, in memory and in a folder.
import { describe, expect, it } from 'vitest'
import { Drift } from '../src/index.js'
import { clusteredVectors, nearestByHand, temporaryFolder } from './fixture.js'

describe.each(['memory', 'folder', 'folder, vectors in segments only'])('a collection in %s', where => {
  const open = async (): Promise<Drift> => {
    const path = where === 'memory' ? ':memory:' : temporaryFolder()
    const db = await Drift.open(path, { walFileBytes: 1024 * 1024 })
    if (!where.endsWith('only')) return db
    const collection = db.collection.bind(db)
    db.collection = (name, options) => collection(name, options && { ...options, cold: 'disk' })
    return db
  }

  it('returns the rows that were written, with their payloads', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 3, metric: 'l2' })
    const result = await docs.upsert([
      { id: 'a', vector: [1, 2, 3], payload: { lang: 'en', tags: ['x', { deep: null }] } },
      { id: 'b', vector: new Float32Array([4, 5, 6]) },
    ])
    expect(result).toMatchObject({ lsn: 2, durable: where !== 'memory', upserted: 2, replaced: 0 })
    expect(await docs.get('a')).toEqual({
      id: 'a',
      vector: new Float32Array([1, 2, 3]),
      payload: { lang: 'en', tags: ['x', { deep: null }] },
    })
    expect(await docs.get('b')).toEqual({ id: 'b', vector: new Float32Array([4, 5, 6]) })
    expect(await docs.get('c')).toBeUndefined()
    expect(await docs.count()).toBe(2)
  })

  it('tells 1, 1n and "1" apart, and gives ids back as they came', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    const ids = [1, 1n, '1', -7, 2n ** 63n, -(2n ** 63n), Number.MAX_SAFE_INTEGER, 'ключ 🔑']
    await docs.upsert({ ids, vectors: Float32Array.from(ids, (_, i) => i) })
    expect(await docs.count()).toBe(ids.length)
    for (const [i, id] of ids.entries()) {
      expect((await docs.get(id))?.vector[0]).toBe(i)
      expect((await docs.search([i], { k: 1 }))[0]?.id).toBe(id)
    }
  })

  it('lets the last of two rows with one id win, inside a batch and across batches', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    const first = await docs.upsert([
      { id: 'a', vector: [1], payload: { v: 1 } },
      { id: 'a', vector: [2], payload: { v: 2 } },
    ])
    expect(first).toMatchObject({ upserted: 1, replaced: 0 })
    expect(await docs.get('a')).toMatchObject({ vector: new Float32Array([2]), payload: { v: 2 } })
    expect(await docs.upsert([{ id: 'a', vector: [3] }])).toMatchObject({ upserted: 1, replaced: 1 })
    expect(await docs.get('a')).toEqual({ id: 'a', vector: new Float32Array([3]) })
    expect(await docs.count()).toBe(1)
  })

  it('forgets what is deleted and says how much there was', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
    await docs.upsert({ ids: ['a', 'b', 'c'], vectors: new Float32Array([0, 0, 1, 1, 2, 2]) })
    expect(await docs.delete(['a', 'nobody', 'c'])).toMatchObject({ deleted: 2 })
    expect(await docs.count()).toBe(1)
    expect((await docs.search([0, 0], { k: 10 })).map(hit => hit.id)).toEqual(['b'])
    await docs.upsert([{ id: 'a', vector: [0, 0] }])
    expect((await docs.search([0, 0], { k: 10 })).map(hit => hit.id)).toEqual(['a', 'b'])
  })

  it.each(['l2', 'cosine', 'ip'] as const)('returns exact %s distances and matching scores', async metric => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 2, metric })
    await docs.upsert({ ids: ['x', 'y'], vectors: new Float32Array([3, 4, 0, 2]) })
    const hits = await docs.search([1, 0])
    const expected = {
      l2: [
        { id: 'y', distance: 5, score: -5 },
        { id: 'x', distance: 20, score: -20 },
      ],
      cosine: [
        { id: 'x', distance: 0.4, score: 0.6 },
        { id: 'y', distance: 1, score: 0 },
      ],
      ip: [
        { id: 'x', distance: -3, score: 3 },
        { id: 'y', distance: 0, score: 0 },
      ],
    }[metric]
    expect(hits.map(hit => hit.id)).toEqual(expected.map(hit => hit.id))
    for (const [i, hit] of hits.entries()) {
      expect(hit.distance).toBeCloseTo(expected[i]!.distance, 6)
      expect(hit.score).toBeCloseTo(expected[i]!.score, 6)
    }
  })

  it('finds the true neighbours through memtables, segments and both', async () => {
    await using db = await open()
    const dim = 24
    const vectors = clusteredVectors(3000, dim, 5)
    const docs = await db.collection('docs', { dim, metric: 'l2', memtableRows: 1024 })
    for (let at = 0; at < 3000; at += 250) {
      const ids = Array.from({ length: 250 }, (_, i) => at + i)
      await docs.upsert({ ids, vectors: vectors.subarray(at * dim, (at + 250) * dim) })
    }
    let found = 0
    for (let q = 0; q < 50; q++) {
      const query = vectors.subarray(q * 60 * dim, (q * 60 + 1) * dim)
      const truth = new Set(nearestByHand(query, vectors, dim, 10))
      for (const { id } of await docs.search(query, { k: 10 })) if (truth.has(id as number)) found++
    }
    expect(found / 500).toBeGreaterThanOrEqual(0.95)
    await docs.flush()
    const all = await docs.search(vectors.subarray(0, dim), { k: 3000, probes: 10_000 })
    expect(new Set(all.map(hit => hit.id)).size).toBe(3000)
    expect(all.slice(0, 20).map(hit => hit.id)).toEqual(
      nearestByHand(vectors.subarray(0, dim), vectors, dim, 20),
    )
    for (const [i, hit] of all.entries())
      expect(hit.distance).toBeGreaterThanOrEqual(all[Math.max(0, i - 1)]!.distance)
  })

  it('answers a batch as it answers its queries one by one', async () => {
    await using db = await open()
    const dim = 16
    const vectors = clusteredVectors(2600, dim, 6)
    const docs = await db.collection('docs', { dim, memtableRows: 1024 })
    await docs.upsert({ ids: Array.from({ length: 2600 }, (_, i) => `row ${i}`), vectors })
    await docs.flush()
    const queries = vectors.slice(0, 40 * dim)
    const batch = await docs.searchBatch(queries, { k: 5 })
    for (let q = 0; q < 40; q++) {
      const hits = await docs.search(queries.subarray(q * dim, (q + 1) * dim), { k: 5 })
      expect(batch.ids[q]).toEqual(hits.map(hit => hit.id))
      expect([...batch.distances.subarray(q * 5, q * 5 + 5)]).toEqual(hits.map(hit => hit.distance))
    }
    expect([...batch.counts]).toEqual(Array(40).fill(5))
  })

  it('gives payloads with hits only when asked, from memory and from segments', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    await docs.upsert([{ id: 'old', vector: [0], payload: { from: 'segment' } }])
    await docs.flush()
    await docs.upsert([{ id: 'new', vector: [1], payload: { from: 'log' } }])
    expect(await docs.search([0])).toEqual([
      { id: 'old', distance: 0, score: 0 },
      { id: 'new', distance: 1, score: -1 },
    ])
    const hits = await docs.search([0], { payload: true })
    expect(hits.map(hit => hit.payload)).toEqual([{ from: 'segment' }, { from: 'log' }])
  })

  it('scans every row once, as it was when the scan began', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 1, metric: 'l2', memtableRows: 16 })
    for (let i = 0; i < 40; i++) await docs.upsert([{ id: i, vector: [i], payload: { i } }])
    const seen = new Map<unknown, unknown>()
    for await (const row of docs.scan()) {
      seen.set(row.id, [row.vector[0], row.payload])
      if (seen.size === 5) {
        await docs.delete([39])
        await docs.upsert([
          { id: 38, vector: [-1] },
          { id: 100, vector: [0] },
        ])
        await docs.flush()
      }
    }
    expect(seen).toEqual(new Map(Array.from({ length: 40 }, (_, i) => [i, [i, { i }]])))
    expect(await docs.count()).toBe(40)
  })

  it.each([undefined, 20_000])(
    'lets other work go on while it is walked through, with limit %s',
    async limit => {
      await using db = await open()
      const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
      const rows = 40_000
      await docs.upsert({
        ids: Array.from({ length: rows }, (_, i) => `${i}`),
        vectors: new Float32Array(rows),
      })
      let turns = 0
      let scanning = true
      const turn = (): void => {
        turns++
        if (scanning) setImmediate(turn)
      }
      setImmediate(turn)
      let seen = 0
      for await (const _ of docs.scan(limit === undefined ? {} : { limit })) seen++
      scanning = false
      expect(seen).toBe(limit ?? rows)
      expect(turns).toBeGreaterThan(2)
    },
  )

  it('keeps collections apart and drops one for good', async () => {
    await using db = await open()
    const [a, b] = await Promise.all([db.collection('a', { dim: 1 }), db.collection('b', { dim: 2 })])
    await Promise.all([a.upsert([{ id: 1, vector: [1] }]), b.upsert([{ id: 1, vector: [1, 2] }])])
    expect(db.collections()).toEqual(['a', 'b'])
    expect(await db.drop('a')).toBe(true)
    expect(await db.drop('a')).toBe(false)
    await expect(a.count()).rejects.toMatchObject({ code: 'DRIFT_DROPPED' })
    await expect(db.collection('a')).rejects.toMatchObject({ code: 'DRIFT_NO_COLLECTION' })
    const again = await db.collection('a', { dim: 3 })
    expect(await again.count()).toBe(0)
    expect(await b.count()).toBe(1)
  })

  it('makes one collection of two calls for the same new name', async () => {
    await using db = await open()
    const [a, b] = await Promise.all([db.collection('docs', { dim: 1 }), db.collection('docs', { dim: 1 })])
    await a.upsert([{ id: 1, vector: [1] }])
    expect(await b.count()).toBe(1)
    expect(db.collections()).toEqual(['docs'])
  })

  it('makes many collections at once with a few commits, and drops them so', async () => {
    await using db = await open()
    const names = Array.from({ length: 30 }, (_, i) => `many-${i}`)
    const { manifest } = await db.stats()
    await Promise.all(names.map(name => db.collection(name, { dim: 1 })))
    expect(db.collections()).toEqual(expect.arrayContaining(names))
    await Promise.all(names.map(name => db.drop(name)))
    expect(db.collections().filter(name => name.startsWith('many-'))).toEqual([])
    expect((await db.stats()).manifest - manifest).toBeLessThan(names.length / 2)
  })

  it('makes it for the calls that can, whatever other calls for the name lack', async () => {
    await using db = await open()
    const calls = [undefined, { dim: 1 }, undefined, { dim: 1 }]
    const outcomes = await Promise.allSettled(calls.map(options => db.collection('docs', options)))
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled', 'fulfilled'])
    expect(db.collections()).toEqual(['docs'])
  })

  it('copies what it is given: changing the vectors afterwards changes nothing', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
    const vectors = new Float32Array([1, 2])
    const ids = ['a']
    const written = docs.upsert({ ids, vectors })
    vectors.fill(9)
    ids[0] = 'z'
    await written
    expect((await docs.get('a'))?.vector).toEqual(new Float32Array([1, 2]))
  })

  it('gives many rows by their ids as of one moment, while the event loop turns and they are written anew', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 32, metric: 'l2' })
    const ids = Array.from({ length: 8_000 }, (_, i) => i)
    const vectors = clusteredVectors(ids.length, 32, 1)
    await docs.upsert({ ids, vectors, payloads: ids.map(n => ({ n })) })
    await docs.flush()
    let turns = 0
    const turning = (): void => {
      turns++
      turn = setImmediate(turning)
    }
    let turn = setImmediate(turning)
    const all = docs.getMany(ids)
    const writes = [
      docs.upsert({ ids: ids.slice(-9), vectors: new Float32Array(9 * 32) }),
      docs.delete(ids.slice(3_000, 4_000)),
    ]
    const rows = await all
    clearImmediate(turn)
    await Promise.all(writes)
    expect(turns).toBeGreaterThan(1)
    expect(rows.map(row => row?.id)).toEqual(ids)
    expect(rows.map(row => row?.payload?.['n'])).toEqual(ids)
    expect(rows.findIndex((row, i) => row?.vector[0] !== vectors[32 * i])).toBe(-1)
    expect((await docs.getMany([3_500, 7_999])).map(row => row?.vector[0])).toEqual([undefined, 0])
  })

  it.each([{ k: 8_000 }, { radius: 1e9 }])(
    'reads the payloads of many hits in turns of the event loop, as they were when it was asked: %o',
    async options => {
      await using db = await open()
      const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
      const ids = Array.from({ length: 8_000 }, (_, i) => i)
      await docs.upsert({ ids, vectors: clusteredVectors(8_000, 2, 1), payloads: ids.map(n => ({ n })) })
      await docs.flush()
      let turns = 0
      const turning = (): void => {
        turns++
        turn = setImmediate(turning)
      }
      let turn = setImmediate(turning)
      const found = docs.search([0, 0], { ...options, payload: true })
      const writes = [docs.updatePayload(ids.slice(4_000), { n: -1 }), docs.delete(ids.slice(0, 99))]
      const hits = await found
      clearImmediate(turn)
      await Promise.all(writes)
      expect(turns).toBeGreaterThan(3)
      expect(hits.map(({ id }) => id).sort((a, b) => Number(a) - Number(b))).toEqual(ids)
      expect(hits.filter(({ id, payload }) => payload?.['n'] !== id)).toEqual([])
    },
  )

  it('gives the same bits of a cosine row after it was read and written again', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 3 })
    const ids = Array.from({ length: 2000 }, (_, i) => i)
    const vectors = (): Promise<(Float32Array | undefined)[]> =>
      Promise.all(ids.map(async id => (await docs.get(id))?.vector))
    await docs.upsert({ ids, vectors: clusteredVectors(ids.length, 3, 1) })
    const first = await vectors()
    await docs.upsert(ids.map((id, i) => ({ id, vector: first[i]! })))
    expect(await vectors()).toEqual(first)
  })

  it('accounts for its rows, memory and files', async () => {
    await using db = await open()
    const docs = await db.collection('docs', { dim: 8 })
    await docs.upsert({ ids: Array.from({ length: 500 }, (_, i) => i), vectors: clusteredVectors(500, 8, 1) })
    expect(await docs.stats()).toMatchObject({
      name: 'docs',
      dim: 8,
      metric: 'cosine',
      rows: 500,
      segments: 0,
      unflushedRows: 500,
    })
    await docs.flush()
    const stats = await docs.stats()
    expect(stats).toMatchObject({ rows: 500, segments: 1, unflushedRows: 0 })
    expect(stats.diskBytes).toBeGreaterThan(500 * 8 * 4)
    const held = stats.cold === 'disk' ? 0 : 500 * 8 * 4
    expect(stats.memory['vectors']).toBeGreaterThanOrEqual(held)
    expect((await db.stats()).state).toBe('open')
  })
})
