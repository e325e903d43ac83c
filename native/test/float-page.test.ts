// Float pages: every variant writes the bytes of the reference and reads back every bit of what was written, and no damaged page does more
// than be refused or give other values.
import { describe, expect, it } from 'vitest'
import {
  floatPageRoom,
  type Kernels,
  kernelsOf,
  PageFault,
  packedBytes,
  supportedVariants,
} from '../lib/index.js'
import { type Random, random } from './random.js'
import { compiled } from './variants.js'

type Floats = Float32Array | Float64Array

const reference = kernelsOf('reference')
const RAW = 0
const CONST = 1
const ALP = 2
const ALP_RD = 3

/** What values may be like; each draws value after value. */
const KINDS: Record<string, (r: Random) => () => number> = {
  normal: r => () => r.normal() / 20,
  positive: r => () => Math.abs(r.normal()),
  bytes: r => () => r.below(256),
  decimals: r => () => Math.round(r.normal() * 35_000) / 1e5,
  'decimals with others': r => () => (r.below(9) === 0 ? r.normal() : r.below(1000) / 100),
  'scaled bytes': r => () => Math.fround(r.below(256) / 255),
  'large integers': r => () => r.below(2 ** 24) - 2 ** 23,
  sparse: r => () => (r.below(20) === 0 ? r.below(2 ** 20) : 3),
  'sparse decimals': r => () => (r.below(20) === 0 ? r.below(1000) : r.below(3)) / 100,
  'powers of two': r => () => (1 + r.below(16) / 16) * 2 ** r.below(10) + (r.below(30) === 0 ? r.unit() : 0),
  'few values': r => () => [0.1, -3.5, 1e30, 0, -0, 7e-42][r.below(6)]!,
  clustered: r => () => Math.fround(1 + r.below(8) / 64) * (1 + r.unit() / 1e5),
  special: r => () => [Number.NaN, Number.POSITIVE_INFINITY, -0, 5e-324, 1e-45, r.normal()][r.below(6)]!,
  'both zeros': r => () => (r.below(2) === 0 ? 0 : -0),
}
const COUNTS = [0, 1, 2, 7, 31, 33, 255, 256, 511, 512, 513, 1000, 1023, 1024, 1025, 3072, 3840, 4096, 5000]

function draw(kind: string, count: number, bits: 32 | 64, seed: number): Floats {
  const next = KINDS[kind]!(random(seed))
  const values = bits === 32 ? new Float32Array(count) : new Float64Array(count)
  for (let i = 0; i < count; i++) values[i] = next()
  return values
}

/** Values of any bits under a mask, so that common zeros and shared high bits occur. */
function drawBits(count: number, bits: 32 | 64, seed: number): Floats {
  const { below } = random(seed)
  const words = new Uint32Array((count * bits) / 32)
  const [mask, set] = [below(2 ** 32), below(3) === 0 ? below(2 ** 32) : 0]
  const sharp = below(2) === 0
  for (let i = 0; i < words.length; i++) words[i] = sharp ? (below(2 ** 32) & mask) | set : below(2 ** 32)
  return bits === 32 ? new Float32Array(words.buffer) : new Float64Array(words.buffer)
}

const bytesOf = (values: Floats): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

function encode(kernels: Kernels, values: Floats, lead = 0): Uint8Array {
  const page = new Uint8Array(lead + floatPageRoom(values.length, values.BYTES_PER_ELEMENT)).subarray(lead)
  return page.subarray(0, kernels.floatPageEncode(values, page))
}

function blank(values: Floats, count: number): Floats {
  return values instanceof Float32Array ? new Float32Array(count) : new Float64Array(count)
}

/** Decoded whole and in part, compared bit for bit. */
function expectValues(kernels: Kernels, page: Uint8Array, values: Floats, { below }: Random): void {
  const out = blank(values, values.length)
  expect(kernels.floatPageDecode(page, values.length, 0, out)).toBe(0)
  expect(Buffer.compare(bytesOf(out), bytesOf(values))).toBe(0)
  const first = below(values.length + 1)
  const part = blank(values, below(values.length - first + 1))
  expect(kernels.floatPageDecode(page, values.length, first, part)).toBe(0)
  expect(Buffer.compare(bytesOf(part), bytesOf(values.subarray(first, first + part.length)))).toBe(0)
}

describe.each(supportedVariants())('%s', variant => {
  const tested = kernelsOf(variant)

  it.each(Object.keys(KINDS))('gives back every bit of %s values, in the bytes of the reference', kind => {
    const r = random(21)
    for (const bits of [32, 64] as const) {
      for (const count of COUNTS) {
        const values = draw(kind, count, bits, count)
        const page = encode(tested, values, r.below(64))
        expect(page.length).toBeLessThanOrEqual(floatPageRoom(count, bits / 8))
        if (variant !== 'reference') expect(Buffer.compare(page, encode(reference, values))).toBe(0)
        expectValues(tested, page, values, r)
      }
    }
  })

  it('gives back any bits', () => {
    const r = random(22)
    for (let seed = 0; seed < 150; seed++) {
      const bits = seed % 2 === 0 ? 32 : 64
      const values = drawBits(r.below(2500), bits, seed)
      const page = encode(tested, values)
      expect(page.length).toBeLessThanOrEqual(floatPageRoom(values.length, bits / 8))
      if (variant !== 'reference') expect(Buffer.compare(page, encode(reference, values))).toBe(0)
      expectValues(tested, page, values, r)
    }
  })

  it('packs words of every width as the reference, and unpacks them', () => {
    const { below } = random(23)
    for (let width = 0; width < 64; width++) {
      for (const count of [0, 1, 17, 1000, 1024, 2100]) {
        const words = BigUint64Array.from({ length: count }, () =>
          BigInt.asUintN(width, (BigInt(below(2 ** 32)) << 32n) | BigInt(below(2 ** 32))),
        )
        const packed = new Uint8Array(packedBytes(count, width))
        tested.bitsPack(words, width, packed)
        const expected = new Uint8Array(packed.length)
        reference.bitsPack(words, width, expected)
        expect(Buffer.compare(packed, expected)).toBe(0)
        const out = new BigUint64Array(count)
        tested.bitsUnpack(packed, width, out)
        expect(out.every((word, i) => word === words[i])).toBe(true)
      }
    }
  })
})

