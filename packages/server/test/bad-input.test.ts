// Bad input gets a coded error, changes nothing, and the handle goes on working: every row of the table is followed by
// a check that the collection is as it was.
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FaultFs, SimFs } from '@drift/fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { temporaryFolder } from './fixture.js'

// biome-ignore lint/suspicious/noSparseArray: the input under test.
const hole = [1, , 3] as number[]
const circular: Record<string, unknown> = {}
circular['self'] = circular

describe('a collection that is given nonsense', () => {
  let db: Drift
  let docs: Collection

  beforeAll(async () => {
    db = await Drift.open(':memory:', { walFileBytes: 65_536 })
    docs = await db.collection('docs', { dim: 3, metric: 'cosine' })
    await docs.upsert([{ id: 'kept', vector: [1, 0, 0], payload: { n: 1 } }])
  })

  afterAll(() => db.close())

  const row = (vector: unknown, id: unknown = 'x', payload?: unknown): unknown => [{ id, vector, payload }]
  const upserts: [string, unknown, string][] = [
    ['one row', { id: 'x', vector: [1, 0, 0] }, 'DRIFT_BATCH'],
    ['a vector that is too short', row([1, 2]), 'DRIFT_DIMENSION'],
    ['a vector that is too long', row(new Float32Array(4)), 'DRIFT_DIMENSION'],
    ['an empty batch', [], 'DRIFT_EMPTY_BATCH'],
    ['an empty columnar batch', { ids: [], vectors: new Float32Array() }, 'DRIFT_EMPTY_BATCH'],
    ['NaN', row([1, Number.NaN, 3]), 'DRIFT_VECTOR_VALUE'],
    ['Infinity', row([1, Number.POSITIVE_INFINITY, 3]), 'DRIFT_VECTOR_VALUE'],
    ['a value beyond float32', row([1, 1e39, 3]), 'DRIFT_VECTOR_VALUE'],
    [
      'NaN in a Float32Array',
      { ids: ['x'], vectors: new Float32Array([1, Number.NaN, 3]) },
      'DRIFT_VECTOR_VALUE',
    ],
    ['a zero vector under cosine', row([0, 0, 0]), 'DRIFT_ZERO_VECTOR'],
    ['an array with a hole', row(hole), 'DRIFT_VECTOR_VALUE'],
    ['an array with a string', row([1, '2', 3]), 'DRIFT_VECTOR_VALUE'],
    ['an array with null', row([1, null, 3]), 'DRIFT_VECTOR_VALUE'],
    ['a Float64Array', row(new Float64Array(3)), 'DRIFT_VECTOR_TYPE'],
    ['a columnar Float64Array', { ids: ['x'], vectors: new Float64Array(3) }, 'DRIFT_VECTOR_TYPE'],
    ['columns of different lengths', { ids: ['x', 'y'], vectors: new Float32Array(3) }, 'DRIFT_DIMENSION'],
    [
      'payloads of another length',
      { ids: ['x'], vectors: new Float32Array([1, 2, 3]), payloads: [] },
      'DRIFT_BATCH',
    ],
    [
      'an unknown column',
      { ids: ['x'], vectors: new Float32Array([1, 2, 3]), metadata: [] },
      'DRIFT_UNKNOWN_OPTION',
    ],
    ['a misspelt field of a row', [{ id: 'x', vector: [1, 2, 3], payloads: {} }], 'DRIFT_UNKNOWN_OPTION'],
    ['no vector', [{ id: 'x' }], 'DRIFT_VECTOR_TYPE'],
    ['a row that is null', [null], 'DRIFT_BATCH'],
    ['a number for a batch', 7, 'DRIFT_BATCH'],
    ['an id that is null', row([1, 2, 3], null), 'DRIFT_ID'],
    ['an id that is a fraction', row([1, 2, 3], 1.5), 'DRIFT_ID'],
    ['an id that is NaN', row([1, 2, 3], Number.NaN), 'DRIFT_ID'],
    ['an unsafe integer id', row([1, 2, 3], 2 ** 53), 'DRIFT_ID'],
    ['an id that is an object', row([1, 2, 3], {}), 'DRIFT_ID'],
    ['an empty string id', row([1, 2, 3], ''), 'DRIFT_ID'],
    ['an id of 1 025 bytes', row([1, 2, 3], 'x'.repeat(1025)), 'DRIFT_ID'],
    ['an id that is half a surrogate pair', row([1, 2, 3], '\ud800'), 'DRIFT_ID'],
    ['a bigint id beyond 64 bits', row([1, 2, 3], 2n ** 64n), 'DRIFT_ID'],
    ['a payload that is an array', row([1, 2, 3], 'x', [1]), 'DRIFT_PAYLOAD'],
    ['a payload that is a string', row([1, 2, 3], 'x', 'text'), 'DRIFT_PAYLOAD'],
    ['a payload with a cycle', row([1, 2, 3], 'x', circular), 'DRIFT_PAYLOAD'],
    ['a payload with a bigint', row([1, 2, 3], 'x', { n: 1n }), 'DRIFT_PAYLOAD'],
    ['a payload that says it is a number', row([1, 2, 3], 'x', { toJSON: () => 5 }), 'DRIFT_PAYLOAD'],
    ['a payload that says it is nothing', row([1, 2, 3], 'x', { toJSON: () => undefined }), 'DRIFT_PAYLOAD'],
    ['a payload over 64 KiB', row([1, 2, 3], 'x', { text: 'x'.repeat(65_536) }), 'DRIFT_PAYLOAD_TOO_LARGE'],
    [
      'one bad row after a good one',
      [
        { id: 'x', vector: [1, 2, 3] },
        { id: 'y', vector: [1, 2] },
      ],
      'DRIFT_DIMENSION',
    ],
  ]

  it.each(upserts)('refuses to upsert %s', async (_, batch, code) => {
    await expect(docs.upsert(batch as never)).rejects.toMatchObject({ code })
    await unchanged()
  })

  it('names the row whose id it refuses', async () => {
    const rows = [7, 8, null].map(id => ({ id: id as never, vector: [1, 2, 3] }))
    const refused = {
      code: 'DRIFT_ID',
      message: 'row 2: id null is refused: expected a string, a safe integer or a bigint',
      details: { position: 2 },
    }
    await expect(docs.upsert(rows)).rejects.toMatchObject(refused)
    const columns = { ids: rows.map(({ id }) => id), vectors: new Float32Array(9).fill(1) }
    await expect(docs.upsert(columns)).rejects.toMatchObject(refused)
    await expect(docs.delete(columns.ids)).rejects.toMatchObject(refused)
    await unchanged()
  })

  it.each([0, -1, 1.5, Number.NaN, '10', null])('refuses k = %s', async k => {
    await expect(docs.search([1, 0, 0], { k: k as number })).rejects.toMatchObject({ code: 'DRIFT_K' })
    await expect(docs.searchBatch(new Float32Array(3), { k: k as number })).rejects.toMatchObject({
      code: 'DRIFT_K',
    })
  })

  it('returns every row when k is larger than the collection', async () => {
    expect(await docs.search([1, 0, 0], { k: 1_000_000 })).toHaveLength(1)
  })

  const searches: [string, unknown, unknown, string][] = [
    ['a query of another length', [1, 2], {}, 'DRIFT_DIMENSION'],
    ['a query with NaN', [1, Number.NaN, 0], {}, 'DRIFT_VECTOR_VALUE'],
    ['a query of zeros under cosine', [0, 0, 0], {}, 'DRIFT_ZERO_VECTOR'],
    ['a Float64Array query', new Float64Array(3), {}, 'DRIFT_VECTOR_TYPE'],
    ['a query that is a string', 'abc', {}, 'DRIFT_VECTOR_TYPE'],
    ['probes of 0', [1, 0, 0], { probes: 0 }, 'DRIFT_OPTION'],
    ['ef of -1', [1, 0, 0], { ef: -1 }, 'DRIFT_OPTION'],
    ['payload: "yes"', [1, 0, 0], { payload: 'yes' }, 'DRIFT_OPTION'],
    ['options that are a number', [1, 0, 0], 10, 'DRIFT_OPTION'],
    ['a recall that is text', [1, 0, 0], { recall: '0.5' }, 'DRIFT_RECALL'],
    ['a recall of null', [1, 0, 0], { recall: null }, 'DRIFT_RECALL'],
    ['an impossible recall beside a radius', [1, 0, 0], { radius: 5, recall: 5 }, 'DRIFT_RECALL'],
    ['an unknown mode beside a radius', [1, 0, 0], { radius: 5, mode: 'typo' }, 'DRIFT_OPTION'],
  ]

  it.each(searches)('refuses to search with %s', async (_, query, options, code) => {
    await expect(docs.search(query as number[], options as never)).rejects.toMatchObject({ code })
  })

  it('names the same bounds of probes to who asks for too few and for too many', async () => {
    for (const probes of [0, 2 ** 32]) {
      await expect(docs.search([1, 0, 0], { probes })).rejects.toMatchObject({
        code: 'DRIFT_OPTION',
        message: expect.stringContaining(`an integer from 1 to ${2 ** 32 - 1}`),
      })
    }
    expect(await docs.search([1, 0, 0], { probes: 2 ** 32 - 1 })).toHaveLength(1)
  })

  it('refuses a batch search whose results no array holds, at once', async () => {
    const queries = new Float32Array([1, 0, 0, 0, 1, 0])
    await expect(docs.searchBatch(queries, { k: 2 ** 26 })).rejects.toMatchObject({ code: 'DRIFT_K' })
    expect((await docs.searchBatch(queries, { k: 2 ** 20 })).counts).toEqual(Uint32Array.of(1, 1))
  })

  it('explains a search within a radius as what it is: every row is compared', async () => {
    expect(await docs.explain([1, 0, 0], { radius: 5 })).toMatchObject({ stop: 'exact', expectedRecall: 1 })
    expect((await docs.explain([1, 0, 0], { radius: 5, k: 1 })).stop).not.toBe('exact')
  })

  it('says of a batch search without queries that it is empty', async () => {
    const none = docs.searchBatch(new Float32Array(0))
    await expect(none).rejects.toMatchObject({ code: 'DRIFT_EMPTY_BATCH' })
  })

  it.each([
    ['a Set', new Set([{ id: 'x', vector: [1, 2, 3] }]), 'upsert got Set, expected an array of rows'],
    ['a Map', new Map(), 'upsert got Map, expected an array of rows'],
  ])('names %s that is no batch', async (_, batch, message) => {
    await expect(docs.upsert(batch as never)).rejects.toThrow(message)
  })

  it('refuses what a batch search cannot give', async () => {
    const batch = docs.searchBatch(new Float32Array([1, 0, 0]), { payload: true } as never)
    await expect(batch).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
  })

  it('says how a database is opened to who makes one with new', () => {
    const Made = Drift as unknown as new (path?: string) => Drift
    for (const path of [undefined, ':memory:']) {
      expect(() => new Made(path)).toThrow(expect.objectContaining({ code: 'DRIFT_OPTION' }))
    }
  })

  it('refuses an event that there is none of, and a listener that cannot be called', () => {
    for (const call of ['on', 'off'] as const) {
      expect(() => db[call]('maintainance' as never, () => {})).toThrow("the only one is 'maintenance'")
      expect(() => db[call]('maintenance', undefined as never)).toThrow('expected a function')
    }
  })

  it.each([0, -1, Number.NaN, '5'])('names the interval of %j between syncs', async intervalMs => {
    await expect(
      Drift.open(':memory:', { sync: { intervalMs: intervalMs as number } }),
    ).rejects.toMatchObject({
      code: 'DRIFT_OPTION',
      message: expect.stringContaining(
        `sync is { intervalMs: ${typeof intervalMs === 'string' ? '"5"' : intervalMs} }`,
      ),
    })
  })

  it('refuses to open with a disk that is none, and with an interval that no timer can keep', async () => {
    for (const options of [{ fs: {} }, { fs: null }, { sync: { intervalMs: 2 ** 31 } }]) {
      const opening = Drift.open(':memory:', options as never)
      await expect(opening).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
    }
    await expect(Drift.check('here', { fs: {} as never })).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
  })

  it('tells which payload threw, whatever it threw', async () => {
    const thrower = {
      get a() {
        throw null
      },
    }
    const upsert = docs.upsert([{ id: 'x', vector: [1, 0, 0], payload: thrower }])
    await expect(upsert).rejects.toMatchObject({
      code: 'DRIFT_PAYLOAD',
      message: expect.stringContaining('null'),
    })
    await expect(docs.updatePayload(['kept'], thrower)).rejects.toMatchObject({ code: 'DRIFT_PATCH' })
    await unchanged()
  })

  const lost: [string, unknown][] = [
    ['NaN', { n: Number.NaN }],
    ['Infinity', { n: Number.POSITIVE_INFINITY }],
    ['an invalid Date', { n: new Date(Number.NaN) }],
    ['NaN further in', { deep: { n: Number.NaN } }],
  ]
  it.each(lost)('refuses a patch with %s, which JSON would make a removal of', async (_, patch) => {
    await expect(docs.updatePayload(['kept'], patch as never)).rejects.toMatchObject({ code: 'DRIFT_PATCH' })
    await unchanged()
  })

  it('calls a patch what it is, and names the row whose payload would grow too large', async () => {
    const message = async (call: Promise<unknown>) => String(await call.catch(error => error.message))
    expect(await message(docs.updatePayload(['kept'], { n: Number.NaN }))).toMatch(
      /^the patch is not JSON: "n" is NaN/,
    )
    expect(await message(docs.updatePayload(['kept'], new Map()))).toMatch(/^the patch is Map, expected/)
    const large = 'x'.repeat(40_000)
    await docs.upsert([{ id: 'large', vector: [1, 0, 0], payload: { large } }])
    expect(await message(docs.updatePayload(['kept', 'large'], { more: large }))).toMatch(
      /^the payload of "large" is 80\d+ bytes/,
    )
    await docs.delete(['large'])
    await unchanged()
  })

  it('shows the number that was given where a float32 would be Infinity', async () => {
    for (const call of [docs.search([1e39, 1, 0]), docs.upsert([{ id: 'x', vector: [1e39, 1, 0] }])]) {
      await expect(call).rejects.toMatchObject({
        code: 'DRIFT_VECTOR_VALUE',
        message: expect.stringContaining('holds 1e+39 at position 0'),
      })
    }
    // Rounds to the largest float32.
    await expect(docs.search([2 ** 128 - 2 ** 103 - 2 ** 75, 1, 0])).resolves.toHaveLength(1)
    await unchanged()
  })

  it('keeps NaN in an array of a patch as null, as in any payload', async () => {
    await docs.updatePayload(['kept'], { list: [Number.NaN] })
    expect((await docs.get('kept'))?.payload).toEqual({ n: 1, list: [null] })
    await docs.updatePayload(['kept'], { list: null })
    await unchanged()
  })

  it('names an unknown option and the nearest known one', async () => {
    const misspelt = docs.search([1, 0, 0], { prob: 3 } as never)
    await expect(misspelt).rejects.toMatchObject({
      code: 'DRIFT_UNKNOWN_OPTION',
      message: expect.stringContaining("'probes'"),
    })
    await expect(Drift.open(':memory:', { snyc: 'os' } as never)).rejects.toThrow("'sync'")
    await expect(db.collection('other', { dims: 3 } as never)).rejects.toThrow("'dim'")
    await expect(db.collection('other', { dimension: 3 } as never)).rejects.toThrow("did you mean 'dim'?")
  })

  it('names all options when none is like the unknown one', async () => {
    for (const option of ['limit', 'topK', 'where']) {
      const search = docs.search([1, 0, 0], { [option]: 3 } as never)
      await expect(search).rejects.toThrow(`search has no option '${option}', only k, recall, probes, `)
    }
    const filter = { n: { $regex: 'x' } } as never
    await expect(docs.count({ filter })).rejects.toThrow("no operator '$regex', only $eq, $ne, ")
    // Of what other databases have, the nearest name here is something else.
    for (const [like, names] of [
      [{ $nor: [{ n: 1 }] }, "'$nor', only $and, $or, $not"],
      [{ n: { $all: [1] } }, "'$all', only $eq, $ne, "],
      [{ n: { $like: 'x' } }, "'$like', only $eq, $ne, "],
    ] as const) {
      await expect(docs.count({ filter: like as never })).rejects.toThrow(names)
    }
  })

  it('says how a date is written in a filter, wherever it stands', async () => {
    const when = new Date()
    for (const filter of [{ time: when }, { time: { $gt: when } }, { time: { $in: [when] } }]) {
      await expect(docs.count({ filter: filter as never })).rejects.toThrow(
        'write a date as toISOString() or getTime()',
      )
    }
  })

  it('refuses an operator of megabytes at once, as a body may hold one', async () => {
    const began = performance.now()
    const filter = { n: { [`$${'x'.repeat(4_000_000)}`]: 1 } } as never
    await expect(docs.count({ filter })).rejects.toThrow('only $eq, $ne, ')
    expect(performance.now() - began).toBeLessThan(2_000)
  })

  it('refuses to delete nothing, and what is not an array', async () => {
    await expect(docs.delete([])).rejects.toMatchObject({ code: 'DRIFT_EMPTY_BATCH' })
    await expect(docs.delete('kept' as never)).rejects.toMatchObject({ code: 'DRIFT_BATCH' })
    await expect(docs.delete([{} as never])).rejects.toMatchObject({ code: 'DRIFT_ID' })
    await unchanged()
  })

  it('refuses a batch that no log frame can hold', async () => {
    const big = await db.collection('big', { dim: 4096 })
    const vectors = new Float32Array(4200 * 4096).fill(1)
    const ids = Array.from({ length: 4200 }, (_, i) => i)
    await expect(big.upsert({ ids, vectors })).rejects.toMatchObject({ code: 'DRIFT_BATCH_TOO_LARGE' })
    expect(await big.count()).toBe(0)
    await db.drop('big')
  })

  it.each([0, -1, 4097, 1.5, Number.NaN, '3'])('refuses a collection of dim %s', async dim => {
    await expect(db.collection('other', { dim: dim as number })).rejects.toMatchObject({
      code: 'DRIFT_DIMENSION',
    })
  })

  it.each(['', '../up', 'a/b', '.hidden', 'x'.repeat(65), 'naïve', 7])(
    'refuses a collection named %j',
    async name => {
      await expect(db.collection(name as string, { dim: 3 })).rejects.toMatchObject({ code: 'DRIFT_NAME' })
    },
  )

  it('refuses an unknown metric, and a collection that is not there without dim', async () => {
    await expect(db.collection('other', { dim: 3, metric: 'dot' as 'ip' })).rejects.toMatchObject({
      code: 'DRIFT_METRIC',
    })
    await expect(db.collection('other')).rejects.toMatchObject({ code: 'DRIFT_NO_COLLECTION' })
    expect(db.collections()).toEqual(['docs'])
  })

  it('refuses to reopen a collection with another dim or metric', async () => {
    await expect(db.collection('docs', { dim: 4 })).rejects.toMatchObject({
      code: 'DRIFT_COLLECTION_MISMATCH',
    })
    await expect(db.collection('docs', { metric: 'l2' })).rejects.toMatchObject({
      code: 'DRIFT_COLLECTION_MISMATCH',
    })
    expect((await db.collection('docs', { dim: 3, metric: 'cosine' })).name).toBe('docs')
  })

  it('stops before it starts when the signal is aborted already', async () => {
    const signal = AbortSignal.abort(new Error('changed my mind'))
    await expect(docs.upsert([{ id: 'x', vector: [1, 2, 3] }], { signal })).rejects.toThrow('changed my mind')
    await expect(docs.search([1, 0, 0], { signal })).rejects.toThrow('changed my mind')
    await expect(docs.flush({ signal })).rejects.toThrow('changed my mind')
    await expect(docs.explain([1, 0, 0], { signal })).rejects.toThrow('changed my mind')
    await expect(docs.search([1, 0, 0], { radius: 1, signal })).rejects.toThrow('changed my mind')
    for (const filter of [undefined, { n: 1 }]) {
      await expect(docs.count({ signal, ...(filter ? { filter } : {}) })).rejects.toThrow('changed my mind')
    }
    await unchanged()
  })

  async function unchanged(): Promise<void> {
    expect(await docs.count()).toBe(1)
    expect(await docs.search([1, 0, 0], { payload: true })).toMatchObject([{ id: 'kept', payload: { n: 1 } }])
  }
})

