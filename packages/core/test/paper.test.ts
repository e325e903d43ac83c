/**
 * Proves that mode 'paper' takes the buckets that the formula as printed takes, computed here from centroids and live counts alone: raw and
 * normalised, with dead buckets, in batches, in the pool and among allowed rows; and that it finds the nearest rows of these.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Explanation, IndexPool, type PaperOptions, VectorIndex } from '../src/index.js'
import { clustered, nearby, rowOf } from './data.js'

const DIM = 24
const ROWS = 4000
const K = 10
const QUERIES = 12
let vectors: Float32Array
let queries: Float32Array
let index: VectorIndex
let pool: IndexPool

beforeAll(async () => {
  vectors = clustered(ROWS, DIM, 30, 5)
  queries = nearby(vectors, DIM, QUERIES, 6)
  pool = new IndexPool({ threads: 2 })
  index = await VectorIndex.build({ dim: DIM, metric: 'l2', seed: 3, pool }, vectors)
  // Every third bucket is a zombie: its rows are dead and still stored.
  const dead: number[] = []
  for (let row = 0; row < ROWS; row++) if (index.bucketsOf(row)[0] % 3 === 0) dead.push(row)
  index.delete(dead)
})

afterAll(() => pool.close())

const query = (i: number) => rowOf(queries, DIM, i)
const explain = (i: number, options: PaperOptions): Explanation =>
  index.explain(query(i), { k: K, mode: 'paper', ...options }, () => 0)

/** Best first. */
function scoresOf(of: Float32Array, lambda: number, tau: number): { bucket: number; score: number }[] {
  const centroids = index.centroids()
  const stats = index.bucketStats()
  return stats
    .map(({ bucket, live }) => {
      const centroid = rowOf(centroids, DIM, bucket)
      const distance = Math.hypot(...centroid.map((value, i) => value - of[i]!))
      return { bucket, score: Math.exp(-lambda * distance) * (1 - Math.exp(-live / tau)) }
    })
    .sort((a, b) => b.score - a.score)
}

/** The first of `scores` until they sum up to `needed`, but for the order of scores that float32 does not tell apart. */
function expectTaken(
  { buckets }: Explanation,
  scores: readonly { bucket: number; score: number }[],
  needed: number,
): void {
  const taken: number[] = []
  let sum = 0
  for (const { score } of scores) {
    if (sum >= needed || score === 0) break
    sum += score
    taken.push(score)
  }
  const scoreOf = new Map(scores.map(({ bucket, score }) => [bucket, score]))
  expect(buckets).toHaveLength(taken.length)
  expect(new Set(buckets.map(({ bucket }) => bucket)).size).toBe(taken.length)
  for (const [i, { bucket }] of buckets.entries()) expect(scoreOf.get(bucket)! / taken[i]!).toBeCloseTo(1, 5)
}

it.each([
  { lambda: 0.5, tau: 3, confidence: 0.4 },
  { lambda: 0.5, tau: 40, confidence: 0.4 },
  { lambda: 0.2, tau: 10, confidence: 2 },
  { lambda: 2, tau: 10, confidence: 0.9 },
])('takes buckets by P_eff until its sum reaches the confidence: %o', options => {
  for (let i = 0; i < QUERIES; i++) {
    const scores = scoresOf(query(i), options.lambda, options.tau)
    expectTaken(explain(i, options), scores, options.confidence)
    const total = scores.reduce((sum, { score }) => sum + score, 0)
    const share = { ...options, confidence: Math.min(0.9, options.confidence), normalised: true }
    const normalised = explain(i, share)
    expectTaken(normalised, scores, share.confidence * total)
    expect(normalised).toMatchObject({ stop: 'confidence', expectedRecall: undefined })
    expect(normalised.scannedBuckets).toBe(normalised.buckets.length)
  }
})

it('counts live rows: no bucket without one is opened, however near, and more tau pushes small buckets back', () => {
  const lives = index.bucketStats().map(({ live }) => live)
  const dead = lives.filter(live => live === 0).length
  for (let i = 0; i < QUERIES; i++) {
    const all = explain(i, { lambda: 1, confidence: 1e6 })
    expect(all.buckets).toHaveLength(lives.length - dead)
    expect(all.buckets.every(({ live }) => live > 0)).toBe(true)
  }
  const meanOf = (tau: number) => {
    const first = Array.from({ length: QUERIES }, (_, i) => explain(i, { lambda: 0.5, tau, confidence: 0.3 }))
    const taken = first.flatMap(({ buckets }) => buckets.slice(0, 5).map(({ live }) => live))
    return taken.reduce((sum, live) => sum + live, 0) / taken.length
  }
  expect(meanOf(1000)).toBeGreaterThan(meanOf(0.01) * 1.1)
})

it('finds the nearest rows of the buckets taken, ranked as explain says, and every row at full confidence', () => {
  let hits = 0
  for (let i = 0; i < QUERIES; i++) {
    const options = { k: K, mode: 'paper', lambda: 1, confidence: 0.05 } as const
    const found = index.searchSync(query(i), options)
    const { buckets, scannedBuckets, scannedRows } = explain(i, options)
    expect(found).toMatchObject({ scannedBuckets, scannedRows })
    const taken = new Set(buckets.map(({ bucket }) => bucket))
    const of = (row: number) => index.bucketsOf(row).some(bucket => taken.has(bucket))
    const rows = Array.from(index.exactSync(query(i), index.count).rows)
    const nearest = rows.filter(of).slice(0, K)
    hits += nearest.filter(row => found.rows.includes(row)).length / nearest.length
    for (const { rank, bucket } of buckets) expect(rank).toBe(ranksOf(query(i))[bucket])
    const all = index.searchSync(query(i), { k: index.count, mode: 'paper', confidence: 1e9 })
    expect(new Set(all.rows)).toEqual(new Set(rows))
  }
  expect(hits / QUERIES).toBeGreaterThan(0.99)
})

