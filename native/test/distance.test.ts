// Exact distances and assignment: the reference within f32 rounding of the formula, every variant within f32 rounding of
// the reference, for every length, at any alignment, and with the values that are not ordinary numbers.
import { describe, expect, it } from 'vitest'
import { type KernelMetric, kernelsOf } from '../lib/index.js'
import { floats, LENGTHS, random } from './random.js'
import { compiled } from './variants.js'

const METRICS: readonly KernelMetric[] = ['l2', 'ip']
const reference = kernelsOf('reference')

/** Half an ulp per step of the longest chain of additions, with room: relative to the sum of the terms' magnitudes. */
const TOLERANCE = 2e-6

describe('the reference', () => {
  it.each(METRICS)('computes the %s that the formula gives in double precision', metric => {
    const { normal } = random(8)
    for (const dim of LENGTHS) {
      const query = floats(dim, 1, normal)
      const rows = floats(2 * dim, 1, normal)
      const got = new Float32Array(2)
      reference.distances(metric, query, rows, dim, 0, 2, got)
      for (const row of [0, 1]) {
        let want = 0
        for (let i = 0; i < dim; i++) {
          const x = rows[row * dim + i]!
          want += metric === 'l2' ? (query[i]! - x) ** 2 : -query[i]! * x
        }
        near(got[row]!, want, magnitude(metric, query, rows, dim, row))
      }
    }
  })
})

