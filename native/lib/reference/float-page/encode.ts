/**
 * Writes a page of floats under the codec that makes it smallest. The choice looks at a sample, the size is that of the written page, and
 * the exceptions are found by decoding what was packed: a page cannot differ from its values.
 */
import { chooseCut, POSITION_BITS } from './cut.js'
import type { Element } from './element.js'
import { float32 } from './float32.js'
import { float64 } from './float64.js'
import {
  ALP,
  ALP_RD,
  BLOCK_VALUES,
  CONST,
  LEFT_BITS_MAX,
  leftBits,
  PAGE_HEADER_BYTES,
  type PageHeader,
  plainHeader,
  writeHeader,
} from './header.js'
import { packedBytes, rowsOf } from './packed.js'

/** A dictionary entry of 0.4 % of the values is not missed. */
const SAMPLE = 512
/** Values that rule most divisors out. */
const GLIMPSE = 8
/** Raw is chosen when less than this part is saved. */
const LEAST_SAVING = 1 / 32
/** A gap byte that says that so many values follow without an exception. */
export const GAP_MAX = 255
/** Bytes and signed bytes that were scaled to 0..1. */
const OTHER_DIVISORS = [255, 127]
/** 1.5 * 2^52: adding it leaves no fraction bits; ties go to even. */
const ROUNDER = 1.5 * 2 ** 52

export function floatPageEncode(values: Float32Array | Float64Array, page: Uint8Array): number {
  return values.BYTES_PER_ELEMENT === 4
    ? encode(float32, float32.wordsOf(values), page)
    : encode(float64, float64.wordsOf(values), page)
}

function encode<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  words: W,
  page: Uint8Array,
): number {
  const values = words.length
  const raw = words.byteLength
  const header = plainHeader(element.id, values)
  if (values > 0 && words.every((word: number | bigint) => word === words[0])) {
    header.codec = CONST
    header.base = BigInt.asIntN(64, element.bitsAt(words, 0))
    writeHeader(page, header)
    return PAGE_HEADER_BYTES
  }
  const smallest = values === 0 ? undefined : encodePacked(element, words)
  if (smallest !== undefined) {
    page.set(smallest)
    return smallest.length
  }
  header.width = element.bits
  writeHeader(page, header)
  page.set(new Uint8Array(words.buffer, words.byteOffset, raw), PAGE_HEADER_BYTES)
  return PAGE_HEADER_BYTES + raw
}

function encodePacked<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  words: W,
): Uint8Array | undefined {
  const values = words.length
  const sample = sampleOf(element, words)
  const raw = words.byteLength
  const limit = Math.min(PAGE_HEADER_BYTES + raw - Math.floor(raw * LEAST_SAVING), 0xffff_ffff)
  const divisor = chooseDivisor(element, sample)
  const alp = divisor === 0 ? undefined : encodeAlp(element, words, divisor, limit)
  const cut = plainHeader(element.id, values)
  const cost = chooseRd(element, sample, element.trim(words), cut)
  const expected = PAGE_HEADER_BYTES + Math.floor((values * cost) / (8 * sample.length))
  if (alp !== undefined && alp.length <= expected) return alp
  return encodeRd(element, words, cut, alp?.length ?? limit) ?? alp
}

function sampleOf<W extends Uint32Array | BigUint64Array>(element: Element<W>, words: W): W {
  const sample = element.words(Math.min(words.length, SAMPLE))
  const step = Math.floor((words.length * 2 ** 16) / sample.length)
  for (let i = 0; i < sample.length; i++) element.copy(sample, i, words, Math.floor((i * step) / 2 ** 16))
  return sample
}

/** The numerator of value i, or NaN when it has none that gives back its bits. */
function integerAt<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  words: W,
  i: number,
  divisor: number,
): number {
  const value = element.valueAt(words, i)
  const scaled = value * divisor
  if (!(Math.abs(scaled) < element.integerLimit)) return Number.NaN
  const whole = scaled + ROUNDER - ROUNDER
  const exact = Math.abs(whole) < element.integerLimit && Object.is(element.round(whole / divisor), value)
  return exact ? whole : Number.NaN
}

/** The divisor by which the sample costs least, 0 when none saves anything. */
function chooseDivisor<W extends Uint32Array | BigUint64Array>(element: Element<W>, sample: W): number {
  const powers = Array.from({ length: element.powers }, (_, k) => Number(`1e${k}`))
  const count = sample.length
  let best = count * element.bits
  let chosen = 0
  for (const divisor of [...powers, ...OTHER_DIVISORS]) {
    let misses = 0
    for (let i = 0; i < GLIMPSE; i++) {
      if (Number.isNaN(integerAt(element, sample, Math.floor((i * count) / GLIMPSE), divisor))) misses++
    }
    if (misses > GLIMPSE / 2) continue
    const integers = Array.from({ length: count }, (_, i) => integerAt(element, sample, i, divisor))
    const { min, max, hits } = rangeOf(integers)
    const cost = count * bitLength(max - min) + (count - hits) * (POSITION_BITS + element.bits)
    if (cost >= best) continue
    best = cost
    chosen = divisor
  }
  return chosen
}

