/**
 * Proves that flushes which overlap keep what one after the other keeps: while the rows of one generation go to their buckets, the files
 * of the next are written, in real threads and on a real disk, where they do overlap.
 */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { FsError, SimFs } from '@drift/fs'
import { describe, expect, it, vi } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { randomNumbers, temporaryFolder } from './fixture.js'

const DIM = 32
const ROWS = 1_024
const DELETED = 50
const ROUNDS = 5

/** A compaction would leave out rows that are dead, whatever the files say of them. */
const open = (folder: string): Promise<Drift> => Drift.open(folder, { threads: 1, maintenance: 'off' })

/** One generation's rows. */
function upsert(docs: Collection, generation: number): Promise<unknown> {
  const first = generation * ROWS
  const ids = Array.from({ length: ROWS }, (_, i) => first + i)
  const vectors = Float32Array.from({ length: ROWS * DIM }, (_, i) => Math.sin(first * DIM + i))
  return docs.upsert({ ids, vectors })
}

async function idsIn(folder: string): Promise<number[]> {
  await using db = await open(folder)
  const ids: number[] = []
  for await (const { id } of (await db.collection('docs')).scan()) ids.push(id as number)
  return ids.sort((a, b) => a - b)
}

/** The files of truth say all, without the log, which is cut, and without the index file, which knows what is dead. */
function forgetIndex(folder: string): void {
  for (const name of readdirSync(folder)) if (name.startsWith('idx-')) rmSync(join(folder, name))
}

describe('a flush that cannot open the segment that it wrote', () => {
  it('leaves no file, however often it is tried', async () => {
    let refuses = true
    const fs = new SimFs({
      before(operation, path) {
        // It is written under another name.
        if (refuses && operation === 'open' && path.endsWith('.drs'))
          throw new FsError('DRIFT_FS_EMFILE', 'planned', { operation, path })
      },
    })
    const db = await Drift.open('/db', { fs, threads: 0, maintenance: 'off' })
    const docs = await db.collection('docs', { dim: DIM })
    await docs.upsert([{ id: 1, vector: new Float32Array(DIM).fill(1) }])
    const segments = () => fs.list('/db').filter(name => name.startsWith('seg-'))
    for (let attempt = 0; attempt < 3; attempt++) {
      await expect(docs.flush()).rejects.toMatchObject({ code: 'DRIFT_FS_EMFILE' })
      expect(segments()).toEqual([])
    }
    refuses = false
    await docs.flush()
    expect(segments()).toHaveLength(1)
    await db.close()
  })
})

describe('a flush that somebody waits for', () => {
  it('writes one index file, with what it has learned', async () => {
    const made = new Set<string>()
    const fs = new SimFs({
      before(operation, path) {
        if (operation === 'open' && path.includes('/idx-')) made.add(path)
      },
    })
    const db = await Drift.open('/db', { fs, threads: 0 })
    const docs = await db.collection('docs', { dim: DIM, memtableRows: 8 * ROWS })
    for (const generation of [0, 1, 2, 3]) await upsert(docs, generation)
    await docs.flush()
    await db.close()
    expect(made.size).toBe(1)
  })

  it('does not hold up the end of the database', async () => {
    const db = await open(temporaryFolder())
    const docs = await db.collection('docs', { dim: DIM, memtableRows: 8 * ROWS })
    for (const generation of [0, 1, 2, 3]) await upsert(docs, generation)
    const flushed = docs.flush().catch((error: { code: string }) => error.code)
    await new Promise(resolve => setImmediate(resolve))
    await db.close()
    expect([undefined, 'DRIFT_CLOSED']).toContain(await flushed)
  })

  it('does not keep segments from being brought together while more rows come than it waits for', async () => {
    await using db = await Drift.open('/db', { fs: new SimFs(), threads: 0 })
    const random = randomNumbers(1)
    const large = await db.collection('large', { dim: DIM, memtableRows: 32 * ROWS })
    const small = await db.collection('small', { dim: 1, metric: 'l2', memtableRows: 1 })
    const ids = Array.from({ length: 24 * ROWS }, (_, i) => i)
    await large.upsert({ ids, vectors: Float32Array.from({ length: ids.length * DIM }, random) })
    let isFlushed = false
    const flushed = large.flush().then(() => {
      isFlushed = true
    })
    let most = 0
    let isMerged = false
    for (let id = 0; id < 500 && !isFlushed && !isMerged; id++) {
      await small.upsert([{ id, vector: [id] }])
      const { segments } = await small.stats()
      isMerged = segments < most
      most = Math.max(most, segments)
    }
    expect(isMerged).toBe(true)
    await flushed
  })
})

describe('flushes that overlap', () => {
  it('hide what the second generation deletes of the first while that is being written', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const folder = temporaryFolder()
      const db = await open(folder)
      const docs = await db.collection('docs', { dim: DIM, memtableRows: ROWS })
      // What follows a full generation freezes it, and its rows are taken to be written as they are then.
      await upsert(docs, 0)
      const more = [upsert(docs, 1)]
      await new Promise(resolve => setImmediate(resolve))
      more.push(docs.delete(Array.from({ length: DELETED }, (_, id) => id)))
      for (const generation of [2, 3, 4]) more.push(upsert(docs, generation))
      await Promise.all(more)
      await docs.flush()
      await db.close()
      forgetIndex(folder)
      const left = Array.from({ length: 5 * ROWS - DELETED }, (_, i) => DELETED + i)
      expect(await idsIn(folder)).toEqual(left)
    }
  })

  it('end for whoever waits, though more is written all the time', async () => {
    await using db = await Drift.open(temporaryFolder(), { threads: 1, sync: 'os', minFreeBytes: 0 })
    const docs = await db.collection('docs', { dim: DIM, memtableRows: 16 })
    await upsert(docs, 0)
    let isFlushed = false
    const write = async (): Promise<void> => {
      for (let generation = 1; !isFlushed; generation++) await upsert(docs, generation % 4)
    }
    const writers = [write(), write(), write(), write()]
    await docs.flush()
    expect((await docs.stats()).segments).toBeGreaterThan(0)
    isFlushed = true
    await Promise.all(writers)
  })

  it('leave no file of a collection that is dropped meanwhile', async () => {
    const folder = temporaryFolder()
    const db = await open(folder)
    const docs = await db.collection('docs', { dim: DIM, memtableRows: ROWS })
    await Promise.all([0, 1, 2, 3, 4].map(generation => upsert(docs, generation)))
    await db.drop('docs')
    // Files of a manifest go with the next but one.
    for (const name of ['a', 'b']) await db.collection(name, { dim: DIM })
    await db.close()
    expect(readdirSync(folder).filter(name => name.startsWith('seg-'))).toEqual([])
  })
})

it('rows are flushed and compacted also when the clock stands before 1970', async () => {
  vi.setSystemTime(-1)
  try {
    await using db = await Drift.open('/db', { fs: new SimFs(), threads: 0, maintenance: 'manual' })
    const docs = await db.collection('docs', { dim: 1 })
    for (const id of [1, 2]) {
      await docs.upsert([{ id, vector: [1] }])
      await docs.flush()
    }
    await docs.compact()
    expect((await docs.stats()).segments).toBe(1)
  } finally {
    vi.useRealTimers()
  }
})
