// Proves what every quantizer promises: distances are those to the decoded rows (or unbiased, for signs), any dimension and
// count works, codes of a block do not depend on the others, extremes and equal rows do no harm, stored bytes give the same
// quantizer back or are refused, and wrong arguments change nothing.
import { kernels } from '@drift/native'
import { describe, expect, it } from 'vitest'
import { CoreError } from '../errors.js'
import { gaussian, seededRandom } from '../random.js'
import { deserialiseQuantizer } from './deserialise.js'
import { trainPq } from './pq.js'
import { codesLength, type Quantizer } from './quantizer.js'
import { signQuantizer, trainSign } from './sign.js'
import { trainSq8 } from './sq8.js'

interface Maker {
  readonly name: string
  make(rows: Float32Array, dim: number): Quantizer
}

const pq = (bits: 4 | 8, rotate: boolean): Maker => ({
  name: `pq of ${bits} bits${rotate ? ', rotated' : ''}`,
  make: (rows, dim) =>
    trainPq(rows, { dim, subspaces: Math.ceil(dim / 3), bits, rotate, seed: 1, iterations: 2 }),
})

const MAKERS: readonly Maker[] = [
  { name: 'sq8', make: (rows, dim) => trainSq8(rows, { dim }) },
  pq(8, false),
  pq(8, true),
  pq(4, false),
  pq(4, true),
  { name: 'sign', make: (rows, dim) => trainSign(rows, { dim, seed: 1 }) },
]

/** Every small dimension, and those around the steps of vectors and rotations up to 1536. */
const DIMS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 129, 191, 200, 384, 517, 1536]

function rowsOf(count: number, dim: number, seed: number, size = 1): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: count * dim }, (_, i) => (gaussian(random) + (i % 5)) * size)
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

/** Sum of squares of the difference, over the sum of squares about the mean of all values. */
function relativeError(rows: Float32Array, decoded: Float32Array, dim: number): number {
  let [lost, all] = [0, 0]
  for (let d = 0; d < dim; d++) {
    let mean = 0
    for (let i = d; i < rows.length; i += dim) mean += rows[i]! / (rows.length / dim)
    for (let i = d; i < rows.length; i += dim) {
      lost += (rows[i]! - decoded[i]!) ** 2
      all += (rows[i]! - mean) ** 2
    }
  }
  return lost / all
}

