/**
 * Proves that threads change nothing but the time: what the pool finds is what this thread finds, a batch sees one moment
 * of the index, and cancelling, a dying thread and closing leave nothing running and nothing broken.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { IndexPool, NONE, prepare, VectorIndex } from '../src/index.js'
import { clustered, expectExactly, nearby, numbers, rowOf } from './data.js'

const DIM = 16
const ROWS = 6000
const vectors = clustered(ROWS, DIM, 60, 5)
const queries = nearby(vectors, DIM, 100, 6)
const pool = new IndexPool({ threads: 2 })

afterAll(() => pool.close())

/** Rows in buckets, in a graph, in a tail, and unassigned. */
async function mixed(options: { pool?: IndexPool } = {}): Promise<VectorIndex> {
  const index = new VectorIndex({
    dim: DIM,
    metric: 'cosine',
    memtableRows: 1024,
    efConstruction: 60,
    ...options,
  })
  const part = (first: number, end: number) => vectors.subarray(first * DIM, end * DIM)
  index.upsert(numbers(3000), part(0, 3000))
  await index.flush(index.rotate()!)
  index.upsert(numbers(1000, 3000), part(3000, 4000))
  let clock = 0
  while (index.link(1, () => clock++));
  index.upsert(numbers(1000, 4000), part(4000, 5000))
  const loaded = part(5000, 6000).slice()
  prepare('cosine', loaded, DIM, 0, 1000)
  index.load(numbers(1000, 5000), loaded)
  index.delete(numbers(100, 50))
  return index
}

describe('a batch', () => {
  it('finds in the pool what it finds in this thread and what single queries find', async () => {
    const here = await mixed()
    const there = await mixed({ pool })
    const inline = await here.searchBatch(queries, { k: 10 })
    const pooled = await there.searchBatch(queries, { k: 10 })
    expect(pooled).toEqual(inline)
    expect(inline.counts).toEqual(new Uint32Array(100).fill(10))
    for (let i = 0; i < 100; i++) {
      const single = here.searchSync(rowOf(queries, DIM, i), { k: 10 })
      expect(inline.ids.slice(i * 10, i * 10 + 10)).toEqual(single.ids)
      expect(inline.rows.slice(i * 10, i * 10 + 10)).toEqual(single.rows)
      expect(inline.distances.slice(i * 10, i * 10 + 10)).toEqual(single.distances)
    }
  })

  it('pads what an index of three rows cannot give', async () => {
    const index = new VectorIndex({ dim: 2, metric: 'l2', pool })
    index.upsert(['a', 'b', 'c'], Float32Array.of(0, 0, 1, 0, 2, 0))
    const found = await index.searchBatch(Float32Array.of(0, 0, 2, 0), { k: 4 })
    expect([...found.counts]).toEqual([3, 3])
    expect(found.ids).toEqual(['a', 'b', 'c', undefined, 'c', 'b', 'a', undefined])
    expect([...found.distances]).toEqual([0, 1, 4, Infinity, 0, 1, 4, Infinity])
    expect(found.rows[3]).toBe(NONE)
  })

  it('sees the index of the moment it was asked, whatever is written meanwhile', async () => {
    const index = await mixed({ pool })
    const expected = await index.searchBatch(queries, { k: 10 })
    const under = index.searchBatch(queries, { k: 10 })
    index.delete(numbers(ROWS))
    index.upsert(numbers(2000), vectors.subarray(4000 * DIM))
    expect(await under).toEqual(expected)
    expectExactly(index, numbers(2000))
  })

  it('is among the rows that were allowed when it was asked', async () => {
    const index = await mixed({ pool })
    for (const recall of [0.9, 1]) {
      const allow = new Uint32Array(ROWS / 32).fill(0x5555_5555)
      const expected = await index.searchBatch(queries, { k: 10, recall, allow })
      const busy = index.searchBatch(queries, { k: 10, recall: 1 }) // in all threads: the next one's tasks wait
      const asked = index.searchBatch(queries, { k: 10, recall, allow })
      allow.fill(0xaaaa_aaaa)
      expect(await asked).toEqual(expected)
      await busy
    }
  })

  it('sees the same rows before, during and after a flush that splits buckets', async () => {
    const index = await mixed({ pool })
    const everything = async () => {
      const found = await index.searchBatch(queries.subarray(0, DIM), { k: ROWS, probes: 1e6, ef: 4096 })
      return found.ids.slice(0, found.counts[0]).sort((a, b) => Number(a) - Number(b))
    }
    const expected = [...numbers(50), ...numbers(ROWS - 150, 150)]
    expect(await everything()).toEqual(expected)
    let flushing = true
    const flush = index.flush(index.rotate()!).finally(() => {
      flushing = false
    })
    let during = 0
    while (flushing) {
      expect(await everything()).toEqual(expected)
      during++
    }
    await flush
    expect(during).toBeGreaterThan(0)
    expect(await everything()).toEqual(expected)
    expect(index.stats().unassigned).toBe(0)
  })
})

