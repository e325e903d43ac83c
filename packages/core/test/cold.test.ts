/**
 * Proves that an index whose exact vectors lie elsewhere answers as one that holds them: exact distances, the same rows where all are
 * compared, and about the same where not; through writes, hand-over and maintenance, while it reads few vectors and holds only those
 * that were not handed over.
 */
import { expect, it } from 'vitest'
import {
  IndexPool,
  type Metric,
  seededRandom,
  VectorIndex,
  type VectorIndexOptions,
  type VectorSource,
} from '../src/index.js'
import { clustered, expectExactly, nearby, numbers, recallOf, rowOf } from './data.js'

const DIM = 48
const ROWS = 4000

/** Vectors by row, as files would have them, and how many were read. */
class Shelf implements VectorSource {
  count = 0
  failure: Error | undefined
  readonly #rows = new Map<number, Float32Array>()

  read(rows: Uint32Array, out: Float32Array): void {
    if (this.failure) throw this.failure
    this.count += rows.length
    for (const [i, row] of rows.entries()) {
      const vector = this.#rows.get(row)
      if (!vector) throw new Error(`row ${row} is not on the shelf`)
      out.set(vector, i * vector.length)
    }
  }

  take(index: VectorIndex, rows: Uint32Array): void {
    const vectors = index.readVectors(rows)
    for (const [i, row] of rows.entries()) this.#rows.set(row, rowOf(vectors, index.dim, i))
    index.handOver(rows)
  }
}

/** An index that holds every vector and one that holds none, of the same rows. */
async function both(
  metric: Metric,
  vectors: Float32Array,
  dim: number,
  options: Partial<VectorIndexOptions> & { readonly pool?: IndexPool } = {},
) {
  const shelf = new Shelf()
  const resident = await VectorIndex.build({ dim, metric, bucketRows: 48, ...options }, vectors)
  const cold = await VectorIndex.build({ dim, metric, vectors: shelf, ...options }, vectors)
  shelf.take(cold, Uint32Array.from(numbers(vectors.length / dim)))
  return { resident, cold, shelf }
}

it.each<Metric>(['l2', 'cosine', 'ip'])(
  'under %s distances are exact, and recall is that of resident vectors',
  async metric => {
    const vectors = clustered(ROWS, DIM, 40, 1)
    const { resident, cold } = await both(metric, vectors, DIM)
    const queries = nearby(vectors, DIM, 200, 2)
    for (let i = 0; i < 30; i++) {
      const query = rowOf(queries, DIM, i)
      const exact = new Map<unknown, number>()
      const all = resident.exactSync(query, ROWS)
      for (const [j, id] of all.ids.entries()) exact.set(id, all.distances[j]!)
      const found = cold.searchSync(query, { k: 10 })
      expect(found.ids).toHaveLength(10)
      expect([...found.distances]).toEqual(found.ids.map(id => exact.get(id)))
      expect([...found.distances]).toEqual([...found.distances].sort((a, b) => a - b))
    }
    expect(recallOf(cold, queries, 10)).toBeGreaterThan(recallOf(resident, queries, 10) - 0.005)
  },
)

