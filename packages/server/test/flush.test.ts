/**
 * Proves that flushes which overlap keep what one after the other keeps: the files of a generation are written while the rows of the one
 * before go to their buckets, and are hidden by deletions and given up as if they had been written in their turn.
 */
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { type Collection, Drift } from '../src/index.js'

const DIM = 8
const ROWS = 256
const GENERATIONS = 5

/** A compaction would leave out rows that are dead, whatever the files say of them. */
const open = (fs: SimFs): Promise<Drift> =>
  Drift.open('/db', { walFileBytes: 256 * 1024, threads: 0, maintenance: 'off', fs })

/** One generation's rows. */
function upsert(docs: Collection, generation: number): Promise<unknown> {
  const first = generation * ROWS
  const ids = Array.from({ length: ROWS }, (_, i) => first + i)
  return docs.upsert({
    ids,
    vectors: Float32Array.from({ length: ROWS * DIM }, (_, i) => Math.sin(first * DIM + i)),
  })
}

async function idsIn(fs: SimFs): Promise<number[]> {
  await using db = await open(fs)
  const docs = await db.collection('docs')
  const ids: number[] = []
  for await (const { id } of docs.scan()) ids.push(id as number)
  return ids.sort((a, b) => a - b)
}

describe('flushes that overlap', () => {
  it('hide what a later generation deletes of an earlier one, the first included', async () => {
    const fs = new SimFs()
    const db = await open(fs)
    const docs = await db.collection('docs', { dim: DIM, memtableRows: ROWS })
    const writes: Promise<unknown>[] = []
    for (let generation = 0; generation < GENERATIONS; generation++) {
      writes.push(upsert(docs, generation))
      if (generation > 0) writes.push(docs.delete([(generation - 1) * ROWS, (generation - 1) * ROWS + 1]))
    }
    await Promise.all(writes)
    await docs.flush()
    const all = Array.from({ length: GENERATIONS * ROWS }, (_, id) => id)
    const left = all.filter(id => id % ROWS > 1 || id >= (GENERATIONS - 1) * ROWS)
    expect(await docs.count()).toBe(left.length)
    expect(await idsIn(fs.powerCut({ data: 'none', entries: 'none' }))).toEqual(left)
    // The files of truth say the same, without the log and without the index file, which knows what is dead.
    await upsert(docs, GENERATIONS)
    await docs.flush()
    await db.close()
    for (const name of fs.list('/db')) if (name.startsWith('idx-')) fs.remove(`/db/${name}`)
    const more = Array.from({ length: ROWS }, (_, i) => GENERATIONS * ROWS + i)
    expect(await idsIn(fs)).toEqual([...left, ...more])
  })

  it('leave an index file that says of no row that it is in no bucket, whenever the process ends', async () => {
    const fs = new SimFs()
    const db = await open(fs)
    const docs = await db.collection('docs', { dim: DIM, memtableRows: ROWS })
    let isWriting = true
    const writing = Promise.all(Array.from({ length: 3 * GENERATIONS }, (_, i) => upsert(docs, i)))
      .then(() => docs.flush())
      .then(() => {
        isWriting = false
      })
    const ends: SimFs[] = []
    for (let turn = 0; isWriting; turn++) {
      await new Promise(resolve => setImmediate(resolve))
      if (turn % 3 === 0) ends.push(fs.processKill())
    }
    await writing
    await db.close()
    for (const end of ends) {
      if (!end.list('/db').some(name => name.startsWith('idx-'))) continue
      // Nothing is flushed by who only reads.
      await using again = await Drift.open('/db', { threads: 0, fs: end, readOnly: true })
      const { bucketStats, unflushedRows, rows } = await (await again.collection('docs')).stats({
        buckets: true,
      })
      const inBuckets = bucketStats!.reduce((sum, bucket) => sum + bucket.rows, 0)
      expect(inBuckets + unflushedRows).toBe(rows)
    }
  })

  it('leave no file of a collection that is dropped meanwhile', async () => {
    const fs = new SimFs()
    const db = await open(fs)
    const docs = await db.collection('docs', { dim: DIM, memtableRows: ROWS })
    await Promise.all(Array.from({ length: GENERATIONS }, (_, generation) => upsert(docs, generation)))
    await db.drop('docs')
    // Files of a manifest go with the next but one.
    for (const name of ['a', 'b']) await db.collection(name, { dim: DIM })
    await db.close()
    await (await open(fs)).close()
    expect(fs.list('/db').filter(name => name.startsWith('seg-'))).toEqual([])
  })
})