describe('threads that are late', () => {
  it('are not waited for: batches beside long tasks of the only thread end before these', async () => {
    const narrow = new IndexPool({ threads: 1 })
    try {
      const index = await mixed({ pool: narrow })
      const here = await mixed()
      const many = nearby(vectors, DIM, 5000, 7)
      const controller = new AbortController()
      const { signal } = controller
      const long = Promise.allSettled(
        Array.from({ length: 8 }, () => index.searchBatch(many, { k: 10, recall: 1, signal })),
      )
      // Their tasks, behind the long ones, find nothing left to do, and memory that is theirs still.
      for (let i = 0; i < 8; i++) {
        const some = queries.subarray(10 * i * DIM)
        expect(await index.searchBatch(some, { k: 3 + i })).toEqual(
          await here.searchBatch(some, { k: 3 + i }),
        )
      }
      expect(narrow.late).toBe(4) // the other batches left the pool alone
      controller.abort(new Error('enough'))
      expect((await long).at(-1)).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
      expect(await index.searchBatch(queries, { k: 10 })).toEqual(await here.searchBatch(queries, { k: 10 }))
      await expect.poll(() => narrow.late).toBe(0)
    } finally {
      await narrow.close()
    }
  })

  it('change no answer and leave no row behind, however many there are for a processor', async () => {
    const wide = new IndexPool({ threads: 8 })
    const index = await mixed({ pool: wide })
    await index.flush(index.rotate()!)
    const many = nearby(vectors, DIM, 600, 7)
    const here = await mixed()
    await here.flush(here.rotate()!)
    const expected = await here.searchBatch(many, { k: 10 })
    for (let i = 0; i < 5; i++) {
      const found = await Promise.all(Array.from({ length: 4 }, () => index.searchBatch(many, { k: 10 })))
      for (const one of found) expect(one).toEqual(expected)
    }
    await wide.close()
    index.delete(numbers(ROWS))
    expect(index.stats()).toMatchObject({ rows: 0, deadRows: 0 })
  })
})

it('queries that are asked at once get each its own answer', async () => {
  for (const index of [await mixed(), await mixed({ pool })]) {
    const asked = Array.from({ length: 8 }, (_, i) => rowOf(queries, DIM, i))
    const found = await Promise.all(asked.map(query => index.search(query, { k: 5 })))
    expect(found).toEqual(asked.map(query => index.searchSync(query, { k: 5 })))
  }
})

