/** Proves how many buckets a query is given: few when it lies in the middle of one, more when many are equally near. */
import { expect, it } from 'vitest'
import { bucketsForShare } from './router.js'

const NEAR = 40

it('a query in the middle of a bucket needs few, one between many needs more', () => {
  const middle = Float32Array.from({ length: NEAR }, (_, j) => 1 + j)
  const between = Float32Array.from({ length: NEAR }, (_, j) => 1 + j / 100)
  const few = bucketsForShare(middle, NEAR, 0.9)
  const many = bucketsForShare(between, NEAR, 0.9)
  expect(few).toBeLessThan(5)
  expect(many).toBeGreaterThan(3 * few)
  expect(many).toBeLessThan(NEAR)
})

it('a larger share takes more buckets, and the whole takes all', () => {
  const distances = Float32Array.from({ length: NEAR }, (_, j) => 1 + j / 10)
  let before = 0
  for (const share of [0.3, 0.6, 0.9, 0.99]) {
    const count = bucketsForShare(distances, NEAR, share)
    expect(count).toBeGreaterThan(before)
    before = count
  }
  expect(bucketsForShare(distances, NEAR, 1)).toBeGreaterThanOrEqual(before)
})

it('on a centroid there is nothing to compare with: all that are near', () => {
  expect(bucketsForShare(Float32Array.of(0, 1, 2), 3, 0.5)).toBe(3)
  expect(bucketsForShare(Float32Array.of(-1e-7, 1, 2), 3, 0.5)).toBe(3)
  expect(bucketsForShare(Float32Array.of(1, 2, 3), 1, 0.5)).toBe(1)
})
