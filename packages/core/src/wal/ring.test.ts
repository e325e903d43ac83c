/** Proves what the log's thread relies on: a record lies unchanged where it was put until it is released, whatever comes meanwhile. */

import { expect, test } from 'vitest'
import { seededRandom } from '../random.js'
import { RecordRing } from './ring.js'

test('records of all sizes stay as they were put until they are released, and never overlap', () => {
  const random = seededRandom(7)
  const ring = new RecordRing(4096)
  const kept: { record: Uint8Array | undefined; value: number }[] = []
  let passed = 0
  let inRing = 0
  for (let step = 0; step < 20_000; step++) {
    if (kept.length > 0 && random() < 0.5) {
      const count = 1 + Math.floor(random() * Math.min(kept.length, 3))
      for (const { record, value } of kept.splice(0, count)) {
        if (record) expect(record.every(byte => byte === value)).toBe(true)
      }
      ring.release(count)
      continue
    }
    const bytes = 1 + Math.floor(random() ** 3 * 5000)
    const value = 1 + (step % 255)
    const record = ring.take(bytes)
    if (record) {
      inRing++
      expect(record.length).toBe(bytes)
      expect(record.byteOffset % 8).toBe(0)
      record.fill(value)
    } else {
      passed++
      ring.pass()
    }
    kept.push({ record, value })
  }
  // Each of the two ways was taken often.
  expect(passed).toBeGreaterThan(500)
  expect(inRing).toBeGreaterThan(500)
})

test('a ring that was left takes no record, and the next one has its memory', () => {
  const ring = new RecordRing()
  ring.take(8)!.fill(1)
  ring.leave()
  ring.leave()
  expect(ring.take(8)).toBeUndefined()
  const next = [new RecordRing(), new RecordRing()]
  expect(next.filter(({ memory }) => memory === ring.memory)).toHaveLength(1)
})
