// Proves that every id has one form in bytes that gives the same id back, that no two ids share it, and that
// whatever is no id, or no id's bytes, is refused by name.
import { describe, expect, it } from 'vitest'
import { CoreError } from './errors.js'
import { decodeId, encodeId, type Id, MAX_ID_BYTES } from './id.js'
import { seededRandom } from './random.js'

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof CoreError) return error.code
    throw error
  }
  return 'nothing was thrown'
}

const edges: Id[] = [
  0,
  1,
  -1,
  2 ** 32,
  -(2 ** 32),
  2 ** 32 - 1,
  Number.MAX_SAFE_INTEGER,
  Number.MIN_SAFE_INTEGER,
  0n,
  1n,
  -1n,
  2n ** 63n,
  2n ** 64n - 1n,
  -(2n ** 63n),
  '0',
  '1',
  '-1',
  'a',
  '\u0000',
  '\u007f',
  '\u0080',
  '\u07ff',
  '\u0800',
  '\uffff',
  '\ufeffwith a byte order mark',
  '😀',
  'naïve 日本語 😀 id',
  'x'.repeat(MAX_ID_BYTES),
  'é'.repeat(MAX_ID_BYTES / 2),
  '😀'.repeat(MAX_ID_BYTES / 4),
]

describe('encoding', () => {
  it.each(edges.map(id => [typeof id, id]))('gives back the %s %s', (_, id) => {
    const bytes = encodeId(id as Id)
    expect(decodeId(bytes)).toBe(id)
    expect(decodeId(Uint8Array.of(9, ...bytes).subarray(1))).toBe(id)
  })

  it('gives no two ids the same bytes', () => {
    expect(new Set(edges.map(id => encodeId(id).join())).size).toBe(edges.length)
  })

  it('takes -0 as 0', () => {
    expect(encodeId(-0)).toEqual(encodeId(0))
    expect(Object.is(decodeId(encodeId(-0)), 0)).toBe(true)
  })

  it('writes strings as the UTF-8 that TextEncoder writes', () => {
    const random = seededRandom(5)
    const limits = [0x80, 0x800, 0xd800, 0x11_0000]
    for (let i = 0; i < 500; i++) {
      const points = Array.from({ length: 1 + Math.floor(random() * 20) }, () => {
        const point = Math.floor(random() * limits[Math.floor(random() * 4)]!)
        return point >= 0xd800 && point < 0xe000 ? 0x41 : point
      })
      const text = String.fromCodePoint(...points)
      expect(encodeId(text).subarray(1)).toEqual(new TextEncoder().encode(text))
      expect(decodeId(encodeId(text))).toBe(text)
    }
  })

  it.each([
    [1.5],
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    [2 ** 53],
    [-(2 ** 53)],
    [2n ** 64n],
    [-(2n ** 63n) - 1n],
    [''],
    ['x'.repeat(MAX_ID_BYTES + 1)],
    [`${'é'.repeat(MAX_ID_BYTES / 2)}x`],
    [`${'x'.repeat(MAX_ID_BYTES - 3)}😀`],
    ['\ud800'],
    ['a\udc00b'],
    ['😀\ud83d'],
    [null],
    [undefined],
    [true],
    [{}],
    [Object.create(null)],
    [Symbol('s')],
  ])('refuses the value of case %#', id => {
    expect(codeOf(() => encodeId(id as Id))).toBe('DRIFT_ID')
  })

  it('names the refused value', () => {
    expect(() => encodeId(1.5)).toThrow('id 1.5 is refused: a number must be a safe integer')
    expect(() => encodeId('a\ud800')).toThrow('"a\\ud800"')
    for (const id of [null, undefined, true])
      expect(() => encodeId(id as never)).toThrow(`id ${id} is refused: expected a string`)
    expect(() => encodeId({} as never)).toThrow('id of type object is refused')
  })
})

describe('decoding', () => {
  it.each([
    ['nothing', []],
    ['a kind alone', [4]],
    ['an unknown kind', [0, 1, 0, 0, 0, 0, 0, 0, 0]],
    ['a short integer', [1, 1, 0, 0, 0, 0, 0, 0]],
    ['a long integer', [2, 1, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['a number beyond the safe integers', [1, 0, 0, 0, 0, 0, 0, 0x20, 0]],
    ['a negative that is not below zero', [3, 5, 0, 0, 0, 0, 0, 0, 0]],
    ['an overlong form', [4, 0xc1, 0x81]],
    ['a surrogate', [4, 0xed, 0xa0, 0x80]],
    ['a cut sequence', [4, 0x41, 0xe2, 0x82]],
    ['a string beyond the limit', [4, ...new Array<number>(MAX_ID_BYTES + 1).fill(0x41)]],
  ])('refuses %s', (_, bytes) => {
    expect(codeOf(() => decodeId(Uint8Array.from(bytes)))).toBe('DRIFT_ID_BYTES')
  })

  it('gives back only ids that have exactly the bytes it read', () => {
    const random = seededRandom(11)
    let read = 0
    for (let i = 0; i < 4000; i++) {
      const length = random() < 0.6 ? 9 : 1 + Math.floor(random() * 6)
      const bytes = Uint8Array.from({ length }, (_, at) => random() * (at === 0 ? 5 : 256))
      if (random() < 0.5) bytes.fill(random() < 0.5 ? 0 : 255, length - 2)
      try {
        expect(encodeId(decodeId(bytes))).toEqual(bytes)
        read++
      } catch (error) {
        expect((error as CoreError).code).toBe('DRIFT_ID_BYTES')
      }
    }
    expect(read).toBeGreaterThan(800)
  })
})
