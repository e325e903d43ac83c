// Proves: the harness asks every engine the same questions in turns, charges each its own time, and counts recall over
// what was really returned.
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { mix } from '../data/mix.js'
import { truth } from '../data/truth.js'
import { bruteForce } from './brute-force-engine.js'
import type { Engine } from './engine.js'
import { eachRow, measure, quantile } from './measure.js'

const dim = 8
const { vectors: rows } = mix({ rows: 300, dim, clusters: 5, seed: 1 })
const { vectors: queries } = mix({ rows: 6, dim, clusters: 5, seed: 2 })
const exact = truth(rows, queries, dim, 'ip', 4)

/** Answers with the first half of the exact answer, slowly, and notes what it was asked. */
function half(log: string[]): Engine {
  const whole = bruteForce(rows, dim, 4)
  return {
    name: 'half',
    knob: 'width',
    async search(query, k, setting) {
      log.push(`half ${setting}`)
      await setTimeout(2)
      return Array.from(await whole.search(query, k, undefined)).slice(0, 2)
    },
    close() {},
  }
}

describe('measure', () => {
  test('gives an exact engine recall 1, half an answer 0.5, and the slower one fewer queries per second', async () => {
    const contenders = [
      { engine: half([]), setting: 7 },
      { engine: bruteForce(rows, dim, 4), setting: undefined },
    ]
    const [slow, fast] = await measure(contenders, eachRow(queries, dim), exact, 3)
    expect(slow!.recall).toBe(0.5)
    expect(fast!.recall).toBe(1)
    expect(slow!.p50Us).toBeGreaterThan(1_000)
    expect(slow!.queriesPerSecond).toBeLessThan(1_000)
    expect(fast!.queriesPerSecond).toBeGreaterThan(slow!.queriesPerSecond)
    expect(fast!.p99Us).toBeGreaterThanOrEqual(fast!.p50Us)
  })

  test('takes the contenders in turns', async () => {
    const log: string[] = []
    const engine = half(log)
    const contenders = [1, 2].map(setting => ({ engine, setting }))
    await measure(contenders, eachRow(queries.subarray(0, dim), dim), exact, 3)
    expect(log).toEqual(['half 1', 'half 2', 'half 1', 'half 2', 'half 1', 'half 2', 'half 1', 'half 2'])
  })

  test('quantiles are values that were there', () => {
    expect(quantile([5, 1, 4, 2, 3], 0.5)).toBe(3)
    expect(quantile([5, 1, 4, 2, 3], 0.99)).toBe(5)
    expect(quantile([5], 0)).toBe(5)
  })
})
