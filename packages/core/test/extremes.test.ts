/**
 * Proves that what is legal and strange is built, inserted, found and deleted like anything else, with exact vectors and without: the
 * smallest and largest dimensions, too few rows, rows that are all one point, constant values, huge, tiny and denormal ones.
 */
import { describe, expect, it } from 'vitest'
import { CoreError, gaussian, seededRandom, VectorIndex, type VectorSource } from '../src/index.js'
import { expectExactly, numbers, rowOf } from './data.js'

/** Nothing is handed over to it. */
const elsewhere: VectorSource = {
  read() {
    throw new Error('no row is here')
  },
}
const KEPT = [
  ['resident', 'resident'],
  ['none', 'none'],
  ['elsewhere', elsewhere],
] as const

function noise(rows: number, dim: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: rows * dim }, () => gaussian(random))
}

async function codeOf(act: () => unknown): Promise<string | undefined> {
  try {
    await act()
  } catch (error) {
    expect(error).toBeInstanceOf(CoreError)
    return (error as CoreError).code
  }
  return undefined
}

describe.each(KEPT)('with vectors: %s', (_, vectors) => {
  it.each([1, 2, 63, 65, 1536, 4096])('dimension %d is built, grown, searched and emptied', async dim => {
    const rows = 200
    const data = noise(rows, dim, dim)
    const options = { dim, metric: 'l2', vectors, bucketRows: 8 } as const
    const index = await VectorIndex.build(options, data.subarray(0, 100 * dim))
    expect(index.stats().buckets).toBeGreaterThan(4)
    index.upsert(numbers(100, 100), data.subarray(100 * dim))
    await index.flush(index.rotate()!)
    expectExactly(index, numbers(rows))
    let found = 0
    for (let row = 0; row < rows; row++) {
      const [nearest] = index.searchSync(rowOf(data, dim, row), { k: 1, probes: 1_000_000 }).ids
      if (nearest === row) found++
    }
    // Codes of one or two values cannot tell rows apart that lie so close.
    expect(found).toBeGreaterThan(vectors === 'resident' || dim > 2 ? rows - 1 : rows / 2)
    expect(index.delete(numbers(rows))).toBe(rows)
    expect(index.delete(numbers(rows))).toBe(0)
    expectExactly(index, [])
  })

  it('a dimension of 0 or above 4 096, and nothing to build of, are refused with a code', async () => {
    for (const dim of [0, 4097, 1.5, Number.NaN, -1]) {
      expect(await codeOf(() => new VectorIndex({ dim, metric: 'l2', vectors }))).toBe('DRIFT_DIMENSION')
    }
    const build = (data: Float32Array) => VectorIndex.build({ dim: 3, metric: 'l2', vectors }, data)
    expect(await codeOf(() => build(new Float32Array(0)))).toBe('DRIFT_EMPTY_BATCH')
    expect(await codeOf(() => build(new Float32Array(4)))).toBe('DRIFT_DIMENSION')
    expect(await codeOf(() => build(Float32Array.of(1, 2, Number.NaN)))).toBe('DRIFT_VECTOR_VALUE')
  })

  it('one row, and fewer rows than asked for, are all there is to find', async () => {
    for (const rows of [1, 2, 9]) {
      const data = noise(rows, 5, rows)
      const index = await VectorIndex.build({ dim: 5, metric: 'l2', vectors }, data)
      for (const options of [
        { k: 10 },
        { k: 1000, probes: 1000 },
        { k: 10, recall: 1 },
        { k: 10, recall: 0.5 },
      ]) {
        expect([...index.searchSync(rowOf(data, 5, 0), options).ids].sort()).toEqual(numbers(rows))
      }
      index.delete(numbers(rows))
      expect(index.searchSync(rowOf(data, 5, 0), { k: 10 }).ids).toEqual([])
    }
  })

  it.each(['l2', 'cosine', 'ip'] as const)(
    'rows that are all one point do not keep %s from ending',
    async metric => {
      const data = new Float32Array(3000 * 8).fill(0.25)
      const index = await VectorIndex.build({ dim: 8, metric, vectors, bucketRows: 4 }, data)
      index.upsert(numbers(500, 3000), data.subarray(0, 500 * 8))
      await index.flush(index.rotate()!)
      await index.maintain()
      expectExactly(index, numbers(3500))
      expect(index.searchSync(data.slice(0, 8), { k: 7 }).ids).toHaveLength(7)
      index.delete(numbers(3499))
      expectExactly(index, [3499])
    },
  )

  it('constant dimensions do no harm', async () => {
    const data = noise(2000, 16, 3)
    for (let i = 0; i < data.length; i++) if (i % 16 > 3) data[i] = 7
    const index = await VectorIndex.build({ dim: 16, metric: 'l2', vectors }, data)
    // Codes are coarse here: of centroids, so that a query may scan the wrong one of two buckets, and of rows, which by them alone are ties.
    const k = vectors === 'none' ? 10 : 1
    const isFound = (row: number) => index.searchSync(rowOf(data, 16, row), { k }).ids.includes(row)
    expect(numbers(2000).filter(isFound).length).toBeGreaterThan(0.99 * 2000)
  })

  it.each([
    ['l2', 1e-30],
    ['l2', 1e-42],
    ['l2', 1e17],
    ['ip', 1e17],
    ['cosine', 1e-30],
    ['cosine', 1e-42],
    ['cosine', 1e30],
  ] as const)('under %s values about %d come in, are found and go', async (metric, scale) => {
    const data = noise(600, 12, 9).map(value => value * scale)
    const index = await VectorIndex.build({ dim: 12, metric, vectors, bucketRows: 8 }, data)
    expectExactly(index, numbers(600))
    const { ids, distances } = index.searchSync(rowOf(data, 12, 3), { k: 5, probes: 1_000_000 })
    expect(new Set(ids).size).toBe(5)
    for (const distance of distances) expect(distance).not.toBeNaN()
    // Where float32 has the squares, the row itself is nearest.
    if (scale > 1e-20 && metric !== 'ip') expect(ids[0]).toBe(3)
    expect(index.delete(numbers(600))).toBe(600)
    expectExactly(index, [])
  })

  // Estimates of such distances leave float32, and for some so do the distances of their codes: then nothing of what was scanned was found.
  it.each(['l2', 'ip'] as const)(
    'under %s the longest vectors are all found from the other side, alone and in a batch',
    async metric => {
      const dim = 12
      const length = 9.2233e18
      const across = (sign: number, count: number) =>
        Float32Array.from({ length: count * dim }, (_, i) => (i % dim === 0 ? sign * length : 0))
      const index = await VectorIndex.build({ dim, metric, vectors, bucketRows: 8 }, across(1, 600))
      const queries = across(-1, 40)
      const batch = await index.searchBatch(queries, { k: 10 })
      expect([...batch.counts]).toEqual(new Array(40).fill(10))
      const alone = index.searchSync(queries.slice(0, dim), { k: 10 })
      expect(alone.ids).toHaveLength(10)
      expect(batch.ids.slice(0, 10)).toEqual(alone.ids)
      expect(new Set(alone.ids).size).toBe(10)
    },
  )

  it('values whose squares leave float32 are refused where the metric needs them', async () => {
    const index = new VectorIndex({ dim: 2, metric: 'l2', vectors })
    expect(await codeOf(() => index.upsert([1], Float32Array.of(1e30, 0)))).toBe('DRIFT_VECTOR_VALUE')
    expectExactly(index, [])
  })

  it('a batch of deletes with an id that is none changes nothing', async () => {
    const index = await VectorIndex.build({ dim: 3, metric: 'l2', vectors }, noise(50, 3, 1))
    for (const bad of [1.5, '', Number.NaN, {} as string]) {
      expect(await codeOf(() => index.delete([1, 2, bad]))).toBe('DRIFT_ID')
    }
    expectExactly(index, numbers(50))
    expect(index.delete([1, 1, 'unknown', 2])).toBe(2)
  })
})

it('under ip a row at right angles to the query has the distance 0, and not -0', async () => {
  const index = new VectorIndex({ dim: 2, metric: 'ip' })
  index.upsert(['across'], Float32Array.of(0, 1))
  const query = Float32Array.of(1, 0)
  // toBe tells -0 from 0.
  expect(index.searchSync(query, { k: 1 }).distances[0]).toBe(0)
  expect((await index.search(query, { k: 1 })).distances[0]).toBe(0)
  expect((await index.searchBatch(query, { k: 1 })).distances[0]).toBe(0)
  expect(index.exactSync(query, 1).distances[0]).toBe(0)
  expect((await index.within(query, 0)).distances[0]).toBe(0)
})
