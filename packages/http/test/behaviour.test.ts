// The same program against an embedded database and against a server, from Node and as a page would: same methods, same answers, same
// error codes. Only the line that opens it differs.
import { runInNewContext } from 'node:vm'
import { type CollectionOptions, connect, type RemoteCollection } from '@drift/client'
import { type Collection, Drift } from '@drift/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectInBrowser } from './browser.js'
import { randomVectors, started, temporaryFolder } from './fixture.js'

type AnyCollection = Collection | RemoteCollection
interface AnyDrift {
  collection(name: string, options?: CollectionOptions): Promise<AnyCollection>
  collections(): string[] | Promise<string[]>
  drop(name: string): Promise<boolean>
  sync(): Promise<void>
  stats(): Promise<{
    readonly state: string
    readonly collections: readonly { readonly name: string }[]
    readonly pageCache: { readonly maxBytes: number }
    readonly disk: { readonly freeBytes: number }
  }>
  close(): Promise<void>
}

const openers: [string, () => Promise<AnyDrift>][] = [
  ['embedded', async () => (await Drift.open(temporaryFolder(), { walFileBytes: 1 << 20 })) as AnyDrift],
  [
    'remote',
    async () => {
      const { url } = await started({ db: temporaryFolder(), open: { walFileBytes: 1 << 20 } })
      return connect(url)
    },
  ],
  [
    'remote, as a page has it',
    async () => {
      const { url } = await started({ db: temporaryFolder(), open: { walFileBytes: 1 << 20 } })
      const connectHere = await connectInBrowser()
      return connectHere(url)
    },
  ],
]

