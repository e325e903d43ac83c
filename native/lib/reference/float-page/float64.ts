/** Words of 64 bits in 16 lanes. In bigints, which are exact and plain, but for what decodes. */
import type { Element } from './element.js'
import { BLOCK_VALUES, FLAG_SIGN, leftsOf } from './header.js'

const LANES = 16
const SIGN = 1n << 63n

export const float64: Element<BigUint64Array> = {
  id: 2,
  bits: 64,
  alpWidthMax: 52,
  baseLimit: 1n << 53n,
  // The rounding by addition is right below it.
  integerLimit: 2 ** 51,
  powers: 23,
  normalMin: 2 ** -1022,
  normalMax: Number.MAX_VALUE,
  round: value => value,

  lines: new BigUint64Array(BLOCK_VALUES),
  block: new BigUint64Array(BLOCK_VALUES),
  words: count => new BigUint64Array(count),
  wordsOf: values => new BigUint64Array(values.buffer, values.byteOffset, values.length),
  valueAt: (words, i) => new Float64Array(words.buffer, words.byteOffset, words.length)[i]!,
  trim(words) {
    const any = words.reduce((or, word) => or | word, 0n)
    let zeros = 0
    while (((any >> BigInt(zeros)) & 1n) === 0n) zeros++
    return zeros
  },
  signAt: (words, i) => Number(words[i]! >> 63n),
  keyAt: (words, i, sign) => Number(BigInt.asUintN(64, words[i]! << BigInt(sign)) >> 48n),
  leftAt(words, i, { flags, trim, right }) {
    const word = (flags & FLAG_SIGN) === 0 ? words[i]! : words[i]! & (SIGN - 1n)
    return Number(word >> BigInt(trim + right))
  },
  leftSetter(words, { flags, trim, right }) {
    const halves = halvesOf(words)
    // At most 16 bits are left of it.
    const cut = trim + right - 32
    const kept = ((flags & FLAG_SIGN) << 31) | ~(-1 << cut)
    return (i, left) => {
      halves[2 * i + 1] = (halves[2 * i + 1]! & kept) | (left << cut)
    }
  },
  setCut(block, j, words, i, header) {
    const { right, trim, width, flags } = header
    const word = words[i]!
    const code = Math.max(0, header.dictionary.indexOf(float64.leftAt(words, i, header)))
    const known = code < header.entries ? code : 0
    const sign = (flags & FLAG_SIGN) === 0 ? 0n : (word >> 63n) << BigInt(width - 1)
    block[j] = (BigInt(known) << BigInt(right)) | ((word >> BigInt(trim)) & low(right)) | sign
  },
  setInteger(block, j, integer) {
    block[j] = BigInt(integer)
  },
  copy(to, j, from, i) {
    to[j] = from[i]!
  },
  fill: (words, bits) => words.fill(BigInt.asUintN(64, bits)),
  bitsAt: (words, i) => words[i]!,
  pack: pack64,

  decodeAlp(lines, rows, { width, base, divisor }, words) {
    const values = new Float64Array(words.buffer, words.byteOffset, words.length)
    const halves = halvesOf(lines)
    const [mask, highMask] = masksOf(width)
    const least = Number(base)
    for (let row = 0; row < rows; row++) {
      const { first, second, third, down } = windowOf(row, width, 0)
      for (let i = row * LANES; i < (row + 1) * LANES; i++) {
        const middle = halves[2 * i + second]!
        const low = window(halves[2 * i + first]!, middle, down) & mask
        const high = window(middle, halves[2 * i + third]!, down) & highMask
        values[i] = (high * 2 ** 32 + (low >>> 0) + least) / divisor
      }
    }
  },

  decodeCut(lines, rows, header, words) {
    const { trim, right, width } = header
    const from = halvesOf(lines)
    const to = halvesOf(words)
    const [kept, keptHigh] = masksOf(trim + right)
    const [trimmed, trimmedHigh] = masksOf(trim)
    const lowMask = kept & ~trimmed
    const highMask = keptHigh & ~trimmedHigh
    const cut = trim + right - 32
    const { lefts, mask } = leftsOf(header, cut)
    for (let row = 0; row < rows; row++) {
      const { first, second, third, down } = windowOf(row, width, trim)
      for (let i = row * 2 * LANES; i < (row + 1) * 2 * LANES; i += 2) {
        const middle = from[i + second]!
        const high = window(middle, from[i + third]!, down)
        to[i] = window(from[i + first]!, middle, down) & lowMask
        to[i + 1] = lefts[(high >> cut) & mask]! | (high & highMask)
      }
    }
  },
}

/** Words < 2^width as lines of 16; lines are zeros before. */
export function pack64(block: BigUint64Array, rows: number, width: number, lines: BigUint64Array): void {
  for (let row = 0; row < rows; row++) {
    const shift = (row * width) % 64
    const at = Math.floor((row * width) / 64) * LANES
    for (let lane = 0; lane < LANES && width > 0; lane++) {
      const word = block[row * LANES + lane]!
      lines[at + lane]! |= BigInt.asUintN(64, word << BigInt(shift))
      if (shift + width > 64) lines[at + LANES + lane] = word >> BigInt(64 - shift)
    }
  }
}

export function unpack64(lines: BigUint64Array, rows: number, width: number, block: BigUint64Array): void {
  const from = halvesOf(lines)
  const to = halvesOf(block)
  const [mask, highMask] = masksOf(width)
  for (let row = 0; row < rows; row++) {
    const { first, second, third, down } = windowOf(row, width, 0)
    for (let i = row * 2 * LANES; i < (row + 1) * 2 * LANES; i += 2) {
      const middle = from[i + second]!
      to[i] = window(from[i + first]!, middle, down) & mask
      to[i + 1] = window(middle, from[i + third]!, down) & highMask
    }
  }
}

/**
 * Where the words of a row lie, each raised by `trim` bits, in halves of words: those whose lower half is half i of the values begin at bit
 * `down` of half i + first of the lines and go on in i + second and i + third.
 */
function windowOf(
  row: number,
  width: number,
  trim: number,
): { first: number; second: number; third: number; down: number } {
  const start = row * width - trim
  const half = start >> 5
  const last = (row * width + width - 1) >> 5
  const back = row * 2 * LANES
  const [first, second, third] = [halfAt(half, last), halfAt(half + 1, last), halfAt(half + 2, last)]
  return { first: first - back, second: second - back, third: third - back, down: start & 31 }
}

/** Half of a word, with other bits above and below it. Shifted up twice, as a shift by 32 would be none. */
function window(half: number, next: number, down: number): number {
  return (half >>> down) | ((next << 1) << (31 - down))
}

/** Where half `half` of the streams stands for the first lane; what is not of the words may be any other. */
function halfAt(half: number, last: number): number {
  const near = Math.max(0, Math.min(half, last))
  return (near >> 1) * 2 * LANES + (near & 1)
}

function halvesOf(words: BigUint64Array): Uint32Array {
  return new Uint32Array(words.buffer, words.byteOffset, 2 * words.length)
}

/** The lowest `width` bits, in halves. */
function masksOf(width: number): [mask: number, high: number] {
  return [width < 32 ? 2 ** width - 1 : -1, width < 32 ? 0 : 2 ** (width - 32) - 1]
}

function low(width: number): bigint {
  return (1n << BigInt(width)) - 1n
}
