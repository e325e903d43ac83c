/**
 * Proves what happens to a row from append to reuse: it becomes visible when published, the newest version wins wherever the
 * older one lies, the dead stay dead whatever runs meanwhile, and memory does not grow with the number of writes.
 */
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { NONE, seededRandom, VectorIndex } from '../src/index.js'
import { clustered, expectExactly, numbers, rowOf } from './data.js'

const DIM = 8
const vectors = clustered(4000, DIM, 40, 11)
const part = (first: number, end: number) => vectors.subarray(first * DIM, end * DIM)

function empty(options: { memtableRows?: number } = {}): VectorIndex {
  return new VectorIndex({ dim: DIM, metric: 'l2', bucketRows: 8, efConstruction: 40, ...options })
}

function linkAll(index: VectorIndex): void {
  let clock = 0
  while (index.link(1, () => clock++));
}

describe('an appended batch', () => {
  it('is invisible until it is published, also when it is linked already', () => {
    const index = empty()
    index.upsert(['old'], part(0, 1))
    const appended = index.append(['old', 'new'], part(1, 3))
    linkAll(index)
    expectExactly(index, ['old'])
    expect(index.searchSync(rowOf(vectors, DIM, 1), { k: 5 }).rows).toHaveLength(1)
    expect(index.publish(appended)).toBe(1)
    expectExactly(index, ['old', 'new'])
    expect(index.vectorAt(index.find('old'))).toEqual(rowOf(vectors, DIM, 1))
    expect(() => index.publish(appended)).toThrow(/already published/)
  })

  it('leaves nothing behind when it is abandoned', async () => {
    const index = empty()
    index.upsert(['kept'], part(0, 1))
    const appended = index.append(['kept', 'gone'], part(1, 3))
    index.abandon(appended)
    linkAll(index)
    expectExactly(index, ['kept'])
    expect(index.vectorAt(index.find('kept'))).toEqual(rowOf(vectors, DIM, 0))
    await index.flush(index.rotate()!)
    expectExactly(index, ['kept'])
    expect(index.stats().deadRows).toBe(0)
  })

  it('keeps the last of equal ids', () => {
    const index = empty()
    const { rows, ids } = index.append(['a', 'b', 'a'], part(0, 3))
    expect(rows).toHaveLength(2)
    expect(ids).toEqual(['b', 'a'])
    const index2 = empty()
    expect(index2.upsert(['a', 'b', 'a'], part(0, 3))).toBe(0)
    expect(index2.vectorAt(index2.find('a'))).toEqual(rowOf(vectors, DIM, 2))
    expectExactly(index2, ['a', 'b'])
  })

  it('that is published after its memtable was flushed is found all the same', async () => {
    const index = empty()
    index.upsert(numbers(100), part(0, 100))
    const late = index.append([7, 'late'], part(200, 202))
    const memtable = index.rotate()!
    await index.flush(memtable)
    expectExactly(index, numbers(100))
    expect(index.publish(late)).toBe(1)
    expectExactly(index, [...numbers(100), 'late'])
    expect(index.vectorAt(index.find(7))).toEqual(rowOf(vectors, DIM, 200))
    expect(index.stats().unassigned).toBe(2)
    index.upsert(['next'], part(300, 301))
    await index.flush(index.rotate()!)
    expect(index.stats()).toMatchObject({ unassigned: 0, rows: 102 })
    expectExactly(index, [...numbers(100), 'late', 'next'])
  })
})

it('a batch that is published at any moment of the flush of its memtable is found', async () => {
  for (let step = 0; step < 40; step++) {
    const index = empty()
    const appended = index.append(['late'], part(0, 1))
    const flushed = index.flush(index.rotate()!)
    for (let i = 0; i < step; i++) await undefined
    index.publish(appended)
    await flushed
    // Not exactly: that looks at live rows wherever they are listed.
    expect(index.searchSync(part(0, 1), { k: 5, probes: 100 }).ids).toEqual(['late'])
  }
})

