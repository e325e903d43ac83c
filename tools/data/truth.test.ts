// Proves: the exact search agrees with arithmetic done the slow way in double precision, recall counts what it says,
// and the generator repeats itself and has the shape that it claims.
import { describe, expect, test } from 'vitest'
import { mix } from './mix.js'
import { exactScan, recall, recallByDistance, truth } from './truth.js'

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

describe('truth block by block', () => {
  test('names the same rows at the same distances as one scan over all, ties by lower number', () => {
    const wide = mix({ rows: 3_000, dim: 64, clusters: 5, seed: 5 }).vectors
    for (let row = 1; row < 3_000; row += 7) wide.copyWithin(row * 64, 0, 64) // 429 rows equal to the first
    const exact = truth(wide, wide.subarray(0, 3 * 64), 64, 'l2', 500)
    const scan = exactScan(wide, 64, 'l2', 500)
    const [row, distance] = [new Uint32Array(500), new Float32Array(500)]
    for (let q = 0; q < 3; q++) {
      scan.search(wide.subarray(q * 64, (q + 1) * 64), row, distance)
      expect(exact.rows.subarray(q * 500, (q + 1) * 500)).toEqual(row)
      expect(exact.distances.subarray(q * 500, (q + 1) * 500)).toEqual(distance)
    }
  })
})

describe('recall by distance', () => {
  const exact = {
    rows: Uint32Array.of(7, 3, 5, 1),
    distances: Float32Array.of(-0.9, -0.5, -0.5, -0.1),
    k: 4,
  }
  const never = () => {
    throw new Error('asked for a distance that the truth tells')
  }

  test('a row as near as the k-th is a hit, whichever of the equal ones it is', () => {
    expect(recallByDistance(exact, [[7, 3]], 2, never)).toBe(1)
    expect(recallByDistance(exact, [[5, 7]], 2, never)).toBe(1)
    expect(recallByDistance(exact, [[7, 1]], 2, never)).toBe(0.5)
  })

  test('a row named twice is one hit, and rows behind the first k are none', () => {
    expect(recallByDistance(exact, [[7, 7]], 2, never)).toBe(0.5)
    expect(recallByDistance(exact, [[1, 9, 7, 3]], 2, never)).toBe(0)
  })

  test('a row that the truth does not list counts by its distance when it may be a tie', () => {
    const distances: Record<number, number> = { 8: -0.1, 9: 0 }
    expect(recallByDistance(exact, [[7, 3, 5, 8]], 4, (_, row) => distances[row]!)).toBe(1)
    expect(recallByDistance(exact, [[7, 3, 5, 9]], 4, (_, row) => distances[row]!)).toBe(0.75)
  })

  test('rounding is no miss, a millionth more is', () => {
    expect(recallByDistance(exact, [[7, 3, 5, 8]], 4, () => -0.1 + 5e-8)).toBe(1)
    expect(recallByDistance(exact, [[7, 3, 5, 8]], 4, () => -0.1 + 1e-6)).toBe(0.75)
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

  test('spreads a cluster along its own few directions when it is told how many', () => {
    const [rows, width] = [400, 32]
    const { vectors } = mix({ rows, dim: width, clusters: 1, seed: 6, latent: 2, spread: 1 })
    const mean = Float64Array.from({ length: width }, (_, d) => {
      let sum = 0
      for (let row = 0; row < rows; row++) sum += vectors[row * width + d]!
      return sum / rows
    })
    const at = (row: number, d: number) => vectors[row * width + d]! - mean[d]!
    // Two directions taken out by Gram and Schmidt, each the direction of the row that is farthest out.
    const left = Array.from({ length: rows }, (_, row) => Float64Array.from(mean, (_, d) => at(row, d)))
    const energy = (row: Float64Array) => row.reduce((sum, x) => sum + x * x, 0)
    const before = left.reduce((sum, row) => sum + energy(row), 0)
    for (let axis = 0; axis < 2; axis++) {
      const far = left.reduce((best, row) => (energy(row) > energy(best) ? row : best)).slice()
      const length = energy(far)
      for (const row of left) {
        const along = row.reduce((sum, x, d) => sum + x * far[d]!, 0) / length
        for (let d = 0; d < width; d++) row[d]! -= along * far[d]!
      }
    }
    expect(left.reduce((sum, row) => sum + energy(row), 0) / before).toBeLessThan(0.03)
  })

  test('keeps rows nearer to their own cluster than to another', () => {
    const { vectors, cluster } = mix({ rows: 200, dim: 32, clusters: 4, seed: 4 })
    const exact = truth(vectors, vectors, 32, 'l2', 2)
    for (let row = 0; row < 200; row++) expect(cluster[exact.rows[row * 2 + 1]!]).toBe(cluster[row])
  })
})
