// Proves that trained codes keep their bounds: half a step inside the range, clamped outside, no bias, exact for constant
// dimensions; and that both ADC forms equal the distance to the decoded row. What all quantizers share: quantizer.test.ts.
import { describe, expect, it } from 'vitest'
import { CoreError } from '../errors.js'
import { gaussian, seededRandom } from '../random.js'
import { sq8From, trainSq8 } from './sq8.js'
import { sq8Lut, sq8LutDistances } from './sq8-lut.js'

const dim = 13

/** Rows whose dimensions differ in scale and centre by orders of magnitude. */
function unevenRows(count: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: count * dim }, (_, i) => {
    const d = i % dim
    return (gaussian(random) + d) * 10 ** (d - 6)
  })
}

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof CoreError) return error.code
    throw error
  }
  return 'nothing was thrown'
}

describe('training', () => {
  it('takes the interpolated percentiles of each dimension', () => {
    const rows = Float32Array.from({ length: 1001 }, (_, i) => 1000 - i) // 0..1000 in one dimension
    const { min, step } = trainSq8(rows, { dim: 1, clip: 0.0125 })
    expect(min[0]).toBe(12.5)
    expect(step[0]).toBe(Math.fround((987.5 - 12.5) / 255))
  })

  it('clips outliers instead of spending the range on them', () => {
    const rows = unevenRows(2000, 1)
    const before = trainSq8(rows, { dim })
    rows[0] = 1e30
    rows[dim + 1] = -1e30
    const after = trainSq8(rows, { dim })
    for (let d = 0; d < dim; d++) expect(after.step[d]! / before.step[d]!).toBeCloseTo(1, 1)
  })

  it('takes minimum and maximum when the rows are few, or clip is 0', () => {
    const few = trainSq8(Float32Array.of(5, 1, 3), { dim: 1 })
    expect([few.min[0], few.step[0]]).toEqual([1, Math.fround(4 / 255)])
    const rows = Float32Array.from({ length: 1000 }, (_, i) => i)
    expect(trainSq8(rows, { dim: 1, clip: 0 }).step[0]).toBe(Math.fround(999 / 255))
  })

  it('learns from a spread sample what it learns from all rows', () => {
    const rows = unevenRows(4000, 2)
    const all = trainSq8(rows, { dim })
    const some = trainSq8(rows, { dim, sampleRows: 1000 })
    for (let d = 0; d < dim; d++) expect(some.step[d]! / all.step[d]!).toBeCloseTo(1, 0)
    expect(some.step).not.toEqual(all.step)
  })

  it.each([
    ['no rows', () => trainSq8(new Float32Array(0), { dim: 4 }), 'DRIFT_EMPTY_BATCH'],
    ['half a row', () => trainSq8(new Float32Array(6), { dim: 4 }), 'DRIFT_DIMENSION'],
    ['dimension 0', () => trainSq8(new Float32Array(4), { dim: 0 }), 'DRIFT_DIMENSION'],
    ['NaN', () => trainSq8(Float32Array.of(1, Number.NaN), { dim: 1 }), 'DRIFT_VECTOR_VALUE'],
    [
      'infinity',
      () => trainSq8(Float32Array.of(1, Number.NEGATIVE_INFINITY), { dim: 1 }),
      'DRIFT_VECTOR_VALUE',
    ],
    ['a clip of one half', () => trainSq8(Float32Array.of(1), { dim: 1, clip: 0.5 }), 'DRIFT_OPTION'],
    ['a clip of NaN', () => trainSq8(Float32Array.of(1), { dim: 1, clip: Number.NaN }), 'DRIFT_OPTION'],
    ['no sample', () => trainSq8(Float32Array.of(1), { dim: 1, sampleRows: 0 }), 'DRIFT_OPTION'],
  ])('refuses %s', (_, action, code) => {
    expect(codeOf(action)).toBe(code)
  })
})

