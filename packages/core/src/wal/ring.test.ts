/** Proves what the log's thread relies on: a record lies unchanged where it was kept until it is released, whatever comes meanwhile. */

import { expect, test } from 'vitest'
import { seededRandom } from '../random.js'
import { RecordRing, type SharedRecord } from './ring.js'

test('records of all sizes stay as they were kept until they are released, and never overlap', () => {
  const random = seededRandom(7)
  const ring = new RecordRing(4096)
  const kept: { record: SharedRecord; value: number; bytes: number }[] = []
  let own = 0
  let inRing = 0
  for (let step = 0; step < 20_000; step++) {
    if (kept.length > 0 && random() < 0.5) {
      const count = 1 + Math.floor(random() * Math.min(kept.length, 3))
      for (const { record, value, bytes } of kept.splice(0, count)) {
        const view = viewOf(ring, record)
        expect(view.length).toBe(bytes)
        expect(view.every(byte => byte === value)).toBe(true)
      }
      ring.release(count)
      continue
    }
    const bytes = 1 + Math.floor(random() ** 3 * 5000)
    const value = 1 + (step % 255)
    const record = ring.keep(new Uint8Array(bytes).fill(value))
    if (record instanceof Uint8Array) own++
    else {
      inRing++
      expect(record.at % 8).toBe(0)
    }
    kept.push({ record, value, bytes })
  }
  // Each of the two ways was taken often.
  expect(own).toBeGreaterThan(500)
  expect(inRing).toBeGreaterThan(500)
})

function viewOf(ring: RecordRing, record: SharedRecord): Uint8Array {
  return record instanceof Uint8Array ? record : new Uint8Array(ring.memory, record.at, record.bytes)
}