describe.each(compiled)('%s', variant => {
  const tested = kernelsOf(variant)

  it.each(METRICS)('computes %s of consecutive and of named rows', metric => {
    const { normal, below } = random(1)
    for (const dim of LENGTHS) {
      const rowCount = 11
      const first = 2
      const count = 7
      const query = floats(dim, below(8), normal)
      const rows = floats(rowCount * dim, below(8), normal)
      const index = Uint32Array.from({ length: count }, () => below(rowCount))
      const got = new Float32Array(count + 1).fill(7)
      const want = new Float32Array(count)

      tested.distances(metric, query, rows, dim, first, count, got)
      reference.distances(metric, query, rows, dim, first, count, want)
      for (let j = 0; j < count; j++) near(got[j]!, want[j]!, magnitude(metric, query, rows, dim, first + j))
      expect(got[count], 'nothing is written past count').toBe(7)

      tested.distancesGather(metric, query, rows, dim, index, count, got)
      reference.distancesGather(metric, query, rows, dim, index, count, want)
      for (let j = 0; j < count; j++) near(got[j]!, want[j]!, magnitude(metric, query, rows, dim, index[j]!))
      expect(got[count], 'nothing is written past count').toBe(7)
    }
  })

  it('gives a row the same distance wherever and with whomever it is asked for', () => {
    const { normal } = random(2)
    const dim = 67
    const rows = floats(9 * dim, 1, normal)
    const query = floats(dim, 3, normal)
    const index = Uint32Array.from({ length: 9 }, (_, i) => 8 - i)
    for (const metric of METRICS) {
      const run = new Float32Array(9)
      const gathered = new Float32Array(9)
      tested.distances(metric, query, rows, dim, 0, 9, run)
      tested.distancesGather(metric, query, rows, dim, index, 9, gathered)
      expect([...gathered].reverse()).toEqual([...run])
    }
  })

  it('carries NaN and infinity, and takes subnormals and negative zero as they are', () => {
    for (const dim of [1, 4, 15, 16, 33, 64, 100]) {
      for (const at of new Set([0, dim >> 1, dim - 1])) {
        for (const value of [
          Number.NaN,
          Number.POSITIVE_INFINITY,
          Number.NEGATIVE_INFINITY,
          -0,
          1e-40,
          -1e-45,
        ]) {
          const query = new Float32Array(dim).fill(1)
          const row = new Float32Array(dim).fill(-0)
          row[at] = value
          for (const metric of METRICS) {
            const got = new Float32Array(1)
            const want = new Float32Array(1)
            tested.distances(metric, query, row, dim, 0, 1, got)
            reference.distances(metric, query, row, dim, 0, 1, want)
            if (Number.isFinite(want[0]!)) near(got[0]!, want[0]!, dim)
            else expect(got[0]).toEqual(want[0])
          }
        }
      }
    }
  })

  it('finds the nearest centroid, the lower one of two equals', () => {
    const { normal, below } = random(3)
    for (const dim of LENGTHS) {
      const k = 1 + below(9)
      const rowCount = 13
      const count = below(rowCount + 1)
      const rows = floats(rowCount * dim, below(8), normal)
      const centroids = floats(k * dim, below(8), normal)
      if (k > 2) centroids.copyWithin((k - 1) * dim, 0, dim)
      const index = Uint32Array.from({ length: count }, () => below(rowCount))
      const centroid = new Uint32Array(count + 1).fill(77)
      const distance = new Float32Array(count + 1).fill(77)
      tested.nearest(rows, dim, index, count, centroids, k, centroid, distance)

      const exact = new Float32Array(k)
      for (let j = 0; j < count; j++) {
        const row = rows.subarray(index[j]! * dim, (index[j]! + 1) * dim)
        reference.distances('l2', row, centroids, dim, 0, k, exact)
        const chosen = centroid[j]!
        // Two centroids within rounding of each other may be exchanged; nothing else may.
        const scale = magnitude('l2', row, centroids, dim, chosen)
        near(distance[j]!, exact[chosen]!, scale)
        expect(exact[chosen]!).toBeLessThanOrEqual(Math.min(...exact) + 2 * TOLERANCE * scale)
        if (k > 2) expect(chosen, 'the last centroid equals the first').not.toBe(k - 1)
      }
      expect([centroid[count], distance[count]]).toEqual([77, 77])
    }
  })

  it('assigns a row the same way in every batch', () => {
    const { normal } = random(4)
    const dim = 37
    const rows = floats(10 * dim, 0, normal)
    const centroids = floats(5 * dim, 0, normal)
    const all = new Float32Array(10)
    const one = new Float32Array(1)
    const index = Uint32Array.from({ length: 10 }, (_, i) => i)
    tested.nearest(rows, dim, index, 10, centroids, 5, new Uint32Array(10), all)
    for (let row = 0; row < 10; row++) {
      tested.nearest(rows, dim, index.subarray(row), 1, centroids, 5, new Uint32Array(1), one)
      expect(one[0]).toBe(all[row])
    }
  })

  it('finds among many centroids, in each of few and of more dimensions, the one that the reference finds', () => {
    const { below } = random(14)
    for (const dim of [1, 2, 3, 7, 8, 16, 31, 32, 33]) {
      for (const k of [4, 31, 32, 255, 256, 257, 700]) {
        // Small integers: distances are exact, and equal ones are many.
        const rows = floats(9 * dim, below(8), () => below(5))
        const centroids = floats(k * dim, below(8), () => below(5))
        centroids[dim * (k - 1)] = Number.NaN // passed over, as it is not the first
        rows[8 * dim] = Number.NaN
        const index = Uint32Array.from({ length: 9 }, (_, i) => i)
        const got = { centroid: new Uint32Array(9), distance: new Float32Array(9) }
        const want = { centroid: new Uint32Array(9), distance: new Float32Array(9) }
        tested.nearest(rows, dim, index, 9, centroids, k, got.centroid, got.distance)
        reference.nearest(rows, dim, index, 9, centroids, k, want.centroid, want.distance)
        expect(got).toEqual(want)
      }
    }
  })

  it('gives a row with a NaN centroid 0 and distance NaN', () => {
    const rows = new Float32Array(6 * 20).fill(1)
    rows[3 * 20 + 19] = Number.NaN
    const centroids = new Float32Array(3 * 20).fill(1)
    centroids.fill(5, 0, 20)
    const centroid = new Uint32Array(6)
    const distance = new Float32Array(6)
    tested.nearest(rows, 20, Uint32Array.of(0, 1, 2, 3, 4, 5), 6, centroids, 3, centroid, distance)
    expect([...centroid]).toEqual([1, 1, 1, 0, 1, 1])
    expect([...distance]).toEqual([0, 0, 0, Number.NaN, 0, 0])
  })
})

function near(got: number, want: number, scale: number): void {
  if (Math.abs(got - want) <= TOLERANCE * scale + 1e-37) return
  expect(got).toBe(want)
}

function magnitude(
  metric: KernelMetric,
  query: Float32Array,
  rows: Float32Array,
  dim: number,
  row: number,
): number {
  let total = 0
  for (let i = 0; i < dim; i++) {
    const x = rows[row * dim + i]!
    total += metric === 'l2' ? (query[i]! - x) ** 2 : Math.abs(query[i]! * x)
  }
  return total
}
