// An index is as true in every mode of its quantizer: it finds what was asked for, on few dimensions, on rows that are all the same and on
// values whose squares overflow; as it grows, heals, loses and replaces rows, in its own thread and in others; and as an image of itself.
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import {
  type ImageColumn,
  IndexPool,
  type IndexQuantizer,
  seededRandom,
  VectorIndex,
  type VectorIndexOptions,
} from '../src/index.js'
import { clustered, expectExactly, nearby, numbers, recallOf } from './data.js'

const MODES = ['auto', 'sign', 'sq8', 'pq'] as const
const K = 10

async function copyOf(index: VectorIndex, options: VectorIndexOptions): Promise<VectorIndex> {
  const image = await index.takeImage()
  const copy = new VectorIndex(options)
  try {
    copy.restoreImage(
      image.sizes,
      image.live.slice(),
      (column: ImageColumn, into) => into.set(image.columns[column]),
      async vectors => vectors.set(index.vectors.subarray(0, image.sizes.rows * index.dim)),
    )
    await copy.vectorsReady()
  } finally {
    image.release()
  }
  return copy
}

describe.each(MODES)('an index in mode %s', quantizer => {
  it.each([
    [2, 'l2'],
    [4, 'ip'],
    [8, 'cosine'],
    [16, 'l2'],
    [33, 'ip'],
    [100, 'cosine'],
  ] as const)('finds what is asked for in %i dimensions under %s', async (dim, metric) => {
    const vectors = clustered(6000, dim, 60, 3)
    const index = await VectorIndex.build({ dim, metric, quantizer }, vectors)
    expect(recallOf(index, nearby(vectors, dim, 100, 4), K)).toBeGreaterThan(0.93)
  })

  it('finds the same in one call, in a batch and in a thread', async () => {
    const dim = 24
    const pool = new IndexPool({ threads: 1 })
    const index = await VectorIndex.build({ dim, metric: 'l2', quantizer, pool }, clustered(5000, dim, 40, 5))
    const queries = clustered(40, dim, 40, 6)
    const asked = { k: K, probes: 12 }
    const batch = await index.searchBatch(queries, asked)
    for (let q = 0; q < 40; q++) {
      const query = queries.subarray(q * dim, (q + 1) * dim)
      const { ids } = index.searchSync(query, asked)
      expect((await index.search(query, asked)).ids).toEqual(ids)
      expect(batch.ids.slice(q * K, (q + 1) * K)).toEqual(ids)
    }
    index.close()
    await pool.close()
  })

  it('grows from nothing, loses and replaces rows, heals, and finds each row that there is and no other', async () => {
    const dim = 12
    const random = seededRandom(7)
    const index = new VectorIndex({ dim, metric: 'l2', quantizer, memtableRows: 512 })
    const live = new Set<number>()
    for (let round = 0; round < 12; round++) {
      // Where rows come from moves away.
      const vectors = clustered(500, dim, 20, 100 + round).map(value => value + round)
      const ids = Array.from({ length: 500 }, () => Math.floor(random() * 4000))
      index.upsert(ids, vectors)
      for (const id of ids) live.add(id)
      for (let i = 0; i < 100; i++) {
        const id = Math.floor(random() * 4000)
        index.delete([id])
        live.delete(id)
      }
      const memtable = index.rotate()
      if (memtable && round % 3 < 2) await index.flush(memtable)
      await index.maintain()
    }
    while (await index.refine());
    await index.maintain()
    expectExactly(index, live)
    const queries = clustered(100, dim, 20, 111).map(value => value + 11)
    expect(recallOf(index, queries, K)).toBeGreaterThan(0.93)
  })

  it('has k hits among rows that are all the same, and among values whose squares overflow', async () => {
    const dim = 8
    const same = new Float32Array(3000 * dim).fill(0.25)
    const alike = await VectorIndex.build({ dim, metric: 'l2', quantizer }, same)
    expect(alike.searchSync(same.subarray(0, dim), { k: K }).distances).toEqual(new Float32Array(K))
    const random = seededRandom(8)
    for (const [metric, length] of [
      ['cosine', 1e30],
      ['ip', 2e18],
      ['l2', 2e18],
    ] as const) {
      const huge = Float32Array.from({ length: 3000 * dim }, () => length * (random() - 0.5))
      const index = new VectorIndex({ dim, metric, quantizer, memtableRows: 1024 })
      index.upsert(numbers(3000), huge)
      expect(index.searchSync(huge.subarray(0, dim), { k: K }).ids).toHaveLength(K)
      await index.flush(index.rotate()!)
      expect(index.searchSync(huge.subarray(0, dim), { k: K }).ids).toHaveLength(K)
    }
  })

  it('answers as before when an image of it is put back, and goes on from there', async () => {
    const dim = 20
    const options = { dim, metric: 'l2', quantizer } as const
    const index = await VectorIndex.build(options, clustered(4000, dim, 30, 9))
    const copy = await copyOf(index, options)
    const queries = clustered(50, dim, 30, 10)
    for (let q = 0; q < 50; q++) {
      const query = queries.subarray(q * dim, (q + 1) * dim)
      expect(copy.searchSync(query, { k: K, probes: 9 })).toEqual(
        index.searchSync(query, { k: K, probes: 9 }),
      )
    }
    copy.upsert(numbers(2000, 5000), clustered(2000, dim, 30, 11))
    await copy.flush(copy.rotate()!)
    await copy.maintain()
    expect(copy.count).toBe(6000)
    expect(recallOf(copy, queries, K)).toBeGreaterThan(0.93)
  })
})

