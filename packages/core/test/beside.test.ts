/**
 * Proves what may go on beside maintenance: halves of buckets are found in other threads while rows die and come back, and none is lost or
 * seen twice; and nothing waits for a calibration.
 */
import { setImmediate } from 'node:timers/promises'
import { afterAll, expect, it } from 'vitest'
import { gaussian, IndexPool, seededRandom, VectorIndex } from '../src/index.js'

const DIM = 16
const pool = new IndexPool({ threads: 2 })
afterAll(() => pool.close())

function drawn(rows: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: rows * DIM }, () => gaussian(random))
}

function idsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i)
}

it.each(['resident', 'none'] as const)(
  'rows that die and come back while buckets split are where they belong (%s)',
  async vectors => {
    const index = new VectorIndex({ dim: DIM, metric: 'l2', bucketRows: 8, vectors, pool })
    const rows = drawn(3000, 1)
    index.upsert(idsFrom(0, 200), rows.subarray(0, 200 * DIM))
    await index.flush(index.rotate()!)
    const buckets = index.stats().buckets
    index.upsert(idsFrom(200, 2800), rows.subarray(200 * DIM))
    const random = seededRandom(2)
    const alive = new Set(idsFrom(0, 3000))
    let isFlushing = true
    const flushing = index.flush(index.rotate()!).finally(() => {
      isFlushing = false
    })
    let turns = 0
    for (; isFlushing; turns++) {
      await setImmediate()
      // However many turns it takes, most rows are left for the buckets.
      if (turns >= 600) continue
      const id = Math.floor(random() * 3000)
      if (random() < 0.5) {
        index.delete([id])
        alive.delete(id)
      } else {
        index.upsert([id], rows.slice(id * DIM, (id + 1) * DIM))
        alive.add(id)
      }
    }
    await flushing
    expect(turns).toBeGreaterThan(20)
    expect(index.stats().buckets).toBeGreaterThan(3 * buckets)
    await index.flush(index.rotate()!)
    expect(index.count).toBe(alive.size)
    const everyBucket = index.stats().buckets
    for (const id of idsFrom(0, 3000)) {
      const found = index.searchSync(rows.slice(id * DIM, (id + 1) * DIM), { k: 2, probes: everyBucket })
      if (alive.has(id)) expect(found.ids[0]).toBe(id)
      expect(found.ids.filter(other => other === id)).toHaveLength(alive.has(id) ? 1 : 0)
      if (!alive.has(id)) continue
      const [home] = index.bucketsOf(index.find(id))
      expect(home).toBeLessThan(everyBucket)
    }
  },
)

it('a flush that is asked for after a calibration ends before it', async () => {
  const index = await VectorIndex.build({ dim: DIM, metric: 'l2' }, drawn(6000, 3))
  const ended: string[] = []
  const calibrating = index.calibrate().then(() => ended.push('calibration'))
  await setImmediate()
  index.upsert(['new'], drawn(1, 4))
  await index.flush(index.rotate()!).then(() => ended.push('flush'))
  await calibrating
  expect(ended).toEqual(['flush', 'calibration'])
})
