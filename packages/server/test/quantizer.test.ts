// A collection keeps the mode of its quantizer for ever, and answers in each mode as truly: as rows are written, flushed, replaced and deleted,
// when it is opened from its stored index, without it, and with a damaged one.
import { readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Collection, Drift, type IndexQuantizer } from '../src/index.js'
import { clusteredVectors, temporaryFolder } from './fixture.js'

const DIM = 24
const ROWS = 4000
const K = 10
const OPTIONS = { threads: 0 } as const

/** Rows in segments, more than codebooks are learned of; some replaced, some deleted, some in the log alone. */
async function fill(docs: Collection): Promise<void> {
  const vectors = clusteredVectors(ROWS, DIM, 1)
  for (let first = 0; first < ROWS; first += 400) {
    const ids = Array.from({ length: 400 }, (_, i) => (first + i) % 3800)
    await docs.upsert({ ids, vectors: vectors.subarray(first * DIM, (first + 400) * DIM) })
    if (first === 3200) await docs.flush()
  }
  await docs.delete([5, 500, 3500])
}

/** What is told when every row is compared, and the share of it that is found when not. */
async function answers(docs: Collection): Promise<{ truth: string[]; recall: number }> {
  const queries = clusteredVectors(100, DIM, 1) // the first rows
  const truth: string[] = []
  let found = 0
  for (let q = 0; q < 100; q++) {
    const query = queries.subarray(q * DIM, (q + 1) * DIM)
    const exact = await docs.search(query, { k: K, recall: 1 })
    const distances = new Set(exact.map(({ distance }) => distance))
    found += (await docs.search(query, { k: K })).filter(({ distance }) => distances.has(distance)).length
    truth.push(exact.map(({ id, distance }) => `${id} ${distance}`).join())
  }
  return { truth, recall: found / (100 * K) }
}

describe.each(['auto', 'sign', 'sq8', 'pq'] as const)('a collection in mode %s', quantizer => {
  it('answers the same from its stored index, without it and with a damaged one', async () => {
    const folder = temporaryFolder()
    const created = await Drift.open(folder, OPTIONS)
    const docs = await created.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 1024, quantizer })
    await fill(docs)
    const before = await answers(docs)
    expect(before.recall).toBeGreaterThan(0.94)
    await created.close()
    const indexFiles = () =>
      readdirSync(folder)
        .filter(name => name.startsWith('idx-'))
        .map(name => join(folder, name))
    const reopened = async () => {
      let isRestored = false
      const onProgress = ({ stage }: { stage: string }) => {
        isRestored ||= stage === 'restore docs'
      }
      await using db = await Drift.open(folder, { ...OPTIONS, onProgress })
      const again = await db.collection('docs', { quantizer })
      expect(await again.stats()).toMatchObject({ quantizer, rows: 3797 })
      const { truth, recall } = await answers(again)
      expect(truth).toEqual(before.truth)
      expect(recall).toBeGreaterThan(0.94)
      return isRestored
    }
    expect(await reopened()).toBe(true)
    for (const path of indexFiles()) truncateSync(path, readFileSync(path).length >> 1)
    expect(await reopened()).toBe(false)
    for (const path of indexFiles()) rmSync(path)
    expect(await reopened()).toBe(false)
  })
})

it('is chosen when the collection is created, by name; without a choice it is auto', async () => {
  const folder = temporaryFolder()
  const make = (db: Drift, name: string, quantizer?: unknown) =>
    db.collection(name, { dim: 3, quantizer: quantizer as IndexQuantizer })
  await using db = await Drift.open(folder, OPTIONS)
  for (const quantizer of ['sq9', '', true, 8, null]) {
    await expect(make(db, 'a', quantizer)).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
  }
  await make(db, 'a', 'sq8')
  await make(db, 'a', 'sq8')
  await make(db, 'a')
  for (const quantizer of ['auto', 'sign', 'pq']) {
    await expect(make(db, 'a', quantizer)).rejects.toMatchObject({ code: 'DRIFT_COLLECTION_MISMATCH' })
  }
  const silent = await make(db, 'b')
  expect(await silent.stats()).toMatchObject({ quantizer: 'auto' })
  await make(db, 'b', 'auto')
  await expect(make(db, 'b', 'sign')).rejects.toMatchObject({ code: 'DRIFT_COLLECTION_MISMATCH' })
})

const METRICS = ['l2', 'ip', 'cosine'] as const
/** Of MAX_SQUARED_LENGTH: the squared distance of two such rows is still a float32. */
const LONGEST = 9.22e18

describe.each(['auto', 'sign', 'sq8', 'pq'] as const)(
  'rows of the greatest length there may be, in mode %s',
  quantizer => {
    it.each(METRICS)(
      'are all found under %s, beside short ones, with distances that are numbers',
      async metric => {
        await using db = await Drift.open(':memory:', { ...OPTIONS, maintenance: 'manual' })
        const docs = await db.collection('docs', { dim: DIM, metric, memtableRows: 1024, quantizer })
        const vectors = clusteredVectors(ROWS, DIM, 3)
        const row = (i: number): Float32Array => vectors.subarray(i * DIM, (i + 1) * DIM)
        // Every other one, and of the rest some in between.
        for (let i = 0; i < ROWS; i += 2) scale(row(i), LONGEST)
        for (let i = 1; i < ROWS; i += 4) scale(row(i), 1e12)
        await docs.upsert({ ids: Array.from({ length: ROWS }, (_, i) => i), vectors })
        for (const stage of ['written', 'flushed', 'maintained']) {
          if (stage === 'flushed') await docs.flush()
          if (stage === 'maintained') await docs.maintain()
          for (const query of [row(0), row(1), row(3), row(10).map(value => -value)]) {
            for (const recall of [0.9, 1]) {
              const hits = await docs.search(query, { k: ROWS, recall })
              expect(hits.length, stage).toBe(ROWS)
              expect(hits.filter(({ distance }) => !Number.isFinite(distance))).toEqual([])
            }
            const [best] = await docs.search(query, { k: 1, recall: 1 })
            const nearest = Array.from({ length: ROWS }, (_, i) => distanceOf(metric, query, row(i)))
            const least = nearest.reduce((a, b) => Math.min(a, b))
            expect(nearest[best!.id as number]).toBeLessThanOrEqual(least + Math.abs(least) * 1e-5 + 1e-6)
          }
        }
        const longer = row(0).map(value => value * 1.01)
        const upsert = docs.upsert([{ id: 'longer', vector: longer }])
        if (metric === 'cosine') await upsert
        else await expect(upsert).rejects.toMatchObject({ code: 'DRIFT_VECTOR_VALUE' })
      },
    )
  },
)

function scale(vector: Float32Array, length: number): void {
  const factor = length / Math.hypot(...vector)
  for (let i = 0; i < vector.length; i++) vector[i]! *= factor
}

/** In doubles. */
function distanceOf(metric: (typeof METRICS)[number], a: Float32Array, b: Float32Array): number {
  const dot = a.reduce((sum, value, i) => sum + value * b[i]!, 0)
  if (metric === 'ip') return -dot
  if (metric === 'cosine') return 1 - dot / Math.hypot(...a) / Math.hypot(...b)
  return a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0)
}