describe('a database that is opened badly', () => {
  it('refuses a path that is a file', async () => {
    const path = join(temporaryFolder(), 'file')
    writeFileSync(path, 'not a folder')
    await expect(Drift.open(path, { walFileBytes: 65_536 })).rejects.toMatchObject({
      code: 'DRIFT_NOT_A_FOLDER',
    })
    await expect(Drift.open(join(path, 'below'))).rejects.toMatchObject({ code: 'DRIFT_NOT_A_FOLDER' })
    expect(readFileSync(path, 'utf8')).toBe('not a folder')
  })

  it.skipIf(process.getuid?.() === 0)('refuses a folder without rights', async () => {
    const path = join(temporaryFolder(), 'closed')
    mkdirSync(path)
    chmodSync(path, 0o500)
    await expect(Drift.open(path, { walFileBytes: 65_536 })).rejects.toMatchObject({
      code: 'DRIFT_FS_EACCES',
    })
  })

  it('says that a folder may not be written', async () => {
    const fs = new FaultFs(new SimFs(), [{ at: 1, errno: 'EACCES', operation: 'lock', forever: true }])
    await expect(Drift.open('/db', { fs })).rejects.toMatchObject({ code: 'DRIFT_FS_EACCES' })
  })

  it('refuses a second open of the same folder, and the first goes on', async () => {
    const path = temporaryFolder()
    const db = await Drift.open(path, { walFileBytes: 65_536 })
    const docs = await db.collection('docs', { dim: 1 })
    await expect(Drift.open(path, { walFileBytes: 65_536 })).rejects.toMatchObject({ code: 'DRIFT_LOCKED' })
    await docs.upsert([{ id: 1, vector: [1] }])
    await db.close()
    const again = await Drift.open(path, { walFileBytes: 65_536 })
    expect(await (await again.collection('docs')).count()).toBe(1)
    await again.close()
  })

  it('refuses a database of a newer format and leaves it untouched', async () => {
    const path = temporaryFolder()
    await (await Drift.open(path, { walFileBytes: 65_536 })).close()
    const { kernels } = await import('@drift/native')
    const format = readFileSync(join(path, 'FORMAT'))
    format.writeUInt16LE(2, 4)
    format.writeUInt32LE(kernels.crc32c(format.subarray(0, 60)), 60)
    writeFileSync(join(path, 'FORMAT'), format)
    const before = readdirSync(path).map(name => [name, readFileSync(join(path, name)).toString('base64')])
    await expect(Drift.open(path, { walFileBytes: 65_536 })).rejects.toMatchObject({
      code: 'DRIFT_FORMAT_VERSION',
    })
    expect(readdirSync(path).map(name => [name, readFileSync(join(path, name)).toString('base64')])).toEqual(
      before,
    )
  })

  it('refuses a folder whose FORMAT is damaged or gone', async () => {
    const path = temporaryFolder()
    const db = await Drift.open(path, { walFileBytes: 65_536 })
    await db.collection('docs', { dim: 1 })
    await db.close()
    writeFileSync(join(path, 'FORMAT'), 'garbage')
    await expect(Drift.open(path, { walFileBytes: 65_536 })).rejects.toMatchObject({
      code: 'DRIFT_CORRUPT_FORMAT',
    })
    const { rmSync } = await import('node:fs')
    rmSync(join(path, 'FORMAT'))
    await expect(Drift.open(path, { walFileBytes: 65_536 })).rejects.toMatchObject({
      code: 'DRIFT_CORRUPT_FORMAT',
    })
  })

  it.each(['http://127.0.0.1:7700', 'HTTPS://host', 'file:///data'])(
    'refuses the URL %s, which would else make a folder of its name',
    async url => {
      const open = Drift.open(url, { fs: new SimFs() })
      await expect(open).rejects.toMatchObject({ code: 'DRIFT_PATH' })
      await expect(Drift.check(url, { fs: new SimFs() })).rejects.toThrow('connect(url) of @drift/client')
    },
  )

  it.each(['', 7, null, undefined])('refuses the path %j', async path => {
    await expect(Drift.open(path as string)).rejects.toMatchObject({ code: 'DRIFT_PATH' })
    await expect(Drift.check(path as string)).rejects.toMatchObject({ code: 'DRIFT_PATH' })
    await expect(Drift.repair(path as string)).rejects.toMatchObject({ code: 'DRIFT_PATH' })
  })

  it('neither checks nor repairs what is no database, and leaves nothing there', async () => {
    const folder = temporaryFolder()
    const [file, none] = [join(folder, 'file'), join(folder, 'none')]
    writeFileSync(file, 'somebody else wrote this')
    for (const look of [Drift.check, Drift.repair]) {
      await expect(look(folder)).rejects.toMatchObject({ code: 'DRIFT_NO_DATABASE' })
      await expect(look(none)).rejects.toMatchObject({ code: 'DRIFT_NO_DATABASE' })
      await expect(look(file)).rejects.toMatchObject({ code: 'DRIFT_NOT_A_FOLDER' })
    }
    expect(readdirSync(folder)).toEqual(['file'])
  })

  it.each(['sometimes', { intervalMs: 0 }, { intervalMs: 'x' }, null])('refuses sync: %j', async sync => {
    await expect(Drift.open(':memory:', { sync: sync as never })).rejects.toMatchObject({
      code: 'DRIFT_OPTION',
    })
  })

  it.each([70_000, 65_535, 2 ** 31])('refuses walFileBytes: %j, and makes no folder', async walFileBytes => {
    const path = join(temporaryFolder(), 'db')
    await expect(Drift.open(path, { walFileBytes })).rejects.toMatchObject({
      code: 'DRIFT_OPTION',
      details: { option: 'walFileBytes' },
    })
    expect(existsSync(path)).toBe(false)
  })

  it('refuses a policy of healing before anything is refined', async () => {
    const db = await Drift.open(':memory:', { walFileBytes: 65_536 })
    const docs = await db.collection('docs', { dim: 1 })
    const stages: string[] = []
    const onProgress = ({ stage }: { stage: string }) => stages.push(stage)
    await expect(docs.maintain({ policy: 'fast' as never, onProgress })).rejects.toMatchObject({
      code: 'DRIFT_OPTION',
      details: { option: 'policy' },
    })
    expect(stages).toEqual([])
    await docs.maintain({ policy: 'paper', onProgress })
    expect(stages).not.toEqual([])
    await db.close()
  })

  it('refuses every call after close, and closes twice without complaint', async () => {
    const db = await Drift.open(temporaryFolder(), { walFileBytes: 65_536 })
    const docs = await db.collection('docs', { dim: 1 })
    await docs.upsert([{ id: 1, vector: [1] }])
    await Promise.all([db.close(), db.close()])
    await db.close()
    const calls = [
      () => db.collection('docs'),
      () => db.drop('docs'),
      () => db.stats(),
      () => db.sync(),
      () => docs.upsert([{ id: 2, vector: [1] }]),
      () => docs.delete([1]),
      () => docs.get(1),
      () => docs.search([1]),
      () => docs.searchBatch(new Float32Array(1)),
      () => docs.count(),
      () => docs.flush(),
      () => docs.stats(),
      () => docs.scan().next(),
    ]
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
  })
})
