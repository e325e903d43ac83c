/**
 * Proves that healing never loses, doubles or revives a row: seeded writes come between its steps, pins are open, it is aborted and the
 * index closed in the middle; and that it comes to rest on data that cannot be split or merged.
 */
import { afterAll, expect, it } from 'vitest'
import { IndexPool, seededRandom, VectorIndex } from '../src/index.js'
import { clustered, expectExactly, numbers, rowOf } from './data.js'

const DIM = 16
const ROWS = 3000
const options = { dim: DIM, metric: 'l2', bucketRows: 8 } as const
const vectors = clustered(ROWS, DIM, 80, 11)

/** Rows of half of the topics come later and come all at once, so that there is everything to do. */
async function drifted(threads?: IndexPool): Promise<VectorIndex> {
  const order = numbers(ROWS).sort((a, b) => vectors[a * DIM]! - vectors[b * DIM]!)
  const part = (ids: number[]) => Float32Array.from(ids.flatMap(id => [...rowOf(vectors, DIM, id)]))
  const [first, then] = [order.slice(0, ROWS / 2), order.slice(ROWS / 2)]
  const index = await VectorIndex.build(threads ? { ...options, pool: threads } : options, part(first), {
    ids: first,
  })
  index.upsert(then, part(then))
  await index.flush(index.rotate()!)
  index.delete(first.filter(id => id % 8 > 0))
  return index
}

function living(index: VectorIndex): number[] {
  return numbers(ROWS).filter(id => index.find(id) >= 0)
}

const pool = new IndexPool({ threads: 2 })
afterAll(() => pool.close())

it.each([
  [1, 'here'],
  [2, 'here'],
  [3, 'here'],
  [4, 'in the pool'],
  [5, 'in the pool'],
] as const)('writes between the steps are kept as they were made, seed %i, %s', async (seed, where) => {
  const index = await drifted(where === 'here' ? undefined : pool)
  const random = seededRandom(seed)
  const model = new Map(living(index).map(id => [id, rowOf(vectors, DIM, id)]))
  let running = true
  const healing = index.maintain().finally(() => {
    running = false
  })
  let writes = 0
  for (; running; writes++) {
    const id = Math.floor(random() * ROWS)
    if (random() < 0.5) {
      index.delete([id])
      model.delete(id)
    } else {
      const vector = rowOf(vectors, DIM, Math.floor(random() * ROWS))
      index.upsert([id], vector)
      model.set(id, vector)
    }
    if (writes % 64 === 0) expectExactly(index, model.keys())
    await new Promise(setImmediate)
  }
  const { operations } = await healing
  expect(operations).toBeGreaterThan(50)
  expect(writes).toBeGreaterThan(20)
  expectExactly(index, model.keys())
  for (const [id, vector] of model) expect(index.vectorAt(index.find(id))).toEqual(vector)
})

it('healing in the pool does what it does here', async () => {
  const [here, there] = [await drifted(), await drifted(pool)]
  const [one, other] = [await here.maintain(), await there.maintain()]
  expect(one.kinds.split).toBeGreaterThan(5)
  expect(one.kinds.refine).toBeGreaterThan(20)
  expect(other).toEqual(one)
  expect(there.centroids()).toEqual(here.centroids())
  for (const id of living(here)) {
    expect(there.bucketsOf(there.find(id))).toEqual(here.bucketsOf(here.find(id)))
  }
  // The signs of the entries too: what is scanned is found.
  for (const id of numbers(200)) {
    const query = rowOf(vectors, DIM, id)
    const asked = { k: 10, recall: 0.9 }
    expect(there.searchSync(query, asked)).toEqual(here.searchSync(query, asked))
  }
})

it('a batch that is under way sees each row of its moment once', async () => {
  const index = await drifted(pool)
  const alive = new Set(living(index))
  const healing = index.maintain()
  for (let i = 0; i < 10; i++) {
    const { ids, counts } = await index.searchBatch(vectors.slice(0, 2 * DIM), {
      k: ROWS,
      probes: Number.POSITIVE_INFINITY,
    })
    expect([...counts]).toEqual([alive.size, alive.size])
    expect(new Set(ids.slice(0, counts[0]))).toEqual(alive)
  }
  expect((await healing).operations).toBeGreaterThan(50)
  expectExactly(index, alive)
})

it('a plan made in slices is the plan', async () => {
  const index = await drifted()
  // Each measures how far some centroids are off: by then all are known.
  for (let i = 0; i < 20; i++) index.plan()
  const inSlices = await index.planInSlices()
  expect(inSlices.sort((a, b) => a.serial - b.serial)).toEqual(
    index.plan().sort((a, b) => a.serial - b.serial),
  )
  expect(inSlices.length).toBeGreaterThan(100)
})

