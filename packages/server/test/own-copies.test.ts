// Proves: a call works on what it was given when it was made. What a caller does to its arrays and options afterwards, while the call waits,
// changes neither the answer nor which rows are written.
import { PIECE_VALUES } from '@drift/core'
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

describe('a batch that stays unchanged while it is written', () => {
  it('may be changed when that is done, and is what a reopened database has, also of several pieces behind other writers', async () => {
    const folder = temporaryFolder()
    const db = await Drift.open(folder, { minFreeBytes: 0 })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    const batches = [0, 1, 2].map(b => ({
      ids: Array.from({ length: ROWS }, (_, i) => b * ROWS + i),
      vectors: Float32Array.from({ length: ROWS * DIM }, (_, i) => b * ROWS + Math.floor(i / DIM)),
    }))
    await Promise.all(
      batches.map(async batch => {
        await docs.upsert(batch, { unchanged: true })
        batch.vectors.fill(-1)
        batch.ids.fill(-1)
      }),
    )
    await db.close()
    const again = await Drift.open(folder, { minFreeBytes: 0 })
    const rows = await again.collection('docs')
    expect(await rows.count()).toBe(3 * ROWS)
    let wrong = 0
    for await (const { id, vector } of rows.scan()) if (vector.some(value => value !== id)) wrong++
    expect(wrong).toBe(0)
    await again.close()
  })

  it('and does not is refused when the log could not be read again, and takes nothing else with it', async () => {
    const folder = temporaryFolder()
    const db = await Drift.open(folder, { minFreeBytes: 0 })
    const docs = await db.collection('docs', { dim: DIM, metric: 'cosine' })
    const giveAway = ({ buffer }: Float32Array<ArrayBuffer>) =>
      structuredClone(buffer, { transfer: [buffer] })
    const outcomes: unknown[] = []
    // Two pieces are written before the call returns; of three only the last waits, of seven several do.
    for (const [pieces, change] of [
      [2, giveAway],
      [3, giveAway],
      [7, giveAway],
      [3, vectors => vectors.fill(0)],
      [3, vectors => vectors.fill(Number.NaN)],
    ] satisfies [number, (vectors: Float32Array<ArrayBuffer>) => unknown][]) {
      const ids = Array.from({ length: (pieces * PIECE_VALUES) / DIM }, (_, i) => i)
      const vectors = new Float32Array(ids.length * DIM).fill(1)
      const writing = docs.upsert({ ids, vectors }, { unchanged: true })
      change(vectors)
      ids.length = 0
      const written = writing.then(({ upserted }) => upserted)
      outcomes.push(await written.catch(error => error.code))
      await docs.upsert([{ id: 'after', vector: [1, outcomes.length, 0, 0] }])
    }
    const rows = (2 * PIECE_VALUES) / DIM
    expect(outcomes).toEqual([rows, 'DRIFT_BATCH', 'DRIFT_BATCH', 'DRIFT_ZERO_VECTOR', 'DRIFT_VECTOR_VALUE'])
    await db.close()
    await using again = await Drift.open(folder, { minFreeBytes: 0 })
    const reopened = await again.collection('docs')
    expect((await reopened.get('after'))?.vector[1]).toBeCloseTo(5 / Math.sqrt(26))
    expect(await reopened.count()).toBe(rows + 1)
  })

  it('is said to be so by true or false', async () => {
    await using db = await Drift.open(':memory:')
    const docs = await db.collection('docs', { dim: 1 })
    const said = docs.upsert([{ id: 1, vector: [1] }], { unchanged: 'yes' as never })
    await expect(said).rejects.toMatchObject({ code: 'DRIFT_OPTION', details: { option: 'unchanged' } })
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
