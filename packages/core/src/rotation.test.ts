// Proves that the rotation keeps lengths and angles, spreads what is in one value over all, and can be undone.
import { describe, expect, it } from 'vitest'
import { gaussian, seededRandom } from './random.js'
import { Rotation } from './rotation.js'

describe.each([1, 2, 63, 64, 65, 128, 130, 384, 500, 768, 1000, 1536])('of %i dimensions', dim => {
  const rotation = new Rotation(dim, 3)
  const { padded } = rotation
  const random = seededRandom(dim)
  const count = 4
  const rows = Float32Array.from({ length: count * dim }, () => gaussian(random))
  const turned = new Float32Array(count * padded)
  rotation.apply(rows, 0, count, turned)
  const product = (values: Float32Array, width: number, a: number, b: number): number => {
    let sum = 0
    for (let i = 0; i < width; i++) sum += values[a * width + i]! * values[b * width + i]!
    return sum
  }

  it('keeps every inner product', () => {
    for (let a = 0; a < count; a++) {
      for (let b = 0; b < count; b++) {
        expect(Math.abs(product(turned, padded, a, b) - product(rows, dim, a, b))).toBeLessThan(
          1e-5 * dim + 1e-5,
        )
      }
    }
  })

  it('comes back when undone', () => {
    const back = new Float32Array(count * dim)
    rotation.undo(turned, count, back)
    for (let i = 0; i < back.length; i++) expect(Math.abs(back[i]! - rows[i]!)).toBeLessThan(1e-5)
  })

  it('spreads a single value over all', () => {
    for (const at of [0, dim - 1]) {
      const one = new Float32Array(dim)
      one[at] = 1
      const out = new Float32Array(padded)
      rotation.apply(one, 0, 1, out)
      // A value of about 1 / sqrt(padded); normal ones exceed 6 of that once in 10^9.
      expect(Math.max(...out.map(Math.abs))).toBeLessThan(6 / Math.sqrt(padded))
    }
  })

  it('is another one for another seed', () => {
    const other = new Float32Array(count * padded)
    new Rotation(dim, 4).apply(rows, 0, count, other)
    expect(other).not.toEqual(turned)
  })
})
