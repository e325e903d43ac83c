// A database opens from its stored index with the answers that it had, and with the same ones when that file is gone, cut off or damaged
// anywhere. Vectors that follow behind are waited for; damage in them is told, never answered around.
import { readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { clusteredVectors, randomNumbers, temporaryFolder } from './fixture.js'

const DIM = 24
const OPTIONS = { walFileBytes: 64 * 1024, threads: 0 } as const

/** Segments, tombstones, and rows that are only in the log. */
async function fill(path: string): Promise<void> {
  await using db = await Drift.open(path, OPTIONS)
  const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 256 })
  const vectors = clusteredVectors(900, DIM, 1)
  for (let first = 0; first < 900; first += 100) {
    const ids = Array.from({ length: 100 }, (_, i) => `row ${first + i}`)
    const payloads = ids.map(id => ({ id }))
    await docs.upsert({ ids, vectors: vectors.subarray(first * DIM, (first + 100) * DIM), payloads })
    if (first === 400) await docs.delete(['row 3', 'row 150', 'row 399'])
    if (first === 600) await docs.flush()
  }
}

interface Answers {
  readonly rows: ReadonlyMap<unknown, string>
  readonly hits: readonly string[]
}

async function answers(docs: Collection): Promise<Answers> {
  const rows = new Map<unknown, string>()
  for await (const { id, vector, payload } of docs.scan()) {
    rows.set(id, `${vector.join()} ${JSON.stringify(payload)}`)
  }
  const queries = clusteredVectors(10, DIM, 2)
  const hits: string[] = []
  for (let q = 0; q < 10; q++) {
    const query = queries.subarray(q * DIM, (q + 1) * DIM)
    // All rows: every distance is exact then, whatever the buckets are.
    const found = await docs.search(query, { k: 1000, probes: 1_000_000 })
    hits.push(found.map(({ id, distance }) => `${id} ${distance}`).join())
  }
  return { rows, hits }
}

async function open(path: string): Promise<{ db: Drift; docs: Collection; restored: boolean }> {
  let restored = false
  const onProgress = ({ stage }: { stage: string }): void => {
    restored ||= stage === 'restore docs'
  }
  const db = await Drift.open(path, { ...OPTIONS, onProgress })
  return { db, docs: await db.collection('docs'), restored }
}

function indexFile(path: string): string {
  return join(path, readdirSync(path).find(name => name.startsWith('idx-'))!)
}

