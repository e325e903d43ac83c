// Proves that heads never lie farther apart than rows by more than their slack, for directions of any quality, that their directions are
// orthonormal and hold what they should, and that there are none where they would not pay.
import { describe, expect, it } from 'vitest'
import { Clusters } from './clusters.js'
import { centroidHeads, headSpace, headsOf } from './kmeans-heads.js'
import { gaussian, seededRandom } from './random.js'

const DIM = 96

/** Rows whose dimension d deviates by 1 / (1 + d / fall), around `offset`. */
function falling(count: number, fall: number, offset: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from(
    { length: count * DIM },
    (_, i) => offset + gaussian(random) / (1 + (i % DIM) / fall),
  )
}

function everyRow(rows: Float32Array): Uint32Array {
  return Uint32Array.from({ length: rows.length / DIM }, (_, row) => row)
}

function gap(a: Float32Array, i: number, b: Float32Array, j: number, dim: number): number {
  let sum = 0
  for (let d = 0; d < dim; d++) sum += (a[i * dim + d]! - b[j * dim + d]!) ** 2
  return sum
}

describe('heads', () => {
  it.each([
    ['around the origin', 0, 1],
    ['far from it', 100, 1],
    ['of which one lies far out', 0, 1000],
  ])('of rows %s lie no farther apart than the rows, within the slack', (_, offset, outlier) => {
    const rows = falling(600, 5, offset, 1)
    for (let d = 0; d < DIM; d++) rows[7 * DIM + d]! *= outlier
    const space = headSpace(rows, DIM, everyRow(rows).subarray(8), seededRandom(2))!
    expect(space.headDim % 16).toBe(0)
    const heads = headsOf(space, rows, everyRow(rows))
    // Means, rows themselves, and points that the directions hold wholly, where nothing is left out.
    const centroids = rows.slice(0, 40 * DIM)
    for (let c = 0; c < 20; c++) {
      for (let d = 0; d < DIM; d++) {
        centroids[c * DIM + d] =
          c < 10 ? (rows[c * DIM + d]! + rows[(c + 50) * DIM + d]!) / 2 : space.middle[d]!
      }
    }
    const ends = centroidHeads(heads, centroids)
    let closeness = 0
    for (let row = 0; row < 600; row++) {
      for (let c = 0; c < 40; c++) {
        const whole = gap(rows, row, centroids, c, DIM)
        const head = gap(heads.rows, row, ends, c, space.headDim)
        expect(head - heads.slack).toBeLessThanOrEqual(whole * (1 + 1e-6))
        closeness += head / (whole || 1) / (600 * 40)
      }
    }
    expect(closeness).toBeGreaterThan(0.7)
    expect(closeness).toBeLessThan(1)
  })

  it('have orthonormal directions that hold at least what their number of single dimensions does', () => {
    const rows = falling(800, 5, 0, 3)
    const { directions, headDim } = headSpace(rows, DIM, everyRow(rows), seededRandom(4))!
    const origin = new Float32Array(DIM)
    for (let a = 0; a < headDim - 1; a++) {
      for (let b = 0; b <= a; b++) {
        const sum = gap(directions, a, directions, b, DIM)
        expect(sum).toBeCloseTo(a === b ? 0 : 2, 4)
      }
      expect(gap(directions, a, origin, 0, DIM)).toBeCloseTo(1, 5)
    }
    let [held, single, total] = [0, 0, 0]
    for (let row = 0; row < 800; row++) {
      for (let d = 0; d < DIM; d++) {
        total += rows[row * DIM + d]! ** 2
        if (d < headDim - 1) single += rows[row * DIM + d]! ** 2
      }
      for (let b = 0; b < headDim - 1; b++) {
        let dot = 0
        for (let d = 0; d < DIM; d++) dot += rows[row * DIM + d]! * directions[b * DIM + d]!
        held += dot * dot
      }
    }
    expect(held / total).toBeGreaterThan((0.95 * single) / total)
    expect(held / total).toBeGreaterThan(0.6)
  })

  it('are not made of rows that differ alike in all directions, of equal rows, few rows or few dimensions', () => {
    const random = seededRandom(5)
    expect(headSpace(falling(600, 1e9, 0, 5), DIM, everyRow(falling(600, 1, 0, 5)), random)).toBeUndefined()
    const equal = new Float32Array(600 * DIM).fill(3)
    expect(headSpace(equal, DIM, everyRow(equal), random)).toBeUndefined()
    const few = falling(20, 5, 0, 6)
    expect(headSpace(few, DIM, everyRow(few), random)).toBeUndefined()
    expect(
      headSpace(
        few,
        8,
        Uint32Array.from({ length: 240 }, (_, i) => i),
        random,
      ),
    ).toBeUndefined()
  })

  it('leave an assignment as it is', () => {
    const rows = falling(1000, 5, 0, 7)
    const start = falling(64, 5, 0, 8)
    const index = everyRow(rows)
    const run = (withHeads: boolean): unknown => {
      const clusters = new Clusters(rows, DIM, index, start.slice())
      const space = headSpace(rows, DIM, index, seededRandom(9))!
      if (withHeads) clusters.useHeads(headsOf(space, rows, index))
      for (let i = 0; i < 5; i++) {
        clusters.assign()
        clusters.move(false)
      }
      clusters.assign()
      return clusters.result(5)
    }
    expect(run(true)).toEqual(run(false))
  })
})
