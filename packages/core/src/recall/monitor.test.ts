/**
 * Proves that what the monitor measures is the recall that queries have, that floors follow when queries become harder so that the
 * recall asked for holds, that they stay at the prior and fail it without learning, and that writes meanwhile do not disturb it.
 */
import { describe, expect, it } from 'vitest'
import { gaussian, IndexPool, seededRandom, VectorIndex } from '../index.js'
import { wilson } from './wilson.js'

const DIM = 32
const ROWS = 12_000
const K = 10

/** Half of the rows in tight clusters, which are easy to search, half in a broad cloud, which is hard; and queries of either kind. */
function data(seed: number): { vectors: Float32Array; easy: () => Float32Array; hard: () => Float32Array } {
  const random = seededRandom(seed)
  const centres = Float32Array.from({ length: 100 * DIM }, () => 3 * gaussian(random))
  const easy = () => {
    const centre = Math.floor(random() * 100) * DIM
    return Float32Array.from({ length: DIM }, (_, i) => centres[centre + i]! + 0.3 * gaussian(random))
  }
  const hard = () => Float32Array.from({ length: DIM }, () => gaussian(random))
  const vectors = new Float32Array(ROWS * DIM)
  for (let row = 0; row < ROWS; row++) vectors.set(row % 2 === 0 ? easy() : hard(), row * DIM)
  return { vectors, easy, hard }
}

async function stream(learn: boolean, target: number) {
  const { vectors, easy, hard } = data(4)
  const shadow = { share: 1, random: seededRandom(5), learn }
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2', seed: 2, shadow }, vectors)
  const run = async (next: () => Float32Array, queries: number) => {
    for (let i = 0; i < queries; i++) {
      index.searchSync(next(), { k: K, recall: target })
      await index.shadow()
    }
  }
  /** Of fresh queries, which are not shadowed by this; and the rows that they scan. */
  const trueRecall = (next: () => Float32Array, queries: number) => {
    let hits = 0
    let rows = 0
    for (let i = 0; i < queries; i++) {
      const query = next()
      const truth = new Set(index.exactSync(query, K).ids)
      const found = index.searchSync(query, { k: K, recall: target })
      hits += found.ids.filter(id => truth.has(id)).length
      rows += found.scannedRows
    }
    return { recall: hits / (queries * K), rows: rows / queries }
  }
  return { index, easy, hard, run, trueRecall }
}

const measuredOf = (index: VectorIndex, target: number) =>
  index.measuredRecall.find(measured => measured.target === target)!

describe('over queries that become harder', () => {
  it('keeps the recall asked for, and what it measures is within two points of the truth', async () => {
    const { index, easy, hard, run, trueRecall } = await stream(true, 0.9)
    await run(easy, 300)
    const before = trueRecall(easy, 300)
    expect(before.recall).toBeGreaterThan(0.885)
    expect(Math.abs(measuredOf(index, 0.9).measured - before.recall)).toBeLessThan(0.03)
    await run(hard, 700)
    const after = trueRecall(hard, 500)
    const told = measuredOf(index, 0.9)
    expect(after.recall).toBeGreaterThan(0.89)
    expect(after.recall).toBeLessThan(0.96)
    expect(Math.abs(told.measured - after.recall)).toBeLessThan(0.02)
    expect(told.low95).toBeLessThanOrEqual(told.measured)
    expect(told.high95 - told.low95).toBeLessThan(0.06)
  })

  it('without learning the same stream ends below it, and the interval says so', async () => {
    const { index, easy, hard, run, trueRecall } = await stream(false, 0.9)
    await run(easy, 50)
    await run(hard, 700)
    expect(trueRecall(hard, 500).recall).toBeLessThan(0.88)
    expect(measuredOf(index, 0.9).high95).toBeLessThan(0.9)
  })

  it('gives back what easy queries do not need', async () => {
    const { easy, run, trueRecall } = await stream(true, 0.95)
    const before = trueRecall(easy, 200)
    await run(easy, 400)
    const after = trueRecall(easy, 400)
    expect(after.rows).toBeLessThan(before.rows)
    expect(after.recall).toBeGreaterThan(0.94)
  })
})

it('writes between a query and its shadow do not count as misses, nor do those under way', async () => {
  const { index, easy, run } = await stream(true, 0.999)
  await run(easy, 40)
  const { vectors } = data(4)
  for (let i = 0; i < 40; i++) index.searchSync(easy(), { k: K, recall: 0.999 })
  // Half of the rows of either kind.
  for (let row = 0; row < ROWS; row += 4) index.delete([row, row + 1])
  while (index.shadowsWaiting > 0) {
    const measuring = index.shadow()
    index.upsert([index.shadowsWaiting], vectors.subarray(0, DIM))
    index.delete([index.shadowsWaiting + 1000])
    await measuring
  }
  expect(measuredOf(index, 0.999).measured).toBeGreaterThan(0.98)
})