it('the newest version wins wherever the older one lies', async () => {
  const index = empty({ memtableRows: 500 })
  index.upsert(numbers(600), part(0, 600))
  await index.flush(index.rotate()!)
  index.upsert(numbers(400), part(600, 1000)) // over L1
  linkAll(index)
  index.rotate()
  index.upsert(numbers(300), part(1000, 1300)) // over a frozen graph, and L1
  index.upsert(numbers(100), part(1300, 1400)) // over the tail
  index.load(numbers(50), part(1400, 1450)) // over all of them
  const versions = [
    { first: 0, end: 50, from: 1400 },
    { first: 50, end: 100, from: 1350 },
    { first: 100, end: 300, from: 1100 },
    { first: 300, end: 400, from: 900 },
    { first: 400, end: 600, from: 400 },
  ]
  const check = () => {
    expectExactly(index, numbers(600))
    for (const { first, end, from } of versions) {
      for (let id = first; id < end; id += 7) {
        const vector = rowOf(vectors, DIM, from + id - first)
        expect(index.vectorAt(index.find(id))).toEqual(vector)
        const [nearest] = index.searchSync(vector, { k: 1, probes: 1e6, ef: 1000 }).ids
        expect(nearest).toBe(id)
      }
    }
  }
  check()
  for (const memtable of index.frozen) await index.flush(memtable)
  await index.flush(index.rotate()!)
  check()
  expect(index.stats()).toMatchObject({ rows: 600, deadRows: 0, unassigned: 0 })
})

describe('during a flush', () => {
  it('every row is seen exactly once between slices, and what dies stays dead', async () => {
    const index = empty()
    const random = seededRandom(12)
    const live = new Set(numbers(500))
    index.upsert(numbers(500), part(0, 500))
    await index.flush(index.rotate()!)
    index.upsert(numbers(3000, 500), part(500, 3500))
    for (const id of numbers(3000, 500)) live.add(id)
    const memtable = index.rotate()!
    let pieces = 0
    let flushing = true
    const flush = index
      .flush(memtable, {
        onProgress: (done, total) => {
          expect(done).toBeLessThanOrEqual(total)
          pieces++
          const ids = Array.from({ length: 10 }, () => Math.floor(random() * 3500))
          index.delete(ids)
          for (const id of ids) live.delete(id)
          const row = Math.floor(random() * 4000)
          index.upsert([row], part(row, row + 1))
          live.add(row)
          expectExactly(index, live)
        },
      })
      .finally(() => {
        flushing = false
      })
    let turns = 0
    while (flushing) {
      await setImmediate()
      expectExactly(index, live)
      turns++
    }
    await flush
    expect(pieces).toBeGreaterThan(5)
    expect(turns).toBeGreaterThan(0)
    expect(memtable.dropped).toBe(true)
    expectExactly(index, live)
  })

  it('an abort keeps every row, and the same flush goes on later', async () => {
    const index = empty()
    index.upsert(numbers(1000), part(0, 1000))
    await index.flush(index.rotate()!)
    index.upsert(numbers(2000, 1000), part(1000, 3000))
    const memtable = index.rotate()!
    const controller = new AbortController()
    const flush = index.flush(memtable, {
      signal: controller.signal,
      onProgress: done => {
        if (done > 700) controller.abort(new Error('enough'))
      },
    })
    await expect(flush).rejects.toThrow('enough')
    expect(memtable.dropped).toBe(false)
    expectExactly(index, numbers(3000))
    const homes = index.liveRows(memtable).filter(row => index.bucketsOf(row)[0] !== NONE).length
    expect(homes).toBeGreaterThan(700)
    expect(homes).toBeLessThan(2000)
    await index.flush(memtable)
    await index.flush(memtable) // once more changes nothing
    expect(index.frozen).toHaveLength(0)
    expectExactly(index, numbers(3000))
  })

  it('what a callback throws is an uncaught exception, and the flush goes on, as healing does', async () => {
    const index = empty()
    index.upsert(numbers(3000), part(0, 3000))
    const messages: string[] = []
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', ({ message }) => messages.push(message))
    const thrown = (what: string) => (): never => {
      throw new Error(what)
    }
    try {
      await index.flush(index.rotate()!, { onProgress: thrown('flush') })
      index.delete(numbers(2000))
      const options = { onProgress: thrown('heal'), onOperation: thrown('operation') }
      expect((await index.maintain(options)).operations).toBeGreaterThan(1)
      await setImmediate()
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of others) process.on('uncaughtException', listener)
    }
    expect(index.frozen).toHaveLength(0)
    expect(new Set(messages)).toEqual(new Set(['flush', 'heal', 'operation']))
  })

  it('of the active memtable is refused', async () => {
    const index = empty()
    index.upsert(['a'], part(0, 1))
    await expect(index.flush(index.activeMemtable)).rejects.toMatchObject({ code: 'DRIFT_MEMTABLE' })
    expectExactly(index, ['a'])
  })
})