describe('the choice', () => {
  const summary = (values: Floats) => {
    const page = encode(kernelsOf(supportedVariants().at(-1)!), values)
    const exceptions = new DataView(page.buffer, page.byteOffset).getUint32(32, true)
    return { codec: page[0], bits: (8 * page.length) / values.length, exceptions }
  }

  it('takes the codec that fits', () => {
    expect(summary(new Float32Array(100).fill(0.1))).toMatchObject({ codec: CONST })
    expect(summary(draw('bytes', 4096, 32, 1))).toMatchObject({ codec: ALP, exceptions: 0 })
    expect(summary(draw('decimals', 4096, 32, 1))).toMatchObject({ codec: ALP, exceptions: 0 })
    expect(summary(draw('scaled bytes', 4096, 32, 1))).toMatchObject({ codec: ALP, exceptions: 0 })
    expect(summary(draw('normal', 4096, 32, 1))).toMatchObject({ codec: ALP_RD })
    const { below } = random(1)
    const noise = new Float32Array(Uint32Array.from({ length: 4096 }, () => below(2 ** 32)).buffer)
    expect(summary(noise)).toMatchObject({ codec: RAW })
  })

  it('stays within the sizes that were measured', () => {
    expect(summary(draw('normal', 4096, 32, 1)).bits).toBeLessThan(27.5)
    expect(summary(draw('bytes', 4096, 32, 1)).bits).toBeLessThan(8.2)
    expect(summary(draw('decimals', 4096, 32, 1)).bits).toBeLessThan(18.5)
    const half = new Uint32Array(draw('normal', 4096, 32, 1).buffer).map(word => word & ~0x1fff)
    expect(summary(new Float32Array(half.buffer)).bits).toBeLessThan(15)
  })

  it('finds every decimal of up to 2^24 steps exactly', () => {
    for (let power = 0; power <= 10; power++) {
      const { below } = random(power)
      const values = Float32Array.from(
        { length: 4096 },
        () => (below(2 ** 25 - 1) - (2 ** 24 - 1)) / 10 ** power,
      )
      expect(summary(values), `10^${power}`).toMatchObject({ codec: ALP, exceptions: 0 })
    }
  })
})

describe.each(['reference', ...compiled] as const)('a damaged page in %s', variant => {
  const tested = kernelsOf(variant)
  const r = random(31)
  const cases = (['normal', 'decimals with others', 'clustered', 'bytes'] as const).flatMap(kind =>
    ([32, 64] as const).map(bits => draw(kind, 600, bits, 9)),
  )
  const outcome = (kernels: Kernels, page: Uint8Array, values: Floats) => {
    const out = blank(values, values.length)
    const fault = kernels.floatPageDecode(page, values.length, 0, out)
    return fault === 0 ? Buffer.from(bytesOf(out)).toString('hex') : fault
  }

  it('is refused when it ends early', () => {
    for (const values of cases) {
      const page = encode(tested, values)
      for (let length = 0; length < page.length; length++) {
        const fault = outcome(tested, page.slice(0, length), values)
        expect([PageFault.length, PageFault.exceptions], `${length} of ${page.length}`).toContain(fault)
      }
    }
  })

  it('does the same as in the reference, whatever bit is flipped', () => {
    for (const values of cases) {
      const page = encode(tested, values)
      for (let bit = 0; bit < page.length * 8; bit += bit < 512 ? 1 : 1 + r.below(40)) {
        const damaged = page.slice()
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        expect(outcome(tested, damaged, values), `bit ${bit}`).toBe(outcome(reference, damaged, values))
      }
    }
  })

  it('does the same as in the reference with any header', () => {
    const faults = new Set<unknown>()
    for (const values of cases) {
      const page = encode(tested, values)
      for (let i = 0; i < 400; i++) {
        const damaged = page.slice()
        for (let n = 1 + r.below(3); n > 0; n--)
          damaged[r.below(64)] = [0, 1, 255, 127, r.below(256)][r.below(5)]!
        const got = outcome(tested, damaged, values)
        expect(got).toBe(outcome(reference, damaged, values))
        faults.add(typeof got === 'number' ? got : 'values')
      }
    }
    expect([...faults]).toEqual(expect.arrayContaining([PageFault.unknown, PageFault.fields, 'values']))
  })

  it('of another length or element type is refused', () => {
    const values = draw('normal', 600, 32, 1)
    const page = encode(tested, values)
    expect(tested.floatPageDecode(page, 601, 0, new Float32Array(601))).toBe(PageFault.fields)
    expect(tested.floatPageDecode(page, 600, 0, new Float64Array(600))).toBe(PageFault.fields)
    expect(() => tested.floatPageDecode(page, 600, 1, new Float32Array(600))).toThrow('first is 1')
  })
})
