// Proves that seeded chance repeats, is spread as it says, and that near seeds do not give near streams.
import { expect, it } from 'vitest'
import { gaussian, seededRandom } from './random.js'

const draw = (random: () => number, count: number): number[] => Array.from({ length: count }, random)
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length

it('gives the same numbers for the same seed', () => {
  expect(draw(seededRandom(42), 100)).toEqual(draw(seededRandom(42), 100))
})

it.each([
  [0, 1],
  [7, 7 + 2 ** 32],
  [-1, 1],
])('gives unrelated numbers for the seeds %d and %d', (left, right) => {
  const a = draw(seededRandom(left), 2000)
  const b = draw(seededRandom(right), 2000)
  const covariance = mean(a.map((value, i) => (value - 0.5) * (b[i]! - 0.5)))
  expect(Math.abs(covariance * 12)).toBeLessThan(0.1)
})

it('stays in [0, 1) and fills it evenly', () => {
  const bins = new Uint32Array(16)
  const values = draw(seededRandom(3), 16_000)
  expect(Math.min(...values)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...values)).toBeLessThan(1)
  for (const value of values) bins[Math.floor(value * 16)]!++
  // 15 degrees of freedom: chi-square above 37.7 has probability 0.001.
  expect(bins.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0)).toBeLessThan(37.7)
})

it('draws a standard normal', () => {
  const random = seededRandom(9)
  const values = draw(() => gaussian(random), 20_000)
  expect(Math.abs(mean(values))).toBeLessThan(0.03)
  expect(Math.abs(mean(values.map(value => value * value)) - 1)).toBeLessThan(0.05)
  expect(values.filter(value => Math.abs(value) > 1.96).length / values.length).toBeCloseTo(0.05, 2)
})