describe('opening from a stored index', () => {
  it('gives the answers of before, and goes on being written to', async () => {
    const path = temporaryFolder()
    await fill(path)
    const first = await open(path)
    expect(first.restored).toBe(true)
    const expected = await answers(first.docs)
    expect(expected.rows.size).toBe(897)
    await first.docs.upsert([{ id: 'row 5', vector: new Float32Array(DIM), payload: { id: 'new' } }])
    await first.docs.delete(['row 700'])
    await first.docs.flush()
    const after = await answers(first.docs)
    await first.db.close()
    const second = await open(path)
    expect(second.restored).toBe(true)
    expect(await answers(second.docs)).toEqual(after)
    expect(after.rows.get('row 5')).toContain('new')
    await second.docs.compact()
    expect(await answers(second.docs)).toEqual(after)
    await second.db.close()
    const third = await open(path)
    expect(third.restored).toBe(true)
    expect(await answers(third.docs)).toEqual(after)
    await third.db.close()
  })

  it('and without it, is given up between two segments when something else says so', async () => {
    const path = temporaryFolder()
    await fill(path)
    rmSync(indexFile(path))
    const stop = new AbortController()
    const reports: { readonly done: number; readonly total: number }[] = []
    const onProgress = (report: { stage: string; done: number; total: number }): void => {
      if (report.stage !== 'open docs') return
      // As a signal to the process would: in a turn of the event loop of its own.
      if (reports.push(report) === 1) setImmediate(() => stop.abort(new Error('enough')))
    }
    const opening = Drift.open(path, { ...OPTIONS, signal: stop.signal, onProgress })
    await expect(opening).rejects.toThrow('enough')
    expect(reports.at(-1)!.done).toBeLessThan(reports.at(-1)!.total)
    const { db, docs } = await open(path)
    expect(await docs.count()).toBe(897)
    await db.close()
  })

  it('goes on with what its queries had taught it', async () => {
    const path = temporaryFolder()
    const options = { ...OPTIONS, shadow: 1, maintenance: 'manual' } as const
    const vectors = clusteredVectors(6000, DIM, 1)
    const queries = clusteredVectors(60, DIM, 2)
    const ids = (first: number, end: number) => Array.from({ length: end - first }, (_, i) => first + i)
    {
      await using db = await Drift.open(path, options)
      const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 512 })
      await docs.upsert({ ids: ids(0, 3000), vectors: vectors.subarray(0, 3000 * DIM) })
      await docs.flush()
      for (let q = 0; q < 60; q++) {
        await docs.search(queries.subarray(q * DIM, (q + 1) * DIM), { k: 10, recall: 0.9 })
      }
      await docs.maintain()
      expect((await docs.stats()).recall[0]!.samples).toBeGreaterThan(40)
      // So many rows more that the index is stored again.
      await docs.upsert({ ids: ids(3000, 6000), vectors: vectors.subarray(3000 * DIM) })
      await docs.flush()
    }
    await using db = await Drift.open(path, options)
    const docs = await db.collection('docs')
    const { recall } = await docs.stats()
    expect(recall).toHaveLength(1)
    expect(recall[0]).toMatchObject({ k: 10, target: 0.9 })
    // What was measured is of half of them.
    expect(recall[0]!.samples).toBeGreaterThan(25)
  })

  describe('gives the same answers without it', () => {
    let path: string
    let expected: Answers
    let whole: Buffer
    let name: string

    const damaged: [string, () => void][] = [
      ['gone', () => rmSync(name)],
      ['empty', () => truncateSync(name, 0)],
      ['cut off at its middle', () => truncateSync(name, whole.length >> 1)],
      ['cut off by a byte', () => truncateSync(name, whole.length - 1)],
      ['longer than it was', () => writeFileSync(name, Buffer.concat([whole, Buffer.alloc(64)]))],
      ['another file', () => writeFileSync(name, readFileSync(join(path, 'FORMAT')))],
    ]
    const random = randomNumbers(4)
    for (let i = 0; i < 12; i++) {
      const share = random()
      const bit = 1 << Math.floor(random() * 8)
      damaged.push([
        `wrong in one bit at ${Math.floor(100 * share)} %`,
        () => {
          const bytes = Buffer.from(whole)
          bytes[Math.floor(share * bytes.length)]! ^= bit
          writeFileSync(name, bytes)
        },
      ])
    }

    beforeAll(async () => {
      path = temporaryFolder()
      await fill(path)
      name = indexFile(path)
      whole = readFileSync(name)
      const { db, docs } = await open(path)
      expected = await answers(docs)
      await db.close()
    })

    it('whatever has happened to it', async () => {
      let restored = 0
      for (const [what, damage] of damaged) {
        name = indexFile(path)
        whole = readFileSync(name)
        damage()
        const again = await open(path)
        const found = await answers(again.docs)
        expect(found.rows, what).toEqual(expected.rows)
        expect(found.hits, what).toEqual(expected.hits)
        if (again.restored) restored++
        await again.db.close()
      }
      // A bit in what no reader looks at (padding is looked at, zeros between sections are not) does no harm.
      expect(restored).toBeLessThan(damaged.length / 3)
    })
  })
})

describe('vectors that follow behind', () => {
  it('are waited for by whoever needs them, and their damage is told', async () => {
    const path = temporaryFolder()
    const dim = 2048
    const rows = 4200 // 33 MiB: more than is read before the database is open
    {
      await using db = await Drift.open(path, { threads: 0, shadow: false, maintenance: 'off' })
      const docs = await db.collection('wide', { dim, metric: 'l2', memtableRows: 8192 })
      const random = randomNumbers(8)
      const vectors = Float32Array.from({ length: 300 * dim }, () => random())
      for (let first = 0; first < rows; first += 300) {
        vectors[0] = first
        await docs.upsert({ ids: Array.from({ length: 300 }, (_, i) => first + i), vectors })
      }
      await docs.flush()
    }
    {
      await using db = await Drift.open(path, { threads: 0 })
      const docs = await db.collection('wide')
      const [hit] = await docs.search((await docs.get(3000))!.vector, { k: 1 })
      expect(hit).toMatchObject({ id: 3000, distance: 0 })
    }
    const segment = join(path, readdirSync(path).find(name => name.startsWith('seg-'))!)
    const bytes = readFileSync(segment)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(segment, bytes)
    vi.useFakeTimers({ toFake: ['setInterval'] })
    try {
      const db = await Drift.open(path, { threads: 0 })
      const docs = await db.collection('wide')
      const damage = { code: 'DRIFT_CORRUPT_CRC' }
      await expect(docs.search(new Float32Array(dim), { k: 1 })).rejects.toMatchObject(damage)
      await expect(docs.get(1)).rejects.toMatchObject(damage)
      expect(await docs.count()).toBe(rows)
      // Recall is measured now and then: what is wrong with the vectors is no news then, and no reason to end the process.
      vi.advanceTimersByTime(60_000)
      await new Promise(resolve => setImmediate(resolve))
      await db.close()
    } finally {
      vi.useRealTimers()
    }
  })
})
