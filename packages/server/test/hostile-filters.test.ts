// A filter, patch, cursor or index declaration that is wrong is refused with its documented code and the place, and nothing has
// changed; one that only looks dangerous is answered. Nothing reaches a prototype.
import { describe, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { temporaryFolder } from './fixture.js'

const cycle: Record<string, unknown> = {}
cycle['$and'] = [cycle]
const deep = (levels: number): unknown => (levels === 0 ? { a: 1 } : { $not: deep(levels - 1) })

const REFUSED: readonly [title: string, filter: unknown, code: string, place: string][] = [
  ['null', null, 'DRIFT_FILTER', 'filter'],
  ['a string', 'a = 1', 'DRIFT_FILTER', 'filter'],
  ['an array', [{ a: 1 }], 'DRIFT_FILTER', 'filter'],
  ['a date as the filter', new Date(0), 'DRIFT_FILTER', 'filter'],
  ['an unknown operator', { $where: '1' }, 'DRIFT_FILTER', 'filter'],
  ['an unknown operator of a path', { a: { $regex: '.*' } }, 'DRIFT_FILTER', 'filter.a'],
  ['operators beside fields', { a: { $gt: 1, b: 2 } }, 'DRIFT_FILTER', 'filter.a'],
  ['an object as a value', { a: { b: 1 } }, 'DRIFT_FILTER', 'filter.a'],
  ['an empty object as a value', { a: {} }, 'DRIFT_FILTER', 'filter.a'],
  ['an array as a value', { a: [1] }, 'DRIFT_FILTER', 'filter.a'],
  ['an array of $eq', { a: { $eq: [1] } }, 'DRIFT_FILTER', 'filter.a.$eq'],
  ['a Date as a value', { a: { $gt: new Date(0) } }, 'DRIFT_FILTER', 'filter.a.$gt'],
  ['a function', { a: () => true }, 'DRIFT_FILTER', 'filter.a'],
  ['undefined', { a: undefined }, 'DRIFT_FILTER', 'filter.a'],
  ['a bigint', { a: 1n }, 'DRIFT_FILTER', 'filter.a'],
  ['NaN', { a: Number.NaN }, 'DRIFT_FILTER', 'filter.a'],
  ['infinity', { a: { $lt: Number.POSITIVE_INFINITY } }, 'DRIFT_FILTER', 'filter.a.$lt'],
  ['a boolean compared', { a: { $gt: true } }, 'DRIFT_FILTER', 'filter.a.$gt'],
  ['null compared', { a: { $gte: null } }, 'DRIFT_FILTER', 'filter.a.$gte'],
  ['$in without a list', { a: { $in: 'x' } }, 'DRIFT_FILTER', 'filter.a.$in'],
  ['an object in a list', { a: { $nin: [1, {}] } }, 'DRIFT_FILTER', 'filter.a.$nin[1]'],
  ['a hole in a list', { a: { $in: new Array(2) } }, 'DRIFT_FILTER', 'filter.a.$in[0]'],
  ['$exists of a number', { a: { $exists: 1 } }, 'DRIFT_FILTER', 'filter.a.$exists'],
  ['an empty $or', { $or: [] }, 'DRIFT_FILTER', 'filter.$or'],
  ['$and of an object', { $and: { a: 1 } }, 'DRIFT_FILTER', 'filter.$and'],
  ['a scalar in $and', { $and: [{ a: 1 }, 3] }, 'DRIFT_FILTER', 'filter.$and[1]'],
  ['$not of a scalar', { a: { $not: 1 } }, 'DRIFT_FILTER', 'filter.a.$not'],
  ['an empty path', { '': 1 }, 'DRIFT_FILTER', 'filter'],
  ['a path that ends with a dot', { 'a.': 1 }, 'DRIFT_FILTER', 'filter'],
  ['a path with an empty part', { 'a..b': 1 }, 'DRIFT_FILTER', 'filter'],
  ['a cycle', cycle, 'DRIFT_FILTER_LIMIT', 'filter'],
  ['seventeen levels', deep(16), 'DRIFT_FILTER_LIMIT', 'filter'],
  ['a hundred thousand levels', deepInALoop(100_000), 'DRIFT_FILTER_LIMIT', 'filter'],
  [
    'a huge $in',
    { a: { $in: Array.from({ length: 10_001 }, (_, i) => i) } },
    'DRIFT_FILTER_LIMIT',
    'filter.a.$in',
  ],
  [
    'a list that only says it is huge',
    { a: { $in: new Array(2 ** 32 - 1) } },
    'DRIFT_FILTER_LIMIT',
    'filter.a.$in',
  ],
  ['many fields', fields(257), 'DRIFT_FILTER_LIMIT', 'filter'],
  ['many conditions in levels', { $and: [fields(200), fields(200)] }, 'DRIFT_FILTER_LIMIT', 'filter.$and[1]'],
  ['a long path', { ['a'.repeat(257)]: 1 }, 'DRIFT_FILTER_LIMIT', 'filter'],
  ['a path of many parts', { [new Array(17).fill('a').join('.')]: 1 }, 'DRIFT_FILTER_LIMIT', 'filter'],
]

describe('a filter that is wrong', () => {
  it.each(REFUSED)('is refused everywhere: %s', async (_, filter, code, place) => {
    const docs = await collection()
    const given = { filter: filter as never }
    const calls = [
      docs.search([1, 2], given),
      docs.searchBatch(new Float32Array([1, 2]), given),
      docs.count(given),
      docs.delete(given),
      docs.updatePayload(given, { a: 2 }),
      (async () => docs.scan(given).next())(),
    ]
    for (const call of calls) {
      const error = await call.then(
        () => undefined,
        refused => refused as { code: string; details: { path: string } },
      )
      expect(error?.code).toBe(code)
      expect(error?.details.path.startsWith(place)).toBe(true)
    }
    expect((await docs.get('x'))?.payload).toEqual({ a: 1 })
  })
})

describe('what looks dangerous', () => {
  it('is a name like any other: __proto__, constructor and toString reach no prototype', async () => {
    const docs = await collection()
    const own = JSON.parse('{"__proto__": {"polluted": 7}, "constructor": 8}')
    await docs.upsert([{ id: 'p', vector: [3, 3], payload: own }])
    for (const [filter, expected] of [
      ['{"__proto__.polluted": 7}', 1],
      ['{"constructor": 8}', 1],
      ['{"constructor": {"$exists": true}}', 1],
      ['{"toString": {"$exists": true}}', 0],
      ['{"a.constructor": {"$exists": true}}', 0],
    ] as const) {
      expect(await docs.count({ filter: JSON.parse(filter) }), filter).toBe(expected)
    }
    await docs.updatePayload(['x'], JSON.parse('{"__proto__": {"polluted": 9}}'))
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
    expect(await docs.count({ filter: { '__proto__.polluted': 9 } })).toBe(1)
  })

  it('is refused as a patch when it is no object, too deep or too large, and leaves every row as it was', async () => {
    const docs = await collection()
    let nested: unknown = 1
    for (let i = 0; i < 70; i++) nested = { n: nested }
    for (const patch of [null, 1, 'x', [1], new Map(), nested, { a: 1n }]) {
      await expect(docs.updatePayload(['x'], patch as never)).rejects.toMatchObject({ code: 'DRIFT_PATCH' })
    }
    const large = { text: 'x'.repeat(40_000) }
    await docs.updatePayload(['x'], large)
    await expect(docs.updatePayload({ filter: {} }, { more: 'y'.repeat(40_000) })).rejects.toMatchObject({
      code: 'DRIFT_PAYLOAD_TOO_LARGE',
    })
    expect((await docs.get('y'))?.payload).toEqual({ a: 5 })
  })

  it('is refused as a target, a cursor, an index or a radius', async () => {
    const docs = await collection()
    for (const target of [{}, { filter: {}, ids: [] }, 'x', null, { Filter: {} }]) {
      await expect(docs.delete(target as never)).rejects.toMatchObject({ code: 'DRIFT_BATCH' })
    }
    for (const cursor of ['', 'c1.', 'c1.!!', 'c2.AXg', 7, 'c1.AXg=']) {
      expect(() => docs.scan({ cursor: cursor as string })).toThrow(
        expect.objectContaining({ code: 'DRIFT_CURSOR' }),
      )
    }
    await expect(docs.createIndex('a', 'text' as never)).rejects.toMatchObject({ code: 'DRIFT_INDEX' })
    await expect(docs.createIndex('a..b', 'keyword')).rejects.toMatchObject({ code: 'DRIFT_FILTER' })
    await expect(docs.dropIndex('a')).rejects.toMatchObject({ code: 'DRIFT_NO_INDEX' })
    await expect(docs.search([1, 2], { radius: Number.NaN })).rejects.toMatchObject({ code: 'DRIFT_RADIUS' })
  })
})

describe('payload indexes', () => {
  it('are made in the background, keep up with writes meanwhile, and are there after a reopen', async () => {
    const folder = temporaryFolder()
    let db = await Drift.open(folder, { sync: 'os', threads: 0 })
    let docs = await db.collection('docs', { dim: 2, metric: 'l2' })
    const rows = (from: number, to: number, n: number) =>
      Array.from({ length: to - from }, (_, i) => ({
        id: from + i,
        vector: [i, 1],
        payload: { n, i: from + i },
      }))
    await docs.upsert(rows(0, 20_000, 1))
    const seen: number[] = []
    const made = docs.createIndex('n', 'keyword', { onProgress: ({ done }) => seen.push(done) })
    const written = docs.upsert(rows(10_000, 21_000, 2))
    await Promise.all([made, written])
    expect(seen.at(-1)).toBe(20_000)
    expect(seen.length).toBeGreaterThan(1)
    expect((await docs.stats()).indexes).toEqual({ n: 'keyword' })
    expect(await docs.count({ filter: { n: 1 } })).toBe(10_000)
    expect(await docs.count({ filter: { n: 2 } })).toBe(11_000)
    await expect(docs.createIndex('n', 'number')).rejects.toMatchObject({ code: 'DRIFT_INDEX_EXISTS' })
    await db.close()

    db = await Drift.open(folder, { sync: 'os', threads: 0 })
    await expect(db.collection('docs', { indexes: { i: 'number' } })).rejects.toMatchObject({
      code: 'DRIFT_COLLECTION_MISMATCH',
    })
    docs = await db.collection('docs', { indexes: { n: 'keyword' } })
    expect(await docs.count({ filter: { n: 2 } })).toBe(11_000)
    const abort = new AbortController()
    const aborted = docs.createIndex('i', 'number', { signal: abort.signal, onProgress: () => abort.abort() })
    await expect(aborted).rejects.toThrow()
    await docs.dropIndex('n')
    await db.close()
    db = await Drift.open(folder, { sync: 'os', threads: 0 })
    docs = await db.collection('docs')
    expect((await docs.stats()).indexes).toEqual({})
    await db.close()
  })
})

describe('a paged scan', () => {
  it('gives every row that stays exactly once, whatever is written between the pages and across a reopen', async () => {
    const folder = temporaryFolder()
    let db = await Drift.open(folder, { sync: 'os', threads: 0 })
    let docs = await db.collection('docs', { dim: 2, metric: 'l2', memtableRows: 128 })
    const row = (id: string) => ({ id, vector: [1, id.length], payload: { even: id.length % 2 === 0 } })
    const ids = Array.from({ length: 700 }, (_, i) => `${'x'.repeat(i % 7)}${i}`)
    await docs.upsert(ids.map(row))
    const wanted = ids.filter(id => id.length % 2 === 0)
    const given: unknown[] = []
    let cursor: string | undefined
    for (let page = 0; page === 0 || cursor !== undefined; page++) {
      const scan = docs.scan({
        filter: { even: true },
        limit: 37,
        vectors: false,
        ...(cursor === undefined ? {} : { cursor }),
      })
      let rows = 0
      for await (const { id, vector } of scan) {
        expect(vector).toBeUndefined()
        given.push(id)
        rows++
      }
      expect(rows).toBeLessThanOrEqual(37)
      cursor = scan.cursor
      // Replacing gives rows other numbers; deleting and inserting reuses them.
      await docs.upsert(ids.filter((_, i) => i % 5 === page % 5).map(row))
      await docs.upsert([row(`late ${page}`)])
      await docs.delete([`late ${page}`])
      if (page !== 3) continue
      await db.close()
      db = await Drift.open(folder, { sync: 'os', threads: 0 })
      docs = await db.collection('docs')
    }
    expect([...given].sort()).toEqual([...wanted].sort())
    await db.close()
  })
})

describe('a search with a radius', () => {
  it.each(['l2', 'cosine', 'ip'] as const)(
    'gives every row within it and no other, nearest first (%s)',
    async metric => {
      const db = await Drift.open(':memory:')
      const docs = await db.collection('docs', { dim: 3, metric })
      const vectors = Array.from({ length: 400 }, (_, i) => [
        Math.sin(i),
        Math.cos(3 * i),
        Math.sin(7 * i) + 0.1,
      ])
      await docs.upsert(vectors.map((vector, id) => ({ id, vector, payload: { third: id % 3 } })))
      const query = [0.5, -0.2, 0.7]
      const all = await docs.search(query, { k: 400, probes: 1_000_000 })
      const radius = all[120]!.distance
      const within = all.filter(hit => hit.distance <= radius)
      expect(within.length).toBeLessThan(400)
      const ids = (hits: readonly { id: unknown }[]) => hits.map(hit => hit.id)
      expect(new Set(ids(await docs.search(query, { radius })))).toEqual(new Set(ids(within)))
      const some = await docs.search(query, { radius, filter: { third: 1 } })
      expect(new Set(ids(some))).toEqual(new Set(ids(within.filter(hit => (hit.id as number) % 3 === 1))))
      expect(ids(await docs.search(query, { radius, k: 5 }))).toEqual(ids(all.slice(0, 5)))
      const batch = await docs.searchBatch(Float32Array.from([...query, 9, 9, 9]), { radius })
      expect(new Set(batch.ids[0])).toEqual(new Set(ids(within)))
      await db.close()
    },
  )
})

describe('a batch of searches with a radius', () => {
  it('sees one state, whatever is written while it goes on', async () => {
    // So many values that the event loop turns while each query is answered.
    const [dim, rows] = [4096, 1200]
    await using db = await Drift.open(':memory:', { threads: 0 })
    const docs = await db.collection('docs', { dim, metric: 'l2' })
    await docs.upsert({
      ids: Array.from({ length: rows }, (_, i) => i),
      vectors: Float32Array.from({ length: rows * dim }, (_, i) => Math.sin(i)),
    })
    const queries = new Float32Array(20 * dim).fill(9)
    const same = { id: 'same', vector: new Float32Array(dim).fill(9) }
    const before = docs.searchBatch(queries, { radius: 1 })
    await docs.upsert([same])
    expect(new Set((await before).counts)).toEqual(new Set([0]))
    for (const filter of [undefined, { gone: { $exists: false } }]) {
      await docs.upsert([same])
      const there = docs.searchBatch(queries, { radius: 1, ...(filter && { filter }) })
      await new Promise(resolve => setImmediate(resolve))
      await docs.delete(['same'])
      expect(new Set((await there).counts).size).toBe(1)
    }
  })
})

describe('writes that depend on rows', () => {
  it('do not wait for a delete that the log did not take', async () => {
    await using db = await Drift.open(':memory:', { threads: 0 })
    const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
    await docs.upsert([{ id: 'a', vector: [1, 1], payload: { n: 0 } }])
    const tooMany = Array.from({ length: 66_000 }, (_, i) => String(i).padStart(1024, 'x'))
    await expect(docs.delete(['a', ...tooMany])).rejects.toMatchObject({ code: 'DRIFT_BATCH_TOO_LARGE' })
    expect(await docs.updatePayload(['a'], { n: 1 })).toMatchObject({ updated: 1 })
    expect(await docs.delete({ filter: { n: 1 } })).toMatchObject({ deleted: 1 })
  })

  it('are in the order of their calls, though none was awaited', async () => {
    const db = await Drift.open(temporaryFolder(), { sync: 'always', threads: 0 })
    const docs = await db.collection('docs', { dim: 2, metric: 'l2', indexes: { n: 'number' } })
    await docs.upsert([{ id: 'a', vector: [1, 1], payload: { n: 0 } }])
    const calls: Promise<unknown>[] = []
    for (let i = 1; i <= 20; i++) {
      calls.push(docs.upsert([{ id: 'a', vector: [i, 1], payload: { n: i } }]))
      calls.push(docs.updatePayload(['a'], { seen: i }))
    }
    calls.push(docs.delete({ filter: { n: 0 } }))
    await Promise.all(calls)
    // An update waits for the upsert before it; it never brings an older vector back.
    const row = await docs.get('a')
    expect([...row!.vector]).toEqual([20, 1])
    expect(row!.payload).toEqual({ n: 20, seen: 20 })
    await db.close()
  })
})

async function collection(): Promise<Collection> {
  const db = await Drift.open(':memory:')
  const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
  await docs.upsert([
    { id: 'x', vector: [1, 2], payload: { a: 1 } },
    { id: 'y', vector: [2, 2], payload: { a: 5 } },
  ])
  return docs
}

function fields(count: number): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, i]))
}