describe('loading', () => {
  it('goes into restored buckets', async () => {
    const first = empty()
    first.load(numbers(1000), part(0, 1000))
    await first.assign(Uint32Array.from(numbers(1000)))

    const second = empty()
    second.restoreCentroids(first.centroids())
    const restored = second.centroids()
    for (const [i, value] of first.centroids().entries())
      expect(Math.abs(value - restored[i]!)).toBeLessThan(1e-3)
    const rows = second.load(numbers(1000), part(0, 1000))
    expectExactly(second, numbers(1000))
    expect(second.stats().unassigned).toBe(1000)
    await second.assign(rows)
    expect(second.stats().unassigned).toBe(0)
    expectExactly(second, numbers(1000))
    expect(() => second.restoreCentroids(first.centroids())).toThrow(/buckets already/)
    await expect(second.assign(Uint32Array.of(5000))).rejects.toMatchObject({ code: 'DRIFT_ROW' })
  })

  it('of a row that dies before it is assigned leaves no trace', async () => {
    const index = empty()
    const rows = index.load(numbers(300), part(0, 300))
    index.delete(numbers(100))
    await index.assign(rows)
    expectExactly(index, numbers(200, 100))
    expect(index.stats()).toMatchObject({ unassigned: 0, deadRows: 0 })
  })
})

describe('row numbers', () => {
  it('of dead rows are used again, and the stale entries do not count', async () => {
    const index = empty()
    index.upsert(numbers(1000), part(0, 1000))
    await index.flush(index.rotate()!)
    const before = index.pin()
    before.release()
    index.delete(numbers(500))
    index.upsert(numbers(400, 2000), part(2000, 2400))
    const pin = index.pin()
    expect(pin.rows).toBe(before.rows)
    pin.release()
    expectExactly(index, [...numbers(500, 500), ...numbers(400, 2000)])
    await index.flush(index.rotate()!)
    expectExactly(index, [...numbers(500, 500), ...numbers(400, 2000)])
    for (let id = 2000; id < 2400; id += 13) {
      expect(index.searchSync(rowOf(vectors, DIM, id), { k: 1, probes: 8 }).ids).toEqual([id])
    }
  })

  it('are not used again while a pin is open', async () => {
    const index = empty()
    index.upsert(numbers(100), part(0, 100))
    await index.flush(index.rotate()!)
    const row = index.find(7)
    const pin = index.pin()
    index.delete(numbers(100))
    expect(index.idAt(row)).toBe(7)
    index.upsert(numbers(100, 1000), part(100, 200))
    expect(index.idAt(row)).toBe(7)
    expect(index.vectorAt(row)).toEqual(rowOf(vectors, DIM, 7))
    expect((pin.live[row >>> 5]! >>> (row & 31)) & 1).toBe(1)
    expect(index.stats().deadRows).toBe(100)
    pin.release()
    pin.release()
    expect(index.stats().deadRows).toBe(0)
    expectExactly(index, numbers(100, 1000))
  })
})

it('memory stays bounded over 20 rounds of replacing and drifting', async () => {
  const index = empty({ memtableRows: 1024 })
  const random = seededRandom(14)
  const sizes: number[] = []
  const buckets: number[] = []
  for (let round = 0; round < 20; round++) {
    const shift = 20 * round
    const moved = part(0, 2000).map(value => value + shift + random())
    index.upsert(numbers(2000), moved)
    if (round % 3 === 0) linkAll(index)
    await index.flush(index.rotate()!)
    const { memory, ...stats } = index.stats()
    sizes.push(Object.values(memory).reduce((sum, bytes) => sum + bytes))
    buckets.push(stats.buckets)
    expect(stats).toMatchObject({ rows: 2000, deadRows: 0, unassigned: 0, memtables: 1 })
  }
  expect(sizes[19]).toBeLessThan(1.02 * sizes[9]!)
  expect(buckets[19]).toBeLessThanOrEqual(1.1 * buckets[9]!)
  expectExactly(index, numbers(2000))
})
