// Proves: what looks at the whole database goes on while one of its collections is dropped, and what works on that collection is told so.
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'
import { temporaryFolder } from './fixture.js'

const ROWS = 20_000

async function filled(db: Drift, name: string): Promise<Collection> {
  const docs = await db.collection(name, { dim: 2, metric: 'l2', memtableRows: 1000 })
  const ids = Array.from({ length: ROWS }, (_, i) => i)
  await docs.upsert({
    ids,
    vectors: Float32Array.from({ length: 2 * ROWS }, Math.random),
    payloads: ids.map(id => ({ id })),
  })
  return docs
}

describe('beside the drop of a collection', () => {
  it('stats and collections leave it out', async () => {
    const db = await Drift.open(':memory:')
    await db.collection('kept', { dim: 2 })
    await db.collection('gone', { dim: 2 })
    const dropping = db.drop('gone')
    expect(db.collections()).toEqual(['kept'])
    expect((await db.stats()).collections.map(({ name }) => name)).toEqual(['kept'])
    expect(await dropping).toBe(true)
    await db.close()
  })

  it('others are written, faster than they are flushed, and it does not wait for an end of that', async () => {
    const db = await Drift.open(temporaryFolder(), { minFreeBytes: 0 })
    await db.collection('gone', { dim: 2 })
    const dim = 64
    const kept = await db.collection('kept', { dim, metric: 'l2', memtableRows: 256 })
    const vectors = Float32Array.from({ length: 128 * dim }, Math.random)
    let isDropped = false
    let flushes = 0
    const flood = async (first: number) => {
      for (let from = first; !isDropped; from += 4 * 128) {
        await kept.upsert({ ids: Array.from({ length: 128 }, (_, i) => from + i), vectors })
        flushes = (await kept.stats()).segments
      }
    }
    const floods = [0, 128, 256, 384].map(flood)
    await expect.poll(() => flushes, { timeout: 20_000 }).toBeGreaterThan(0)
    await db.drop('gone')
    isDropped = true
    await Promise.all(floods)
    await db.close()
  })

  it('check goes on', async () => {
    const db = await Drift.open(temporaryFolder(), { minFreeBytes: 0 })
    const docs = await filled(db, 'gone')
    await docs.flush()
    await filled(db, 'kept')
    const checking = db.check()
    expect(await db.drop('gone')).toBe(true)
    expect(await checking).toMatchObject({ ok: true, findings: [] })
    await db.close()
  })

  it('whatever works on it is told that it has been dropped', async () => {
    const db = await Drift.open(':memory:')
    const docs = await filled(db, 'gone')
    const work = [
      docs.search([1, 1], { filter: { id: { $gt: 5 } } }),
      docs.count({ filter: { id: { $lt: 9 } } }),
      docs.createIndex('id', 'number'),
      docs.updatePayload({ filter: { id: { $gt: 5 } } }, { seen: true }),
      docs.compact(),
    ]
    const outcomes = Promise.allSettled(work)
    await db.drop('gone')
    const codes = (await outcomes).map(outcome =>
      outcome.status === 'rejected' ? outcome.reason.code : 'done',
    )
    expect(codes.filter(code => code !== 'done' && code !== 'DRIFT_DROPPED')).toEqual([])
    expect(codes).toContain('DRIFT_DROPPED')
    await db.close()
  })

  it('a payload index that is being declared or forgotten is told so, though the manifest without the collection can be written', async () => {
    const db = await Drift.open(':memory:')
    const docs = await db.collection('gone', { dim: 2, indexes: { lang: 'keyword' } })
    const outcomes = Promise.allSettled([docs.createIndex('id', 'number'), docs.dropIndex('lang')])
    await db.drop('gone')
    expect(await outcomes).toMatchObject([
      { reason: { code: 'DRIFT_DROPPED' } },
      { reason: { code: 'DRIFT_DROPPED' } },
    ])
    await db.close()
  })

  it('an exact batch over vectors on disk is told so, also when other threads are at it', async () => {
    const db = await Drift.open(temporaryFolder(), { minFreeBytes: 0, threads: 1 })
    const docs = await db.collection('gone', { dim: 2, metric: 'l2', cold: 'disk' })
    const vectors = Float32Array.from({ length: 2 * ROWS }, Math.random)
    await docs.upsert({ ids: Array.from({ length: ROWS }, (_, i) => i), vectors })
    await docs.flush()
    const searched = docs.searchBatch(vectors.subarray(0, 400), { k: 10, recall: 1 })
    const told = expect(searched).rejects.toMatchObject({ code: 'DRIFT_DROPPED' })
    await db.drop('gone')
    await told
    await db.close()
  })

  // Microtasks between the writing of a segment and the drop: some fall between the writing and the manifest that would name it.
  const TURNS = 12

  it('no file is left that a flush had written and not named yet, however they fall together', async () => {
    const left: string[][] = []
    for (let turns = 0; turns < TURNS; turns++) {
      let dropping: Promise<boolean> | undefined
      const fs = new SimFs({
        before(operation, path) {
          if (operation === 'open' && path.includes('seg-'))
            dropping ??= after(turns).then(() => db.drop('gone'))
        },
      })
      const db = await Drift.open('/db', { fs, threads: 0, maintenance: 'off' })
      const docs = await db.collection('gone', { dim: 2 })
      await docs.upsert([{ id: 1, vector: [1, 1] }])
      await docs.flush().catch(() => undefined)
      expect(await dropping).toBe(true)
      // Files of a manifest go with the next but one.
      for (const name of ['a', 'b']) await db.collection(name, { dim: 2 })
      left.push(fs.list('/db').filter(name => name.startsWith('seg-')))
      await db.close()
    }
    expect(left).toEqual(Array.from({ length: TURNS }, () => []))
  })
})

/** Microtasks: what waits for a commit over a simulated disk waits for nothing else. */
async function after(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await undefined
}
