// Proves what each metric accepts, that prepared rows have unit length at every scale, and the sign and range of
// the distances and scores that users see.
import { describe, expect, it } from 'vitest'
import { CoreError } from './errors.js'
import { kernelMetric, prepare, publicDistance, score, validateVectors } from './metric.js'
import { gaussian, seededRandom } from './random.js'

function caught(action: () => void): CoreError {
  try {
    action()
  } catch (error) {
    if (error instanceof CoreError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('validation', () => {
  it('accepts everything float32 holds, zero and denormals included', () => {
    const extremes = [0, -0, 1e-45, -3.4028234663852886e38, 3.4028234663852886e38, 1]
    validateVectors(extremes, 3)
    validateVectors(Float32Array.from(extremes), 2)
    validateVectors(Float64Array.from(extremes), 6)
    validateVectors([], 4)
  })

  it.each([
    [[0, 1, 2, Number.NaN], 1, 1],
    [[0, Number.POSITIVE_INFINITY, 2, 3], 0, 1],
    [[0, 1, 1e39, 3], 1, 0],
    [[0, 1, 2, -1e39], 1, 1],
    [[null, 1, 2, 3], 0, 0],
    [[0, true, 2, 3], 0, 1],
    [[0, 1, '2', 3], 1, 0],
    [[0, 1, 2, undefined], 1, 1],
  ])('refuses %j and names row %d, column %d', (values, row, column) => {
    const error = caught(() => validateVectors(values as number[], 2))
    expect(error.code).toBe('DRIFT_VECTOR_VALUE')
    expect(error.details).toMatchObject({ row, column })
    expect(error.message).toContain(`value ${column} of vector ${row}`)
  })

  it('refuses a length that is no whole number of vectors', () => {
    expect(caught(() => validateVectors(new Float32Array(7), 3)).code).toBe('DRIFT_DIMENSION')
  })
})

describe('preparation', () => {
  it('scales exactly the named rows to unit length, from 1e-38 to 1e38', () => {
    const random = seededRandom(1)
    const dim = 48
    const scales = [1, 1e-30, 1e37, 1e-38, 1]
    const rows = Float32Array.from({ length: dim * scales.length }, (_, i) => {
      return gaussian(random) * scales[Math.floor(i / dim)]!
    })
    const before = rows.slice()
    prepare('cosine', rows, dim, 1, 3)
    for (let row = 1; row <= 3; row++) {
      expect(Math.hypot(...rows.subarray(row * dim, (row + 1) * dim))).toBeCloseTo(1, 6)
    }
    expect(rows.subarray(0, dim)).toEqual(before.subarray(0, dim))
    expect(rows.subarray(4 * dim)).toEqual(before.subarray(4 * dim))
  })

  it('gives unit length even to a row of denormals', () => {
    const row = Float32Array.of(1e-45, 0)
    prepare('cosine', row, 2, 0, 1)
    expect([...row]).toEqual([1, 0])
  })

  it('refuses a zero row by its number and changes nothing', () => {
    const rows = Float32Array.of(9, 9, 3, 4, 0, -0, 5, 12)
    const error = caught(() => prepare('cosine', rows, 2, 1, 3))
    expect(error.code).toBe('DRIFT_ZERO_VECTOR')
    expect(error.details).toEqual({ row: 1 })
    expect([...rows]).toEqual([9, 9, 3, 4, 0, -0, 5, 12])
  })

  it.each(['l2', 'ip'] as const)('leaves rows of %s alone, zero ones too', metric => {
    const rows = Float32Array.of(3, 4, 0, 0)
    prepare(metric, rows, 2, 0, 2)
    expect([...rows]).toEqual([3, 4, 0, 0])
  })
})

describe('distances and scores', () => {
  it('runs cosine on the inner product kernel', () => {
    expect((['l2', 'cosine', 'ip'] as const).map(kernelMetric)).toEqual(['l2', 'ip', 'ip'])
  })

  it('keeps cosine distances in [0, 2] when rounding steps over', () => {
    expect(publicDistance('cosine', -1.0000001)).toBe(0)
    expect(publicDistance('cosine', 1.0000001)).toBe(2)
    expect(publicDistance('cosine', 0.25)).toBe(1.25)
  })

  it('tells l2 and ip as the kernel gives them', () => {
    expect(publicDistance('l2', 7.5)).toBe(7.5)
    expect(publicDistance('ip', -7.5)).toBe(-7.5)
    expect(publicDistance('ip', -0)).toBe(0) // toBe tells -0 from 0
  })

  it('scores greater as nearer', () => {
    expect(score('cosine', 0.25)).toBe(0.75)
    expect(score('ip', -3)).toBe(3)
    expect(score('l2', 4)).toBe(-4)
    expect(Object.is(score('l2', 0), 0)).toBe(true)
  })
})
