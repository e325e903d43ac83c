// What two bitmaps have in common: against bits taken one by one, at every length, and into one of the two.
import { describe, expect, it } from 'vitest'
import { kernelsOf, supportedVariants } from '../lib/index.js'
import { random } from './random.js'

describe.each(supportedVariants())('%s', variant => {
  const { bitsAnd } = kernelsOf(variant)

  it('keeps the bits that both have, counts them, and writes no further', () => {
    const { below } = random(12)
    const words = (count: number): Uint32Array => Uint32Array.from({ length: count }, () => below(2 ** 32))
    for (let length = 0; length < 20; length++) {
      const a = words(length + 1)
      const b = words(length + 2)
      const out = new Uint32Array(length + 1).fill(7)
      let count = 0
      for (let bit = 0; bit < 32 * length; bit++) {
        count += (a[bit >>> 5]! >>> (bit & 31)) & (b[bit >>> 5]! >>> (bit & 31)) & 1
      }
      const both = [...a.subarray(0, length).map((word, i) => word & b[i]!)]
      expect(bitsAnd(a, b, length, out)).toBe(count)
      expect([...out]).toEqual([...both, 7])
      expect(bitsAnd(a, b, length, a)).toBe(count)
      expect([...a.subarray(0, length)]).toEqual(both)
    }
  })

  it('counts a full bitmap', () => {
    const full = new Uint32Array(1001).fill(0xffff_ffff)
    expect(bitsAnd(full, full, 1001, new Uint32Array(1001))).toBe(32 * 1001)
  })
})