it('batches that are asked at once, one after the other or in the middle of another get each its own answers', async () => {
  const count = 50
  const parts = Array.from({ length: 4 }, (_, i) => nearby(vectors, DIM, count, 10 + i))
  const single = await mixed()
  const nearest = parts.map(part =>
    Array.from({ length: count }, (_, q) => single.searchSync(rowOf(part, DIM, q), { k: 10 }).ids).flat(),
  )
  for (const index of [await mixed(), await mixed({ pool })]) {
    for (const turns of [0, 1, 2]) {
      const running: ReturnType<VectorIndex['searchBatch']>[] = []
      for (const part of parts) {
        running.push(index.searchBatch(part, { k: 10 }))
        for (let i = 0; i < turns; i++) await setImmediate()
      }
      expect((await Promise.all(running)).map(({ ids }) => ids)).toEqual(nearest)
    }
  }
})

describe('one wide query', () => {
  it('is shared by the threads and finds what one thread finds', async () => {
    const dim = 4
    const many = clustered(70_000, dim, 10, 9)
    const here = new VectorIndex({ dim, metric: 'l2' })
    const there = new VectorIndex({ dim, metric: 'l2', pool })
    for (const index of [here, there]) index.load(numbers(70_000), many)
    for (let i = 0; i < 5; i++) {
      const query = rowOf(many, dim, i * 1000)
      const inline = here.searchSync(query, { k: 20 })
      expect(inline.scannedRows).toBe(70_000)
      const other = rowOf(many, dim, i * 1000 + 500)
      const [one, two] = await Promise.all([there.search(query, { k: 20 }), there.search(other, { k: 20 })])
      expect(one).toEqual(inline)
      expect(two).toEqual(here.searchSync(other, { k: 20 }))
    }
    there.delete(numbers(70_000))
    expect(there.stats().deadRows).toBe(0) // no pin was left open
  })
})

