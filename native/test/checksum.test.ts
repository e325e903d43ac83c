// CRC32C and XXH64: the published values, the reference for every length and alignment, and CRCs that continue.
import { describe, expect, it } from 'vitest'
import { kernelsOf, supportedVariants } from '../lib/index.js'
import { bytes, LENGTHS, random } from './random.js'

const reference = kernelsOf('reference')
const text = (value: string): Uint8Array => new TextEncoder().encode(value)

describe.each(supportedVariants())('%s', variant => {
  const { crc32c, hash64 } = kernelsOf(variant)

  it('computes the CRC32C values of RFC 3720', () => {
    const rising = Uint8Array.from({ length: 32 }, (_, i) => i)
    expect(crc32c(text('123456789'))).toBe(0xe3069283)
    expect(crc32c(new Uint8Array(0))).toBe(0)
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43)
    expect(crc32c(rising)).toBe(0x46dd794e)
    expect(crc32c(rising.toReversed())).toBe(0x113fdb5c)
  })

  it('computes published XXH64 values', () => {
    expect(hash64(text(''))).toBe(0xef46db3751d8e999n)
    expect(hash64(text('a'))).toBe(0xd24ec4f1a98c6e5bn)
    expect(hash64(text('abc'))).toBe(0x44bc2cf5ad770999n)
    expect(hash64(text('Nobody inspects the spammish repetition'))).toBe(0xfbcea83c8a378bf1n)
  })

  it('agrees with the reference for every length, alignment and seed', () => {
    const { below } = random(10)
    for (const length of [
      0,
      ...LENGTHS,
      1023,
      1024,
      1151,
      1152,
      2047,
      2048,
      2303,
      2304,
      3071,
      3072,
      3073,
      3455,
      3456,
      6144,
      10_007,
    ]) {
      const data = bytes(length, below(64), () => below(256))
      const seed = below(2 ** 32)
      const seed64 = (BigInt(below(2 ** 32)) << 32n) | BigInt(seed)
      expect(crc32c(data, seed)).toBe(reference.crc32c(data, seed))
      expect(hash64(data, seed64)).toBe(reference.hash64(data, seed64))
      expect(hash64(data)).toBe(reference.hash64(data, 0n))
    }
  })

  it('continues a CRC from the CRC of what came before', () => {
    const { below } = random(11)
    const data = bytes(9000, 3, () => below(256))
    for (let i = 0; i < 50; i++) {
      const cut = below(data.length + 1)
      expect(crc32c(data.subarray(cut), crc32c(data.subarray(0, cut)))).toBe(crc32c(data))
    }
  })
})
