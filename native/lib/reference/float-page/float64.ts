/** Words of 64 bits in 16 lanes. In bigints, which are exact and plain, but for what decodes. */
import type { Element } from './element.js'
import { BLOCK_VALUES, FLAG_SIGN, leftsOf, type PageHeader } from './header.js'

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
  setLeft(words, i, header, left) {
    words[i] = (words[i]! & keep(header)) | (BigInt(left) << BigInt(header.trim + header.right))
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
    const halves = halvesOf(words)
    windows64(halvesOf(lines), rows, width, 0, halves)
    const [mask, high] = masksOf(width)
    const least = Number(base)
    for (let i = 0; i < rows * LANES; i++) {
      const number = (halves[2 * i + 1]! & high) * 2 ** 32 + ((halves[2 * i]! & mask) >>> 0)
      values[i] = (number + least) / divisor
    }
  },

  decodeCut(lines, rows, header, words) {
    const { trim, right, width } = header
    const halves = halvesOf(words)
    windows64(halvesOf(lines), rows, width, trim, halves)
    const [kept, keptHigh] = masksOf(trim + right)
    const [trimmed, trimmedHigh] = masksOf(trim)
    // At most 16 bits are left of it.
    const cut = trim + right - 32
    const { lefts, mask } = leftsOf(header, cut)
    for (let i = 0; i < 2 * rows * LANES; i += 2) {
      const high = halves[i + 1]!
      halves[i]! &= kept & ~trimmed
      halves[i + 1] = lefts[(high >> cut) & mask]! | (high & keptHigh & ~trimmedHigh)
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
  const halves = halvesOf(block)
  windows64(halvesOf(lines), rows, width, 0, halves)
  const [mask, high] = masksOf(width)
  for (let i = 0; i < 2 * rows * LANES; i += 2) {
    halves[i]! &= mask
    halves[i + 1]! &= high
  }
}

/** The words of rows, each raised by `trim` bits, with other bits above and below it. In halves of words, as numbers: the lower first. */
function windows64(lines: Uint32Array, rows: number, width: number, trim: number, out: Uint32Array): void {
  for (let row = 0; row < rows; row++) {
    const start = row * width - trim
    const down = start & 31
    const up = 31 - down
    const half = start >> 5
    const last = (row * width + width - 1) >> 5
    const [a, b, c] = [halfAt(half, last), halfAt(half + 1, last), halfAt(half + 2, last)]
    const to = row * 2 * LANES
    for (let lane = 0; lane < 2 * LANES; lane += 2) {
      const middle = lines[b + lane]!
      // Twice, as a shift by 32 would be none.
      out[to + lane] = (lines[a + lane]! >>> down) | ((middle << 1) << up)
      out[to + lane + 1] = (middle >>> down) | ((lines[c + lane]! << 1) << up)
    }
  }
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

/** The bits of a value that are in its word. */
function keep({ flags, right, trim }: PageHeader): bigint {
  return (BigInt(flags & FLAG_SIGN) << 63n) | (low(right) << BigInt(trim))
}
