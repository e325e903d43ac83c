// Proves: the exact search agrees with arithmetic done the slow way in double precision, recall counts what it says,
// and the generator repeats itself and has the shape that it claims.
import { describe, expect, test } from 'vitest'
import { mix } from './mix.js'
import { recall, truth } from './truth.js'

const dim = 16
const { vectors: rows } = mix({ rows: 500, dim, clusters: 12, seed: 1 })
const { vectors: queries } = mix({ rows: 9, dim, clusters: 12, seed: 2 })

function slowNearest(query: Float32Array, metric: 'l2' | 'ip', k: number): number[] {
  const distance = (row: number) => {
    let sum = 0
    for (let d = 0; d < dim; d++) {
      const [x, y] = [rows[row * dim + d]!, query[d]!]
      sum += metric === 'l2' ? (x - y) ** 2 : -x * y
    }
    return sum
  }
  return Array.from({ length: 500 }, (_, row) => ({ row, distance: distance(row) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, k)
    .map(({ row }) => row)
}

describe('truth', () => {
  test.each(['l2', 'ip'] as const)('names the nearest rows by %s, nearest first', metric => {
    const exact = truth(rows, queries, dim, metric, 10)
    for (let q = 0; q < 9; q++) {
      const slow = slowNearest(queries.subarray(q * dim, (q + 1) * dim), metric, 10)
      expect([...exact.rows.subarray(q * 10, (q + 1) * 10)]).toEqual(slow)
    }
  })

  test('returns every row when k is larger than their number', () => {
    const exact = truth(rows.subarray(0, 3 * dim), queries, dim, 'l2', 10)
    expect(exact.k).toBe(3)
    expect([...exact.rows.subarray(0, 3)].sort()).toEqual([0, 1, 2])
  })

  test('recall counts each right row once', () => {
    const exact = { rows: Uint32Array.of(1, 2, 3, 4), distances: new Float32Array(4), k: 2 }
    expect(
      recall(exact, [
        [1, 2],
        [4, 3],
      ]),
    ).toBe(1)
    expect(recall(exact, [[1, 1, 1], []])).toBe(0.25)
    expect(
      recall(exact, [
        [9, 2],
        [9, 9],
      ]),
    ).toBe(0.25)
  })
})

describe('mix', () => {
  test('gives the same vectors for a seed and others for another', () => {
    const options = { rows: 50, dim: 4, clusters: 3, seed: 7 }
    expect(mix(options)).toEqual(mix(options))
    expect(mix({ ...options, seed: 8 }).vectors).not.toEqual(mix(options).vectors)
  })

  test('makes the first cluster twice the second by default', () => {
    const { cluster } = mix({ rows: 20_000, dim: 1, clusters: 10, seed: 3 })
    const sizes = Array.from({ length: 10 }, (_, c) => cluster.filter(own => own === c).length)
    expect(sizes[0]! / sizes[1]!).toBeGreaterThan(1.8)
    expect(sizes[0]! / sizes[1]!).toBeLessThan(2.2)
    expect(Math.min(...sizes)).toBeGreaterThan(400)
  })

  test('keeps rows nearer to their own cluster than to another', () => {
    const { vectors, cluster } = mix({ rows: 200, dim: 32, clusters: 4, seed: 4 })
    const exact = truth(vectors, vectors, 32, 'l2', 2)
    for (let row = 0; row < 200; row++) expect(cluster[exact.rows[row * 2 + 1]!]).toBe(cluster[row])
  })
})