it('does the same in a batch, over the pool, and with its own defaults', async () => {
  for (const options of [{}, { lambda: 1, confidence: 0.05 }, { confidence: 0.5, normalised: true }]) {
    const width = { k: K, mode: 'paper', ...options } as const
    const batch = await index.searchBatch(queries, width)
    for (let i = 0; i < QUERIES; i++) {
      const alone = await index.search(query(i), width)
      expect(alone.scannedBuckets).toBeGreaterThan(0)
      expect(alone.scannedBuckets).toBeLessThan(index.stats().buckets)
      expect(Array.from(batch.rows.subarray(i * K, i * K + batch.counts[i]!))).toEqual(Array.from(alone.rows))
    }
  }
})

it('among allowed rows a bucket counts those only: none without them is taken', () => {
  const stats = index.bucketStats()
  for (let i = 0; i < QUERIES; i++) {
    // The rows of the buckets that promise least.
    const far = new Set(
      scoresOf(query(i), 0.5, 40)
        .filter(({ bucket }) => stats[bucket]!.live > 0)
        .slice(-20)
        .map(({ bucket }) => bucket),
    )
    const allow = new Uint32Array(Math.ceil(ROWS / 32))
    const holding = new Set<number>()
    let allowed = 0
    for (let row = 0; row < ROWS; row++) {
      if (!index.isLive(row) || !far.has(index.bucketsOf(row)[0])) continue
      allow[row >>> 5]! |= 1 << (row & 31)
      for (const bucket of index.bucketsOf(row)) holding.add(bucket)
      allowed++
    }
    const found = index.searchSync(query(i), {
      k: K,
      mode: 'paper',
      lambda: 0.5,
      tau: 40,
      confidence: 99,
      allow,
    })
    expect(found.scannedBuckets).toBeLessThanOrEqual(holding.size)
    expect(allowed).toBeGreaterThan(0)
    expect(found.rows).toHaveLength(Math.min(K, allowed))
  }
})

it('among allowed rows it finds allowed ones only, and a query on a centroid is answered', async () => {
  const allow = new Uint32Array(Math.ceil(ROWS / 32)).fill(0x5555_5555)
  const { rows } = index.searchSync(query(0), { k: K, mode: 'paper', confidence: 2, allow })
  expect(rows.length).toBeGreaterThan(0)
  expect(Array.from(rows).every(row => row % 2 === 0)).toBe(true)
  const same = await VectorIndex.build({ dim: 2, metric: 'l2' }, new Float32Array(200).fill(3))
  expect(same.searchSync(new Float32Array([3, 3]), { k: 5, mode: 'paper' }).rows).toHaveLength(5)
  const empty = new VectorIndex({ dim: 2, metric: 'l2' })
  expect(empty.searchSync(new Float32Array(2), { k: 5, mode: 'paper' }).rows).toHaveLength(0)
})

it.each<[string, object]>([
  ['DRIFT_OPTION', { mode: 'paper', lambda: 0 }],
  ['DRIFT_OPTION', { mode: 'paper', lambda: -1 }],
  ['DRIFT_OPTION', { mode: 'paper', lambda: Number.NaN }],
  ['DRIFT_OPTION', { mode: 'paper', tau: 0 }],
  ['DRIFT_OPTION', { mode: 'paper', tau: Number.POSITIVE_INFINITY }],
  ['DRIFT_OPTION', { mode: 'paper', confidence: 0 }],
  ['DRIFT_OPTION', { mode: 'paper', confidence: 1.1, normalised: true }],
  ['DRIFT_OPTION', { mode: 'paper', normalised: 1 }],
  ['DRIFT_OPTION', { mode: 'quake' }],
  ['DRIFT_OPTION', { lambda: 1 }],
  ['DRIFT_OPTION', { mode: 'paper', ef: 10, efSearch: 10 }],
  ['DRIFT_EF', { mode: 'paper', efSearch: 0 }],
  ['DRIFT_RECALL', { mode: 'paper', recall: 0.9 }],
  ['DRIFT_RECALL', { mode: 'paper', probes: 3 }],
])('refuses with %s: %o', (code, options) => {
  expect(() => index.searchSync(query(0), { k: K, ...options })).toThrow(expect.objectContaining({ code }))
})

/** Place of each bucket by distance. */
function ranksOf(of: Float32Array): number[] {
  const centroids = index.centroids()
  const distances = index.bucketStats().map(({ bucket }) => {
    const centroid = rowOf(centroids, DIM, bucket)
    return Math.hypot(...centroid.map((value, i) => value - of[i]!))
  })
  const order = distances.map((_, bucket) => bucket).sort((a, b) => distances[a]! - distances[b]!)
  const ranks: number[] = []
  for (const [rank, bucket] of order.entries()) ranks[bucket] = rank
  return ranks
}

it('a query on a centroid, but for rounding, goes by the nearest of the others and does not read every bucket', () => {
  const centroids = index.centroids()
  const alive = index.bucketStats().filter(({ live }) => live > 0)
  for (const { bucket } of alive.slice(0, 50)) {
    const { scannedBuckets } = index.explain(rowOf(centroids, DIM, bucket), { k: K, mode: 'paper' }, () => 0)
    expect(scannedBuckets).toBeLessThan(alive.length / 2)
  }
})
