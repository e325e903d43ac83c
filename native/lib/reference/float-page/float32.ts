/** Words of 32 bits in 32 lanes. */
import type { Element } from './element.js'
import { FLAG_SIGN, type PageHeader } from './header.js'

const LANES = 32
const ALP_LIMIT = 2 ** 24

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

  unpack(lines, rows, width, block) {
    const mask = low(width)
    for (let row = 0; row < rows; row++) {
      const shift = (row * width) & 31
      const up = 32 - shift
      const at = ((row * width) >>> 5) * LANES
      const to = row * LANES
      if (shift + width > 32) {
        for (let lane = 0; lane < LANES; lane++) {
          block[to + lane] = ((lines[at + lane]! >>> shift) | (lines[at + LANES + lane]! << up)) & mask
        }
      } else {
        for (let lane = 0; lane < LANES; lane++) block[to + lane] = (lines[at + lane]! >>> shift) & mask
      }
    }
  },

  joinAlp(block, count, header) {
    const values = new Float32Array(block.buffer, block.byteOffset, count)
    const { divisor } = header
    const base = Number(header.base)
    for (let i = 0; i < count; i++) values[i] = Math.fround((block[i]! + base) | 0) / divisor
  },

  joinCut(block, count, header) {
    const { trim, right, codeBits, width } = header
    const mask = low(right)
    const codes = (1 << codeBits) - 1
    const table = Uint32Array.from(header.dictionary, left => left << (trim + right))
    if ((header.flags & FLAG_SIGN) === 0) {
      for (let i = 0; i < count; i++) {
        const word = block[i]!
        block[i] = table[(word >>> right) & codes]! | ((word & mask) << trim)
      }
      return
    }
    const up = 32 - width
    for (let i = 0; i < count; i++) {
      const word = block[i]!
      const sign = (word << up) & 0x8000_0000
      block[i] = table[(word >>> right) & codes]! | ((word & mask) << trim) | sign
    }
  },
}

function low(width: number): number {
  return 2 ** width - 1
}

/** The bits of a value that are in its word. */
function keep({ flags, right, trim }: PageHeader): number {
  return ((flags & FLAG_SIGN) << 31) | (low(right) << trim)
}