describe.each(MAKERS)('$name', ({ name, make }) => {
  it.each(DIMS)('codes, decodes and ranks rows of %i dimensions', dim => {
    const count = 70 // two whole blocks and a part
    const rows = rowsOf(count, dim, dim)
    const quantizer = make(rows, dim)
    const length = codesLength(quantizer, count)
    expect(length).toBe(Math.ceil(count / quantizer.blockRows) * quantizer.blockBytes)
    const spacious = new Uint8Array(length + 9).fill(77)
    expect(quantizer.encode(rows, spacious)).toBe(spacious)
    expect([...spacious.subarray(length)]).toEqual(new Array(9).fill(77))
    const codes = quantizer.encode(rows)
    expect(Buffer.compare(codes, spacious.subarray(0, length))).toBe(0)

    const decoded = quantizer.decode(codes, count)
    expect(relativeError(rows, decoded, dim)).toBeLessThan(name === 'sign' ? 0.9 : 0.7)
    const query = rowsOf(1, dim, dim + 1)
    for (const metric of ['l2', 'ip'] as const) {
      const out = new Float32Array(count + 1).fill(-7)
      quantizer.distances(metric, query, codes, count, out)
      expect(out[count]).toBe(-7)
      const tail = new Float32Array(count - quantizer.blockRows)
      quantizer.distances(metric, query, codes.subarray(quantizer.blockBytes), tail.length, tail)
      expect(tail).toEqual(out.slice(quantizer.blockRows, count))
      if (name === 'sign') continue
      // A rotated code also says something of the padding; decoding drops it, an l2 distance does not.
      if (metric === 'l2' && name.includes('rotated') && dim % 64 !== 0) continue
      const exact = new Float32Array(count)
      kernels.distances(metric, query, decoded, dim, 0, count, exact)
      // 4-bit tables have levels of at most 1/127 of the widest table, wrong by half a level each.
      const tolerance = name.startsWith('pq of 4') ? 0.05 : 1e-5
      const size = query.reduce((sum, value) => sum + value * value, 1) + Math.max(...exact.map(Math.abs))
      for (let j = 0; j < count; j++) expect(Math.abs(out[j]! - exact[j]!)).toBeLessThan(tolerance * size)
    }
  })

  it('gives a row the same code whatever rows are beside it', () => {
    const dim = 19
    const rows = rowsOf(600, dim, 5)
    const quantizer = make(rows, dim)
    const all = quantizer.decode(quantizer.encode(rows), 600)
    for (const first of [0, 1, 255, 256, 257, 511, 599]) {
      const one = rows.slice(first * dim, (first + 1) * dim)
      expect(quantizer.decode(quantizer.encode(one), 1)).toEqual(all.slice(first * dim, (first + 1) * dim))
    }
  })

  it.each([1e-30, 1e-12, 1, 1e12, 1e30])('loses no more at the size %d', size => {
    const dim = 24
    const [plain, sized] = [rowsOf(100, dim, 6), rowsOf(100, dim, 6, size)]
    const errorOf = (rows: Float32Array): number => {
      const quantizer = make(rows, dim)
      const decoded = quantizer.decode(quantizer.encode(rows), 100)
      const unit = size === 1 || rows === plain ? 1 : size
      return relativeError(
        rows.map(value => value / unit),
        decoded.map(value => value / unit),
        dim,
      )
    }
    // The size is no power of two, so k-means rounds otherwise and may end elsewhere.
    expect(errorOf(sized)).toBeLessThan(1.3 * errorOf(plain) + 1e-6)
  })

  it.each([
    ['equal rows', (_: number, d: number) => d + 0.5],
    ['rows of zeros', () => 0],
    ['constant dimensions', (row: number, d: number) => (d % 2 === 0 ? 3 : row / 50)],
    ['two rows', (row: number, d: number) => (row % 2) * d],
  ])('codes %s', (what, value) => {
    const dim = 12
    const rows = Float32Array.from({ length: 50 * dim }, (_, i) => value(Math.floor(i / dim), i % dim))
    const quantizer = make(rows, dim)
    const codes = quantizer.encode(rows)
    const decoded = quantizer.decode(codes, 50)
    const out = new Float32Array(50)
    for (const metric of ['l2', 'ip'] as const) {
      quantizer.distances(metric, rows.subarray(0, dim), codes, 50, out)
      expect(out.every(Number.isFinite)).toBe(true)
    }
    if (what.startsWith('constant')) return
    if (what.startsWith('two') && name === 'sign') return
    // Few distinct rows are their own centroids, ends of ranges, or mean: they come back but for rounding.
    for (let i = 0; i < rows.length; i++) expect(Math.abs(decoded[i]! - rows[i]!)).toBeLessThan(1e-4)
  })

  it('takes rows and queries far from all it has learnt', () => {
    const dim = 9
    const quantizer = make(rowsOf(80, dim, 7), dim)
    const far = Float32Array.from({ length: 3 * dim }, (_, i) => [3e38, -3e38, 1e-45][i % 3]!)
    const codes = quantizer.encode(far)
    expect(codes.length).toBe(codesLength(quantizer, 3))
    quantizer.decode(codes, 3)
    quantizer.distances('l2', far.subarray(0, dim), codes, 3, new Float32Array(3))
  })

  it('takes no rows at all', () => {
    const quantizer = make(rowsOf(80, 9, 7), 9)
    expect(quantizer.encode(new Float32Array(0))).toEqual(new Uint8Array(0))
    expect(quantizer.decode(new Uint8Array(0), 0)).toEqual(new Float32Array(0))
    quantizer.distances('ip', rowsOf(1, 9, 1), new Uint8Array(0), 0, new Float32Array(0))
  })

  it('comes back from its bytes as it was, also from an odd offset', () => {
    const dim = 10
    const rows = rowsOf(90, dim, 8)
    const quantizer = make(rows, dim)
    const bytes = quantizer.serialise()
    const again = deserialiseQuantizer(Uint8Array.of(0, ...bytes).subarray(1))
    expect([again.kind, again.dim, again.id]).toEqual([quantizer.kind, dim, quantizer.id])
    expect(again.serialise()).toEqual(bytes)
    const codes = quantizer.encode(rows)
    expect(again.encode(rows)).toEqual(codes)
    expect(again.decode(codes, 90)).toEqual(quantizer.decode(codes, 90))
    const [want, got] = [new Float32Array(90), new Float32Array(90)]
    quantizer.distances('l2', rows.subarray(0, dim), codes, 90, want)
    again.distances('l2', rows.subarray(0, dim), codes, 90, got)
    expect(got).toEqual(want)
    expect(make(rowsOf(90, dim, 9), dim).id).not.toBe(quantizer.id)
    bytes.fill(0) // its own copy
    expect(quantizer.serialise()).not.toEqual(bytes)
  })

  it('is refused after any flip of a bit and at any other length', () => {
    const bytes = make(rowsOf(40, 3, 10), 3).serialise()
    const step = bytes.length > 2000 ? 13 : 1
    for (let bit = 0; bit < 8 * bytes.length; bit += bit < 400 ? 1 : step) {
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      expect(codeOf(() => deserialiseQuantizer(bytes))).toBe('DRIFT_QUANTIZER_CORRUPT')
      bytes[bit >> 3]! ^= 1 << (bit & 7)
    }
    for (const length of [0, 1, 43, 44, bytes.length >> 1, bytes.length - 4, bytes.length - 1]) {
      expect(codeOf(() => deserialiseQuantizer(bytes.subarray(0, length)))).toBe('DRIFT_QUANTIZER_CORRUPT')
    }
    expect(codeOf(() => deserialiseQuantizer(Uint8Array.of(...bytes, 0)))).toBe('DRIFT_QUANTIZER_CORRUPT')
  })

  it('is refused, or works, when a header is changed and the checksum with it', () => {
    const bytes = make(rowsOf(40, 3, 11), 3).serialise()
    const random = seededRandom(12)
    const refused = new Set<string>()
    for (let round = 0; round < 400; round++) {
      const broken = bytes.slice()
      const at = 4 + Math.floor(random() * 40)
      broken[at] = Math.floor(random() * (round % 2 === 0 ? 256 : 10))
      sign(broken)
      try {
        const quantizer = deserialiseQuantizer(broken)
        quantizer.decode(quantizer.encode(new Float32Array(3 * quantizer.dim)), 3)
      } catch (error) {
        expect(error).toBeInstanceOf(CoreError)
        refused.add((error as CoreError).code)
      }
    }
    expect([...refused].sort()).toEqual(['DRIFT_QUANTIZER_CORRUPT', 'DRIFT_QUANTIZER_VERSION'])
    const infinite = bytes.slice()
    new DataView(infinite.buffer).setUint32(40, 0x7f80_0000, true)
    sign(infinite)
    expect(codeOf(() => deserialiseQuantizer(infinite))).toBe('DRIFT_QUANTIZER_CORRUPT')
  })

  it('refuses wrong arguments before anything is written', () => {
    const quantizer = make(rowsOf(80, 4, 13), 4)
    const rows = rowsOf(33, 4, 14)
    const codes = quantizer.encode(rows)
    const query = rows.subarray(0, 4)
    const out = new Float32Array(33).fill(7)
    const refusals: [string, () => unknown, string][] = [
      ['half a row', () => quantizer.encode(new Float32Array(6)), 'DRIFT_DIMENSION'],
      ['short codes', () => quantizer.encode(rows, codes.subarray(1)), 'DRIFT_DIMENSION'],
      ['NaN', () => quantizer.encode(Float32Array.of(0, Number.NaN, 0, 0), codes), 'DRIFT_VECTOR_VALUE'],
      ['too few codes', () => quantizer.decode(codes.subarray(1), 33), 'DRIFT_DIMENSION'],
      ['a short output', () => quantizer.decode(codes, 33, out), 'DRIFT_DIMENSION'],
      ['half a code', () => quantizer.decode(codes, 0.5), 'DRIFT_DIMENSION'],
      ['minus one', () => quantizer.distances('l2', query, codes, -1, out), 'DRIFT_DIMENSION'],
      ['a long query', () => quantizer.distances('l2', rows, codes, 3, out), 'DRIFT_DIMENSION'],
      [
        'NaN as query',
        () => quantizer.distances('l2', query.map(Math.log), codes, 3, out),
        'DRIFT_VECTOR_VALUE',
      ],
      ['cosine', () => quantizer.distances('cosine' as 'l2', query, codes, 3, out), 'DRIFT_METRIC'],
      [
        'a short result',
        () => quantizer.distances('ip', query, codes, 33, out.subarray(1)),
        'DRIFT_DIMENSION',
      ],
    ]
    query[0] = -1 // so that its logarithm is NaN
    const before = codes.slice()
    for (const [what, action, code] of refusals) expect(codeOf(action), what).toBe(code)
    expect(codes).toEqual(before)
    expect(out.every(value => value === 7)).toBe(true)
  })
})

