// Proves: what resolved as declared is declared, also of indexes that are made and dropped at the same time, and after a reopening; a path is
// a name like any other.
import { expect, it } from 'vitest'
import { Drift } from '../src/index.js'
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
