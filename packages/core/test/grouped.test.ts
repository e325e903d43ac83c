/**
 * Proves that an index of so many buckets that they are grouped still puts rows where they belong and finds what was asked for: as it was
 * built, in threads, with a filter, after it was stored and put back, and after a third of it went and as much came elsewhere.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { IndexPool, VectorIndex } from '../src/index.js'
import { clustered, numbers, rowOf } from './data.js'

const DIM = 20
const COUNT = 40_000
const SHAPE = { dim: DIM, metric: 'l2', bucketRows: 4 } as const
const all = clustered(COUNT + 8_400, DIM, 300, 5)
const vectors = all.subarray(0, COUNT * DIM)
/** Of the same clusters. */
const queries = Array.from({ length: 400 }, (_, i) => rowOf(all, DIM, COUNT + i))
let index: VectorIndex

beforeAll(async () => {
  index = await VectorIndex.build(SHAPE, vectors)
})

/** What the index is now, in another one. */
async function putBack(options: { readonly pool?: IndexPool }): Promise<VectorIndex> {
  const { sizes, columns } = await index.takeImage()
  const back = new VectorIndex({ ...SHAPE, ...options })
  const live = new Uint32Array(Math.ceil(COUNT / 32)).fill(0xffff_ffff)
  back.restoreImage(
    sizes,
    live,
    (column, into) => into.set(columns[column]),
    async into => into.set(index.vectors.subarray(0, into.length)),
  )
  await back.vectorsReady()
  return back
}

/** Mean over the queries. */
function recallOf(of: VectorIndex, recall: number): number {
  let hits = 0
  for (const query of queries) {
    const truth = new Set(of.exactSync(query, 10).ids)
    hits += of.searchSync(query, { k: 10, recall }).ids.filter(id => truth.has(id)).length
  }
  return hits / (10 * queries.length)
}

/** Share of some rows whose home is the bucket of the nearest centroid. */
function atHome(of: VectorIndex, ids: readonly number[]): number {
  const centroids = of.centroids()
  const buckets = centroids.length / DIM
  let right = 0
  for (const id of ids) {
    const row = of.find(id)
    const vector = of.vectorAt(row)
    let best = -1
    let least = Number.POSITIVE_INFINITY
    for (let b = 0; b < buckets; b++) {
      let sum = 0
      for (let d = 0; d < DIM; d++) sum += (vector[d]! - centroids[b * DIM + d]!) ** 2
      if (sum < least) [best, least] = [b, sum]
    }
    if (of.bucketsOf(row)[0] === best) right++
  }
  return right / ids.length
}

describe('an index of ten thousand buckets', () => {
  it('has its rows in the nearest buckets and finds what was asked for', () => {
    expect(index.stats().buckets).toBeGreaterThan(8192)
    expect(atHome(index, numbers(200))).toBeGreaterThan(0.95)
    expect(recallOf(index, 0.9)).toBeGreaterThan(0.88)
    expect(recallOf(index, 0.98)).toBeGreaterThan(0.965)
  })

  it('answers in threads as in its own, and explains what it scanned', async () => {
    const pool = new IndexPool({ threads: 2 })
    try {
      const other = await putBack({ pool })
      while (await other.refine());
      const batch = new Float32Array(64 * DIM)
      for (let i = 0; i < 64; i++) batch.set(queries[i]!, i * DIM)
      const found = await other.searchBatch(batch, { k: 10 })
      for (let i = 0; i < 64; i++) {
        expect(found.ids.slice(10 * i, 10 * i + 10)).toEqual(other.searchSync(queries[i]!, { k: 10 }).ids)
      }
      const { buckets } = other.explain(queries[0]!, { k: 10 }, () => 0)
      for (let i = 1; i < buckets.length; i++) {
        expect(buckets[i]!.distance).toBeGreaterThanOrEqual(buckets[i - 1]!.distance)
      }
    } finally {
      await pool.close()
    }
  })

  it('finds all ten of one row in fifty', () => {
    const allow = new Uint32Array(Math.ceil(COUNT / 32))
    for (let id = 0; id < COUNT; id += 20) {
      const row = index.find(id)
      allow[row >>> 5]! |= 1 << (row & 31)
    }
    for (const query of queries.slice(0, 50)) {
      const { ids } = index.searchSync(query, { k: 10, allow })
      expect(ids.length).toBe(10)
      for (const id of ids) expect((id as number) % 20).toBe(0)
    }
  })

  it('is put back without its groups and makes them when there is time', async () => {
    const back = await putBack({})
    const before = back.stats().memory.router
    expect(recallOf(back, 0.95)).toBeGreaterThan(0.9)
    while (await back.refine());
    expect(back.stats().memory.router).toBeGreaterThan(before)
    expect(recallOf(back, 0.95)).toBeGreaterThan(0.93)
  })

  it('keeps that while a third of the rows goes and others come', async () => {
    index.delete(numbers(8_000).map(i => 3 * i))
    for (let first = 0; first < 8_000; first += 4_000) {
      const from = (COUNT + 400 + first) * DIM
      // Half of them where no bucket is.
      const moved = all.slice(from, from + 4_000 * DIM).map((x, i) => (i < 2_000 * DIM ? x : x + 3))
      index.upsert(numbers(4_000, COUNT + first), moved)
      await index.flush(index.rotate()!)
    }
    await index.maintain({ budget: 2_000 })
    expect(atHome(index, numbers(200, COUNT))).toBeGreaterThan(0.9)
    expect(recallOf(index, 0.95)).toBeGreaterThan(0.93)
  })
})
