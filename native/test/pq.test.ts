// Distances by table and by line: sums of table entries are the same bits in every variant, for any width, place and
// alignment, and those of floats with a line per dimension stay within the rounding of their terms.
import { describe, expect, it } from 'vitest'
import { type KernelMetric, kernelsOf } from '../lib/index.js'
import { bytes, floats, LENGTHS, random } from './random.js'
import { compiled } from './variants.js'

const METRICS: readonly KernelMetric[] = ['l2', 'ip']
const reference = kernelsOf('reference')

describe('the reference', () => {
  it('scans a block laid out by hand', () => {
    const lut = Uint8Array.from({ length: 32 }, (_, i) => (i < 16 ? i : 100 + (i - 16)))
    const block = new Uint8Array(40)
    block[0] = 0x21 // group 0: row 0 has code 1, row 16 code 2
    block[16 + 15] = 0xf3 // group 1: row 15 has code 3, row 31 code 15
    const out = new Uint16Array(33).fill(9)
    reference.fastScan(lut, 2, block, 40, 1, out)
    const want = new Uint16Array(33).fill(100)
    want.set([101], 0)
    want.set([103], 15)
    want.set([102], 16)
    want.set([115, 9], 31)
    expect(out).toEqual(want)
  })
})

describe.each(compiled)('%s', variant => {
  const tested = kernelsOf(variant)

  it('sums table entries of 8-bit codes to the bits of the reference', () => {
    const { below, normal } = random(31)
    for (const width of LENGTHS) {
      const lut = floats(256 * width, below(8), normal)
      const codes = bytes(6 * width, below(64), () => below(256))
      const want = new Float32Array(6).fill(7)
      const got = new Float32Array(6).fill(7)
      reference.lutDistances(lut, width, codes, 1, 5, want)
      tested.lutDistances(lut, width, codes, 1, 5, got)
      expect(got).toEqual(want)
    }
  })

  it('sums table entries of 4-bit codes to the bits of the reference, also where 16 bits run over', () => {
    const { below } = random(32)
    for (const groups of LENGTHS) {
      const stride = 16 * groups + below(3) * 20
      const largest = groups % 2 === 0
      const lut = bytes(16 * groups, below(64), () => (largest ? 127 : below(128)))
      const blocks = bytes(3 * stride, below(64), () => below(256))
      const want = new Uint16Array(97).fill(9)
      const got = new Uint16Array(97).fill(9)
      reference.fastScan(lut, groups, blocks, stride, 3, want)
      tested.fastScan(lut, groups, blocks, stride, 3, got)
      expect(Buffer.compare(new Uint8Array(got.buffer), new Uint8Array(want.buffer))).toBe(0)
      if (largest) expect(got[0]).toBe((127 * groups) % 65_536)
    }
  })

  it('sums the gaps of 8-bit codes within the rounding of their terms', () => {
    const { below, normal, unit } = random(33)
    for (const dim of LENGTHS) {
      const offset = floats(dim, below(8), normal)
      const step = floats(dim, below(8), () => unit() / 100)
      const codes = bytes(6 * dim, below(64), () => below(256))
      for (const metric of METRICS) {
        const want = new Float32Array(6).fill(7)
        const got = new Float32Array(6).fill(7)
        reference.affineDistances(metric, offset, step, codes, dim, 1, 5, want)
        tested.affineDistances(metric, offset, step, codes, dim, 1, 5, got)
        for (let j = 0; j < 5; j++) {
          let terms = 0
          for (let i = 0; i < dim; i++) {
            const size = Math.abs(offset[i]!) + step[i]! * codes[(1 + j) * dim + i]!
            terms += metric === 'l2' ? size * size : size
          }
          // Each term is rounded three times, and passes through fewer than 64 additions.
          expect(Math.abs(got[j]! - want[j]!)).toBeLessThanOrEqual(66 * 2 ** -24 * terms)
        }
        expect(got[5]).toBe(7)
      }
    }
  })
})