function rangeOf(integers: ArrayLike<number>): { min: number; max: number; hits: number } {
  let min = 0
  let max = 0
  let hits = 0
  for (let i = 0; i < integers.length; i++) {
    const integer = integers[i]!
    if (Number.isNaN(integer)) continue
    min = hits === 0 ? integer : Math.min(min, integer)
    max = hits === 0 ? integer : Math.max(max, integer)
    hits++
  }
  return { min, max, hits }
}

/** Of an integer below 2^53. */
function bitLength(integer: number): number {
  const high = Math.floor(integer / 2 ** 32)
  return high > 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(integer)
}

function encodeAlp<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  words: W,
  divisor: number,
  limit: number,
): Uint8Array | undefined {
  const integers = Float64Array.from({ length: words.length }, (_, i) =>
    integerAt(element, words, i, divisor),
  )
  const { min, max } = rangeOf(integers)
  const header = plainHeader(element.id, words.length)
  header.codec = ALP
  header.width = bitLength(max - min)
  header.base = BigInt(min)
  header.divisor = divisor
  return encodeWith(element, words, header, limit, (block, j, i) => {
    // What is no multiple is left to the exceptions.
    element.setInteger(block, j, Number.isNaN(integers[i]!) ? 0 : integers[i]! - min)
  })
}

/** The cheapest cut, into the header. @returns what the sample costs, in bits. */
function chooseRd<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  sample: W,
  trim: number,
  header: PageHeader,
): number {
  const keysBelow = (sign: number) =>
    Uint16Array.from({ length: sample.length }, (_, i) => element.keyAt(sample, i, sign))
  let signs = 0
  for (let i = 0; i < sample.length; i++) signs += element.signAt(sample, i)
  const width = element.bits - trim
  header.codec = ALP_RD
  header.trim = trim
  const cost = chooseCut(keysBelow(0), width, 0, element.bits, Number.POSITIVE_INFINITY, header)
  if (signs === 0 || signs === sample.length) return cost
  return chooseCut(keysBelow(1), width - 1, 1, element.bits, cost, header)
}

function encodeRd<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  words: W,
  header: PageHeader,
  limit: number,
): Uint8Array | undefined {
  return encodeWith(element, words, header, limit, (block, j, i) =>
    element.setCut(block, j, words, i, header),
  )
}

/** @param setWord - block[j] = the word of value i. @returns the page, or undefined when it is longer than `limit`. */
function encodeWith<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  words: W,
  header: PageHeader,
  limit: number,
  setWord: (block: W, j: number, i: number) => void,
): Uint8Array | undefined {
  const values = words.length
  const { bits } = element
  const { width } = header
  const end = PAGE_HEADER_BYTES + packedBytes(values, width, bits)
  if (end > limit) return undefined
  const valueBytes = exceptionBytes(header, bits)
  const page = new Uint8Array(limit)
  const exceptions: number[] = []
  for (let start = 0; start < values; start += BLOCK_VALUES) {
    const fill = Math.min(BLOCK_VALUES, values - start)
    const rows = rowsOf(fill, bits)
    const block = element.words(BLOCK_VALUES)
    // Rows are whole: of ALP-RD the first value stands in for those that are missing, of ALP zeros do.
    for (let j = 0; j < (rows * 1024) / bits; j++) {
      if (j < fill || header.codec === ALP_RD) setWord(block, j, start + (j < fill ? j : 0))
    }
    const lines = element.words(BLOCK_VALUES)
    element.pack(block, rows, width, lines)
    const packed = new Uint8Array(lines.buffer, 0, packedBytes(fill, width, bits))
    page.set(packed, PAGE_HEADER_BYTES + packedBytes(start, width, bits))
    if (header.codec === ALP) element.decodeAlp(lines, rows, header, block)
    else element.decodeCut(lines, rows, header, block)
    for (let j = 0; j < fill; j++) if (block[j] !== words[start + j]) exceptions.push(start + j)
  }
  const gaps = gapsOf(exceptions)
  const length = end + exceptions.length * valueBytes + gaps.length
  if (length > limit) return undefined
  const view = new DataView(page.buffer)
  exceptions.forEach((i, n) => {
    const at = end + n * valueBytes
    if (header.codec === ALP_RD && valueBytes === 1) page[at] = element.leftAt(words, i, header)
    else if (header.codec === ALP_RD) view.setUint16(at, element.leftAt(words, i, header), true)
    else page.set(new Uint8Array(words.buffer, words.byteOffset + i * valueBytes, valueBytes), at)
  })
  page.set(gaps, length - gaps.length)
  header.exceptions = exceptions.length
  header.exceptionsAt = exceptions.length === 0 ? 0 : end
  writeHeader(page, header)
  return page.subarray(0, length)
}

/** Of one exception, without its gap. */
export function exceptionBytes(header: PageHeader, bits: number): number {
  if (header.codec === ALP) return bits / 8
  return leftBits(header, bits) > LEFT_BITS_MAX / 2 ? 2 : 1
}

function gapsOf(exceptions: readonly number[]): number[] {
  const gaps: number[] = []
  let next = 0
  for (const i of exceptions) {
    let gap = i - next
    for (; gap >= GAP_MAX; gap -= GAP_MAX) gaps.push(GAP_MAX)
    gaps.push(gap)
    next = i + 1
  }
  return gaps
}
