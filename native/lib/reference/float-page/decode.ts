/**
 * Reads a page of floats that may hold anything: every field is checked before it is used, and nothing is read or written outside.
 */
import { PageFault } from '../../float-page.js'
import type { Element } from './element.js'
import { exceptionBytes, GAP_MAX } from './encode.js'
import { float32 } from './float32.js'
import { float64 } from './float64.js'
import {
  ALP,
  ALP_RD,
  BLOCK_VALUES,
  CONST,
  fieldsHold,
  leftBits,
  PAGE_HEADER_BYTES,
  type PageHeader,
  RAW,
  readHeader,
} from './header.js'
import { packedBytes, rowsOf } from './packed.js'

export function floatPageDecode(
  page: Uint8Array,
  values: number,
  first: number,
  out: Float32Array | Float64Array,
): number {
  return out.BYTES_PER_ELEMENT === 4
    ? decode(float32, page, values, first, float32.wordsOf(out))
    : decode(float64, page, values, first, float64.wordsOf(out))
}

function decode<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  page: Uint8Array,
  values: number,
  first: number,
  out: W,
): number {
  if (page.length < PAGE_HEADER_BYTES) return PageFault.length
  const header = readHeader(page)
  if (header.codec > ALP_RD || header.element < 1 || header.element > 2) return PageFault.unknown
  const { bits } = element
  const same = header.element === element.id && header.values === values && header.zeros === 0n
  if (!same || header.blocks !== Math.ceil(values / BLOCK_VALUES)) return PageFault.fields
  if (!fieldsHold(header, element)) return PageFault.fields
  if (header.codec === CONST) {
    element.fill(out, header.base)
    return 0
  }
  const valueBytes = bits / 8
  if (header.codec === RAW) {
    if (page.length - PAGE_HEADER_BYTES < values * valueBytes) return PageFault.length
    const from = PAGE_HEADER_BYTES + first * valueBytes
    bytesOf(out).set(page.subarray(from, from + out.byteLength))
    return 0
  }
  const end = PAGE_HEADER_BYTES + packedBytes(values, header.width, bits)
  if (page.length < end) return PageFault.length
  if (header.exceptions > 0 && header.exceptionsAt !== end) return PageFault.exceptions
  decodeBlocks(element, page, header, first, out)
  return patch(element, page, header, first, out) ? 0 : PageFault.exceptions
}

function decodeBlocks<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  page: Uint8Array,
  header: PageHeader,
  first: number,
  out: W,
): void {
  const { bits } = element
  const { values, width } = header
  const valueBytes = bits / 8
  const { lines, block } = element
  const lineBytes = bytesOf(lines)
  const blockBytes = bytesOf(block)
  const outBytes = bytesOf(out)
  const last = first + out.length
  for (let start = first - (first % BLOCK_VALUES); start < last; start += BLOCK_VALUES) {
    const fill = Math.min(BLOCK_VALUES, values - start)
    const at = PAGE_HEADER_BYTES + packedBytes(start, width, bits)
    lineBytes.set(page.subarray(at, at + packedBytes(fill, width, bits)))
    const from = Math.max(first, start)
    const to = Math.min(last, start + fill)
    const whole = to - from === BLOCK_VALUES
    const decoded = whole ? (out.subarray(from - first, to - first) as W) : block
    if (header.codec === ALP) element.decodeAlp(lines, rowsOf(fill, bits), header, decoded)
    else element.decodeCut(lines, rowsOf(fill, bits), header, decoded)
    if (whole) continue
    const part = blockBytes.subarray((from - start) * valueBytes, (to - start) * valueBytes)
    outBytes.set(part, (from - first) * valueBytes)
  }
}

function bytesOf(words: Uint32Array | BigUint64Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
}

/** Overwrites the exceptions among the values in `out`. @returns whether all are values of the page and end inside it. */
function patch<W extends Uint32Array | BigUint64Array>(
  element: Element<W>,
  page: Uint8Array,
  header: PageHeader,
  first: number,
  out: W,
): boolean {
  const { exceptions, exceptionsAt, values } = header
  if (exceptions === 0) return exceptionsAt === 0
  const each = exceptionBytes(header, element.bits)
  const room = page.length - exceptionsAt
  if (exceptions > values || Math.floor(room / (each + 1)) < exceptions) return false
  const left = header.codec === ALP ? 0 : leftBits(header, element.bits)
  const outBytes = bytesOf(out)
  const setLeft = element.leftSetter(out, header)
  let gap = exceptionsAt + exceptions * each
  let at = 0
  let fits = true
  for (let value = exceptionsAt; value < exceptionsAt + exceptions * each; value += each, at++) {
    for (; gap < page.length && page[gap] === GAP_MAX; gap++) at += GAP_MAX
    if (gap === page.length) return false
    at += page[gap++]!
    if (at >= values) return false
    const i = at - first
    if (i < 0 || i >= out.length) continue
    if (header.codec === ALP) {
      outBytes.set(page.subarray(value, value + each), i * each)
      continue
    }
    const high = each === 1 ? page[value]! : page[value]! | (page[value + 1]! << 8)
    fits &&= high >> left === 0
    setLeft(i, high)
  }
  return fits
}
