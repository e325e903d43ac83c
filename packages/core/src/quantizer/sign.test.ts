// Proves what signs promise beyond other codes: estimates without bias for any dimension and padding, an error that shrinks
// with the root of the dimension as the theory says, and exactness where the signs say everything.
import { describe, expect, it } from 'vitest'
import { gaussian, seededRandom } from '../random.js'
import { signQuantizer, trainSign } from './sign.js'

describe('estimates', () => {
  it.each([64, 96, 100, 128, 384, 700, 1536])(
    'of %i dimensions are unbiased, and as near as the theory says',
    dim => {
      const random = seededRandom(dim)
      const draw = (count: number): Float32Array => {
        const rows = Float32Array.from({ length: count * dim }, () => gaussian(random))
        for (let start = 0; start < rows.length; start += dim) {
          const row = rows.subarray(start, start + dim)
          const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0))
          for (let d = 0; d < dim; d++) row[d]! /= length
        }
        return rows
      }
      const [count, queries] = [400, 20]
      const rows = draw(count)
      const errors: number[] = []
      for (let seed = 0; seed < queries; seed++) {
        const quantizer = signQuantizer({ dim, seed })
        const codes = quantizer.encode(rows)
        const query = draw(1)
        const out = new Float32Array(count)
        quantizer.distances('ip', query, codes, count, out)
        for (let j = 0; j < count; j++) {
          let exact = 0
          for (let d = 0; d < dim; d++) exact -= query[d]! * rows[j * dim + d]!
          errors.push(out[j]! - exact)
        }
      }
      // <s, q> has the part of q across r, a share of about pi/2 - 1 of ||s||^2 over `padded` directions.
      const padded = 64 * Math.ceil(dim / 64)
      const deviation = Math.sqrt((Math.PI / 2 - 1) / padded)
      const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length
      const spread = Math.sqrt(errors.reduce((sum, error) => sum + error * error, 0) / errors.length)
      expect(Math.abs(mean)).toBeLessThan(0.1 * deviation)
      expect(spread / deviation).toBeGreaterThan(0.9)
      expect(spread / deviation).toBeLessThan(1.1)
    },
  )

  it('of l2 are unbiased about a mean that is far from zero', () => {
    const dim = 200
    const random = seededRandom(2)
    const count = 3000
    const rows = Float32Array.from({ length: count * dim }, () => gaussian(random) + 50)
    const quantizer = trainSign(rows, { dim, seed: 9 })
    const query = rows.slice(0, dim)
    const out = new Float32Array(count)
    quantizer.distances('l2', query, quantizer.encode(rows), count, out)
    let bias = 0
    let all = 0
    for (let j = 1; j < count; j++) {
      let exact = 0
      for (let d = 0; d < dim; d++) exact += (query[d]! - rows[j * dim + d]!) ** 2
      bias += out[j]! - exact
      all += exact
    }
    expect(Math.abs(bias / all)).toBeLessThan(0.005)
  })
})

it('a row at the mean has exact distances', () => {
  const dim = 70
  const row = Float32Array.from({ length: dim }, (_, d) => d / 7)
  const quantizer = trainSign(row, { dim, seed: 1 })
  const query = new Float32Array(dim).fill(1)
  const out = new Float32Array(1)
  const codes = quantizer.encode(row)
  expect(quantizer.decode(codes, 1)).toEqual(row)
  quantizer.distances('l2', query, codes, 1, out)
  expect(out[0]).toBeCloseTo(
    row.reduce((sum, value) => sum + (1 - value) ** 2, 0),
    1,
  )
})