it.each<Metric>(['l2', 'cosine', 'ip'])(
  'under %s all rows compared are the same rows, though few are read',
  async metric => {
    const vectors = clustered(ROWS, DIM, 400, 3)
    const queries = nearby(vectors, DIM, 40, 4)
    const pool = new IndexPool({ threads: 1 })
    try {
      for (const options of [{}, { pool }]) {
        const { resident, cold, shelf } = await both(metric, vectors, DIM, options)
        const gone = numbers(700, 100)
        for (const index of [resident, cold]) index.delete(gone)
        shelf.count = 0
        for (let i = 0; i < 40; i++) {
          const query = rowOf(queries, DIM, i)
          const truth = resident.exactSync(query, 10)
          for (const found of [cold.exactSync(query, 10), await cold.search(query, { k: 10, recall: 1 })]) {
            expect(found.ids).toEqual(truth.ids)
            expect(found.distances).toEqual(truth.distances)
          }
          const radius = truth.distances[7]!
          const within = await cold.within(query, radius)
          expect(within.ids).toEqual((await resident.within(query, radius)).ids)
          expect(within.distances).toEqual(truth.distances.filter(distance => distance <= radius))
        }
        // Of 3 300 rows, three times for each query.
        expect(shelf.count / 120).toBeLessThan(250)
        const allow = new Uint32Array(ROWS / 32 + 1).fill(0x1111_1111)
        for (const width of [
          { k: 5, recall: 1 },
          { k: 5, recall: 1, allow },
          { k: 5, allow },
          { k: ROWS, recall: 1 },
        ]) {
          const few = queries.subarray(0, (width.k === ROWS ? 2 : 20) * DIM)
          const truth = await resident.searchBatch(few, { ...width, recall: 1 })
          const found = await cold.searchBatch(few, width)
          if ('recall' in width) expect(found).toEqual(truth)
          else expect(found.distances.every((distance, i) => distance >= truth.distances[i]!)).toBe(true)
          for (let i = 0; i < few.length / DIM; i++) {
            const single = cold.searchSync(rowOf(few, DIM, i), width)
            expect(found.ids.slice(i * width.k, i * width.k + found.counts[i]!)).toEqual(single.ids)
          }
        }
      }
    } finally {
      await pool.close()
    }
  },
)

it('bounds hold for rows of any size, for outliers, for equal rows and for rows that codes cannot tell apart', () => {
  const random = seededRandom(9)
  for (const dim of [1, 2, 3, 64, 200]) {
    for (const metric of ['l2', 'ip'] as const) {
      const scales = [1, 1e-3, 1e4, 1e-22, 1e15]
      const vectors = Float32Array.from({ length: 400 * dim }, (_, i) => {
        const row = Math.floor(i / dim)
        if (row % 10 === 0) return 0
        const value = row % 10 === 1 ? 0.5 : row % 10 === 2 ? (i % dim === 0 ? 30 : 0) : random() - 0.5
        return value * scales[Math.floor(row / 10) % scales.length]! * (1 + 1e-6 * row)
      })
      const shelf = new Shelf()
      const resident = new VectorIndex({ dim, metric })
      const cold = new VectorIndex({ dim, metric, vectors: shelf })
      for (const index of [resident, cold]) index.upsert(numbers(400), vectors)
      shelf.take(cold, Uint32Array.from(numbers(400)))
      for (let row = 0; row < 400; row += 7) {
        const query = rowOf(vectors, dim, row).map(value => value * (row % 2 ? 1 : 1.5))
        expect(cold.exactSync(query, 12)).toEqual(resident.exactSync(query, 12))
      }
    }
  }
})

it('takes writes, hand-over, flushes, refining and healing, and every row stays what it was', async () => {
  const vectors = clustered(ROWS, DIM, 40, 5)
  const pool = new IndexPool({ threads: 1 })
  const shelf = new Shelf()
  try {
    const index = new VectorIndex({ dim: DIM, metric: 'l2', vectors: shelf, memtableRows: 1500, pool })
    const alive = new Set<number>()
    for (let first = 0; first < ROWS; first += 500) {
      const ids = numbers(500, first)
      index.upsert(ids, vectors.subarray(first * DIM, (first + 500) * DIM))
      for (const id of ids) alive.add(id)
      index.delete(ids.slice(0, 100))
      for (const id of ids.slice(0, 100)) alive.delete(id)
      if (!index.activeMemtable.isFull) continue
      const memtable = index.rotate()!
      const rows = index.liveRows(memtable)
      const { vectors: shared, places } = index.sharedVectors(rows)
      expect(rowOf(shared, DIM, places[7]!)).toEqual(index.vectorAt(rows[7]!))
      shelf.take(index, rows)
      await index.flush(memtable)
      expectExactly(index, alive)
    }
    expectExactly(index, alive)
    while (await index.refine()) expectExactly(index, alive)
    await index.maintain()
    expectExactly(index, alive)
    // A third of the rows are versions anew, of ids that the shelf has under other rows.
    const again = [...alive].filter(id => id % 3 === 0)
    const moved = Float32Array.from(again.flatMap(id => [...rowOf(vectors, DIM, id)].map(value => value + 1)))
    index.upsert(again, moved)
    expectExactly(index, alive)
    for (const id of alive) {
      const truth = rowOf(vectors, DIM, id).map(value => (id % 3 === 0 ? value + 1 : value))
      expect(index.vectorAt(index.find(id))).toEqual(truth)
    }
    const last = index.rotate()!
    shelf.take(index, index.liveRows(last))
    await index.flush(last)
    // Two memtables at most, although all rows and more came by.
    expect(index.stats().memory.vectors).toBeLessThanOrEqual(3500 * DIM * 4)
    expectExactly(index, alive)
  } finally {
    await pool.close()
  }
})

