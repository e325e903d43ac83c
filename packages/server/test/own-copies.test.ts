// Proves: a call works on what it was given when it was made. What a caller does to its arrays and options afterwards, while the call waits,
// changes neither the answer nor which rows are written.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { temporaryFolder } from './fixture.js'

const DIM = 4
const ROWS = 20_000

describe('what a caller changes while a call runs', () => {
  let db: Drift
  let docs: Collection
  const vectors = Float32Array.from({ length: ROWS * DIM }, (_, i) =>
    Math.fround(Math.sin(i) * (1 + (i % 7))),
  )
  const wanted = vectors.slice(400, 404)

  beforeAll(async () => {
    db = await Drift.open(':memory:')
    docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    const ids = Array.from({ length: ROWS }, (_, i) => i)
    await docs.upsert({ ids, vectors, payloads: ids.map(id => ({ id, even: id % 2 === 0 })) })
  })

  afterAll(() => db.close())

  type Ask = (query: Float32Array) => Promise<unknown>
  const asks: [string, Ask][] = [
    ['search', async query => (await docs.search(query, { k: 1, recall: 1 }))[0]?.id],
    [
      'search with a filter',
      async query => (await docs.search(query, { k: 1, recall: 1, filter: { even: { $ne: false } } }))[0]?.id,
    ],
    ['search within a radius', async query => (await docs.search(query, { radius: 0 }))[0]?.id],
    ['searchBatch', async query => (await docs.searchBatch(query, { k: 1, recall: 1 })).ids[0]?.[0]],
    [
      'searchBatch with a filter',
      async query =>
        (await docs.searchBatch(query, { k: 1, recall: 1, filter: { even: { $in: [true] } } })).ids[0]?.[0],
    ],
    [
      'searchBatch with a filter within a radius',
      async query =>
        (await docs.searchBatch(query, { radius: 0, filter: { even: { $nin: [false] } } })).ids[0]?.[0],
    ],
  ]
  it.each(asks)('is not what %s looks for', async (_, ask) => {
    const query = wanted.slice()
    const answer = ask(query)
    query.fill(9)
    expect(await answer).toBe(100)
  })

  it.each(asks)('may be given away while %s runs', async (_, ask) => {
    const query = wanted.slice()
    const answer = ask(query)
    structuredClone(query.buffer, { transfer: [query.buffer] })
    expect(await answer).toBe(100)
  })

  it('is not whose payload is updated', async () => {
    const ids = [5]
    const update = docs.updatePayload(ids, { seen: true })
    ids[0] = 6
    await update
    expect((await docs.get(5))?.payload).toMatchObject({ seen: true })
    expect((await docs.get(6))?.payload).not.toHaveProperty('seen')
  })

  it('is not how many rows a scan gives', async () => {
    const options = { limit: 3, filter: { even: true } }
    const scan = docs.scan(options)
    options.limit = 10
    options.filter.even = false
    const given: unknown[] = []
    for await (const { payload } of scan) given.push(payload?.['even'])
    expect(given).toEqual([true, true, true])
  })
})

describe('a write that goes by a filter', () => {
  it('sees the writes that were called for before it, awaited or not', async () => {
    const db = await Drift.open(temporaryFolder(), { minFreeBytes: 0 })
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    const row = (id: string) => [{ id, vector: [1], payload: { kind: 'a' } }]
    const first = docs.upsert(row('kept'))
    expect((await docs.updatePayload({ filter: { kind: 'a' } }, { kind: 'b' })).updated).toBe(1)
    const second = docs.upsert(row('gone'))
    expect((await docs.delete({ filter: { kind: 'a' } })).deleted).toBe(1)
    await Promise.all([first, second])
    expect((await docs.get('kept'))?.payload).toEqual({ kind: 'b' })
    expect(await docs.count()).toBe(1)
    await db.close()
  })
})
