// Proves: a flush leaves a collection that finds what it is asked for, at once and when it is opened again, also where neighbours are spread over
// all buckets, where they lie closer together than codes tell, and where most rows are gone.
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { randomNumbers, temporaryFolder } from './fixture.js'

function normal(count: number, seed: number): Float32Array {
  const random = randomNumbers(seed)
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  )
}

async function recallOf(docs: Collection, queries: Float32Array): Promise<number> {
  let found = 0
  const count = queries.length / docs.dim
  for (let q = 0; q < count; q++) {
    const query = queries.subarray(q * docs.dim, (q + 1) * docs.dim)
    const exact = await docs.search(query, { k: 10, recall: 1 })
    const farthest = exact.at(-1)!.distance
    found += (await docs.search(query, { k: 10 })).filter(({ distance }) => distance <= farthest).length
  }
  return found / (10 * count)
}

it.each([
  [64, 8_000],
  [1, 8_000],
])('of %i dimensions, %i rows', async (dim, rows) => {
  const folder = temporaryFolder()
  const db = await Drift.open(folder, { minFreeBytes: 0, threads: 1 })
  const docs = await db.collection('docs', { dim, metric: 'l2', memtableRows: 4_000 })
  const vectors = normal(rows * dim, 1)
  await docs.upsert({ ids: Array.from({ length: rows }, (_, i) => i), vectors })
  await docs.flush()
  expect(await recallOf(docs, normal(100 * dim, 2))).toBeGreaterThan(0.92)
  await db.close()
  const again = await Drift.open(folder, { minFreeBytes: 0, threads: 1, maintenance: 'manual' })
  expect(await recallOf(await again.collection('docs'), normal(100 * dim, 3))).toBeGreaterThan(0.92)
  await again.close()
})

it('of what was flushed before the process was killed', async () => {
  const [dim, rows] = [64, 8_000]
  const folder = temporaryFolder()
  const copy = temporaryFolder()
  await using db = await Drift.open(folder, { minFreeBytes: 0, threads: 1, maintenance: 'manual' })
  const docs = await db.collection('docs', { dim, metric: 'ip', memtableRows: 4_000 })
  await docs.upsert({ ids: Array.from({ length: rows }, (_, i) => i), vectors: normal(rows * dim, 6) })
  await docs.flush()
  // What a kill leaves.
  cpSync(folder, copy, { recursive: true })
  rmSync(join(copy, 'LOCK'), { force: true })
  await using again = await Drift.open(copy, { minFreeBytes: 0, threads: 1, maintenance: 'manual' })
  expect(await recallOf(await again.collection('docs'), normal(100 * dim, 7))).toBeGreaterThan(0.92)
})

it('of what is left when most rows were deleted', async () => {
  const dim = 32
  await using db = await Drift.open(temporaryFolder(), { minFreeBytes: 0, threads: 1 })
  const docs = await db.collection('docs', { dim, metric: 'l2' })
  const ids = Array.from({ length: 20_000 }, (_, i) => i)
  await docs.upsert({ ids, vectors: normal(ids.length * dim, 4) })
  await docs.flush()
  await docs.delete(ids.filter(id => id % 10 > 0))
  await docs.flush()
  expect(await recallOf(docs, normal(100 * dim, 5))).toBeGreaterThan(0.92)
})

it.each([0.5, 0.9])(
  'of what is left when a share of %d was deleted and nothing has been measured since',
  async share => {
    const dim = 32
    const options = { minFreeBytes: 0, threads: 1, maintenance: 'manual', shadow: 0 } as const
    await using db = await Drift.open(temporaryFolder(), options)
    const docs = await db.collection('docs', { dim, metric: 'l2' })
    const ids = Array.from({ length: 40_000 }, (_, i) => i)
    await docs.upsert({ ids, vectors: normal(ids.length * dim, 8) })
    await docs.flush()
    await docs.maintain()
    await docs.delete(ids.filter(id => id % 10 < 10 * share))
    expect(await recallOf(docs, normal(100 * dim, 9))).toBeGreaterThan(0.94)
  },
)

it('by a filter, of a row that is replaced before the exact vectors of an opened collection are read', async () => {
  // More than is read before the collection is open.
  const [dim, rows] = [4096, 2_200]
  const folder = temporaryFolder()
  const options = { minFreeBytes: 0, threads: 1, maintenance: 'manual' } as const
  const db = await Drift.open(folder, options)
  const docs = await db.collection('docs', { dim, metric: 'l2', indexes: { n: 'number' } })
  await docs.upsert({
    ids: Array.from({ length: rows }, (_, i) => i),
    vectors: normal(rows * dim, 8),
    payloads: Array.from({ length: rows }, (_, n) => ({ n })),
  })
  await docs.flush()
  await db.close()
  await using again = await Drift.open(folder, options)
  const reopened = await again.collection('docs')
  const query = new Float32Array(dim)
  const filter = { n: 7 }
  const found = [
    reopened.search(query, { filter }).then(hits => hits.map(({ id }) => id)),
    reopened.search(query, { filter, radius: 1e9 }).then(hits => hits.map(({ id }) => id)),
    reopened.searchBatch(query, { filter }).then(({ ids }) => ids[0]),
  ]
  await reopened.upsert([{ id: 7, vector: query, payload: { n: 7 } }])
  expect(await Promise.all(found)).toEqual([[7], [7], [7]])
})

it('rows without their vectors are given before the vectors of an opened collection are read', async () => {
  // More than is read before the collection is open.
  const [dim, rows] = [4096, 2_200]
  const folder = temporaryFolder()
  const options = { minFreeBytes: 0, threads: 1, maintenance: 'manual' } as const
  const db = await Drift.open(folder, options)
  const docs = await db.collection('docs', { dim, metric: 'l2' })
  const ids = Array.from({ length: rows }, (_, i) => i)
  await docs.upsert({ ids, vectors: normal(rows * dim, 8) })
  await docs.flush()
  await db.close()
  const came: string[] = []
  // Again, as a row that took a millisecond for once is followed by a turn of the event loop.
  for (let time = 0; time < 3 && came.at(-1) !== 'row'; time++) {
    await using again = await Drift.open(folder, options)
    const reopened = await again.collection('docs')
    const turn = new Promise<string>(resolve => setImmediate(resolve, 'turn'))
    const row = reopened.getMany([7], { vectors: false })
    came.push(await Promise.race([row.then(() => 'row'), turn]))
    expect(await row).toEqual([{ id: 7 }])
  }
  expect(came.at(-1)).toBe('row')
})
