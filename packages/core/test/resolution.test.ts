/**
 * Proves that a recall is held where the 8-bit codes of rows say little: for rows that lie close together far from the origin, wherever they are
 * kept, and for neighbours that lie closer than codes tell. And that nothing is compared for its sake where codes are good.
 */
import { expect, it } from 'vitest'
import { gaussian, seededRandom, VectorIndex } from '../src/index.js'
import { numbers, recallOf } from './data.js'

/** Places of one town: a tenth of a degree around 48.8, 2.2. */
function town(count: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: 2 * count }, (_, i) =>
    i % 2 ? 2.2 + 0.2 * random() : 48.8 + 0.1 * random(),
  )
}

function line(count: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: count }, () => gaussian(random))
}

it.each([100, 1000, 5000])('%i places of one town are found in a memtable and in buckets', async count => {
  const places = town(count, 3)
  const index = new VectorIndex({ dim: 2, metric: 'l2' })
  index.upsert(numbers(count), places)
  expect(recallOf(index, town(50, 4), 10)).toBe(1)
  await index.flush(index.rotate()!)
  expect(recallOf(index, town(50, 5), 10)).toBe(1)
  const built = await VectorIndex.build({ dim: 2, metric: 'l2' }, places)
  expect(recallOf(built, town(50, 6), 10)).toBe(1)
  const { ids } = await built.searchBatch(town(20, 7), { k: 1 })
  expect([...ids]).toEqual(
    Array.from({ length: 20 }, (_, q) => built.exactSync(town(20, 7).slice(2 * q, 2 * q + 2), 1).ids[0]),
  )
})

it.each(['l2', 'ip'] as const)(
  'rows so short that their squares are too small for float32 are found by %s',
  async metric => {
    const dim = 16
    const random = seededRandom(3)
    const short = (count: number) =>
      Float32Array.from({ length: count * dim }, () => 1e-20 * gaussian(random))
    const index = new VectorIndex({ dim, metric })
    index.upsert(numbers(4000), short(4000))
    expect(recallOf(index, short(50), 10)).toBe(1)
    await index.flush(index.rotate()!)
    await index.calibrate()
    expect(recallOf(index, short(50), 10)).toBe(1)
  },
)

it('rows that move away from the origin are noticed', () => {
  const index = new VectorIndex({ dim: 2, metric: 'l2' })
  index.upsert(
    numbers(1000),
    town(1000, 3).map((value, i) => value - (i % 2 ? 2.3 : 48.85)),
  )
  const near = index.explain(new Float32Array(2), { k: 10 }, () => 0)
  index.upsert(numbers(1000), town(1000, 3))
  expect(recallOf(index, town(50, 4), 10)).toBe(1)
  expect(near.expectedRecall).toBe(0.95)
})

it('neighbours that are closer than codes tell are found, also by an index that was put back', async () => {
  const index = await VectorIndex.build({ dim: 1, metric: 'l2' }, line(20_000, 3))
  expect(recallOf(index, line(100, 4), 10)).toBeGreaterThan(0.95)
  const again = await VectorIndex.build({ dim: 1, metric: 'l2' }, line(20_000, 3))
  again.restoreLearned(index.takeLearned())
  expect(recallOf(again, line(100, 4), 10)).toBeGreaterThan(0.95)
})

it('rows that codes tell apart, and rows that are all the same, are not compared one by one', async () => {
  const random = seededRandom(5)
  const far = Float32Array.from({ length: 16 * 5000 }, () => 3 + gaussian(random))
  const index = await VectorIndex.build({ dim: 16, metric: 'l2' }, far)
  expect(index.explain(far.slice(0, 16), { k: 10 }, () => 0).scannedRows).toBeLessThan(2500)
  const same = await VectorIndex.build({ dim: 2, metric: 'l2' }, new Float32Array(2 * 5000).fill(48.8))
  expect(same.explain(Float32Array.of(48.8, 48.8), { k: 10 }, () => 0).stop).not.toBe('exact')
})
