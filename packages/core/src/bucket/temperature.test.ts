/** Proves that a bucket's temperature is the share of recent queries that scanned it, whatever happened long ago. */
import { expect, it } from 'vitest'
import { seededRandom } from '../random.js'
import { Temperature } from './temperature.js'

it('tends to the share of the queries that scan the bucket', () => {
  const random = seededRandom(1)
  const temperature = new Temperature()
  for (let query = 0; query < 20_000; query++) {
    const buckets = Uint32Array.of(7, random() < 0.25 ? 3 : 900, 5)
    temperature.touch(buckets, 2)
  }
  expect(temperature.of(7)).toBeCloseTo(1, 6)
  expect(Math.abs(temperature.of(3) - 0.25)).toBeLessThan(0.06)
  expect(Math.abs(temperature.of(900) - 0.75)).toBeLessThan(0.06)
  expect(temperature.of(5)).toBe(0)
  expect(temperature.of(1_000_000)).toBe(0)
})

it('forgets what queries leave, by queries and not by time', () => {
  const temperature = new Temperature()
  for (let query = 0; query < 5000; query++) temperature.touch(Uint32Array.of(1), 1)
  expect(temperature.of(1)).toBeGreaterThan(0.99)
  for (let query = 0; query < 5000; query++) temperature.touch(Uint32Array.of(2), 1)
  expect(temperature.of(1)).toBeLessThan(0.001)
  expect(temperature.of(2)).toBeGreaterThan(0.99)
})

it('stays finite over a million queries, and setting acts on what was seen', () => {
  const temperature = new Temperature()
  for (let query = 0; query < 1_000_000; query++) temperature.touch(Uint32Array.of(query % 2), 1)
  expect(Math.abs(temperature.of(0) - 0.5)).toBeLessThan(0.01)
  temperature.set(4, 0.3)
  expect(temperature.of(4)).toBeCloseTo(0.3, 10)
})
