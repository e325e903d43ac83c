// A collection whose vectors are only in its segments answers as one that holds them in memory: the same rows to the bit, the same nearest
// when all are compared, the same recall when not; through writes, compaction, healing, crashes and reopening, in a fraction of the memory.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { type Collection, Drift, type OpenOptions } from '../src/index.js'
import { clusteredVectors, randomNumbers, temporaryFolder } from './fixture.js'

const DIM = 24
const PAGE_BYTES = 16 * 1024

/** The same rows twice. */
interface Twins {
  readonly resident: Collection
  readonly cold: Collection
}

async function twins(db: Drift, options: object = {}): Promise<Twins> {
  const given = { dim: DIM, metric: 'l2', ...options } as const
  return {
    resident: await db.collection('resident', { ...given, cold: 'resident' }),
    cold: await db.collection('cold', { ...given, cold: 'disk' }),
  }
}

async function rowsOf(docs: Collection): Promise<Map<unknown, string>> {
  const rows = new Map<unknown, string>()
  for await (const { id, vector, payload } of docs.scan()) {
    rows.set(id, `${vector.join()} ${JSON.stringify(payload)}`)
  }
  return rows
}

/** They hold the same, and tell the same when every row is compared. */
async function expectTwins({ resident, cold }: Twins, queries: Float32Array): Promise<void> {
  expect(await rowsOf(cold)).toEqual(await rowsOf(resident))
  const filter = { even: true }
  for (let q = 0; q < queries.length / DIM; q++) {
    const query = queries.subarray(q * DIM, (q + 1) * DIM)
    for (const more of [{}, { filter }, { payload: true }]) {
      const truth = await resident.search(query, { k: 12, recall: 1, ...more })
      expect(await cold.search(query, { k: 12, recall: 1, ...more })).toEqual(truth)
      const radius = truth[5]?.distance ?? 1
      const within = await resident.search(query, { radius, ...more })
      expect(await cold.search(query, { radius, ...more })).toEqual(within)
    }
    const exact = new Map(
      (await resident.search(query, { k: 5000, recall: 1 })).map(hit => [hit.id, hit.distance]),
    )
    for (const { id, distance } of await cold.search(query, { k: 5 })) expect(distance).toBe(exact.get(id))
  }
  const all = { k: 7, recall: 1 }
  expect(await cold.searchBatch(queries, all)).toEqual(await resident.searchBatch(queries, all))
}

it('is the twin of a resident collection through every operation, crashes and restarts among them', async () => {
  const random = randomNumbers(11)
  const below = (limit: number) => Math.floor(random() * limit)
  let disk = new SimFs()
  const options = (fs: SimFs): OpenOptions => ({
    fs,
    walFileBytes: 256 * 1024,
    minFreeBytes: 0,
    maintenance: 'manual',
    // Three pages: most rows are read again and again.
    pageCacheBytes: 3 * PAGE_BYTES,
  })
  let db = await Drift.open('/db', options(disk))
  let both = await twins(db, { memtableRows: 300 })
  const vectors = clusteredVectors(4000, DIM, 1)
  const queries = clusteredVectors(4, DIM, 2)
  const steps: Record<string, (docs: Collection, seed: number) => Promise<unknown>> = {
    async upsert(docs, seed) {
      const draw = randomNumbers(seed)
      const ids = Array.from({ length: 120 }, () => Math.floor(draw() * 1500))
      const rows = Float32Array.from({ length: 120 * DIM }, (_, i) => {
        const id = ids[Math.floor(i / DIM)]!
        // No two are equal, so no two distances are.
        const own = i % DIM === 0 ? id / 4000 : 0
        return vectors[((id * 7 + seed) % 4000) * DIM + (i % DIM)]! + own
      })
      await docs.upsert({ ids, vectors: rows, payloads: ids.map(id => ({ even: id % 2 === 0, seed })) })
    },
    async delete(docs, seed) {
      const draw = randomNumbers(seed)
      await docs.delete(Array.from({ length: 40 }, () => Math.floor(draw() * 1500)))
    },
    update: (docs, seed) =>
      docs.updatePayload([seed % 1500, (seed * 3) % 1500], { seed, even: seed % 3 === 0 }),
    flush: docs => docs.flush(),
    compact: docs => docs.compact(),
    maintain: docs => docs.maintain(),
  }
  const weights = ['upsert', 'upsert', 'upsert', 'upsert', 'delete', 'update', 'flush', 'compact', 'maintain']
  for (let step = 0; step < 70; step++) {
    const kind = weights[below(weights.length)]!
    const seed = below(1 << 30)
    for (const docs of [both.resident, both.cold]) await steps[kind]!(docs, seed)
    if (step % 9 === 8) {
      await expectTwins(both, queries)
      if (below(2) === 0) await db.close()
      else {
        const cut = disk.powerCut({ data: 'none', entries: 'none' })
        await db.close()
        disk = cut
      }
      db = await Drift.open('/db', options(disk))
      both = await twins(db)
      await expectTwins(both, queries)
    }
  }
  const { pageCache } = await db.stats()
  expect(pageCache.bytes).toBeLessThanOrEqual(3 * PAGE_BYTES)
  expect(pageCache.misses).toBeGreaterThan(100)
  expect((await db.check()).findings).toEqual([])
  await db.close()
})

