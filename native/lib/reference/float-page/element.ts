/** What a page needs to know of its element type. Words are the bits of values: a float must never carry them, it would quiet NaNs. */
import type { HeaderLimits, PageHeader } from './header.js'

export interface Element<Words extends Uint32Array | BigUint64Array> extends HeaderLimits {
  /** In the header. */
  readonly id: number
  /** Numerators of ALP are smaller. */
  readonly integerLimit: number
  /** Powers of ten that are exact. */
  readonly powers: number
  /** Room for a block's lines and for its values while a page is decoded. */
  readonly lines: Words
  readonly block: Words
  words(count: number): Words
  /** The memory of the values. */
  wordsOf(values: Float32Array | Float64Array): Words
  /** The bits of value i as a float, where it may be any float. */
  valueAt(words: Words, i: number): number
  /** Zeros that all words end with; some word is not 0. */
  trim(words: Words): number
  signAt(words: Words, i: number): number
  /** The highest 16 bits after the sign, when `sign` is 1. */
  keyAt(words: Words, i: number, sign: number): number
  leftAt(words: Words, i: number, header: PageHeader): number
  /** What gives value i other left bits. */
  leftSetter(words: Words, header: PageHeader): (i: number, left: number) => void
  /** block[j] = the word of ALP-RD for value i. */
  setCut(block: Words, j: number, words: Words, i: number, header: PageHeader): void
  setInteger(block: Words, j: number, integer: number): void
  copy(to: Words, j: number, from: Words, i: number): void
  fill(words: Words, bits: bigint): void
  bitsAt(words: Words, i: number): bigint
  /** Rows of a block as lines: zeros before. */
  pack(block: Words, rows: number, width: number, lines: Words): void
  /** Rows of values out of the lines of a block: at least a whole line, whatever lies in those that the rows do not reach. */
  decodeAlp(lines: Words, rows: number, header: PageHeader, values: Words): void
  decodeCut(lines: Words, rows: number, header: PageHeader, values: Words): void
}