it('aborted in the middle of a split, it leaves every row where it can be found, and the next call goes on', async () => {
  const index = await drifted()
  const alive = living(index)
  const split = index.plan().find(({ kind }) => kind === 'split')!
  const stop = new AbortController()
  const applying = index.apply(split, { signal: stop.signal })
  setImmediate(() => stop.abort())
  await applying.catch(error => expect(error.name).toBe('AbortError'))
  expectExactly(index, alive)
  await index.maintain()
  expectExactly(index, alive)
  expect(index.plan().filter(({ kind }) => kind === 'split').length).toBeLessThan(10)
})

it('closing in the middle ends it at once', async () => {
  const index = await drifted()
  const healing = index.maintain()
  await new Promise(setImmediate)
  index.close()
  await expect(healing).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
})

it('an operation whose bucket has gone or needs it no more does nothing', async () => {
  const index = await drifted()
  const plan = index.plan()
  await index.maintain()
  const alive = living(index)
  const buckets = index.stats().buckets
  for (const operation of plan.filter(({ kind }) => kind !== 'refine')) {
    expect(await index.apply(operation)).toMatchObject({ applied: false, moves: 0, seconds: 0 })
  }
  expect(index.stats().buckets).toBe(buckets)
  expectExactly(index, alive)
})

it('a budget of moves is kept, and what a merge cannot finish is drained next', async () => {
  const index = await drifted()
  const merge = index.plan().find(({ kind, moves }) => kind === 'merge' && moves > 0)!
  if (merge) {
    const { after } = await index.apply(merge, { budget: 0 })
    expect(after.buckets).toBe(index.stats().buckets)
    expect(index.bucketStats()[merge.bucket]?.draining).toBe(true)
    const again = index.plan().find(({ bucket }) => bucket === merge.bucket)!
    expect(again.kind).toBe('merge')
    expect((await index.apply(again)).applied).toBe(true)
  }
  for (const budget of [1, 10, 10, 50, 300]) {
    const { moves } = await index.maintain({ budget })
    expect(moves).toBeGreaterThan(0)
    expect(moves).toBeLessThanOrEqual(budget)
  }
  await expect(index.maintain({ budget: -1 })).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
  expect(() => index.plan({ policy: 'best' as never })).toThrow(
    expect.objectContaining({ code: 'DRIFT_OPTION' }),
  )
})

it('a budget of one row a call comes to an end: buckets that it cannot fill are not made', async () => {
  const index = await drifted()
  const rows = index.count
  let moves = 0
  for (let healed = await index.maintain({ budget: 1 }); healed.operations > 0 && moves < 2 * rows; ) {
    moves += healed.moves
    healed = await index.maintain({ budget: 1 })
  }
  expect(moves).toBeLessThan(rows)
})

it('progress never goes back, and ends where all is done', async () => {
  const index = await drifted(pool)
  const told: [number, number][] = []
  await index.maintain({ onProgress: (done, total) => told.push([done, total]) })
  expect(told.length).toBeGreaterThan(100)
  for (const [i, [done, total]] of told.entries()) {
    expect(done).toBe(i + 1)
    expect(total).toBeGreaterThanOrEqual(done)
  }
  expect(told.at(-1)![0]).toBe(told.at(-1)![1])
})

it.each([
  ['ten thousand identical rows', () => new Float32Array(10_000 * 4).fill(0.5)],
  ['all rows at the origin', () => new Float32Array(10_000 * 4)],
  ['one row', () => new Float32Array(4).fill(1)],
])('%s: it comes to rest', async (_, make) => {
  const same = make()
  const count = same.length / 4
  const index = new VectorIndex({ dim: 4, metric: 'l2' })
  index.upsert(numbers(count), same)
  await index.flush(index.rotate()!)
  await index.maintain()
  expect((await index.maintain()).moves).toBe(0)
  expect(index.plan().filter(({ kind }) => kind === 'split')).toEqual([])
  expect(index.count).toBe(count)
  expect(index.searchSync(same.slice(0, 4), { k: 5 }).ids).toHaveLength(Math.min(5, count))
})

it('an empty index, and one from which everything was deleted and refilled', async () => {
  const index = new VectorIndex(options)
  expect(await index.maintain()).toMatchObject({ operations: 0, moves: 0 })
  for (let round = 0; round < 3; round++) {
    index.upsert(numbers(ROWS), vectors)
    await index.flush(index.rotate()!)
    expectExactly(index, numbers(ROWS))
    index.delete(numbers(ROWS))
    await index.maintain()
    expectExactly(index, [])
    expect(index.stats().buckets).toBeLessThan(10)
  }
})