describe('a collection that is larger than the memory for its vectors', () => {
  const ROWS = 12_000
  const all = clusteredVectors(150 + ROWS, DIM, 3)
  const queries = all.subarray(0, 150 * DIM)
  const vectors = all.subarray(150 * DIM)

  async function fill({ resident, cold }: Twins): Promise<void> {
    for (let first = 0; first < ROWS; first += 1000) {
      const ids = Array.from({ length: 1000 }, (_, i) => first + i)
      const batch = { ids, vectors: vectors.subarray(first * DIM, (first + 1000) * DIM) }
      await resident.upsert(batch)
      await cold.upsert(batch)
    }
    await resident.flush()
    await cold.flush()
  }

  it('finds as many as one that is in memory, and holds no more pages than it may', async () => {
    const pageCacheBytes = 8 * PAGE_BYTES
    await using db = await Drift.open(temporaryFolder(), { pageCacheBytes, sync: 'os', shadow: 1 })
    const both = await twins(db, { memtableRows: 2000 })
    await fill(both)
    for (const docs of [both.resident, both.cold]) await docs.maintain()
    const found = { resident: 0, cold: 0 }
    for (let q = 0; q < 150; q++) {
      const query = queries.subarray(q * DIM, (q + 1) * DIM)
      const truth = new Set((await both.resident.search(query, { recall: 1 })).map(({ id }) => id))
      for (const which of ['resident', 'cold'] as const) {
        const hits = await both[which].search(query, { recall: 0.9 })
        found[which] += hits.filter(({ id }) => truth.has(id)).length
      }
    }
    // Which of two misses an unlikely neighbour is chance: a hundredth is one standard deviation.
    expect(found.cold).toBeGreaterThan(Math.min(found.resident, 0.9 * 1500) - 0.02 * 1500)
    const stats = await both.cold.stats()
    expect(stats).toMatchObject({ cold: 'disk', rows: ROWS })
    // What waited to be flushed at once.
    expect(stats.memory['vectors']).toBeLessThan(0.75 * ROWS * DIM * 4)
    expect((await both.resident.stats()).memory['vectors']).toBeGreaterThanOrEqual(ROWS * DIM * 4)
    const { pageCache } = await db.stats()
    expect(pageCache).toMatchObject({ bytes: pageCacheBytes, maxBytes: pageCacheBytes })
    expect(pageCache.hits).toBeGreaterThan(0)
    expect(pageCache.misses).toBeGreaterThan(stats.diskRows / 1000)
    await both.cold.maintain()
    const [told] = (await both.cold.stats()).recall
    expect(Math.abs(told!.measured - found.cold / 1500)).toBeLessThan(0.05)
  })

  it('opens the same with its index file, without it, and read-only', async () => {
    const path = temporaryFolder()
    {
      await using db = await Drift.open(path, { sync: 'os', threads: 0 })
      await fill(await twins(db, { memtableRows: 2000 }))
    }
    for (const readOnly of [false, true]) {
      await using db = await Drift.open(path, { readOnly, threads: 0 })
      const both = await twins(db)
      await expectTwins(both, queries.subarray(0, 3 * DIM))
      expect((await both.cold.stats()).memory['vectors']).toBe(0)
    }
    for (const name of readdirSync(path)) if (name.startsWith('idx-')) rmSync(join(path, name))
    await using db = await Drift.open(path, { threads: 0 })
    await expectTwins(await twins(db), queries.subarray(0, 3 * DIM))
  })

  it('fails the search that needs a damaged page, with its code, and no other', async () => {
    const path = temporaryFolder()
    {
      await using db = await Drift.open(path, { sync: 'os', threads: 0 })
      const docs = await db.collection('docs', { dim: DIM, metric: 'l2', cold: 'disk' })
      await docs.upsert({
        ids: Array.from({ length: 2000 }, (_, i) => i),
        vectors: vectors.subarray(0, 2000 * DIM),
      })
      await docs.flush()
    }
    const segment = join(path, readdirSync(path).find(name => name.startsWith('seg-'))!)
    const bytes = readFileSync(segment)
    // In the first page, which holds the first 170 rows.
    bytes[4096 + 500]! ^= 1
    writeFileSync(segment, bytes)
    await using db = await Drift.open(path, { threads: 0 })
    const docs = await db.collection('docs')
    await expect(docs.get(5)).rejects.toMatchObject({ code: 'DRIFT_CORRUPT_CRC' })
    await expect(docs.search(vectors.subarray(5 * DIM, 6 * DIM), { k: 1 })).rejects.toMatchObject({
      code: 'DRIFT_CORRUPT_CRC',
    })
    expect((await docs.get(1500))?.vector).toEqual(vectors.slice(1500 * DIM, 1501 * DIM))
    expect((await db.check()).ok).toBe(false)
  })
})

