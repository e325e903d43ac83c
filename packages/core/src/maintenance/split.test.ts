/** Proves that a split keeps every row, tells two clumps apart, gives up on rows that are all the same point, and is whole or not at all. */
import { blockBytes, MAX_ROW_SLAB_BYTES } from '@drift/native'
import { expect, it } from 'vitest'
import { requireShape } from '../arguments.js'
import { NONE } from '../bucket/extent.js'
import { IndexState } from '../index-state.js'
import { gaussian, seededRandom } from '../random.js'
import { splitBucket } from './split.js'

function bucketOf(vectors: Float32Array, dim: number): IndexState {
  const state = new IndexState(requireShape({ dim, metric: 'l2' }))
  const count = vectors.length / dim
  const ids = Array.from({ length: count }, (_, i) => i)
  const rows = state.load(ids, vectors, Uint32Array.from(ids), 'l2')
  state.addBuckets(new Float32Array(dim))
  for (const row of rows) state.place(row, 0, NONE)
  return state
}

it('two clumps become two buckets with a centroid in each', () => {
  const random = seededRandom(2)
  const vectors = Float32Array.from({ length: 60 * 4 }, (_, i) => (i < 25 * 4 ? 10 : -10) + gaussian(random))
  const state = bucketOf(vectors, 4)
  expect(splitBucket(state, 0)).toBe(1)
  const halves = [0, 1].map(bucket => [...state.directory.rowsOf(bucket)])
  expect(halves.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, i) => i))
  expect(halves.map(half => half.length).sort()).toEqual([25, 35])
  for (const bucket of [0, 1]) {
    const side = Math.sign(vectors[halves[bucket]![0]! * 4]!)
    for (const row of halves[bucket]!) {
      expect(Math.sign(vectors[row * 4]!)).toBe(side)
      expect(state.store.home[row]).toBe(bucket)
    }
    for (let i = 0; i < 4; i++) expect(state.centroidOf(bucket)[i]! * side).toBeGreaterThan(9)
  }
})

it('the same point sixty times stays one bucket', () => {
  const state = bucketOf(new Float32Array(60 * 4).fill(3), 4)
  expect(splitBucket(state, 0)).toBeUndefined()
  expect(state.directory.count).toBe(1)
  expect(state.directory.rowsOf(0)).toHaveLength(60)
})

it.each([
  ['a split', (state: IndexState) => splitBucket(state, 0)],
  ['a recentring', (state: IndexState) => state.recentre(0, new Float32Array(64).fill(9))],
  ['a second bucket', (state: IndexState) => state.move(0, 0, 1)],
  ['a move', (state: IndexState) => state.move(0, 1, NONE)],
  ['a row without a home', (state: IndexState) => state.place(60, 1, 0)],
])('%s that finds no room changes nothing', (_, change) => {
  const random = seededRandom(3)
  const vectors = Float32Array.from({ length: 60 * 4 }, (_, i) => (i < 25 * 4 ? 10 : -10) + gaussian(random))
  const state = bucketOf(vectors, 4)
  state.addBuckets(new Float32Array(4).fill(50))
  state.load(['homeless'], new Float32Array(4), Uint32Array.of(0), 'l2')
  const { directory, store, router } = state
  const seen = () => ({
    rows: [0, 1].map(bucket => [...directory.rowsOf(bucket)]),
    counts: [directory.count, router.count, directory.homesIn(0), directory.lives[0], directory.rowsAtHome],
    homes: [...store.home.subarray(0, 61), ...store.second.subarray(0, 61)],
    centroids: router.centroids.slice(0, 2 * router.padded),
  })
  const before = seen()
  // All blocks are taken. Never touched, so they take no memory.
  const most = Math.floor(MAX_ROW_SLAB_BYTES / blockBytes(router.padded))
  directory.extents.restore(most, () => {})
  let room = 0
  for (; room < 8; room++) {
    try {
      change(state)
      break
    } catch (error) {
      expect(error).toMatchObject({ code: 'DRIFT_FULL' })
      expect(seen(), `with room for ${room}`).toEqual(before)
      directory.extents.freeBlock(most - 1 - room)
    }
  }
  expect(room).toBeGreaterThan(0)
  expect(room).toBeLessThan(8)
  expect(seen()).not.toEqual(before)
})

// With the entry of the row that leaves it the second bucket has so many dead ones that it would be rewritten before it takes another block.
it('a row whose home and second bucket change places needs no more room than was reserved', () => {
  const state = bucketOf(new Float32Array(60 * 4).fill(3), 4)
  state.addBuckets(new Float32Array(4).fill(50))
  const { directory, store } = state
  for (let row = 0; row < 32; row++) state.move(row, 0, 1)
  for (let row = 0; row < 9; row++) state.leaveSecond(row)
  const most = Math.floor(MAX_ROW_SLAB_BYTES / blockBytes(state.router.padded))
  directory.extents.restore(most, () => {})
  for (const block of [most - 1, most - 2]) directory.extents.freeBlock(block)
  const { release } = state.pin() // or what is rewritten would be free at once
  state.move(31, 1, 0)
  release()
  expect([store.home[31], store.second[31]]).toEqual([1, 0])
  for (const bucket of [0, 1]) expect([...directory.rowsOf(bucket)]).toContain(31)
  expect(directory.rowsAtHome).toBe(60)
})

it('a bucket that lost its rows takes the new half', () => {
  const random = seededRandom(4)
  const state = bucketOf(
    Float32Array.from({ length: 60 * 4 }, () => gaussian(random)),
    4,
  )
  state.addBuckets(new Float32Array(4).fill(100))
  const [row] = state.load(['gone'], new Float32Array(4).fill(100), Uint32Array.of(0), 'l2')
  state.place(row!, 1, NONE)
  state.delete(['gone'])
  expect(splitBucket(state, 0)).toBe(1)
  expect(state.directory.count).toBe(2)
  expect(state.directory.homesIn(0) + state.directory.homesIn(1)).toBe(60)
})

it('second entries follow the nearer half', () => {
  const random = seededRandom(6)
  const vectors = Float32Array.from({ length: 80 * 4 }, (_, i) => (i % 8 < 4 ? 10 : -10) + gaussian(random))
  const state = bucketOf(vectors.slice(0, 60 * 4), 4)
  state.addBuckets(new Float32Array(4).fill(50))
  const ids = Array.from({ length: 20 }, (_, i) => `guest ${i}`)
  const guests = state.load(
    ids,
    vectors.slice(60 * 4),
    Uint32Array.from(ids, (_, i) => i),
    'l2',
  )
  for (const row of guests) state.place(row, 1, 0)
  expect(splitBucket(state, 0)).toBe(2)
  for (const row of guests) {
    const second = state.store.second[row]!
    const side = Math.sign(state.store.vectors![row * 4]!)
    expect(Math.sign(state.centroidOf(second)[0]!)).toBe(side)
    expect([...state.directory.rowsOf(second)]).toContain(row)
    expect(state.store.home[row]).toBe(1)
  }
})