describe('trouble', () => {
  it('of an abort ends the batch with the reason and leaves the pool free', async () => {
    const index = await mixed({ pool })
    const many = nearby(vectors, DIM, 5000, 7)
    const controller = new AbortController()
    const batch = index.searchBatch(many, { k: 10, signal: controller.signal })
    controller.abort(new Error('changed my mind'))
    await expect(batch).rejects.toThrow('changed my mind')
    const flush = index.flush(index.rotate()!, { signal: controller.signal })
    await expect(flush).rejects.toThrow('changed my mind')
    const release = index.pin() // nothing holds rows back: what dies now is free once this pin is gone
    index.delete(numbers(ROWS))
    release.release()
    expect(index.frozen).toHaveLength(1)
    await index.flush(index.frozen[0]!)
    expect(index.stats()).toMatchObject({ rows: 0, deadRows: 0 })
  })

  it('of an abort waits for nothing that waits for a thread, and leaves nothing that does', async () => {
    const narrow = new IndexPool({ threads: 1 })
    try {
      const index = await mixed({ pool: narrow })
      const ended: string[] = []
      const asked = { k: 10, recall: 1 }
      const long = index.searchBatch(nearby(vectors, DIM, 20_000, 7), asked)
      void long.then(() => ended.push('the one before'))
      // Together more than may wait at once.
      for (let round = 0; round < 2; round++) {
        const controller = new AbortController()
        const { signal } = controller
        const batches = Array.from({ length: 600 }, () => index.searchBatch(queries, { ...asked, signal }))
        const outcomes = Promise.allSettled(batches)
        controller.abort(new Error('enough'))
        const reason = expect.objectContaining({ message: 'enough' })
        expect(await outcomes).toEqual(Array(600).fill({ status: 'rejected', reason }))
      }
      ended.push('what was aborted')
      const next = index.searchBatch(queries, asked)
      expect((await long).counts).toHaveLength(20_000)
      expect(await next).toEqual(await (await mixed()).searchBatch(queries, asked))
      expect(ended).toEqual(['what was aborted', 'the one before'])
    } finally {
      await narrow.close()
    }
  })

  it('of a thread that dies fails its batch with DRIFT_WORKER, and the next batch works', async () => {
    const mortal = new IndexPool({ threads: 1 })
    try {
      const index = await mixed({ pool: mortal })
      // Exact: it has ended in the thread when it is answered, and the next one is the thread's alone.
      const asked = { k: 10, recall: 1 }
      const expected = await index.searchBatch(queries, asked)
      const many = nearby(vectors, DIM, 20_000, 8)
      const batch = index.searchBatch(many, asked)
      const [worker] = mortal.workers
      const ended = once(worker!, 'exit')
      void worker!.terminate()
      await expect(batch).rejects.toMatchObject({ name: 'CoreError', code: 'DRIFT_WORKER' })
      await ended
      expect(await index.searchBatch(queries, asked)).toEqual(expected)
      expect(mortal.workers).toHaveLength(1)
      expect(mortal.workers[0]).not.toBe(worker)
    } finally {
      await mortal.close()
    }
  })

  it('of a thread that dies before it begins leaves no task behind', async () => {
    const mortal = new IndexPool({ threads: 1 })
    const index = await mixed({ pool: mortal })
    const long = index.searchBatch(nearby(vectors, DIM, 20_000, 8), { k: 10, recall: 1 })
    const failed = expect(long).rejects.toMatchObject({ code: 'DRIFT_WORKER' })
    await index.searchBatch(queries, { k: 10 }) // its task waits behind
    await mortal.workers[0]!.terminate()
    await failed
    await mortal.workers[0]!.terminate() // the next, which still loads
    await expect.poll(() => mortal.late).toBe(0)
    expect((await index.searchBatch(queries.subarray(DIM), { k: 10, recall: 1 })).k).toBe(10)
    await mortal.close()
  })

  it('of a closed pool is DRIFT_CLOSED, also for what was running', async () => {
    const brief = new IndexPool({ threads: 1 })
    const index = await mixed({ pool: brief })
    const batch = index.searchBatch(nearby(vectors, DIM, 2000, 8), { k: 10 })
    const failed = expect(batch).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
    await brief.close()
    await failed
    await brief.close()
    expect(brief.workers).toHaveLength(0)
    await expect(index.searchBatch(queries, { k: 10 })).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
    // What needs no pool is not its victim.
    expect((await index.searchBatch(rowOf(queries, DIM, 0), { k: 10 })).ids).toHaveLength(10)
    expect(index.searchSync(rowOf(queries, DIM, 0), { k: 10 }).ids).toHaveLength(10)
  })

  it('of a closed index is DRIFT_CLOSED, also for what was running', async () => {
    const index = await mixed({ pool })
    const batch = expect(index.searchBatch(queries, { k: 1 })).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
    const flush = expect(index.flush(index.rotate()!)).rejects.toMatchObject({ code: 'DRIFT_CLOSED' })
    index.close()
    await batch
    await flush
    expect(() => index.searchSync(queries.slice(0, DIM), { k: 1 })).toThrow(/closed/)
    expect(() => index.upsert(['a'], vectors.slice(0, DIM))).toThrow(/closed/)
  })
})

it('a pool that is not closed does not keep the process alive', () => {
  const core = new URL('../dist/index.js', import.meta.url).href
  const program = `
    const { IndexPool, VectorIndex } = await import('${core}')
    const pool = new IndexPool({ threads: 2 })
    const index = new VectorIndex({ dim: 2, metric: 'l2', pool })
    index.upsert(['a'], Float32Array.of(1, 2))
    const { ids } = await index.searchBatch(Float32Array.of(1, 2, 3, 4), { k: 1 })
    process.stdout.write(ids.join())`
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 20_000 })
  expect(String(out)).toBe('a,a')
})

// Ending a thread in the middle of that aborted the process now and then, after an open and a close in quick succession.
it('the entry of a thread is imported and never required', () => {
  const entry = fileURLToPath(new URL('../dist/pool/worker.js', import.meta.url))
  const required = () => createRequire(import.meta.url)(entry)
  expect(required).toThrow(expect.objectContaining({ code: expect.stringMatching(/^ERR_REQUIRE_/) }))
})
