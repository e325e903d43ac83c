/**
 * Proves that encoded floats and ids come back bit for bit, never cost more than they are allowed to, are refused when damaged, and that
 * the bytes of a released codec never change (`DRIFT_WRITE_GOLDEN=1` writes the files anew, for codecs that were not released yet).
 * `DRIFT_CODEC_BITS=1e8` runs so many random values through each codec instead of a few.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { decodeFloats, decodeIds, encodeFloats, encodeIds } from '../src/index.js'
import { outcome } from './damage.js'
import { type Seeded, seeded } from './seeded.js'

type Floats = Float32Array | Float64Array

const GOLDEN = fileURLToPath(new URL('./golden/codec', import.meta.url))
const RANDOM_VALUES = Number(process.env['DRIFT_CODEC_BITS'] ?? 300_000)
/** Of the first page in encoded floats of one page. */
const FIRST_PAGE = 32 + 8

const bytesOf = (values: Floats | BigUint64Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
const same = (a: Floats | BigUint64Array, b: Floats | BigUint64Array): boolean =>
  Buffer.compare(bytesOf(a), bytesOf(b)) === 0

/** Undefined: any bits. */
type Draw = ((r: Seeded, i: number) => number) | undefined

/** What each codec is for, by its number. */
const CODECS: readonly [name: string, codec: number, next: Draw][] = [
  ['raw', 0, undefined],
  ['const', 1, () => -0.1],
  ['alp', 2, (r, i) => (i % 97 === 5 ? Number.NaN : (r.int(20_000) - 10_000) / 1000)],
  ['alp-rd', 3, r => (r.next() + r.next() + r.next() - 1.5) / 16],
]
const ELEMENTS = [Float32Array, Float64Array] as const

function draw(make: (typeof ELEMENTS)[number], count: number, seed: number, next: Draw): Floats {
  const r = seeded(seed)
  if (next === undefined) return new make(r.bytes(count * make.BYTES_PER_ELEMENT).buffer as ArrayBuffer)
  const values = new make(count)
  for (let i = 0; i < count; i++) values[i] = next(r, i)
  return values
}

/** Ids for each way of a block. */
const IDS: readonly [name: string, way: number, ids: (count: number) => BigUint64Array][] = [
  ['const-step', 0, count => BigUint64Array.from({ length: count }, (_, i) => BigInt(i * 3))],
  ['delta-for', 1, count => rising(count)],
  [
    'for',
    2,
    count => BigUint64Array.from(seeded(3).floats(count), x => 10n ** 15n + BigInt(Math.round(x * 5e4))),
  ],
  ['raw', 3, count => new BigUint64Array(seeded(4).bytes(count * 8).buffer)],
]

function rising(count: number): BigUint64Array {
  const r = seeded(2)
  let id = 2n ** 62n
  return BigUint64Array.from({ length: count }, () => (id += BigInt(1 + r.int(100))))
}

/** Name, encoded now, and whether it decodes to what it was made of. */
const goldens = [
  ...CODECS.flatMap(([name, codec, next]) =>
    ELEMENTS.map(make => {
      const values = draw(make, 1100, codec, next)
      const file = `${name}-f${make.BYTES_PER_ELEMENT * 8}.bin`
      return {
        file,
        bytes: encodeFloats(values),
        holds: (stored: Uint8Array) => same(decodeFloats(stored), values),
      }
    }),
  ),
  ...IDS.map(([name, , make]) => {
    const ids = make(1100)
    return {
      file: `ids-${name}.bin`,
      bytes: encodeIds(ids),
      holds: (stored: Uint8Array) => same(decodeIds(stored), ids),
    }
  }),
]

if (process.env['DRIFT_WRITE_GOLDEN'] === '1') {
  mkdirSync(GOLDEN, { recursive: true })
  for (const { file, bytes } of goldens) writeFileSync(`${GOLDEN}/${file}`, bytes)
}

describe('a released codec', () => {
  it.each(goldens)('writes and reads $file as ever', ({ file, bytes, holds }) => {
    const stored = readFileSync(`${GOLDEN}/${file}`)
    expect(stored.equals(bytes)).toBe(true)
    expect(holds(stored)).toBe(true)
  })
})

describe.each(ELEMENTS)('encoded floats of %o', make => {
  const elementBytes = make.BYTES_PER_ELEMENT

  it.each(CODECS)('come back from codec %s', (_, codec, next) => {
    for (const count of [1024, 1025, 16_383, 16_384, 40_000]) {
      const values = draw(make, count, count, next)
      const bytes = encodeFloats(values)
      expect(bytes[32 + Math.ceil(count / 16_384) * 8]).toBe(codec)
      expect(same(decodeFloats(bytes), values)).toBe(true)
    }
  })

  it('come back whatever their number, and never grow by more than their headers', () => {
    const r = seeded(5)
    for (let count = 0; count < 300; count++) {
      const values = draw(make, count, count, CODECS[r.int(4)]![2])
      const bytes = encodeFloats(values)
      expect(bytes.length).toBeLessThanOrEqual(values.byteLength + 32 + 72 * Math.ceil(count / 16_384))
      expect(same(decodeFloats(bytes), values)).toBe(true)
    }
  })

  it.each(CODECS)('come back as any bits among values of codec %s', (_, __, next) => {
    const round = 65_536
    for (let seed = 0; seed * round < RANDOM_VALUES; seed++) {
      const r = seeded(seed)
      const values = draw(make, round, seed, next)
      const words = new Uint32Array(values.buffer)
      // Any bits in every second value up to one of 1024: about none, few and most values are exceptions.
      const share = 2 + r.int(1023)
      for (let i = 0; i < words.length; i += share) words[i] = r.int(2 ** 32)
      const out = decodeFloats(encodeFloats(values))
      if (!same(out, values)) throw new Error(`seed ${seed}`)
    }
  })

  it('are refused after any damage', () => {
    for (const [, codec, next] of CODECS) {
      const values = draw(make, codec === 0 ? 40 : 600, 1, next)
      const bytes = encodeFloats(values)
      expect(bytes[FIRST_PAGE]).toBe(codec)
      for (let length = 0; length < bytes.length; length++) {
        expect(outcome(() => decodeFloats(bytes.slice(0, length)))).toHaveProperty('code')
      }
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = bytes.slice()
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        expect(
          outcome(() => decodeFloats(damaged)),
          `bit ${bit}`,
        ).toHaveProperty('code')
      }
    }
  })

  it('are not decoded to more values than are allowed', () => {
    const bytes = encodeFloats(new make(100_000))
    expect(bytes.length).toBeLessThan(1000)
    expect(() => decodeFloats(bytes, 99_999)).toThrow('100000 values are more than 99999')
    expect(decodeFloats(bytes, 100_000).byteLength).toBe(100_000 * elementBytes)
  })
})

