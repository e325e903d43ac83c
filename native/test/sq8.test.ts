// SQ8: codes, scales and estimates are the same bits in every variant, and an estimate is as near to the exact
// distance as a rounding of half a step per value allows.
import { describe, expect, it } from 'vitest'
import { type KernelMetric, type Kernels, kernelsOf, paddedDim, supportedVariants } from '../lib/index.js'
import { bytes, floats, LENGTHS, random, signedBytes } from './random.js'
import { compiled } from './variants.js'

const METRICS: readonly KernelMetric[] = ['l2', 'ip']
const reference = kernelsOf('reference')

describe.each(compiled)('%s', variant => {
  const tested = kernelsOf(variant)

  it('writes the codes and scales of the reference, at the same rows, and nothing else', () => {
    const { normal, below, unit } = random(5)
    for (const dim of LENGTHS) {
      const rowCount = 5
      // Scales from the subnormal to the enormous.
      const size = 10 ** (unit() * 76 - 41)
      const rows = floats(rowCount * dim, below(8), () => normal() * size)
      rows.fill(0, 2 * dim, 3 * dim)
      const want = encode(reference, rows, dim, 1, 3, below(64))
      const got = encode(tested, rows, dim, 1, 3, below(64))
      expect(Buffer.compare(got.codes, want.codes)).toBe(0)
      for (let row = 0; row < rowCount; row++) {
        expect(got.factors[2 * row]).toBe(want.factors[2 * row])
        const norm = want.factors[2 * row + 1]!
        if (Number.isFinite(norm))
          expect(Math.abs(got.factors[2 * row + 1]! - norm)).toBeLessThanOrEqual(2e-6 * norm + 1e-37)
        else expect(got.factors[2 * row + 1]).toBe(norm)
      }
    }
  })

  it('encodes new rows in one pass as its steps do, at their places, with the bits of the reference', () => {
    const { normal, below } = random(9)
    for (const dim of LENGTHS)
      for (const isUnit of [false, true]) {
        const padded = paddedDim(dim)
        const flips = Uint32Array.from({ length: 2 * padded }, () => (below(2) === 0 ? 0 : 0x8000_0000))
        const from = floats(4 * dim, below(8), normal)
        const run = (kernels: Kernels) => {
          const kept = new Float32Array(5 * dim)
          const codes = new Uint8Array(3 * padded)
          const factors = new Float32Array(6)
          const [sources, places, rows] = [Uint32Array.of(3, 0), Uint32Array.of(4, 2), Uint32Array.of(1, 0)]
          kernels.encodeRows(from, dim, sources, isUnit, kept, places, padded, flips, rows, codes, factors)
          return { kept, codes, factors }
        }
        const [want, got] = [run(reference), run(tested)]
        expect(sameBytes(got.kept, want.kept)).toBe(true)
        expect(sameBytes(got.codes, want.codes)).toBe(true)
        expect(got.factors[2]).toBe(want.factors[2])
        expect(got.kept.subarray(0, 2 * dim).every(value => value === 0)).toBe(true)
        const row = got.kept.subarray(4 * dim)
        if (isUnit) expect(row.reduce((sum, x) => sum + x * x, 0)).toBeCloseTo(1, 5)
        else expect(sameBytes(row, from.slice(3 * dim))).toBe(true)
        const rotated = new Float32Array(padded)
        tested.rotate(got.kept, dim, padded, 4, 1, flips, rotated)
        const steps = new Uint8Array(padded)
        tested.sq8Encode(rotated, padded, 0, 1, steps, new Float32Array(2))
        expect(sameBytes(got.codes.subarray(padded, 2 * padded), steps)).toBe(true)
      }
  })

  it('writes the query codes of the reference', () => {
    const { normal, below } = random(6)
    for (const dim of LENGTHS) {
      const query = floats(dim, below(8), normal)
      const want = new Int8Array(dim)
      const wantFactors = new Float32Array(3)
      reference.sq8Query(query, want, wantFactors)
      const got = signedBytes(dim + 1, below(64), () => 99)
      const gotFactors = new Float32Array(3)
      tested.sq8Query(query, got.subarray(0, dim), gotFactors)
      expect([...got]).toEqual([...want, 99])
      expect([gotFactors[0], gotFactors[2]]).toEqual([wantFactors[0], wantFactors[2]])
      expect(gotFactors[2]).toBe(want.reduce((sum, code) => sum + code, 0))
      expect(gotFactors[1]).toBeCloseTo(wantFactors[1]!, 2)
    }
  })

  it('estimates the bits of the reference for any codes, up to the extremes', () => {
    const { below, unit, normal } = random(7)
    for (const dim of LENGTHS) {
      const rowCount = 13
      // All three in turn: mixed codes, every product the largest, every product the smallest.
      const kind = dim % 3
      const query = signedBytes(dim, below(64), () =>
        kind === 0 ? below(255) - 127 : kind === 1 ? 127 : -127,
      )
      const codes = bytes(rowCount * dim, below(64), () => (kind === 0 ? below(256) : below(2) * 255))
      const factors = floats(2 * rowCount, below(8), unit)
      const queryFactors = Float32Array.of(
        unit(),
        normal() ** 2,
        query.reduce((sum, code) => sum + code, 0),
      )
      const index = Uint32Array.from({ length: 12 }, () => below(rowCount))
      for (const metric of METRICS) {
        const got = new Float32Array(13).fill(7)
        const want = new Float32Array(13).fill(7)
        tested.sq8Distances(metric, query, queryFactors, codes, factors, dim, 1, 12, got)
        reference.sq8Distances(metric, query, queryFactors, codes, factors, dim, 1, 12, want)
        expect(got).toEqual(want)
        tested.sq8DistancesGather(metric, query, queryFactors, codes, factors, dim, index, 12, got)
        reference.sq8DistancesGather(metric, query, queryFactors, codes, factors, dim, index, 12, want)
        expect(got).toEqual(want)
      }
    }
  })

  it('sums the longest vector of the largest products without overflow', () => {
    const dim = 65_535
    const query = new Int8Array(dim).fill(-127)
    const codes = new Uint8Array(dim).fill(255)
    const out = new Float32Array(1)
    const queryFactors = Float32Array.of(1, 0, -127 * dim)
    tested.sq8Distances('ip', query, queryFactors, codes, Float32Array.of(1, 0), dim, 0, 1, out)
    expect(out[0]).toBe(Math.fround(127 * 127 * dim))
  })
})

