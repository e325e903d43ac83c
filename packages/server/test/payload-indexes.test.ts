// Proves: what resolved as declared is declared, also of indexes that are made and dropped at the same time, and after a reopening; a path is
// a name like any other.
import { expect, it } from 'vitest'
import { type Collection, Drift, type Filter } from '../src/index.js'
import { temporaryFolder } from './fixture.js'

const rows = Array.from({ length: 50 }, (_, n) => ({ id: n, vector: [n], payload: { a: n, b: String(n) } }))

it('indexes that are made and dropped at once are all there, or gone, after a reopening', async () => {
  const path = temporaryFolder()
  const declared = { a: 'number', b: 'keyword', c: 'keyword' }
  const db = await Drift.open(path, { threads: 0, walFileBytes: 65_536 })
  const docs = await db.collection('docs', { dim: 1, metric: 'l2', indexes: { old: 'keyword' } })
  await docs.upsert(rows)
  await Promise.all([
    docs.createIndex('a', 'number'),
    docs.createIndex('b', 'keyword'),
    docs.dropIndex('old'),
    docs.createIndex('c', 'keyword'),
  ])
  expect((await docs.stats()).indexes).toEqual(declared)
  await db.close()
  await using again = await Drift.open(path, { threads: 0, walFileBytes: 65_536 })
  const found = await again.collection('docs')
  expect((await found.stats()).indexes).toEqual(declared)
  expect((await found.explain([1], { filter: { a: 7 } })).filter?.access).toBe('index')
})

it.each(['constructor', '__proto__', 'toString'])('there is no index on %s until it is made', async path => {
  await using db = await Drift.open(':memory:', { threads: 0, walFileBytes: 65_536 })
  const docs = await db.collection('docs', { dim: 1, metric: 'l2' })
  await docs.upsert(rows)
  await expect(docs.dropIndex(path)).rejects.toMatchObject({ code: 'DRIFT_NO_INDEX' })
  await docs.createIndex(path, 'keyword')
  await expect(docs.createIndex(path, 'keyword')).rejects.toMatchObject({ code: 'DRIFT_INDEX_EXISTS' })
  expect(Object.keys((await docs.stats()).indexes)).toEqual([path])
  await docs.dropIndex(path)
  expect(Object.keys((await docs.stats()).indexes)).toEqual([])
})

it('an index that is dropped twice at once is gone once, and one that is made then stays', async () => {
  await using db = await Drift.open(temporaryFolder(), { threads: 0, walFileBytes: 65_536 })
  const docs = await db.collection('docs', { dim: 1, metric: 'l2', indexes: { a: 'number' } })
  await docs.upsert(rows)
  const first = docs.dropIndex('a')
  const second = docs.dropIndex('a')
  const refused = expect(second).rejects.toMatchObject({ code: 'DRIFT_NO_INDEX' })
  await first
  await docs.createIndex('a', 'keyword')
  await refused
  expect((await docs.stats()).indexes).toEqual({ a: 'keyword' })
  expect((await docs.explain([1], { filter: { a: 7 } })).filter?.access).toBe('index')
})

it('a list of numbers of any length finds through an index what it finds by scanning', async () => {
  await using db = await Drift.open(':memory:', { threads: 0 })
  const indexed = await db.collection('indexed', { dim: 1, metric: 'l2', indexes: { a: 'number' } })
  const plain = await db.collection('plain', { dim: 1, metric: 'l2' })
  const valuesAt = (n: number) => (n % 7 === 0 ? [n, -n] : n % 11 === 0 ? 'text' : n / 4)
  const many = Array.from({ length: 3000 }, (_, n) => ({ id: n, vector: [n], payload: { a: valuesAt(n) } }))
  // Every third row had another value before, of which the runs still tell.
  const earlier = many.filter(({ id }) => id % 3 === 0).map(row => ({ ...row, payload: { a: row.id + 1 } }))
  for (const docs of [indexed, plain]) {
    await docs.upsert(earlier)
    await docs.upsert(many)
  }
  for (const length of [1, 2, 10, 200, 5000]) {
    const filter = { a: { $in: Array.from({ length }, (_, i) => (i % 2 === 0 ? i / 4 : -i * 7)) } }
    const access = [indexed, plain].map(async docs => (await docs.explain([1], { filter })).filter?.access)
    expect(await Promise.all(access)).toEqual(['index', 'scan'])
    const [ids, expected] = await Promise.all([indexed, plain].map(docs => idsOf(docs, filter)))
    expect(ids).toEqual(expected)
    expect(ids!.length).toBeGreaterThan(0)
  }
})

async function idsOf(docs: Collection, filter: Filter): Promise<unknown[]> {
  const ids: unknown[] = []
  for await (const { id } of docs.scan({ filter })) ids.push(id)
  return ids.sort()
}
