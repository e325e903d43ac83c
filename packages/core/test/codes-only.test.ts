/**
 * Proves that an index without exact vectors does everything from its 8-bit codes: it finds what an index with vectors finds but for the
 * codes' rounding, through memtables, buckets, writes and maintenance alike, and says so where only exact vectors would do.
 */
import { expect, it } from 'vitest'
import { CoreError, IndexPool, type Metric, VectorIndex } from '../src/index.js'
import { clustered, expectExactly, nearby, numbers, rowOf } from './data.js'

const DIM = 48
const ROWS = 6000

it.each<Metric>(['l2', 'cosine', 'ip'])('under %s finds what exact vectors find, nearly', async metric => {
  const vectors = clustered(ROWS, DIM, 40, 1)
  const queries = nearby(vectors, DIM, 60, 2)
  const exact = await VectorIndex.build({ dim: DIM, metric }, vectors)
  const codes = await VectorIndex.build({ dim: DIM, metric, vectors: 'none' }, vectors)
  let found = 0
  for (let i = 0; i < 60; i++) {
    const query = rowOf(queries, DIM, i)
    const truth = exact.exactSync(query, 10)
    const ids = new Set(truth.ids)
    const near = codes.searchSync(query, { k: 10 })
    for (const id of near.ids) if (ids.has(id)) found++
    const all = codes.exactSync(query, 10)
    const scale = Math.max(1, ...truth.distances.map(Math.abs))
    for (let j = 0; j < 10; j++) {
      expect(Math.abs(all.distances[j]! - truth.distances[j]!)).toBeLessThan(0.02 * scale)
    }
    const radius = all.distances[4]!
    const within = await codes.within(query, radius)
    expect([...within.ids].sort()).toEqual([...all.ids.slice(0, 5)].sort())
    expect(within.distances).toEqual(all.distances.slice(0, 5))
  }
  expect(found / 600).toBeGreaterThan(0.9)
})

it('takes writes, flushes, refines and heals, and every row stays findable', async () => {
  const vectors = clustered(ROWS, DIM, 40, 3)
  const pool = new IndexPool({ threads: 1 })
  try {
    const index = new VectorIndex({ dim: DIM, metric: 'l2', vectors: 'none', memtableRows: 1500, pool })
    const alive = new Set<number>()
    for (let first = 0; first < ROWS; first += 500) {
      const ids = numbers(500, first)
      index.upsert(ids, vectors.subarray(first * DIM, (first + 500) * DIM))
      for (const id of ids) alive.add(id)
      index.delete(ids.slice(0, 100))
      for (const id of ids.slice(0, 100)) alive.delete(id)
      expect(index.link(1, () => 0)).toBe(false)
      if (index.activeMemtable.isFull) await index.flush(index.rotate()!)
    }
    expectExactly(index, alive)
    while (await index.refine()) expectExactly(index, alive)
    await index.maintain()
    expectExactly(index, alive)
    expect(index.stats().memory.vectors).toBe(0)
    const many = await index.searchBatch(vectors.subarray(300 * DIM, 310 * DIM), { k: 1 })
    expect(many.ids).toEqual(numbers(10, 300))
  } finally {
    await pool.close()
  }
})

it('gives a vector back as its codes tell it, under cosine of unit length', () => {
  const vectors = clustered(20, DIM, 3, 4)
  for (const metric of ['l2', 'cosine'] as const) {
    const exact = new VectorIndex({ dim: DIM, metric })
    const index = new VectorIndex({ dim: DIM, metric, vectors: 'none' })
    for (const one of [exact, index]) one.upsert(numbers(20), vectors)
    for (let row = 0; row < 20; row++) {
      const truth = exact.vectorAt(row)
      const told = index.vectorAt(row)
      const step = Math.hypot(...truth) / 60
      told.forEach((value, i) => {
        expect(Math.abs(value - truth[i]!)).toBeLessThan(step)
      })
      if (metric === 'cosine') expect(Math.hypot(...told)).toBeCloseTo(1, 5)
    }
    // What it gives can be brought in again.
    const again = new VectorIndex({ dim: DIM, metric, vectors: 'none' })
    again.load([7], index.vectorAt(7))
    expect(again.searchSync(rowOf(vectors, DIM, 7), { k: 1 }).ids).toEqual([7])
  }
})

it('an image of it is restored without vectors', async () => {
  const vectors = clustered(3000, DIM, 20, 5)
  const options = { dim: DIM, metric: 'l2', vectors: 'none' } as const
  const index = await VectorIndex.build(options, vectors)
  const { sizes, columns } = await index.takeImage()
  const again = new VectorIndex(options)
  const live = new Uint32Array(Math.ceil(3000 / 32)).fill(0xffff_ffff)
  live[live.length - 1] = 2 ** (3000 % 32) - 1
  again.restoreImage(
    sizes,
    live,
    (column, into) => into.set(columns[column]),
    () => Promise.reject(new Error('there are no vectors to fill')),
  )
  const query = rowOf(vectors, DIM, 17)
  expect(again.searchSync(query, { k: 5 })).toEqual(index.searchSync(query, { k: 5 }))
})

it('refuses what only exact vectors could do, with a code', () => {
  const codeOf = (act: () => unknown) => {
    try {
      act()
    } catch (error) {
      expect(error).toBeInstanceOf(CoreError)
      return (error as CoreError).code
    }
    return undefined
  }
  const options = { dim: DIM, metric: 'l2', vectors: 'none' } as const
  expect(codeOf(() => new VectorIndex(options).vectors)).toBe('DRIFT_NO_VECTORS')
  const shadow = { share: 1, random: () => 0 }
  expect(codeOf(() => new VectorIndex({ ...options, shadow }))).toBe('DRIFT_NO_VECTORS')
  expect(codeOf(() => new VectorIndex({ ...options, vectors: 'some' as 'none' }))).toBe('DRIFT_OPTION')
})
