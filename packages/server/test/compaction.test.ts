// Compaction changes which files hold the rows and nothing else: after any mixture of writes, compactions and reopenings the rows are
// those of a model; files stay few and small; who reads an older moment reads on; and a power cut at any point of it loses nothing.
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { anyRun, type Candidate, dueRun, streamRun } from '../src/compaction-policy.js'
import { type Collection, Drift } from '../src/index.js'
import { clusteredVectors, randomNumbers, temporaryFolder } from './fixture.js'

const FOLDER = '/db'
const DIM = 4
const OPTIONS = { walFileBytes: 64 * 1024, threads: 0 } as const
type Model = Map<string, string>

async function rowsOf(docs: Collection): Promise<Model> {
  const rows: Model = new Map()
  for await (const { id, vector, payload } of docs.scan()) {
    expect(rows.has(id as string), `${id} is there twice`).toBe(false)
    rows.set(id as string, `${vector.join()} ${JSON.stringify(payload)}`)
  }
  return rows
}

/** Write some random rows, delete some; the model follows. */
async function churn(docs: Collection, model: Model, random: () => number, ids: number): Promise<void> {
  const rows = Array.from({ length: 1 + Math.floor(random() * 12) }, () => {
    const vector = Float32Array.from({ length: DIM }, () => random())
    return { id: `id ${Math.floor(random() * ids)}`, vector, payload: { n: Math.floor(random() * 1e6) } }
  })
  await docs.upsert(rows)
  for (const { id, vector, payload } of rows) model.set(id, `${vector.join()} ${JSON.stringify(payload)}`)
  if (random() < 0.5) {
    const gone = Array.from({ length: 3 }, () => `id ${Math.floor(random() * ids)}`)
    await docs.delete(gone)
    for (const id of gone) model.delete(id)
  }
}

