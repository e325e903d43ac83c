/**
 * Proves that an index which asked its own rows finds the recall that is asked for, on held-out queries, over data so unlike each other that
 * no floor fits all; that rows which are queries would flatter it; and that it can be aborted.
 */
import { describe, expect, it } from 'vitest'
import { gaussian, seededRandom, VectorIndex } from '../index.js'

const DIM = 48

interface World {
  readonly rows: number
  readonly topics: number
  /** Directions in which a topic is spread, and how far; its centre has 1 in every direction. */
  readonly latent: number
  readonly spread: number
}

function world({ rows, topics, latent, spread }: World, seed: number) {
  const random = seededRandom(seed)
  const centres = Float32Array.from({ length: topics * DIM }, () => gaussian(random))
  const axes = Float32Array.from({ length: topics * latent * DIM }, () => gaussian(random))
  const draw = (count: number) => {
    const vectors = new Float32Array(count * DIM)
    for (let i = 0; i < count; i++) {
      const topic = Math.floor(random() ** 2 * topics)
      const to = vectors.subarray(i * DIM, (i + 1) * DIM)
      for (let d = 0; d < DIM; d++) to[d] = centres[topic * DIM + d]! + 0.05 * gaussian(random)
      for (let axis = 0; axis < latent; axis++) {
        const along = (spread * gaussian(random)) / Math.sqrt(latent)
        for (let d = 0; d < DIM; d++) to[d]! += along * axes[(topic * latent + axis) * DIM + d]!
      }
    }
    return vectors
  }
  return { vectors: draw(rows), queries: draw(400) }
}

function recallOf(index: VectorIndex, queries: Float32Array, k: number, recall: number) {
  let hits = 0
  let rows = 0
  for (let at = 0; at < queries.length; at += DIM) {
    const query = queries.subarray(at, at + DIM)
    const truth = new Set(index.exactSync(query, k).ids)
    const found = index.searchSync(query, { k, recall })
    hits += found.ids.filter(id => truth.has(id)).length
    rows += found.scannedRows
  }
  const count = queries.length / DIM
  return { recall: hits / (count * k), rows: rows / count }
}

const WORLDS: Record<string, World> = {
  'small topics': { rows: 10_000, topics: 60, latent: 12, spread: 1 },
  'topics that overlap': { rows: 10_000, topics: 60, latent: 16, spread: 2 },
  'one cloud': { rows: 8_000, topics: 1, latent: 32, spread: 1 },
}

describe.each(Object.entries(WORLDS))('over %s', (_, shape) => {
  const { vectors, queries } = world(shape, 3)

  it('a built index finds what was asked for, within three points', async () => {
    const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, vectors)
    for (const [k, target] of [
      [10, 0.8],
      [10, 0.95],
      [50, 0.95],
    ] as const) {
      const { recall } = recallOf(index, queries, k, target)
      expect(recall).toBeGreaterThan(target - 0.03)
      expect(recall).toBeLessThan(target + 0.04)
    }
  })

  it('one that was filled by and by does too', async () => {
    const index = new VectorIndex({ dim: DIM, metric: 'l2' })
    for (let first = 0; first < shape.rows; first += 2000) {
      const ids = Array.from({ length: 2000 }, (_, i) => first + i)
      index.upsert(ids, vectors.subarray(first * DIM, (first + 2000) * DIM))
      await index.flush(index.rotate()!)
      while (await index.refine());
    }
    expect(index.isCalibrationDue).toBe(false)
    const { recall } = recallOf(index, queries, 10, 0.95)
    expect(recall).toBeGreaterThan(0.92)
    expect(recall).toBeLessThan(0.985)
  })
})