describe('training', () => {
  const rows = rowsOf(10, 4, 15)
  const good = { dim: 4, subspaces: 2, seed: 1 }

  it.each<[string, () => unknown, string]>([
    ['no rows', () => trainPq(new Float32Array(0), good), 'DRIFT_EMPTY_BATCH'],
    ['no rows for a mean', () => trainSign(new Float32Array(0), { dim: 4, seed: 1 }), 'DRIFT_EMPTY_BATCH'],
    ['half a row', () => trainPq(rows, { ...good, dim: 3 }), 'DRIFT_DIMENSION'],
    ['dimension 0', () => trainSign(rows, { dim: 0, seed: 1 }), 'DRIFT_DIMENSION'],
    ['dimension 70 000', () => signQuantizer({ dim: 70_000, seed: 1 }), 'DRIFT_DIMENSION'],
    ['NaN', () => trainPq(Float32Array.of(1, Number.NaN, 1, 1), good), 'DRIFT_VECTOR_VALUE'],
    ['more subspaces than values', () => trainPq(rows, { ...good, subspaces: 5 }), 'DRIFT_OPTION'],
    ['no subspace', () => trainPq(rows, { ...good, subspaces: 0 }), 'DRIFT_OPTION'],
    ['5 bits', () => trainPq(rows, { ...good, bits: 5 as 4 }), 'DRIFT_OPTION'],
    ['a seed of 0.5', () => trainPq(rows, { ...good, seed: 0.5 }), 'DRIFT_OPTION'],
    ['a seed of NaN', () => signQuantizer({ dim: 4, seed: Number.NaN }), 'DRIFT_OPTION'],
    ['no sample', () => trainPq(rows, { ...good, sampleRows: 0 }), 'DRIFT_OPTION'],
    ['minus one iteration', () => trainPq(rows, { ...good, iterations: -1 }), 'DRIFT_OPTION'],
  ])('refuses %s', (_, action, code) => {
    expect(codeOf(action)).toBe(code)
  })
})

/** Make the checksum fit. */
function sign(bytes: Uint8Array): void {
  const end = bytes.length - 4
  new DataView(bytes.buffer).setUint32(end, kernels.crc32c(bytes.subarray(0, end)), true)
}