it('takes less than two bytes of memory a value', async () => {
  const dim = 256
  await using db = await Drift.open(temporaryFolder(), { sync: 'os', threads: 0, maintenance: 'manual' })
  const docs = await db.collection('docs', { dim, metric: 'cosine', cold: 'disk', memtableRows: 4096 })
  const random = randomNumbers(5)
  const centres = Float32Array.from({ length: 256 * dim }, () => random() - 0.5)
  const told: number[] = []
  for (let first = 0; first < 65_536; first += 1024) {
    const vectors = Float32Array.from({ length: 1024 * dim }, (_, i) => {
      const centre = Math.imul(first + Math.floor(i / dim), 0x9e3779b1) >>> 24
      return centres[centre * dim + (i % dim)]! + 0.5 * (random() - 0.5)
    })
    await docs.upsert({ ids: Array.from({ length: 1024 }, (_, i) => first + i), vectors })
    if (first + 1024 !== 16_384 && first + 1024 !== 65_536) continue
    await docs.flush()
    const { vectors: waiting, ...memory } = (await docs.stats()).memory
    // Rows of a few memtables.
    expect(waiting).toBeLessThan(4 * 4096 * dim * 4)
    told.push(Object.values(memory).reduce((sum, bytes) => sum + bytes, 0))
  }
  expect((told[1]! - told[0]!) / 49_152).toBeLessThan(2 * dim)
})

it('is chosen when the collection is created, by name', async () => {
  await using db = await Drift.open(':memory:')
  const make = (name: string, cold: unknown) => db.collection(name, { dim: 3, cold: cold as 'disk' })
  for (const cold of ['memory', true, 1, '']) {
    await expect(make('a', cold)).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
  }
  await make('a', 'disk')
  await make('a', 'disk')
  await expect(make('a', 'resident')).rejects.toMatchObject({ code: 'DRIFT_COLLECTION_MISMATCH' })
  await make('b', undefined)
  await make('b', 'resident')
  await expect(make('b', 'disk')).rejects.toMatchObject({ code: 'DRIFT_COLLECTION_MISMATCH' })
  for (const pageCacheBytes of [-1, 1.5, '1', Number.NaN]) {
    await expect(Drift.open(':memory:', { pageCacheBytes: pageCacheBytes as number })).rejects.toMatchObject({
      code: 'DRIFT_OPTION',
    })
  }
})

// A number that compaction finds in an old segment may meanwhile have gone to a row that is not acknowledged yet.
it('keeps the vectors of rows that are being written while segments are brought together', async () => {
  const folder = temporaryFolder()
  const db = await Drift.open(folder, { walFileBytes: 1 << 20 })
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 64, cold: 'disk' })
  const random = randomNumbers(17)
  const written = new Map<number, Float32Array>()
  const lane = async (first: number): Promise<void> => {
    for (let i = 0; i < 12; i++) {
      const vectors = clusteredVectors(20, DIM, Math.floor(random() * 1e6))
      const ids = Array.from({ length: 20 }, () => first + Math.floor(random() * 100))
      await docs.upsert({ ids, vectors })
      ids.forEach((id, j) => {
        written.set(id, vectors.slice(j * DIM, (j + 1) * DIM))
      })
    }
  }
  for (let round = 0; round < 3; round++) {
    await Promise.all([lane(0), lane(100), lane(200), docs.compact().then(() => docs.compact())])
    for (const [id, vector] of written) expect((await docs.get(id))?.vector).toEqual(vector)
  }
  await db.close()
  rmSync(folder, { recursive: true })
})