// Told by the four nearest and scaled as all data have it, 0.86 is found here, and 0.84 in 64 dimensions.
it('the nearest row alone is found as asked for, where it is as hard to find as the tenth', async () => {
  const recalls: number[] = []
  for (const seed of [31, 32]) {
    const random = seededRandom(seed)
    const cloud = (rows: number) => Float32Array.from({ length: rows * DIM }, () => gaussian(random))
    const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, cloud(8_000))
    recalls.push(recallOf(index, cloud(600), 1, 0.9).recall)
  }
  expect((recalls[0]! + recalls[1]!) / 2).toBeGreaterThan(0.88)
})

it('what was asked for holds at any size, in the mean within a point', async () => {
  let off = 0
  for (const rows of [4_000, 12_000, 36_000]) {
    const { vectors, queries } = world({ ...WORLDS['topics that overlap']!, rows }, 6)
    const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, vectors)
    for (const target of [0.9, 0.95, 0.98]) {
      const gap = recallOf(index, queries, 10, target).recall - target
      expect(Math.abs(gap)).toBeLessThan(0.03)
      off += gap / 9
    }
  }
  expect(Math.abs(off)).toBeLessThan(0.01)
})

it('it is due again when half of the rows are new, and after it was aborted', async () => {
  const { vectors } = world(WORLDS['small topics']!, 4)
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, vectors.subarray(0, 5000 * DIM))
  expect(index.isCalibrationDue).toBe(false)
  index.upsert(
    Array.from({ length: 5000 }, (_, i) => 5000 + i),
    vectors.subarray(5000 * DIM),
  )
  expect(index.isCalibrationDue).toBe(true)
  await index.flush(index.rotate()!)
  await expect(index.calibrate({ signal: AbortSignal.abort() })).rejects.toThrow('aborted')
  expect(index.isCalibrationDue).toBe(true)
  await index.calibrate()
  expect(index.isCalibrationDue).toBe(false)
})

it('it is due again when a quarter more rows have come into buckets, and after a restart too', async () => {
  const { vectors } = world(WORLDS['small topics']!, 4)
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, vectors.subarray(0, 7000 * DIM))
  index.upsert(
    Array.from({ length: 2500 }, (_, i) => 7000 + i),
    vectors.subarray(7000 * DIM, 9500 * DIM),
  )
  // Not by the rows that wait in a memtable.
  expect(index.isCalibrationDue).toBe(false)
  const learned = index.takeLearned()
  await index.flush(index.rotate()!)
  expect(index.isCalibrationDue).toBe(true)
  await index.calibrate()
  expect(index.isCalibrationDue).toBe(false)
  index.restoreLearned(learned)
  expect(index.isCalibrationDue).toBe(true)
})

it('an index of few rows keeps the prior of all data', async () => {
  const { vectors, queries } = world(WORLDS['small topics']!, 5)
  const few = await VectorIndex.build({ dim: DIM, metric: 'l2' }, vectors.subarray(0, 1700 * DIM))
  expect(recallOf(few, queries, 10, 0.95).recall).toBeGreaterThan(0.9)
})

// By the prior of all data 0.60 to 0.72 is found where 0.9 is asked for; without asking what searches leave out, 0.8595.
it.each([
  ['of one length', () => 1],
  ['that grow', (share: number) => 1 + 9 * share],
])('under ip, vectors %s are found as asked for, whatever the length of the query', async (_, length) => {
  const random = seededRandom(21)
  const cloud = (rows: number) =>
    Float32Array.from({ length: rows * DIM }, (_, i) => length(i / (rows * DIM)) * gaussian(random))
  const queries = cloud(200)
  const index = await VectorIndex.build({ dim: DIM, metric: 'ip' }, cloud(12_000))
  expect(index.isCalibrationDue).toBe(false)
  for (const times of [0.01, 1, 100]) {
    const { recall } = recallOf(
      index,
      queries.map(x => times * x),
      10,
      0.9,
    )
    expect(recall).toBeGreaterThan(0.87)
    expect(recall).toBeLessThan(0.96)
  }
})