it('measures recall against exact vectors that lie elsewhere', async () => {
  const vectors = clustered(ROWS, DIM, 400, 6)
  const queries = nearby(vectors, DIM, 40, 7)
  const pool = new IndexPool({ threads: 1 })
  try {
    for (const options of [{}, { pool }]) {
      const shelf = new Shelf()
      const shadow = { share: 1, random: () => 0, learn: false }
      const index = await VectorIndex.build(
        { dim: DIM, metric: 'l2', vectors: shelf, shadow, ...options },
        vectors,
      )
      shelf.take(index, Uint32Array.from(numbers(ROWS)))
      let found = 0
      for (let i = 0; i < 40; i++) {
        const query = rowOf(queries, DIM, i)
        const { ids } = index.searchSync(query, { k: 10, recall: 0.8 })
        const truth = new Set(index.exactSync(query, 10).ids)
        found += ids.filter(id => truth.has(id)).length
      }
      while (index.shadowsWaiting > 0) await index.shadow()
      const [told] = index.measuredRecall
      // Older ones count for less.
      expect(Math.abs(told!.measured - found / 400)).toBeLessThan(0.03)
    }
  } finally {
    await pool.close()
  }
})

it('what keeps a vector from being read fails the search, and the next one works', async () => {
  const vectors = clustered(3000, DIM, 40, 8)
  const { cold, resident, shelf } = await both('l2', vectors, DIM)
  const query = rowOf(vectors, DIM, 5)
  shelf.failure = new Error('the shelf fell over')
  expect(() => cold.searchSync(query, { k: 3 })).toThrow('the shelf fell over')
  expect(() => cold.exactSync(query, 3)).toThrow('the shelf fell over')
  expect(() => cold.vectorAt(5)).toThrow('the shelf fell over')
  await expect(cold.search(query, { k: 3 })).rejects.toThrow('the shelf fell over')
  await expect(cold.searchBatch(query, { k: 3 })).rejects.toThrow('the shelf fell over')
  await expect(cold.within(query, 1)).rejects.toThrow('the shelf fell over')
  shelf.failure = undefined
  expect(cold.exactSync(query, 3)).toEqual(resident.exactSync(query, 3))
  expect(cold.stats().deadRows).toBe(0)
})

it('buckets tell where the exact vectors of their rows are', async () => {
  const vectors = clustered(ROWS, DIM, 40, 9)
  const tiers = (index: VectorIndex) => new Set(index.bucketStats().map(({ tier }) => tier))
  expect(tiers(await VectorIndex.build({ dim: DIM, metric: 'l2' }, vectors))).toEqual(new Set(['resident']))
  expect(tiers(await VectorIndex.build({ dim: DIM, metric: 'l2', vectors: 'none' }, vectors))).toEqual(
    new Set(['codes']),
  )
  const shelf = new Shelf()
  const cold = await VectorIndex.build({ dim: DIM, metric: 'l2', vectors: shelf }, vectors)
  expect(tiers(cold)).toEqual(new Set(['resident']))
  shelf.take(cold, Uint32Array.from(numbers(ROWS / 2)))
  expect(tiers(cold)).toContain('mixed')
  shelf.take(cold, Uint32Array.from(numbers(ROWS)).subarray(ROWS / 2))
  expect(tiers(cold)).toEqual(new Set(['cold']))
})