describe('compaction', () => {
  it.each([1, 2, 3, 4])('keeps every row and no other through churn and reopening (seed %i)', async seed => {
    const random = randomNumbers(seed)
    const disk = new SimFs()
    const model: Model = new Map()
    let db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
    let docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 16 })
    let fewer = 0
    for (let step = 0; step < 120; step++) {
      await churn(docs, model, random, 60)
      const dice = random()
      if (dice < 0.25) await docs.flush()
      else if (dice < 0.35) {
        const { segments } = await docs.stats()
        await docs.compact()
        if ((await docs.stats()).segments < segments) fewer++
      } else if (dice < 0.45) {
        // A power cut keeps what was acknowledged; a close keeps it too.
        const image = disk.powerCut({ data: 'none', entries: 'none' })
        await using cut = await Drift.open(FOLDER, { ...OPTIONS, fs: image })
        expect(await rowsOf(await cut.collection('docs'))).toEqual(model)
        if (random() < 0.5) {
          await db.close()
          db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
          docs = await db.collection('docs')
        }
      }
      if (step % 10 === 0) expect(await rowsOf(docs)).toEqual(model)
    }
    expect(fewer).toBeGreaterThan(2)
    expect(await rowsOf(docs)).toEqual(model)
    const hits = await docs.search(new Float32Array(DIM), { k: 1000, probes: 1_000_000, payload: true })
    expect(hits.map(({ id }) => id).sort()).toEqual([...model.keys()].sort())
    await db.close()
  })

  it('leaves one segment and no tombstones when all is compacted', async () => {
    const disk = new SimFs()
    await using db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 32 })
    const random = randomNumbers(9)
    const model: Model = new Map()
    for (let i = 0; i < 60; i++) await churn(docs, model, random, 200)
    await docs.compact()
    const { segments, rows } = await docs.stats()
    expect(segments).toBe(1)
    expect(rows).toBe(model.size)
    // Two manifests keep their files: another one lets go of the older one's.
    await docs.upsert([{ id: 'one more', vector: [0, 0, 0, 0] }])
    await docs.flush()
    await docs.upsert([{ id: 'one more', vector: [0, 0, 0, 1] }])
    await docs.flush()
    const names = disk.list(FOLDER)
    expect(names.filter(name => name.startsWith('del-'))).toEqual([])
    expect(names.filter(name => name.startsWith('seg-')).length).toBeLessThanOrEqual(4)
  })

  it('keeps at most half more rows in files than count, however long rows are replaced', async () => {
    const disk = new SimFs()
    await using db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 256 })
    const random = randomNumbers(3)
    const count = 4000
    let worst = 0
    for (let round = 0; round < 160; round++) {
      const ids = Array.from({ length: 128 }, (_, i) =>
        round * 128 < count ? round * 128 + i : Math.floor(random() * count),
      )
      await docs.upsert({ ids, vectors: clusteredVectors(128, DIM, round) })
      if (round % 2 === 1) await docs.flush()
      if (round * 128 < 2 * count) continue
      await settled(docs)
      const { diskRows, rows, unflushedRows } = await docs.stats()
      worst = Math.max(worst, diskRows / (rows - unflushedRows))
    }
    expect(worst).toBeGreaterThan(1)
    expect(worst).toBeLessThan(1.5)
    expect((await docs.stats()).segments).toBeLessThan(20)
  })

  it('lets a scan that began before it read on to the end', async () => {
    const disk = new SimFs()
    await using db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 32 })
    const random = randomNumbers(5)
    const model: Model = new Map()
    for (let i = 0; i < 40; i++) await churn(docs, model, random, 300)
    await docs.flush()
    const before = new Map(model)
    const scan = docs.scan()
    const seen: Model = new Map()
    for (let i = 0; i < 5; i++) take((await scan.next()).value!, seen)
    // Most rows are replaced, and their files go: those of before are still wanted.
    for (let i = 0; i < 40; i++) await churn(docs, model, random, 300)
    await docs.compact()
    await docs.compact()
    for await (const row of scan) take(row, seen)
    expect(seen).toEqual(before)
    expect(await rowsOf(docs)).toEqual(model)
  })

  it('ends when the rows that died are only dead in the log', async () => {
    const disk = new SimFs()
    const db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 64 })
    const vectors = clusteredVectors(40, DIM, 1)
    await docs.upsert({ ids: Array.from({ length: 40 }, (_, i) => i), vectors })
    await docs.flush()
    await docs.upsert([{ id: 'more', vector: [1, 2, 3, 4] }])
    const flushed = docs.flush()
    await docs.delete(Array.from({ length: 30 }, (_, i) => i))
    await flushed
    for (let i = 0; i < 200; i++) await new Promise(resolve => setImmediate(resolve))
    const before = disk.operationCount
    for (let i = 0; i < 200; i++) await new Promise(resolve => setImmediate(resolve))
    // A look at the room on the disk now and then is all.
    expect(disk.operationCount).toBeLessThan(before + 5)
    expect(await docs.count()).toBe(11)
    await db.close()
  })

  it('checks clean when an older segment still needs a deletion from the middle of what was brought together', async () => {
    const disk = new SimFs()
    const db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 8192 })
    await docs.upsert({ ids: [...Array(4200).keys()], vectors: clusteredVectors(4200, DIM, 1) })
    await docs.flush()
    for (const id of ['a', 'b', 7, 'c']) {
      await docs.upsert([{ id, vector: [4, 3, 2, 1] }])
      if (id === 'b') await docs.delete([7, 8])
      await docs.flush()
    }
    await settled(docs)
    expect(await docs.stats()).toMatchObject({ rows: 4202, segments: 2 })
    expect(disk.list(FOLDER).filter(name => name.startsWith('del-'))).toHaveLength(1)
    expect((await db.check()).findings).toEqual([])
    await db.close()
    expect((await Drift.check(FOLDER, { fs: disk })).findings).toEqual([])
    await using again = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
    expect((await (await again.collection('docs')).get(7))?.vector).toEqual(Float32Array.of(4, 3, 2, 1))
    expect(await (await again.collection('docs')).get(8)).toBeUndefined()
  })

  it('keeps every file that counts when a thread writes them', async () => {
    const path = temporaryFolder()
    const random = randomNumbers(7)
    const model: Model = new Map()
    const db = await Drift.open(path, { walFileBytes: 64 * 1024 })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 64 })
    for (let round = 0; round < 30; round++) {
      for (let step = 0; step < 4; step++) await churn(docs, model, random, 60)
      const flushed = docs.flush()
      const gone = [...model.keys()].slice(0, 20)
      await docs.delete(gone)
      for (const id of gone) model.delete(id)
      await flushed
      if (round % 3 === 0) await docs.compact()
      expect((await db.check()).findings).toEqual([])
    }
    await db.close()
    await using again = await Drift.open(path)
    expect(await rowsOf(await again.collection('docs'))).toEqual(model)
  })

  it('leaves the rows alone that are written while it and the database end', async () => {
    const [rows, step] = [12_000, 60]
    let state: 'idle' | 'compacts' | 'has written' = 'idle'
    let close = (): void => {}
    const disk = new SimFs({
      before(operation, path) {
        if (state === 'compacts' && operation === 'write' && path.includes('seg-')) state = 'has written'
        if (state !== 'has written' || operation !== 'rename' || !path.includes('manifest-')) return
        state = 'idle'
        queueMicrotask(close)
      },
    })
    const db = await Drift.open(FOLDER, { threads: 0, fs: disk, maintenance: 'off' })
    const docs = await db.collection('docs', { dim: 1, metric: 'l2', memtableRows: rows })
    const model = new Map<number, string>()
    const write = (first: number, count: number, version: number): Promise<unknown> => {
      const ids = Array.from({ length: count }, (_, i) => first + i)
      for (const id of ids) model.set(id, `${id}, ${version}`)
      return docs.upsert({
        ids,
        vectors: Float32Array.from(ids, id => id + version),
        payloads: ids.map(id => ({ text: model.get(id) })),
      })
    }
    await write(0, rows, 0)
    await docs.flush()
    await write(0, rows / 4, 1)
    await docs.flush()
    const ends: Promise<unknown>[] = []
    close = () => {
      // Over several turns of the event loop: rows get the numbers of those that were replaced before them, and are flushed.
      for (let first = 0; first < rows; first += step) ends.push(write(first, step, 2))
      ends.push(write(0, step, 3), db.close())
    }
    state = 'compacts'
    await expect(docs.compact()).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
    await Promise.all(ends)
    await using again = await Drift.open(FOLDER, { threads: 0, fs: disk })
    const found = new Map<unknown, unknown>()
    for await (const { id, payload } of (await again.collection('docs')).scan({ vectors: false })) {
      found.set(id, payload?.['text'])
    }
    expect(found.size).toBe(rows)
    expect([...model].filter(([id, text]) => found.get(id) !== text)).toEqual([])
  })

  it('stops when told to, with everything still there', async () => {
    await using db = await Drift.open(FOLDER, { ...OPTIONS, fs: new SimFs() })
    const docs = await db.collection('docs', { dim: DIM, metric: 'l2' })
    await docs.upsert([{ id: 1, vector: [1, 2, 3, 4] }])
    await expect(docs.compact({ signal: AbortSignal.abort() })).rejects.toThrow('aborted')
    const stages: string[] = []
    await docs.compact({ onProgress: ({ stage, done, total }) => stages.push(`${stage} ${done === total}`) })
    expect(stages.at(-1)).toBe('compact true')
    expect(await docs.count()).toBe(1)
  })

  it('survives a power cut before any of its operations on the disk', async () => {
    let checked = 0
    for (const seed of [1]) {
      const random = randomNumbers(seed)
      const model: Model = new Map()
      let images: SimFs[] = []
      let watching = false
      const disk: SimFs = new SimFs({
        before(_operation, _path, count) {
          if (!watching) return
          const kept = count % 2 ? 'none' : 'random'
          images.push(disk.powerCut({ data: kept, entries: kept, seed: seed * 1e6 + count }))
        },
      })
      const db = await Drift.open(FOLDER, { ...OPTIONS, fs: disk })
      const docs = await db.collection('docs', { dim: DIM, metric: 'l2', memtableRows: 16 })
      for (let round = 0; round < 2; round++) {
        for (let i = 0; i < 12; i++) await churn(docs, model, random, 60)
        watching = true
        await docs.compact()
        watching = false
        for (const image of images) {
          await using cut = await Drift.open(FOLDER, { ...OPTIONS, fs: image })
          expect(await rowsOf(await cut.collection('docs'))).toEqual(model)
        }
        checked += images.length
        images = []
      }
      await db.close()
    }
    expect(checked).toBeGreaterThan(60)
  })
})

