/** Words of 32 bits in 32 lanes. */
import type { Element } from './element.js'
import { BLOCK_VALUES, FLAG_SIGN, leftsOf, type PageHeader } from './header.js'

const LANES = 32
const ALP_LIMIT = 2 ** 24
/** Values that are decoded in one turn of a loop: V8 looks up every array anew in each. */
const TURN = 4

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
  setLeft(words, i, header, left) {
    words[i] = (words[i]! & keep(header)) | (left << (header.trim + header.right))
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
        const a = window(lines, i + first, i + second, down) & mask
        const b = window(lines, i + 1 + first, i + 1 + second, down) & mask
        const c = window(lines, i + 2 + first, i + 2 + second, down) & mask
        const d = window(lines, i + 3 + first, i + 3 + second, down) & mask
        values[i] = Math.fround(a + least) / divisor
        values[i + 1] = Math.fround(b + least) / divisor
        values[i + 2] = Math.fround(c + least) / divisor
        values[i + 3] = Math.fround(d + least) / divisor
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
        const a = window(lines, i + first, i + second, down)
        const b = window(lines, i + 1 + first, i + 1 + second, down)
        const c = window(lines, i + 2 + first, i + 2 + second, down)
        const d = window(lines, i + 3 + first, i + 3 + second, down)
        words[i] = lefts[(a >> cut) & mask]! | (a & kept)
        words[i + 1] = lefts[(b >> cut) & mask]! | (b & kept)
        words[i + 2] = lefts[(c >> cut) & mask]! | (c & kept)
        words[i + 3] = lefts[(d >> cut) & mask]! | (d & kept)
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

function low(width: number): number {
  return ~(-1 << width)
}

/** The bits of a value that are in its word. */
function keep({ flags, right, trim }: PageHeader): number {
  return ((flags & FLAG_SIGN) << 31) | (low(right) << trim)
}
