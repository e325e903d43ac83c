/**
 * Proves that the index is a map with a nearest-neighbour search: seeded random commands run against it and against a Map with
 * brute force, and after each the ids, versions and distances are equal.
 */
import { kernels } from '@drift/native'
import { describe, expect, it } from 'vitest'
import { type Id, type Metric, prepare, publicDistance, seededRandom, VectorIndex } from '../src/index.js'
import { expectExactly } from './data.js'

const DIM = 8
const COMMANDS = 250

describe.each<[Metric, number]>([
  ['l2', 1],
  ['l2', 2],
  ['cosine', 3],
  ['ip', 4],
])('commands under %s with seed %i', (metric, seed) => {
  it('leave the same rows as a Map', async () => {
    const random = seededRandom(seed)
    const below = (limit: number) => Math.floor(random() * limit)
    const index = new VectorIndex({
      dim: DIM,
      metric,
      memtableRows: 64,
      bucketRows: 4,
      efConstruction: 40,
      seed,
    })
    const model = new Map<Id, Float32Array>()
    const anyId = (): Id => [below(300), `key ${below(100)}`, BigInt(below(50))][below(3)]!
    const anyVectors = (count: number) => Float32Array.from({ length: count * DIM }, () => random() * 2 - 1)
    const remember = (ids: Id[], vectors: Float32Array) => {
      prepare(metric, vectors, DIM, 0, ids.length)
      ids.forEach((id, i) => {
        model.set(id, vectors.slice(i * DIM, (i + 1) * DIM))
      })
    }

    for (let step = 0; step < COMMANDS; step++) {
      const ids = Array.from({ length: 1 + below(20) }, anyId)
      const vectors = anyVectors(ids.length)
      const command = below(100)
      if (command < 50) {
        const replaced = index.upsert(ids, vectors)
        expect(replaced).toBe(new Set(ids.filter(id => model.has(id))).size)
        remember(ids, vectors)
      } else if (command < 55) {
        index.abandon(index.append(ids, vectors))
      } else if (command < 60) {
        remember(ids, vectors) // prepares them in place, as load wants them
        index.load(ids, vectors)
      } else if (command < 80) {
        expect(index.delete(ids)).toBe(ids.filter(id => model.delete(id)).length)
      } else if (command < 90) {
        let clock = 0
        index.link(below(40), () => clock++)
      } else if (command < 95) {
        index.rotate()
      } else {
        for (const memtable of index.frozen) await index.flush(memtable)
        while (await index.refine());
      }
      expectExactly(index, model.keys())
      expectNearest(index, model, anyVectors(1), metric)
      const id = anyId()
      expect(index.find(id) >= 0).toBe(model.has(id))
      if (model.has(id)) expect(index.vectorAt(index.find(id))).toEqual(model.get(id))
    }
    expect(index.stats().buckets).toBeGreaterThan(10)
  })
})

function expectNearest(
  index: VectorIndex,
  model: Map<Id, Float32Array>,
  query: Float32Array,
  metric: Metric,
): void {
  const prepared = query.slice()
  prepare(metric, prepared, DIM, 0, 1)
  const distance = new Float32Array(1)
  const truth = [...model].map(([id, vector]) => {
    kernels.distances(metric === 'l2' ? 'l2' : 'ip', prepared, vector, DIM, 0, 1, distance)
    return { id, distance: distance[0]! }
  })
  truth.sort((a, b) => a.distance - b.distance)
  const nearest = truth.slice(0, 10)
  const found = index.exactSync(query, 10)
  expect(found.ids).toEqual(nearest.map(({ id }) => id))
  expect([...found.distances]).toEqual(
    nearest.map(({ distance }) => Math.fround(publicDistance(metric, distance))),
  )
}