describe('encoded ids', () => {
  it.each(IDS)('come back by way %s', (_, way, make) => {
    for (const count of [1024, 2048, 5000]) {
      const ids = make(count)
      const bytes = encodeIds(ids)
      expect(bytes[24]).toBe(way)
      expect(same(decodeIds(bytes), ids)).toBe(true)
    }
  })

  it('come back whatever they are, and never grow by more than their headers', () => {
    const r = seeded(6)
    for (let count = 0; count < 1100; count += 1 + r.int(30)) {
      const random = new BigUint64Array(r.bytes(count * 8).buffer)
      const shift = BigInt(r.int(65))
      for (const ids of [random, random.map(id => id >> shift), random.map(id => id >> shift).sort()]) {
        const bytes = encodeIds(ids)
        expect(bytes.length).toBeLessThanOrEqual(ids.byteLength + 24 + 24 * Math.ceil(count / 1024))
        expect(same(decodeIds(bytes), ids)).toBe(true)
      }
    }
  })

  it('cost their gaps when they rise and their spread when they do not', () => {
    const bits = (ids: BigUint64Array) => (8 * encodeIds(ids).length) / ids.length
    expect(bits(IDS[0]![2](100_000))).toBeLessThan(0.2)
    expect(bits(rising(100_000))).toBeLessThan(7.3)
    expect(bits(IDS[2]![2](100_000))).toBeLessThan(17.3)
  })

  it('are refused after any damage', () => {
    for (const [, , make] of IDS) {
      const bytes = encodeIds(make(200))
      for (let length = 0; length < bytes.length; length++) {
        expect(outcome(() => decodeIds(bytes.slice(0, length)))).toHaveProperty('code')
      }
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = bytes.slice()
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        expect(
          outcome(() => decodeIds(damaged)),
          `bit ${bit}`,
        ).toHaveProperty('code')
      }
    }
  })
})