it('what was measured on rows that are gone is neither told nor learned from', async () => {
  const { index, hard, run, trueRecall } = await stream(true, 0.9)
  await run(hard, 200)
  expect(measuredOf(index, 0.9).measured).toBeLessThan(0.97)
  const learned = index.takeLearned().length
  index.delete(Array.from({ length: ROWS }, (_, row) => row))
  expect(index.measuredRecall).toEqual([])
  const { vectors } = data(9)
  index.upsert(
    Array.from({ length: 600 }, (_, i) => i),
    vectors.subarray(0, 600 * DIM),
  )
  // So few that all of them are compared.
  expect(trueRecall(hard, 50).recall).toBe(1)
  await run(hard, 20)
  expect(measuredOf(index, 0.9)).toMatchObject({ measured: 1, samples: expect.closeTo(20, -1) })
  // 200 samples of ten rows, and 20.
  expect(index.takeLearned().length).toBeLessThan(learned - 6000)
})

it('samples the share of queries that it is told to, measures recent ones again, and nothing before the first', async () => {
  const { vectors, easy } = data(6)
  const shadow = { share: 0.1, random: seededRandom(1) }
  const index = await VectorIndex.build(
    { dim: DIM, metric: 'l2', seed: 2, shadow },
    vectors.subarray(0, 2000 * DIM),
  )
  expect(await index.shadow()).toBe(false)
  for (let i = 0; i < 500; i++) index.searchSync(easy(), { k: 5 })
  expect(index.shadowsWaiting).toBeGreaterThan(30)
  expect(index.shadowsWaiting).toBeLessThan(75)
  for (const options of [{ probes: 3 }, { floor: 0.1 }, { recall: 1 }]) {
    for (let i = 0; i < 50; i++) index.searchSync(easy(), { k: 7, ...options })
  }
  while (index.shadowsWaiting > 0) await index.shadow()
  const { samples } = index.measuredRecall[0]!
  expect(await index.shadow()).toBe(true)
  expect(index.measuredRecall).toHaveLength(1)
  expect(index.measuredRecall[0]!.samples).toBeGreaterThan(samples)
})

it('a few queries that are measured again and again count once each, and teach nothing', async () => {
  const { index, easy } = await stream(true, 0.95)
  const queries = Array.from({ length: 100 }, easy)
  const rows = () => queries.reduce((sum, query) => sum + index.explain(query, { k: K }).scannedRows, 0)
  const before = rows()
  for (let i = 0; i < 3; i++) index.searchSync(easy(), { k: K, recall: 0.95 })
  for (let i = 0; i < 100; i++) expect(await index.shadow()).toBe(true)
  expect(measuredOf(index, 0.95).samples).toBeLessThanOrEqual(3)
  expect(rows()).toBe(before)
})

it('the interval is that of Wilson when rows are independent, and wider when queries differ', () => {
  const { low95, high95 } = wilson(0.9, 0.009, 100, 10)
  expect(low95).toBeCloseTo(0.8798, 3)
  expect(high95).toBeCloseTo(0.917, 3)
  const wide = wilson(0.9, 0.09, 100, 10)
  expect(wide.high95 - wide.low95).toBeGreaterThan(2.5 * (high95 - low95))
  expect(wilson(1, 0, 5, 10)).toMatchObject({ high95: 1 })
})

it('rows that are equally far count alike, whichever of them are found', async () => {
  const random = seededRandom(7)
  const rows = 3000
  const vectors = Float32Array.from({ length: rows * DIM }, () => gaussian(random))
  const copied = vectors.slice(0, DIM)
  for (let row = 0; row < rows; row += 20) vectors.set(copied, row * DIM)
  const ids = Array.from({ length: rows }, (_, i) => i)
  const pool = new IndexPool({ threads: 1 })
  for (const threads of [{}, { pool }]) {
    const shadow = { share: 1, random: seededRandom(8) }
    const index = new VectorIndex({ dim: DIM, metric: 'l2', memtableRows: rows, shadow, ...threads })
    index.upsert(ids, vectors)
    while (index.link(1000, () => 0));
    // The graph gives the copies that it met, a comparison of all rows the first of them.
    expect(index.searchSync(copied, { k: K, recall: 0.9 }).rows).not.toEqual(index.exactSync(copied, K).rows)
    await index.shadow()
    expect(measuredOf(index, 0.9)).toMatchObject({ measured: 1 })
  }
  await pool.close()
})