describe.each(openers)('%s', (_, open) => {
  let db: AnyDrift
  let docs: AnyCollection

  beforeAll(async () => {
    db = await open()
    docs = await db.collection('docs', { dim: 3, metric: 'l2' })
  })
  afterAll(() => db.close())

  const fresh = async (name: string, options: CollectionOptions = {}): Promise<AnyCollection> => {
    await db.drop(name)
    return db.collection(name, { dim: 3, metric: 'l2', ...options })
  }
  const codeOf = (work: () => Promise<unknown>): Promise<string> =>
    work().then(
      () => 'no error',
      error => error.code,
    )

  it('says what a collection is', async () => {
    expect([docs.name, docs.dim, docs.metric]).toEqual(['docs', 3, 'l2'])
    expect(await db.collections()).toContain('docs')
    expect((await db.stats()).state).toBe('open')
    expect((await db.stats()).pageCache.maxBytes).toBeGreaterThan(0)
    expect((await db.stats()).disk.freeBytes).toBeGreaterThan(0)
    expect((await db.stats()).collections.map(({ name }) => name)).toContain('docs')
  })

  it('takes vectors of another realm', async () => {
    const rows = await db.collection('realm', { dim: 1, metric: 'l2' })
    const floats = (...values: number[]) =>
      runInNewContext('Float32Array.from(values)', { values }) as Float32Array
    await rows.upsert([{ id: 1, vector: floats(1) }])
    await rows.upsert({ ids: [2, 3], vectors: floats(2, 3) })
    expect(await rows.search(floats(2), { k: 1 })).toMatchObject([{ id: 2 }])
    expect((await rows.searchBatch(floats(1, 3), { k: 1 })).ids).toEqual([[1], [3]])
  })

  it('returns the rows that were written, with their payloads', async () => {
    const rows = await fresh('written')
    const result = await rows.upsert([
      { id: 'a', vector: [1, 2, 3], payload: { lang: 'en', tags: ['x', { deep: null }] } },
      { id: 'b', vector: new Float32Array([4, 5, 6]) },
    ])
    expect(result).toEqual({ lsn: expect.any(Number), durable: true, upserted: 2, replaced: 0 })
    expect(await rows.get('a')).toEqual({
      id: 'a',
      vector: new Float32Array([1, 2, 3]),
      payload: { lang: 'en', tags: ['x', { deep: null }] },
    })
    expect(await rows.get('b')).toEqual({ id: 'b', vector: new Float32Array([4, 5, 6]) })
    expect(await rows.get('c')).toBeUndefined()
    expect(await rows.count()).toBe(2)
    expect(await rows.upsert([{ id: 'a', vector: [0, 0, 0] }])).toMatchObject({ upserted: 1, replaced: 1 })
    expect(await rows.get('a')).toEqual({ id: 'a', vector: new Float32Array(3) })
  })

  it('gives many rows by their ids, each where its id is', async () => {
    const rows = await fresh('many')
    await rows.upsert([
      { id: 'a', vector: [1, 2, 3], payload: { lang: 'en' } },
      { id: 2n, vector: [4, 5, 6] },
    ])
    const a = { id: 'a', vector: new Float32Array([1, 2, 3]), payload: { lang: 'en' } }
    const b = { id: 2n, vector: new Float32Array([4, 5, 6]) }
    expect(await rows.getMany([2n, 'nobody', 'a', 2, 2n])).toEqual([b, undefined, a, undefined, b])
    expect(await rows.getMany(['a', 2n], { vectors: false })).toEqual([
      { id: 'a', payload: { lang: 'en' } },
      { id: 2n },
    ])
    expect(await rows.getMany([])).toEqual([])
    const wrong = (ids: unknown, options?: object): Promise<string> =>
      codeOf(() => rows.getMany(ids as never, options))
    expect(await wrong('a')).toBe('DRIFT_BATCH')
    expect(await wrong(['a', null])).toBe('DRIFT_ID')
    expect(await wrong(['a'], { vector: false })).toBe('DRIFT_UNKNOWN_OPTION')
    expect(await wrong(['a'], { vectors: 1 })).toBe('DRIFT_OPTION')
    const reason = new Error('no more')
    await expect(rows.getMany(['a'], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })

  it('tells 1, 1n and "1" apart, and gives ids back as they came', async () => {
    const rows = await fresh('ids', { dim: 1 })
    const ids = [1, 1n, '1', -7, 2n ** 63n, -(2n ** 63n), Number.MAX_SAFE_INTEGER, 'ключ 🔑', 'a/b?c#d', '..']
    await rows.upsert({ ids, vectors: Float32Array.from(ids, (_, i) => i) })
    expect(await rows.count()).toBe(ids.length)
    for (const [i, id] of ids.entries()) {
      expect((await rows.get(id))?.vector[0]).toBe(i)
      expect((await rows.search([i], { k: 1 }))[0]?.id).toBe(id)
    }
    expect(await rows.delete([1n, 'nobody'])).toMatchObject({ deleted: 1 })
    expect(await rows.get(1n)).toBeUndefined()
    expect((await rows.get(1))?.vector[0]).toBe(0)
  })

  it('finds the nearest rows, with distance, score and payload', async () => {
    const rows = await fresh('found')
    await rows.upsert([
      { id: 'near', vector: [1, 0, 0], payload: { n: 1 } },
      { id: 'far', vector: [9, 0, 0] },
    ])
    expect(await rows.search([2, 0, 0], { k: 2, payload: true })).toEqual([
      { id: 'near', distance: 1, score: -1, payload: { n: 1 } },
      { id: 'far', distance: 49, score: -49 },
    ])
    expect(await rows.search(new Float32Array([2, 0, 0]), { k: 1, ef: 32, probes: 4 })).toEqual([
      { id: 'near', distance: 1, score: -1 },
    ])
  })

  it('answers a batch as it answers each query, padded where rows are few', async () => {
    const rows = await fresh('batch', { dim: 8 })
    const vectors = randomVectors(500, 8, 1)
    await rows.upsert({ ids: Array.from({ length: 500 }, (_, i) => i), vectors })
    const queries = randomVectors(5, 8, 2)
    const batch = await rows.searchBatch(queries, { k: 7 })
    expect([batch.k, batch.distances.length, [...batch.counts]]).toEqual([7, 35, [7, 7, 7, 7, 7]])
    for (let q = 0; q < 5; q++) {
      const one = await rows.search(queries.subarray(q * 8, q * 8 + 8), { k: 7 })
      expect(batch.ids[q]).toEqual(one.map(hit => hit.id))
      expect([...batch.distances.subarray(q * 7, q * 7 + 7)]).toEqual(one.map(hit => hit.distance))
    }
    const few = await fresh('few')
    await few.upsert([{ id: 1n, vector: [0, 0, 0] }])
    const padded = await few.searchBatch(new Float32Array(3), { k: 2 })
    expect(padded.ids).toEqual([[1n]])
    expect([...padded.distances]).toEqual([0, Number.POSITIVE_INFINITY])
  })

  it('scans every row once, also many', async () => {
    const rows = await fresh('scanned')
    const ids = Array.from({ length: 3_000 }, (_, i) => i)
    const payloads = ids.map(n => ({ n, text: 'x'.repeat(n % 50) }))
    await rows.upsert({ ids, vectors: randomVectors(3_000, 3, 3), payloads })
    const seen = new Map<unknown, unknown>()
    for await (const { id, payload, vector } of rows.scan()) {
      expect(vector.length).toBe(3)
      seen.set(id, payload)
    }
    expect(seen.size).toBe(3_000)
    expect(seen.get(2_999)).toEqual(payloads[2_999])
    let some = 0
    for await (const _row of rows.scan()) if (++some === 10) break
    expect(some).toBe(10)
    for await (const row of rows.scan({ vectors: false, limit: 2 }))
      expect(Object.keys(row)).toEqual(['id', 'payload'])
    const empty = await fresh('empty')
    for await (const row of empty.scan()) expect.fail(`there is ${row.id}`)
  })

  it('gives pages: a scan that its limit ended says where the next one goes on', async () => {
    const rows = await fresh('paged')
    await rows.upsert({ ids: Array.from({ length: 100 }, (_, i) => i), vectors: randomVectors(100, 3, 5) })
    const seen: unknown[] = []
    let pages = 0
    for (let cursor: string | undefined, more = true; more; pages++) {
      const page = rows.scan({ limit: 30, ...(cursor === undefined ? {} : { cursor }) })
      for await (const row of page) seen.push(row.id)
      cursor = page.cursor
      more = cursor !== undefined
      // What is written meanwhile moves nothing.
      await rows.upsert([{ id: `new ${pages}`, vector: [1, 2, 3] }])
    }
    expect(pages).toBeGreaterThanOrEqual(4)
    expect(new Set(seen).size).toBe(seen.length)
    expect(seen.filter(id => typeof id === 'number')).toHaveLength(100)
    const whole = rows.scan()
    for await (const _row of whole);
    expect(whole.cursor).toBeUndefined()
  })

  it('gives the page behind the longest id', async () => {
    const rows = await fresh('long')
    const ids = ['a', 'b'].map(letter => letter.repeat(1_024))
    await rows.upsert({ ids, vectors: new Float32Array(6) })
    const page = rows.scan({ limit: 1 })
    const seen: unknown[] = []
    for await (const { id } of page) seen.push(id)
    for await (const { id } of rows.scan({ limit: 1, cursor: page.cursor! })) seen.push(id)
    expect(seen.sort()).toEqual(ids)
  })

  it('flushes, maintains, syncs and counts what it did', async () => {
    const rows = await fresh('kept')
    await rows.upsert([{ id: 1, vector: [1, 2, 3] }])
    await db.sync()
    await rows.flush()
    expect(await rows.maintain({ policy: 'drift' })).toEqual({
      operations: 0,
      moves: 0,
      seconds: expect.any(Number),
      kinds: {},
    })
    expect(await rows.compact()).toBeUndefined()
    expect(await rows.stats()).toMatchObject({ name: 'kept', rows: 1, unflushedRows: 0, segments: 1 })
  })

  const bad: [string, (rows: AnyCollection) => Promise<unknown>, string][] = [
    ['a vector that is too short', rows => rows.upsert([{ id: 1, vector: [1] }]), 'DRIFT_DIMENSION'],
    ['NaN', rows => rows.upsert([{ id: 1, vector: [1, Number.NaN, 1] }]), 'DRIFT_VECTOR_VALUE'],
    ['a value beyond float32', rows => rows.upsert([{ id: 1, vector: [1, 1e39, 1] }]), 'DRIFT_VECTOR_VALUE'],
    [
      'text in a vector',
      rows => rows.upsert([{ id: 1, vector: ['1', 2, 3] as never }]),
      'DRIFT_VECTOR_VALUE',
    ],
    [
      'null in a vector',
      rows => rows.upsert([{ id: 1, vector: [null, 2, 3] as never }]),
      'DRIFT_VECTOR_VALUE',
    ],
    ['no vector', rows => rows.upsert([{ id: 1 } as never]), 'DRIFT_VECTOR_TYPE'],
    ['a row that is none', rows => rows.upsert([7 as never]), 'DRIFT_BATCH'],
    ['no rows', rows => rows.upsert([]), 'DRIFT_EMPTY_BATCH'],
    [
      'an unknown field',
      rows => rows.upsert([{ id: 1, vector: [1, 2, 3], x: 1 } as never]),
      'DRIFT_UNKNOWN_OPTION',
    ],
    ['a fraction as id', rows => rows.upsert([{ id: 1.5, vector: [1, 2, 3] }]), 'DRIFT_ID'],
    ['an empty id', rows => rows.upsert([{ id: '', vector: [1, 2, 3] }]), 'DRIFT_ID'],
    ['an id beyond 64 bits', rows => rows.upsert([{ id: 2n ** 64n, vector: [1, 2, 3] }]), 'DRIFT_ID'],
    ['half a character as id', rows => rows.upsert([{ id: '\ud800', vector: [1, 2, 3] }]), 'DRIFT_ID'],
    [
      'a payload that is a list',
      rows => rows.upsert([{ id: 1, vector: [1, 2, 3], payload: [] as never }]),
      'DRIFT_PAYLOAD',
    ],
    [
      'a payload that is null',
      rows => rows.upsert([{ id: 1, vector: [1, 2, 3], payload: null as never }]),
      'DRIFT_PAYLOAD',
    ],
    [
      'a payload with a bigint',
      rows => rows.upsert([{ id: 1, vector: [1, 2, 3], payload: { n: 1n } }]),
      'DRIFT_PAYLOAD',
    ],
    [
      'a null among columns of payloads',
      rows => rows.upsert({ ids: [1], vectors: new Float32Array([1, 2, 3]), payloads: [null as never] }),
      'DRIFT_PAYLOAD',
    ],
    [
      'a payload that is too large',
      rows => rows.upsert([{ id: 1, vector: [1, 2, 3], payload: { x: 'x'.repeat(70_000) } }]),
      'DRIFT_PAYLOAD_TOO_LARGE',
    ],
    [
      'columns that do not fit',
      rows => rows.upsert({ ids: [1, 2], vectors: new Float32Array(3) }),
      'DRIFT_DIMENSION',
    ],
    ['no ids to delete', rows => rows.delete([]), 'DRIFT_EMPTY_BATCH'],
    ['k of nothing', rows => rows.search([1, 2, 3], { k: 0 }), 'DRIFT_K'],
    ['k as text', rows => rows.search([1, 2, 3], { k: '3' as never }), 'DRIFT_K'],
    ['a recall above 1', rows => rows.search([1, 2, 3], { recall: 2 }), 'DRIFT_RECALL'],
    ['a query that is too long', rows => rows.search([1, 2, 3, 4]), 'DRIFT_DIMENSION'],
    ['a query of text', rows => rows.search('abc' as never), 'DRIFT_VECTOR_TYPE'],
    ['an infinite query', rows => rows.search([1, 2, Number.POSITIVE_INFINITY]), 'DRIFT_VECTOR_VALUE'],
    ['an unknown option', rows => rows.search([1, 2, 3], { kk: 3 } as never), 'DRIFT_UNKNOWN_OPTION'],
    ['a batch that is no multiple', rows => rows.searchBatch(new Float32Array(4)), 'DRIFT_DIMENSION'],
    ['a batch of lists', rows => rows.searchBatch([[1, 2, 3]] as never), 'DRIFT_VECTOR_TYPE'],
    ['a query of doubles', rows => rows.search(new Float64Array(3) as never), 'DRIFT_VECTOR_TYPE'],
    [
      'a vector of doubles',
      rows => rows.upsert([{ id: 1, vector: new Float64Array(3) as never }]),
      'DRIFT_VECTOR_TYPE',
    ],
    [
      'columns with a list of numbers',
      rows => rows.upsert({ ids: [1], vectors: [1, 2, 3] as never }),
      'DRIFT_VECTOR_TYPE',
    ],
    [
      'columns with ids in a typed array',
      rows => rows.upsert({ ids: new BigInt64Array(1) as never, vectors: new Float32Array(3) }),
      'DRIFT_BATCH',
    ],
    ['one row in place of rows', rows => rows.upsert({ id: 1, vector: [1, 2, 3] } as never), 'DRIFT_BATCH'],
    ['nothing in place of rows', rows => rows.upsert(undefined as never), 'DRIFT_BATCH'],
    [
      'a payload of a class',
      rows => rows.upsert([{ id: 1, vector: [1, 2, 3], payload: new Date() as never }]),
      'DRIFT_PAYLOAD',
    ],
    [
      'a payload that says it is a number',
      rows => rows.upsert([{ id: 1, vector: [1, 2, 3], payload: { toJSON: () => 5 } }]),
      'DRIFT_PAYLOAD',
    ],
    [
      'a payload that says it is nothing',
      rows => rows.upsert([{ id: 1, vector: [1, 2, 3], payload: { toJSON: () => undefined } }]),
      'DRIFT_PAYLOAD',
    ],
    ['undefined in a filter', rows => rows.delete({ filter: { tenant: undefined } }), 'DRIFT_FILTER'],
    ['NaN in a filter', rows => rows.delete({ filter: { n: Number.NaN } }), 'DRIFT_FILTER'],
    [
      'undefined in a list',
      rows => rows.delete({ filter: { n: { $in: [undefined] } } as never }),
      'DRIFT_FILTER',
    ],
    ['a function in a filter', rows => rows.delete({ filter: { n: () => 1 } as never }), 'DRIFT_FILTER'],
    [
      'a date in a filter',
      rows => rows.delete({ filter: { n: { $lt: new Date() } } as never }),
      'DRIFT_FILTER',
    ],
    ['a bigint in a filter', rows => rows.delete({ filter: { n: 1n } as never }), 'DRIFT_FILTER'],
    ['a map as filter', rows => rows.delete({ filter: new Map() as never }), 'DRIFT_FILTER'],
    ['a filter of undefined', rows => rows.delete({ filter: undefined as never }), 'DRIFT_FILTER'],
    ['more than a filter', rows => rows.delete({ filter: {}, limit: 1 } as never), 'DRIFT_BATCH'],
    ['neither ids nor a filter', rows => rows.delete('kept' as never), 'DRIFT_BATCH'],
    [
      'undefined in the filter of a patch',
      rows => rows.updatePayload({ filter: { tenant: undefined } }, { n: 1 }),
      'DRIFT_FILTER',
    ],
    ['NaN in a patch', rows => rows.updatePayload(['kept'], { deep: { n: Number.NaN } }), 'DRIFT_PATCH'],
    [
      'a date of no day in a patch',
      rows => rows.updatePayload(['kept'], { n: new Date('no') }),
      'DRIFT_PATCH',
    ],
    [
      'payloads of a batch',
      rows => rows.searchBatch(new Float32Array([1, 0, 0]), { payload: true } as never),
      'DRIFT_OPTION',
    ],
    ['undefined in what is counted', rows => rows.count({ filter: { n: undefined } }), 'DRIFT_FILTER'],
    [
      'undefined in what is searched',
      rows => rows.search([1, 2, 3], { filter: { n: undefined } }),
      'DRIFT_FILTER',
    ],
    [
      'undefined in what is explained',
      rows => rows.explain([1, 2, 3], { filter: { n: undefined } }),
      'DRIFT_FILTER',
    ],
    [
      'undefined in what is scanned',
      async rows => rows.scan({ filter: { n: undefined } }).next(),
      'DRIFT_FILTER',
    ],
    ['no queries', rows => rows.searchBatch(new Float32Array(0)), 'DRIFT_EMPTY_BATCH'],
    ['queries that were handed on', rows => rows.searchBatch(handedOn()), 'DRIFT_EMPTY_BATCH'],
    ['a query that was handed on', rows => rows.search(handedOn()), 'DRIFT_DIMENSION'],
    [
      'a row whose vector was handed on',
      rows => rows.upsert([{ id: 1, vector: handedOn() }]),
      'DRIFT_DIMENSION',
    ],
    [
      'vectors that were handed on',
      rows => rows.upsert({ ids: [1], vectors: handedOn() }),
      'DRIFT_DIMENSION',
    ],
    ['a patch that is a list', rows => rows.updatePayload(['kept'], [] as never), 'DRIFT_PATCH'],
    ['no patch', rows => rows.updatePayload(['kept'], undefined as never), 'DRIFT_PATCH'],
    ['a radius that is no number', rows => rows.search([1, 2, 3], { radius: Number.NaN }), 'DRIFT_RADIUS'],
    ['an index of no kind', rows => rows.createIndex('n', 'text' as never), 'DRIFT_INDEX'],
    ['an index on no path', rows => rows.createIndex('', 'keyword'), 'DRIFT_FILTER'],
    ['a budget of text', rows => rows.maintain({ budget: 'all' as never }), 'DRIFT_OPTION'],
    ['no options', rows => rows.search([1, 2, 3], null as never), 'DRIFT_OPTION'],
    ['options of delete', rows => rows.delete(['kept'], { x: 1 } as never), 'DRIFT_UNKNOWN_OPTION'],
    [
      'options of upsert',
      rows => rows.upsert([{ id: 1, vector: [1, 2, 3] }], { x: 1 } as never),
      'DRIFT_UNKNOWN_OPTION',
    ],
    ['options of flush', rows => rows.flush({ x: 1 } as never), 'DRIFT_UNKNOWN_OPTION'],
    ['options of count', rows => rows.count({ lang: 'en' } as never), 'DRIFT_UNKNOWN_OPTION'],
  ]
  it.each(bad)('refuses %s, by its code, and changes nothing', async (_, work, code) => {
    await docs.upsert([{ id: 'kept', vector: [1, 0, 0] }])
    expect(await codeOf(() => work(docs))).toBe(code)
    expect(await docs.count()).toBe(1)
    expect((await docs.get('kept'))?.vector).toEqual(new Float32Array([1, 0, 0]))
  })

  it('says of an id that is none what one may be', async () => {
    const refused = docs.upsert([{ id: 1.5, vector: [1, 2, 3] }])
    await expect(refused).rejects.toThrow(/safe integer/)
  })

  it.each([
    ['a date', new Date(0)],
    ['a boxed string', Object('a')],
    ['what the wire writes for a bigint', { $bigint: '5' }],
    ['an object that is text as JSON', { toJSON: () => 'a' }],
  ])('%s is no id, where JSON would make one of it', async (_, id) => {
    const rows = await fresh('ids')
    await rows.upsert([{ id: 'a', vector: [1, 2, 3] }])
    const wrong = id as never
    expect(await codeOf(() => rows.upsert([{ id: wrong, vector: [1, 2, 3] }]))).toBe('DRIFT_ID')
    const columns = { ids: [wrong], vectors: new Float32Array(3) }
    expect(await codeOf(() => rows.upsert(columns))).toBe('DRIFT_ID')
    expect(await codeOf(() => rows.get(wrong))).toBe('DRIFT_ID')
    expect(await codeOf(() => rows.delete([wrong]))).toBe('DRIFT_ID')
    expect(await codeOf(() => rows.updatePayload([wrong], {}))).toBe('DRIFT_ID')
    expect(await rows.count()).toBe(1)
  })

  it.each([
    ['of bigints', [1n, 2n, 3n]],
    ['of boxed numbers', [Object(1), 2, 3]],
    ['of what is a number as JSON', [{ toJSON: () => 1 }, 2, 3]],
  ])('a vector %s is refused as one that holds no numbers', async (_, vector) => {
    const wrong = vector as never
    expect(await codeOf(() => docs.search(wrong))).toBe('DRIFT_VECTOR_VALUE')
    expect(await codeOf(() => docs.upsert([{ id: 'a', vector: wrong }]))).toBe('DRIFT_VECTOR_VALUE')
  })

  it.each([
    [
      'of a class',
      new (class Patch {
        seen = true
      })(),
    ],
    ['that is a date', new Date(0)],
    ['with a bigint', { seen: 1n }],
  ])('a patch %s is refused', async (_, patch) => {
    expect(await codeOf(() => docs.updatePayload(['a'], patch as never))).toBe('DRIFT_PATCH')
  })

  it('a signal that is none is refused, a cursor that is none too', async () => {
    const signal = 5 as never
    expect(await codeOf(() => docs.search([1, 2, 3], { signal }))).toBe('DRIFT_OPTION')
    expect(await codeOf(async () => docs.scan({ signal }).next())).toBe('DRIFT_OPTION')
    expect(await codeOf(async () => docs.scan({ cursor: 5 as never }).next())).toBe('DRIFT_CURSOR')
  })

  it('tells how each bucket is filled when it is asked', async () => {
    expect((await docs.stats()).bucketStats).toBeUndefined()
    const { buckets, bucketStats } = await docs.stats({ buckets: true })
    expect(bucketStats).toHaveLength(buckets)
    expect(await codeOf(() => docs.stats({ buckets: 1 as never }))).toBe('DRIFT_OPTION')
  })

  it('refuses collections that cannot be', async () => {
    expect(await codeOf(() => db.collection('nobody'))).toBe('DRIFT_NO_COLLECTION')
    expect(await codeOf(() => db.collection('docs', { dim: 4 }))).toBe('DRIFT_COLLECTION_MISMATCH')
    expect(await codeOf(() => db.collection('new', { dim: 0 }))).toBe('DRIFT_DIMENSION')
    expect(await codeOf(() => db.collection('new', { dim: 3, metric: 'l1' as never }))).toBe('DRIFT_METRIC')
    expect(await codeOf(() => db.collection('new', null as never))).toBe('DRIFT_OPTION')
    expect(await codeOf(() => db.collection('new', { dims: 3 } as never))).toBe('DRIFT_UNKNOWN_OPTION')
    expect(await codeOf(() => db.collection('new', { dim: 3, indexes: { a: 'text' as never } }))).toBe(
      'DRIFT_INDEX',
    )
    expect(await codeOf(() => db.collection('../x', { dim: 3 }))).toBe('DRIFT_NAME')
    expect(await codeOf(() => db.collection('', { dim: 3 }))).toBe('DRIFT_NAME')
    expect(await db.drop('nobody')).toBe(false)
  })

  it('refuses the rows of a collection that is gone', async () => {
    const gone = await fresh('gone')
    expect(await db.drop('gone')).toBe(true)
    expect(['DRIFT_DROPPED', 'DRIFT_NO_COLLECTION']).toContain(await codeOf(() => gone.count()))
  })

  it('stops at a signal', async () => {
    const reason = new Error('enough')
    const rows = await fresh('stopped')
    await rows.upsert({ ids: [1, 2, 3], vectors: new Float32Array(9) })
    const stop = new AbortController()
    const begun = rows.scan({ signal: stop.signal })
    await begun.next()
    stop.abort(reason)
    await expect(begun.next()).rejects.toBe(reason)
    const signal = AbortSignal.abort(reason)
    await expect(docs.search([1, 2, 3], { signal })).rejects.toBe(reason)
    await expect(docs.upsert([{ id: 9, vector: [1, 2, 3] }], { signal })).rejects.toBe(reason)
    expect(await docs.get(9)).toBeUndefined()
  })

  it('is refused after close', async () => {
    const other = await open()
    const rows = await other.collection('docs', { dim: 3, metric: 'l2' })
    await other.close()
    await other.close()
    expect(await codeOf(() => rows.count())).toBe('DRIFT_CLOSED')
    expect(await codeOf(async () => other.collections())).toBe('DRIFT_CLOSED')
  })
})

/** Its buffer is another thread's now. */
function handedOn(): Float32Array {
  const vector = new Float32Array([1, 2, 3])
  structuredClone(vector.buffer, { transfer: [vector.buffer] })
  return vector
}