function deepInALoop(levels: number): unknown {
  let filter: unknown = { a: 1 }
  for (let i = 0; i < levels; i++) filter = { $not: filter }
  return filter
}

describe('payloads of 60 KB', () => {
  const ROWS = 600

  /** Turns of the event loop until it is done. */
  async function turnsOf(work: Promise<unknown>): Promise<number> {
    let turns = 0
    let isDone = false
    void work.then(() => (isDone = true))
    for (; !isDone; turns++) await new Promise(resolve => setImmediate(resolve))
    return turns
  }

  it('are judged and indexed a few in a turn of the event loop', async () => {
    const db = await Drift.open(':memory:', { threads: 0, maintenance: 'off' })
    const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
    const words = Array.from({ length: 8_000 }, (_, i) => `w${i}`)
    const ids = Array.from({ length: ROWS }, (_, n) => n)
    for (let first = 0; first < ROWS; first += 50) {
      const some = ids.slice(first, first + 50)
      await docs.upsert({ ids: some, vectors: new Float32Array(50), payloads: some.map(n => ({ n, words })) })
    }
    // By 64 rows, whatever their size, there were ten at most.
    expect(await turnsOf(docs.count({ filter: { n: 5 } }))).toBeGreaterThan(12)
    expect(await turnsOf(docs.createIndex('n', 'number'))).toBeGreaterThan(12)
    expect(await docs.count({ filter: { n: 5 } })).toBe(1)
    await db.close()
  })
})