it('what was told is kept to the bit', async () => {
  const random = seededRandom(41)
  const cloud = Float32Array.from({ length: 12_000 * DIM }, () => gaussian(random))
  const index = await VectorIndex.build({ dim: DIM, metric: 'ip' }, cloud)
  const learned = index.takeLearned()
  expect(Buffer.from(learned).toString('latin1')).toMatch(/"leftOut":\[0\.\d/)
  const again = await VectorIndex.build({ dim: DIM, metric: 'ip' }, cloud.subarray(0, 3_000 * DIM))
  again.restoreLearned(learned)
  expect(Buffer.compare(again.takeLearned(), learned)).toBe(0)
})

it('rows that wait in a memtable do not stand in for those that searches lose', async () => {
  const random = seededRandom(41)
  const cloud = Float32Array.from({ length: 12_000 * DIM }, () => gaussian(random))
  const index = await VectorIndex.build({ dim: DIM, metric: 'ip' }, cloud)
  index.upsert(
    Array.from({ length: 12_000 }, (_, id) => 12_000 + id),
    cloud,
  )
  await index.calibrate()
  const [leftOut] = /"leftOut":\[[^\]]*/.exec(Buffer.from(index.takeLearned()).toString('latin1'))!
  expect(leftOut).toMatch(/\[0\.\d/)
})

it('what is due is done once, however many ask for it at once', async () => {
  const random = seededRandom(43)
  const index = new VectorIndex({ dim: DIM, metric: 'l2' })
  index.upsert(
    [0, 1],
    Float32Array.from({ length: 2 * DIM }, () => gaussian(random)),
  )
  await index.flush(index.rotate()!)
  expect(index.isCalibrationDue).toBe(true)
  const before = index.calibrations
  await Promise.all([index.calibrate({ onlyDue: true }), index.calibrate({ onlyDue: true })])
  expect(index.calibrations).toBe(before + 1)
  await index.calibrate()
  expect(index.calibrations).toBe(before + 2)
})

it('a rough one finds what is asked for, and another is due at once, after opening as well; that one is not rough', async () => {
  const { vectors, queries } = world(WORLDS['topics that overlap']!, 45)
  const index = new VectorIndex({ dim: DIM, metric: 'l2' })
  index.upsert(
    Array.from({ length: vectors.length / DIM }, (_, id) => id),
    vectors,
  )
  await index.flush(index.rotate()!)
  const areDue = () => {
    const opened = new VectorIndex({ dim: DIM, metric: 'l2' })
    opened.restoreLearned(index.takeLearned())
    return [index.isCalibrationDue, opened.isCalibrationDue]
  }
  await index.calibrate({ isRough: true })
  expect(areDue()).toEqual([true, true])
  expect(index.isCalibrationOverdue).toBe(false)
  expect(recallOf(index, queries, 10, 0.9).recall).toBeGreaterThan(0.88)
  // No rows were added since.
  await index.calibrate({ isRough: true, onlyDue: true })
  expect(areDue()).toEqual([false, false])
})

it('refining does not do again what is being done', async () => {
  const random = seededRandom(44)
  const cloud = Float32Array.from({ length: 2_500 * DIM }, () => gaussian(random))
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, cloud)
  index.delete(Array.from({ length: 300 }, (_, id) => id))
  index.upsert(
    Array.from({ length: 1_000 }, (_, id) => id + 5_000),
    cloud.slice(0, 1_000 * DIM),
  )
  await index.flush(index.rotate()!)
  expect(index.isCalibrationDue).toBe(true)
  const before = index.calibrations
  const running = index.calibrate({ onlyDue: true })
  while (await index.refine());
  await running
  expect(index.calibrations).toBe(before + 1)
})

// The second is behind the last comparison of self-queries.
it.each([2, 30])('all rows may be deleted before piece %i of it, and what it told is sound', async piece => {
  const random = seededRandom(42)
  const rows = 2_500
  const cloud = Float32Array.from({ length: rows * DIM }, () => gaussian(random))
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, cloud)
  let pieces = 0
  const between = async () => {
    if (++pieces === piece) index.delete(Array.from({ length: rows }, (_, id) => id))
  }
  await index.calibrate({ between })
  expect(index.count).toBe(0)
  const again = new VectorIndex({ dim: DIM, metric: 'l2' })
  const learned = index.takeLearned()
  again.restoreLearned(learned)
  expect(Buffer.compare(again.takeLearned(), learned)).toBe(0)
})