describe.each(supportedVariants())('%s', variant => {
  it('estimates distances within the rounding of its codes', () => {
    const kernels = kernelsOf(variant)
    const { normal } = random(8)
    const dim = 96
    const count = 200
    const rows = floats(count * dim, 0, normal)
    const query = floats(dim, 0, normal)
    const { codes, factors } = encode(kernels, rows, dim, 0, count, 0)
    const queryCodes = new Int8Array(dim)
    const queryFactors = new Float32Array(3)
    kernels.sq8Query(query, queryCodes, queryFactors)
    for (const metric of METRICS) {
      const exact = new Float32Array(count)
      const estimate = new Float32Array(count)
      kernels.distances(metric, query, rows, dim, 0, count, exact)
      kernels.sq8Distances(metric, queryCodes, queryFactors, codes, factors, dim, 0, count, estimate)
      // Errors of half a step are uniform: deviation s / sqrt(12) per value, on both sides; six deviations.
      for (let j = 0; j < count; j++) {
        const deviation = Math.sqrt(
          (queryFactors[0]! ** 2 * factors[2 * j + 1]! + factors[2 * j]! ** 2 * queryFactors[1]!) / 12,
        )
        expect(Math.abs(estimate[j]! - exact[j]!)).toBeLessThan(
          6 * (metric === 'l2' ? 2 : 1) * deviation + 1e-3,
        )
      }
    }
  })
})

interface Encoded {
  readonly codes: Uint8Array
  readonly factors: Float32Array
}

function encode(
  kernels: Kernels,
  rows: Float32Array,
  dim: number,
  first: number,
  count: number,
  lead: number,
): Encoded {
  const codes = bytes(rows.length, lead, () => 3)
  const factors = floats((2 * rows.length) / dim, 1, () => 3)
  kernels.sq8Encode(rows, dim, first, count, codes, factors)
  return { codes, factors }
}

/** As matchers do, a hundred times faster. */
function sameBytes(a: ArrayBufferView, b: ArrayBufferView): boolean {
  const [left, right] = [a, b].map(view => Buffer.from(view.buffer, view.byteOffset, view.byteLength))
  return Buffer.compare(left!, right!) === 0
}
