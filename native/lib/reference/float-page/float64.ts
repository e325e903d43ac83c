/** Words of 64 bits in 16 lanes. In bigints: exact and plain, and for speed there is the addon. */
import type { Element } from './element.js'
import { FLAG_SIGN, type PageHeader } from './header.js'

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
  unpack: unpack64,

  joinAlp(block, count, header) {
    const values = new Float64Array(block.buffer, block.byteOffset, count)
    const { divisor } = header
    const base = Number(header.base)
    for (let i = 0; i < count; i++) values[i] = (Number(block[i]!) + base) / divisor
  },

  joinCut(block, count, header) {
    const { trim, right, codeBits, width, flags, dictionary } = header
    const codes = (1n << BigInt(codeBits)) - 1n
    const apart = (flags & FLAG_SIGN) !== 0
    for (let i = 0; i < count; i++) {
      const word = block[i]!
      const left = BigInt(dictionary[Number((word >> BigInt(right)) & codes)]!)
      const sign = apart ? (word >> BigInt(width - 1)) << 63n : 0n
      block[i] = (left << BigInt(trim + right)) | ((word & low(right)) << BigInt(trim)) | sign
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
  const mask = low(width)
  for (let row = 0; row < rows; row++) {
    const shift = (row * width) % 64
    const at = Math.floor((row * width) / 64) * LANES
    for (let lane = 0; lane < LANES; lane++) {
      const first = width === 0 ? 0n : lines[at + lane]! >> BigInt(shift)
      const second = shift + width > 64 ? lines[at + LANES + lane]! << BigInt(64 - shift) : 0n
      block[row * LANES + lane] = (first | second) & mask
    }
  }
}

function low(width: number): bigint {
  return (1n << BigInt(width)) - 1n
}

/** The bits of a value that are in its word. */
function keep({ flags, right, trim }: PageHeader): bigint {
  return (BigInt(flags & FLAG_SIGN) << 63n) | (low(right) << BigInt(trim))
}