it('rows that are all the same do not speak for the others', async () => {
  const random = seededRandom(22)
  const { vectors, queries } = world({ ...WORLDS['one cloud']!, rows: 12_000 }, 23)
  const empty = Float32Array.from({ length: DIM }, () => gaussian(random))
  for (let row = 0; row < 12_000; row++) if (row % 5 > 0) vectors.set(empty, row * DIM)
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, vectors)
  expect(recallOf(index, queries, 10, 0.9).recall).toBeGreaterThan(0.86)
})

// Without it 0.890 and 0.895 of the ten nearest are found here.
it.each([7, 8])(
  'floors follow the rows that come until their next measurement is due, seed %i',
  async seed => {
    const [before, rows] = [3_000, 8_700]
    const { vectors, queries } = world({ ...WORLDS['topics that overlap']!, rows }, seed)
    const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, vectors.subarray(0, before * DIM))
    index.upsert(
      Array.from({ length: rows - before }, (_, i) => before + i),
      vectors.subarray(before * DIM),
    )
    await index.flush(index.rotate()!)
    expect(index.isCalibrationDue).toBe(true)
    expect(index.isCalibrationOverdue).toBe(false)
    expect(recallOf(index, queries, 10, 0.9).recall).toBeGreaterThan(0.906)
  },
)

/** Topics of a few rows each beside those that fill buckets, all of them apart from each other. */
function topics(few: number, seed: number) {
  const random = seededRandom(seed)
  const [large, rows] = [160, 40]
  const around = (topic: number) => {
    const centre = seededRandom(seed * 1_000 + topic)
    return Float32Array.from({ length: DIM }, () => 2 * centre() - 1 + 0.6 * (random() - 0.5))
  }
  const vectors: number[] = []
  for (let topic = 0; topic < large; topic++) for (let i = 0; i < rows; i++) vectors.push(...around(topic))
  for (let topic = 0; topic < few; topic++) {
    for (let i = 0; i < 1 + (topic % 6); i++) vectors.push(...around(large + topic))
  }
  const of = (first: number, count: number) =>
    Float32Array.from(Array.from({ length: 300 }, (_, i) => [...around(first + (i % count))]).flat())
  return { vectors: Float32Array.from(vectors), ofFew: of(large, few), ofMany: of(0, large) }
}

// One floor for all queries finds 0.69 to 0.70 of the ten nearest here: the few of the topic, and half of those beyond it.
it.each([11, 12, 13])(
  'topics that have just come, of fewer rows than are asked for, are found too, seed %i',
  async seed => {
    const { vectors, ofFew, ofMany } = topics(250, seed)
    const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, vectors)
    const [few, many] = [recallOf(index, ofFew, 10, 0.95), recallOf(index, ofMany, 10, 0.95)]
    expect(few.recall).toBeGreaterThan(0.8)
    // And nobody else pays for it.
    expect(many.rows).toBeLessThan(100)
  },
)

it('rows of which hardly two are unlike tell no floors: the nearest is found in few buckets', async () => {
  const vectors = new Float32Array(3000 * DIM).fill(1)
  vectors[0] = 5
  vectors[DIM] = -3
  const index = await VectorIndex.build({ dim: DIM, metric: 'ip' }, vectors)
  expect(index.isCalibrated).toBe(true)
  const { ids, scannedBuckets } = index.searchSync(vectors.subarray(0, DIM), { k: 1, recall: 0.9 })
  expect(ids).toEqual([0])
  // Without a floor every row is looked at, and no bucket.
  expect(scannedBuckets).toBeGreaterThan(0)
})
