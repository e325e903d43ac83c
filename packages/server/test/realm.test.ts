// Proves: arrays, objects and signals of another realm, as vm contexts and test runners have, are taken like those of this one.
import { runInNewContext } from 'node:vm'
import { hierarchicalKmeans, kmeans, VectorIndex } from '@drift/core'
import { expect, it } from 'vitest'
import { Drift } from '../src/index.js'

/** The value of an expression in a realm of its own. */
const elsewhere = (code: string, globals: object = {}): never =>
  runInNewContext(`(${code})`, globals) as never

/** As polyfills and DOMs for Node have them. */
class Signal extends EventTarget {
  reason: unknown
  aborted = false
  throwIfAborted(): void {
    if (this.aborted) throw this.reason
  }
  abort(): void {
    this.aborted = true
    this.reason = new Error('enough')
    this.dispatchEvent(new Event('abort'))
  }
}

it('vectors, payloads, filters and options of another realm are those of this one', async () => {
  await using db = await Drift.open(':memory:', elsewhere('{ threads: 0 }'))
  const docs = await db.collection('docs', elsewhere('{ dim: 2, metric: "l2" }'))
  await docs.upsert(elsewhere('[{ id: 1, vector: new Float32Array([1, 1]), payload: { lang: "en" } }]'))
  await docs.upsert(
    elsewhere(
      '{ ids: [2, 3], vectors: new Float32Array([2, 2, 3, 3]), payloads: [{ lang: "de" }, undefined] }',
    ),
  )
  const query = elsewhere('new Float32Array([2, 2])')
  expect((await docs.search(query, elsewhere('{ k: 1 }')))[0]?.id).toBe(2)
  expect((await docs.search(query, elsewhere('{ k: 1, filter: { lang: "en" } }')))[0]?.id).toBe(1)
  expect((await docs.searchBatch(elsewhere('new Float32Array([1, 1, 3, 3])'), { k: 1 })).ids).toEqual([
    [1],
    [3],
  ])
  await docs.updatePayload(elsewhere('[2]'), elsewhere('{ seen: { at: 1 } }'))
  expect((await docs.get(2))?.payload).toEqual({ lang: 'de', seen: { at: 1 } })
  await expect(docs.search(query, elsewhere('{ filter: { at: { $in: [new Date()] } } }'))).rejects.toThrow(
    /toISOString/,
  )
  expect(await docs.delete(elsewhere('{ filter: { lang: { $in: ["de"] } } }'))).toMatchObject({ deleted: 1 })
})

it('Arrow bytes of another realm are bytes', async () => {
  await using db = await Drift.open(':memory:', { threads: 0 })
  const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
  await docs.upsert([{ id: 'a', vector: [1, 2] }])
  const { RecordBatchStreamWriter } = await import('apache-arrow')
  const writer = await RecordBatchStreamWriter.writeAll(docs.toArrow())
  const bytes = await writer.toUint8Array()
  for (const kind of [
    'new Uint8Array(numbers)',
    'new Uint8Array(numbers).buffer',
    '[new Uint8Array(numbers)]',
  ]) {
    expect(await docs.fromArrow(elsewhere(kind, { numbers: [...bytes] }))).toMatchObject({ rows: 1 })
  }
})

it('a signal is what can be asked and listened to', async () => {
  await using db = await Drift.open(':memory:', { threads: 0 })
  const docs = await db.collection('docs', { dim: 2, metric: 'l2' })
  const signal = new Signal()
  await docs.upsert([{ id: 'a', vector: [1, 2] }], { signal: signal as unknown as AbortSignal })
  signal.abort()
  const upsert = docs.upsert([{ id: 'b', vector: [1, 2] }], { signal: signal as unknown as AbortSignal })
  await expect(upsert).rejects.toBe(signal.reason)
  expect(await docs.count()).toBe(1)
})

it('an index and k-means take vectors of another realm', () => {
  const vectors = elsewhere('Float32Array.from({ length: 64 }, (_, i) => i)')
  const index = new VectorIndex({ dim: 2, metric: 'l2' })
  index.upsert([...Array(32).keys()], vectors)
  const found = index.searchSync(elsewhere('new Float32Array([0, 1])'), {
    k: 1,
    allow: elsewhere('new Uint32Array([-2])'),
  })
  expect(found.ids).toEqual([1])
  const rows = elsewhere('new Uint32Array([0, 31])')
  expect(kmeans(vectors, 2, { k: 2, seed: 1, index: rows }).centroids).toHaveLength(4)
  expect(hierarchicalKmeans(vectors, 2, { seed: 1, targetRows: 8 }).assignment).toHaveLength(32)
})
