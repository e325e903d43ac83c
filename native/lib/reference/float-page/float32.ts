/** Words of 32 bits in 32 lanes. */
import type { Element } from './element.js'
import { BLOCK_VALUES, FLAG_SIGN, leftsOf, type PageHeader } from './header.js'

const LANES = 32
const ALP_LIMIT = 2 ** 24
/** Values that are decoded in one turn of a loop: V8 looks up every array anew in each. */
const TURN = 8

export const float32: Element<Uint32Array> = {
  id: 1,
  bits: 32,
  alpWidthMax: 25,
  baseLimit: BigInt(ALP_LIMIT),
  integerLimit: ALP_LIMIT,
  powers: 11,
  normalMin: 2 ** -126,
  normalMax: (2 - 2 ** -23) * 2 ** 127,
  round: Math.fround,

  lines: new Uint32Array(BLOCK_VALUES),
  block: new Uint32Array(BLOCK_VALUES),
  words: count => new Uint32Array(count),
  wordsOf: values => new Uint32Array(values.buffer, values.byteOffset, values.length),
  valueAt: (words, i) => new Float32Array(words.buffer, words.byteOffset, words.length)[i]!,
  trim(words) {
    const any = words.reduce((or, word) => or | word, 0)
    return 31 - Math.clz32(any & -any)
  },
  signAt: (words, i) => words[i]! >>> 31,
  keyAt: (words, i, sign) => (words[i]! << sign) >>> 16,
  leftAt: (words, i, { flags, trim, right }) => {
    const sign = flags & FLAG_SIGN
    return (((words[i]! << sign) >>> sign) >>> trim) >>> right
  },
  leftSetter(words, header) {
    const kept = keep(header)
    const cut = header.trim + header.right
    return (i, left) => {
      words[i] = (words[i]! & kept) | (left << cut)
    }
  },
  setCut(block, j, words, i, header) {
    const { right, trim, width, flags } = header
    const word = words[i]!
    const code = Math.max(0, header.dictionary.indexOf(float32.leftAt(words, i, header)))
    const known = code < header.entries ? code : 0
    const sign = (flags & FLAG_SIGN) === 0 ? 0 : (word >>> 31) << (width - 1)
    block[j] = (known << right) | ((word >>> trim) & low(right)) | sign
  },
  setInteger(block, j, integer) {
    block[j] = integer
  },
  copy(to, j, from, i) {
    to[j] = from[i]!
  },
  fill: (words, bits) => words.fill(Number(bits)),
  bitsAt: (words, i) => BigInt(words[i]!),

  pack(block, rows, width, lines) {
    for (let row = 0; row < rows; row++) {
      const shift = (row * width) % 32
      const at = Math.floor((row * width) / 32) * LANES
      for (let lane = 0; lane < LANES; lane++) {
        const word = block[row * LANES + lane]!
        lines[at + lane]! |= word << shift
        if (shift + width > 32) lines[at + LANES + lane] = word >>> (32 - shift)
      }
    }
  },

  decodeAlp(lines, rows, { width, base, divisor }, words) {
    const values = new Float32Array(words.buffer, words.byteOffset, words.length)
    const mask = low(width)
    const least = Number(base)
    for (let row = 0; row < rows; row++) {
      const { first, second, down } = windowOf(row, width, 0)
      for (let i = row * LANES; i < (row + 1) * LANES; i += TURN) {
        const a = i + first
        const b = i + second
        values[i] = Math.fround((window(lines, a, b, down) & mask) + least) / divisor
        values[i + 1] = Math.fround((window(lines, a + 1, b + 1, down) & mask) + least) / divisor
        values[i + 2] = Math.fround((window(lines, a + 2, b + 2, down) & mask) + least) / divisor
        values[i + 3] = Math.fround((window(lines, a + 3, b + 3, down) & mask) + least) / divisor
        values[i + 4] = Math.fround((window(lines, a + 4, b + 4, down) & mask) + least) / divisor
        values[i + 5] = Math.fround((window(lines, a + 5, b + 5, down) & mask) + least) / divisor
        values[i + 6] = Math.fround((window(lines, a + 6, b + 6, down) & mask) + least) / divisor
        values[i + 7] = Math.fround((window(lines, a + 7, b + 7, down) & mask) + least) / divisor
      }
    }
  },

  decodeCut(lines, rows, header, words) {
    const { trim, right, width } = header
    const kept = low(right) << trim
    const cut = trim + right
    const { lefts, mask } = leftsOf(header, cut)
    for (let row = 0; row < rows; row++) {
      const { first, second, down } = windowOf(row, width, trim)
      for (let i = row * LANES; i < (row + 1) * LANES; i += TURN) {
        const a = i + first
        const b = i + second
        words[i] = cutOf(window(lines, a, b, down), lefts, cut, mask, kept)
        words[i + 1] = cutOf(window(lines, a + 1, b + 1, down), lefts, cut, mask, kept)
        words[i + 2] = cutOf(window(lines, a + 2, b + 2, down), lefts, cut, mask, kept)
        words[i + 3] = cutOf(window(lines, a + 3, b + 3, down), lefts, cut, mask, kept)
        words[i + 4] = cutOf(window(lines, a + 4, b + 4, down), lefts, cut, mask, kept)
        words[i + 5] = cutOf(window(lines, a + 5, b + 5, down), lefts, cut, mask, kept)
        words[i + 6] = cutOf(window(lines, a + 6, b + 6, down), lefts, cut, mask, kept)
        words[i + 7] = cutOf(window(lines, a + 7, b + 7, down), lefts, cut, mask, kept)
      }
    }
  },
}

/**
 * Where the words of a row lie, each raised by `trim` bits: value i's begins at bit `down` of the word i + first of the lines and ends in
 * i + second, which is the same where one holds it all.
 */
function windowOf(row: number, width: number, trim: number): { first: number; second: number; down: number } {
  const start = row * width - trim
  const first = (Math.max(0, start >> 5) - row) * LANES
  const second = ((Math.max(0, row * width + width - 1) >> 5) - row) * LANES
  return { first, second, down: start & 31 }
}

/** A word, with other bits above and below it. */
function window(lines: Uint32Array, first: number, second: number, down: number): number {
  return (lines[first]! >>> down) | (lines[second]! << (32 - down))
}

function cutOf(word: number, lefts: Uint32Array, cut: number, mask: number, kept: number): number {
  return lefts[(word >> cut) & mask]! | (word & kept)
}

function low(width: number): number {
  return ~(-1 << width)
}

/** The bits of a value that are in its word. */
function keep({ flags, right, trim }: PageHeader): number {
  return ((flags & FLAG_SIGN) << 31) | (low(right) << trim)
}