describe('what shadow queries taught while there were fewer rows in buckets', () => {
  /** Clusters; the first rows in buckets, `waiting` more in a memtable, then `queries` shadow queries. */
  async function taught(inBuckets: number, waiting: number, queries: number) {
    const random = seededRandom(5)
    const centres = Float32Array.from({ length: 60 * DIM }, () => 1.5 * gaussian(random))
    const next = () => {
      const centre = Math.floor(random() * 60) * DIM
      return Float32Array.from({ length: DIM }, (_, i) => centres[centre + i]! + gaussian(random))
    }
    const shadow = { share: 1, random: seededRandom(3) }
    const index = new VectorIndex({ dim: DIM, metric: 'l2', memtableRows: 32_768, shadow })
    const insert = (count: number) => {
      if (count === 0) return
      const vectors = new Float32Array(count * DIM)
      for (let i = 0; i < count; i++) vectors.set(next(), i * DIM)
      const { count: first } = index
      index.upsert(
        Array.from({ length: count }, (_, i) => first + i),
        vectors,
      )
    }
    const flush = async () => {
      const memtable = index.rotate()
      if (memtable) await index.flush(memtable)
      await index.calibrate()
    }
    const measure = async (times: number) => {
      for (let i = 0; i < times; i++) {
        index.searchSync(next(), { k: K })
        await index.shadow()
      }
    }
    const recall = (times: number) => {
      let hits = 0
      let rows = 0
      for (let i = 0; i < times; i++) {
        const query = next()
        const truth = new Set(index.exactSync(query, K).ids)
        const found = index.searchSync(query, { k: K })
        hits += found.ids.filter(id => truth.has(id)).length
        rows += found.scannedRows
      }
      return { recall: hits / (times * K), rows: rows / times }
    }
    insert(inBuckets)
    await flush()
    insert(waiting)
    await measure(queries)
    return { insert, flush, recall }
  }

  it('before there were any is nothing: not all rows are read afterwards, and it can be stored', async () => {
    const shadow = { share: 1, random: seededRandom(3) }
    const options = { dim: DIM, metric: 'l2' } as const
    const index = new VectorIndex({ ...options, shadow })
    const { vectors, easy } = data(6)
    const rows = 5000
    index.upsert(
      Array.from({ length: rows }, (_, i) => i),
      vectors.slice(0, rows * DIM),
    )
    for (let i = 0; i < 60; i++) {
      index.searchSync(easy(), { k: K })
      await index.shadow()
    }
    await index.flush(index.rotate()!)
    expect(index.searchSync(easy(), { k: K }).scannedRows).toBeLessThan(rows / 2)
    expect(() => new VectorIndex({ ...options, shadow }).restoreLearned(index.takeLearned())).not.toThrow()
  })

  it('and the others waited in a memtable keeps the recall when they have come to buckets', async () => {
    const { flush, recall } = await taught(2000, 10_000, 256)
    await flush()
    expect(recall(200).recall).toBeGreaterThan(0.94)
  })

  it('holds when there are four times as many, and still spares rows', async () => {
    const grown = async (queries: number) => {
      const { insert, flush, recall } = await taught(3500, 0, queries)
      insert(10_500)
      await flush()
      return recall(200)
    }
    const after = await grown(256)
    expect(after.recall).toBeGreaterThan(0.94)
    expect(after.rows).toBeLessThan(0.9 * (await grown(0)).rows)
  })
})

describe('what shadow queries unlike rows taught', () => {
  const TOPICS = 50

  /** Rows of topics; queries half way between two of these. */
  function world(k: number, target: number) {
    const random = seededRandom(1)
    const centres = Float32Array.from({ length: TOPICS * DIM }, () => 1.5 * gaussian(random))
    const row = () => {
      const centre = Math.floor(random() * TOPICS) * DIM
      return Float32Array.from({ length: DIM }, (_, i) => centres[centre + i]! + gaussian(random))
    }
    const query = () => {
      const [one, other] = [row(), row()]
      return one.map((value, i) => (value + other[i]!) / 2)
    }
    const shadow = { share: 1, random: seededRandom(3) }
    const index = new VectorIndex({ dim: DIM, metric: 'l2', memtableRows: 32_768, shadow })
    const insert = async (count: number) => {
      const vectors = new Float32Array(count * DIM)
      for (let i = 0; i < count; i++) vectors.set(row(), i * DIM)
      const { count: first } = index
      index.upsert(
        Array.from({ length: count }, (_, i) => first + i),
        vectors,
      )
      await index.flush(index.rotate()!)
    }
    const teach = async (times: number) => {
      for (let i = 0; i < times; i++) {
        index.searchSync(query(), { k, recall: target })
        await index.shadow()
      }
    }
    const recall = () => {
      let hits = 0
      for (let i = 0; i < 200; i++) {
        const asked = query()
        const truth = new Set(index.exactSync(asked, k).ids)
        hits += index.searchSync(asked, { k, recall: target }).ids.filter(id => truth.has(id)).length
      }
      return hits / (200 * k)
    }
    return { index, insert, teach, recall }
  }

  it('before the first calibration is still true after it', async () => {
    const { index, insert, teach, recall } = world(K, 0.95)
    await insert(8000)
    await teach(160)
    await index.calibrate()
    expect(recall()).toBeGreaterThan(0.93)
  })

  it('holds where more rows make those near rows easier to find, but not those near such queries', async () => {
    const { index, insert, teach, recall } = world(100, 0.9)
    await insert(4000)
    await index.calibrate()
    await teach(120)
    await insert(12_000)
    await index.calibrate()
    expect(recall()).toBeGreaterThan(0.85)
  })
})