describe('codes', () => {
  it('come back within half a step inside the range, at the nearer end outside', () => {
    const quantizer = trainSq8(unevenRows(3000, 3), { dim, clip: 0.01 })
    const rows = unevenRows(500, 4)
    const decoded = quantizer.decode(quantizer.encode(rows), 500)
    let clamped = 0
    let worst = 0
    for (let i = 0; i < rows.length; i++) {
      const low = quantizer.min[i % dim]!
      const step = quantizer.step[i % dim]!
      const nearest = Math.min(low + 255 * step, Math.max(low, rows[i]!))
      if (nearest !== rows[i]) clamped++
      worst = Math.max(worst, Math.abs(decoded[i]! - nearest) / step)
    }
    expect(worst).toBeLessThanOrEqual(0.501) // 1e-3 for the float32 roundings of step and result
    expect(clamped / rows.length).toBeCloseTo(0.02, 2)
  })

  it('are rounded without bias', () => {
    const values = Float32Array.of(0, 1) // codes are what they stand for
    const quantizer = sq8From({ kind: 'sq8', dim: 1, subspaces: 0, bits: 8, rotated: false, seed: 0, values })
    const random = seededRandom(5)
    const rows = Float32Array.from({ length: 50_000 }, () => random() * 255)
    const codes = quantizer.encode(rows)
    const bias = rows.reduce((sum, value, i) => sum + codes[i]! - value, 0) / rows.length
    expect(Math.abs(bias)).toBeLessThan(0.01) // truncation gives -0.5; 0.01 is 8 standard errors
    expect([...quantizer.encode(Float32Array.of(0.5, 1.5, 2.5, 254.5, 300, -3))]).toEqual([
      0, 2, 2, 254, 255, 0,
    ])
  })

  it('are exact for a constant dimension and for one row', () => {
    const constant = Float32Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 0.1 : i))
    const quantizer = trainSq8(constant, { dim: 2 })
    expect(quantizer.step[0]).toBe(0)
    const decoded = quantizer.decode(quantizer.encode(constant), 20)
    for (let i = 0; i < 40; i += 2) expect(decoded[i]).toBe(constant[i])

    const row = Float32Array.of(1e-30, -7, 0, 3e38)
    const single = trainSq8(row, { dim: 4 })
    expect(single.decode(single.encode(row), 1)).toEqual(row)
  })
})

describe('distances', () => {
  const quantizer = trainSq8(unevenRows(1000, 6), { dim })
  const codes = quantizer.encode(unevenRows(40, 7))
  const query = unevenRows(1, 8)

  it.each(['l2', 'ip'] as const)('of %s, by table and direct, equal those to the decoded rows', metric => {
    const decoded = quantizer.decode(codes, 40)
    const byTable = new Float32Array(30)
    const direct = new Float32Array(30)
    sq8LutDistances(sq8Lut(quantizer, query, metric), codes, 5, 30, byTable)
    quantizer.distances(metric, query, codes.subarray(5 * dim), 30, direct)
    for (let j = 0; j < 30; j++) {
      const row = decoded.subarray((5 + j) * dim, (6 + j) * dim)
      const terms = [...row].map((value, d) =>
        metric === 'l2' ? (query[d]! - value) ** 2 : -query[d]! * value,
      )
      const exact = terms.reduce((sum, term) => sum + term, 0)
      const tolerance = 1e-5 * terms.reduce((sum, term) => sum + Math.abs(term), 0)
      expect(Math.abs(byTable[j]! - exact)).toBeLessThan(tolerance)
      expect(Math.abs(direct[j]! - exact)).toBeLessThan(tolerance)
    }
  })

  it('refuse queries and arrays of the wrong length or with NaN', () => {
    const out = new Float32Array(40)
    const lut = sq8Lut(quantizer, query)
    expect(codeOf(() => sq8Lut(quantizer, new Float32Array(dim - 1)))).toBe('DRIFT_DIMENSION')
    expect(codeOf(() => sq8Lut(quantizer, new Float32Array(dim).fill(Number.NaN)))).toBe('DRIFT_VECTOR_VALUE')
    expect(codeOf(() => sq8LutDistances(lut, codes, 1, 40, out))).toBe('DRIFT_DIMENSION')
    expect(codeOf(() => sq8LutDistances(lut, codes, 0, 40, new Float32Array(39)))).toBe('DRIFT_DIMENSION')
  })
})