describe('the choice of segments', () => {
  const of = (live: number, rows = live, isKnown = true): Candidate => ({
    bytes: rows * 16,
    rows,
    live,
    isKnown,
  })

  it('rests while there is little to gain', () => {
    expect(dueRun([])).toBeUndefined()
    expect(dueRun([of(64_000), of(16_000), of(4_000), of(1_000, 1_300)])).toBeUndefined()
  })

  it('takes four of a size, and what is smaller between them', () => {
    const sizes = [64_000, 5_000, 6_000, 100, 7_000, 5_500]
    expect(dueRun(sizes.map(rows => of(rows)))).toEqual({ first: 1, count: 5 })
  })

  it('waits for sixteen of a size while rows stream in, but not with what is a quarter dead', () => {
    const alike = (count: number) => Array.from({ length: count }, () => of(5_000))
    expect(streamRun(alike(15))).toBeUndefined()
    expect(streamRun(alike(16))).toEqual({ first: 0, count: 16 })
    expect(streamRun([...alike(3), of(3_700, 5_000)])).toEqual({ first: 3, count: 1 })
  })

  it('takes what is a quarter dead, before all else', () => {
    expect(dueRun([of(900), of(900), of(900), of(900), of(750, 1000)])).toEqual({ first: 4, count: 1 })
  })

  it('never crosses the edge of what the index file knows, nor its bounds in size', () => {
    expect(dueRun([of(900), of(900), of(900, 900, false), of(900, 900, false)])).toBeUndefined()
    expect(anyRun([of(900), of(900, 900, false)])).toBeUndefined()
    const large = { bytes: 300 * 1024 * 1024, rows: 1e6, live: 1e6, isKnown: true }
    expect(dueRun([large, large, large, large])).toBeUndefined()
  })
})

/** Resolves when compaction in the background has had its turn. */
async function settled(docs: Collection): Promise<void> {
  for (let last = ''; ; ) {
    const { segments, diskRows } = await docs.stats()
    const now = `${segments} ${diskRows}`
    if (now === last) return
    last = now
    // One flush of nothing, and a turn of the event loop for each step of a compaction over the simulated disk.
    for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
  }
}

function take(
  { id, vector, payload }: { id: unknown; vector: Float32Array; payload?: unknown },
  seen: Model,
): void {
  seen.set(id as string, `${vector.join()} ${JSON.stringify(payload)}`)
}