it('reads the codes of every row of the scanned buckets in mode sq8, so that signs lose none', async () => {
  const dim = 64
  const vectors = clustered(5000, dim, 1, 12)
  const [sign, sq8] = await Promise.all(
    (['sign', 'sq8'] as const).map(quantizer => VectorIndex.build({ dim, metric: 'l2', quantizer }, vectors)),
  )
  const queries = clustered(200, dim, 1, 13)
  const lost = { sign: 0, sq8: 0 }
  for (let q = 0; q < 200; q++) {
    const query = queries.subarray(q * dim, (q + 1) * dim)
    const asked = { k: K, probes: 200_000 }
    const truth = sq8!.exactSync(query, K).ids
    lost.sign += truth.filter(id => !sign!.searchSync(query, asked).ids.includes(id)).length
    lost.sq8 += truth.filter(id => !sq8!.searchSync(query, asked).ids.includes(id)).length
  }
  expect(lost.sq8).toBe(0)
  expect(lost.sign).toBeGreaterThan(0)
})

it('learns codebooks once, when buckets are about to hold 2 048 rows, and codes the entries that there are by them', async () => {
  const dim = 16
  const index = new VectorIndex({ dim, metric: 'l2', quantizer: 'pq', memtableRows: 512 })
  const booksOf = async () => {
    const image = await index.takeImage()
    image.release()
    return { values: image.sizes.codebookValues, bytes: image.columns.codebooks.slice() }
  }
  const vectors = clustered(6000, dim, 30, 14)
  const grow = async (first: number, end: number) => {
    index.upsert(numbers(end - first, first), vectors.subarray(first * dim, end * dim))
    // So that rows in tails have entries, by what there was.
    index.searchSync(vectors.subarray(0, dim), { k: 1 })
    await index.flush(index.rotate()!)
  }
  await grow(0, 1000)
  await grow(1000, 2000)
  expect((await booksOf()).values).toBe(0)
  index.upsert(numbers(500, 5500), vectors.subarray(5500 * dim))
  index.searchSync(vectors.subarray(0, dim), { k: 1 })
  await grow(2000, 3000)
  const books = await booksOf()
  expect(books.values).toBe(64 * 16 + 1)
  expect(recallOf(index, nearby(vectors, dim, 200, 15), K)).toBeGreaterThan(0.93)
  await grow(3000, 5500)
  while (await index.refine());
  await index.maintain()
  expect(await booksOf()).toEqual(books)
  expectExactly(index, numbers(6000))
  expect(recallOf(index, nearby(vectors, dim, 200, 15), K)).toBeGreaterThan(0.93)
})

it('gives the event loop a turn for each bucket that is coded anew by codebooks, and finds no row that died meanwhile', async () => {
  const dim = 16
  const index = new VectorIndex({ dim, metric: 'l2', quantizer: 'pq', bucketRows: 4 })
  const vectors = clustered(2100, dim, 60, 17)
  index.upsert(numbers(2000), vectors.subarray(0, 2000 * dim))
  await index.flush(index.rotate()!)
  const { buckets } = index.stats()
  index.upsert(numbers(100, 2000), vectors.subarray(2000 * dim))
  const live = new Set(numbers(2100))
  let isFlushing = true
  const flushing = index.flush(index.rotate()!).finally(() => {
    isFlushing = false
  })
  let turns = 0
  for (; isFlushing; turns++) {
    await setImmediate()
    if (!live.delete(3 * turns)) continue
    index.delete([3 * turns])
  }
  await flushing
  expect(turns).toBeGreaterThan(buckets)
  expectExactly(index, live)
  const image = await index.takeImage()
  image.release()
  expect(image.sizes.codebookValues).toBeGreaterThan(0)
  expect(recallOf(index, nearby(vectors, dim, 100, 18), K)).toBeGreaterThan(0.93)
})

it('takes no image whose entries are of another mode', async () => {
  const options = { dim: 20, metric: 'l2' } as const
  const index = await VectorIndex.build({ ...options, quantizer: 'pq' }, clustered(4000, 20, 30, 16))
  for (const quantizer of ['auto', 'sign', 'sq8'] as const) {
    await expect(copyOf(index, { ...options, quantizer })).rejects.toMatchObject({ code: 'DRIFT_IMAGE' })
  }
})

it('refuses a mode that there is not', () => {
  for (const quantizer of ['SQ8', '', 8, null, {}]) {
    expect(() => new VectorIndex({ dim: 3, metric: 'l2', quantizer: quantizer as IndexQuantizer })).toThrow(
      expect.objectContaining({ code: 'DRIFT_OPTION' }),
    )
  }
})
