/**
 * Proves that refining brings rows and buckets together after an index has grown, while every row stays findable and what dies
 * meanwhile stays dead.
 */
import { expect, it } from 'vitest'
import { NONE, seededRandom, VectorIndex } from '../src/index.js'
import { clustered, expectExactly, numbers, rowOf } from './data.js'

const DIM = 24
const ROWS = 8000
const STEP = 1000
const vectors = clustered(ROWS, DIM, 160, 31)

/** Flushed in steps, each with clusters of its own: the first buckets know nothing of the later rows. */
async function grown(): Promise<VectorIndex> {
  const index = new VectorIndex({ dim: DIM, metric: 'l2', memtableRows: STEP })
  const order = numbers(ROWS).sort((a, b) => vectors[a * DIM]! - vectors[b * DIM]!)
  for (let at = 0; at < ROWS; at += STEP) {
    const ids = order.slice(at, at + STEP)
    const rows = new Float32Array(STEP * DIM)
    ids.forEach((id, i) => {
      rows.set(rowOf(vectors, DIM, id), i * DIM)
    })
    index.upsert(ids, rows)
    await index.flush(index.rotate()!)
  }
  return index
}

/** Rows of which another bucket than their home is nearer. */
function misplaced(index: VectorIndex): number {
  const centroids = index.centroids()
  let count = 0
  for (let id = 0; id < ROWS; id++) {
    const row = index.find(id)
    if (row < 0) continue
    const vector = index.vectorAt(row)
    let best = NONE
    let least = Number.POSITIVE_INFINITY
    for (let bucket = 0; bucket < centroids.length / DIM; bucket++) {
      let distance = 0
      for (let i = 0; i < DIM; i++) distance += (vector[i]! - centroids[bucket * DIM + i]!) ** 2
      if (distance < least) {
        least = distance
        best = bucket
      }
    }
    if (index.bucketsOf(row)[0] !== best) count++
  }
  return count
}

it('rows find their nearest bucket after the index has grown', async () => {
  const index = await grown()
  const before = misplaced(index)
  let chunks = 1
  while (await index.refine()) chunks++
  expect(chunks).toBeGreaterThan(2)
  expect(index.refinements).toBe(1)
  expect(misplaced(index)).toBeLessThan(before / 2)
  expectExactly(index, numbers(ROWS))
  expect(await index.refine()).toBe(false)
  expect(index.refinements).toBe(1)
})

it('what many deletes leave in the buckets is gone when nothing is left to refine', async () => {
  const index = await grown()
  while (await index.refine());
  const gone = numbers(ROWS).filter(id => id % 8 !== 0)
  expect(index.delete(gone)).toBe(gone.length)
  const dead = () => index.bucketStats().reduce((sum, { stored, live }) => sum + stored - live, 0)
  const left = dead()
  expect(left).toBeGreaterThan(ROWS / 2) // two entries a row: a delete has rewritten nothing
  while (await index.refine());
  expect(dead()).toBeLessThan(left / 4)
  expectExactly(
    index,
    numbers(ROWS).filter(id => id % 8 === 0),
  )
})

it('every row is found between two chunks, and what was deleted or replaced meanwhile stays so', async () => {
  const index = await grown()
  const random = seededRandom(3)
  const alive = new Set(numbers(ROWS))
  for (let more = true; more; ) {
    const chunk = index.refine()
    for (let i = 0; i < 100; i++) {
      const id = Math.floor(random() * ROWS)
      if (random() < 0.5) {
        alive.delete(id)
        index.delete([id])
      } else {
        alive.add(id)
        index.upsert([id], rowOf(vectors, DIM, Math.floor(random() * ROWS)))
      }
    }
    more = await chunk
    expectExactly(index, alive)
  }
  const probed = index.searchSync(rowOf(vectors, DIM, 0), { k: ROWS, probes: 100_000, ef: 4096 })
  expect(new Set(probed.ids)).toEqual(alive)
  expect(probed.ids).toHaveLength(alive.size)
})

it('a batch that is under way sees each row once', async () => {
  const index = await grown()
  const queries = vectors.slice(0, 4 * DIM)
  const refining = (async () => {
    while (await index.refine());
  })()
  for (let i = 0; i < 5; i++) {
    const { ids, counts } = await index.searchBatch(queries, { k: ROWS, probes: 100_000 })
    expect([...counts]).toEqual(Array(4).fill(ROWS))
    expect(new Set(ids.slice(0, ROWS)).size).toBe(ROWS)
  }
  await refining
})
