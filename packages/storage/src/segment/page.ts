/**
 * The vector page: a 64-byte header and whole rows, row-major, so that one row costs one page. The header already carries what
 * compressing codecs need; a codec id's arithmetic never changes, a new codec takes a new id.
 *
 *  0 codec u8   1 element type u8   2 word bits W u8   3 right bits u8   4 flags u8   5 trimmed bits u8   6 dictionary length u8   7 code bits u8
 *  8 n_values u32   12 n_blocks u32   16 base i64   24 divisor f64   32 exception count u32   36 exception offset u32
 * 40 dictionary 8 x u16   56 zeros   64 values
 *
 * Codec 0 is RAW: little-endian float32 as they are, NaN payloads included; W = 32, every codec field zero.
 */
import { ELEMENT_F32, viewOf } from './format.js'
import type { Page } from './section-writer.js'

export const PAGE_HEADER_BYTES = 64
/** Of raw floats: a rerank of 1000 rows reads 16 MB, and one header costs 0.4 %. */
export const PAGE_TARGET_BYTES: number = 16 * 1024
/** Values per block of the packing codecs; RAW only counts by it. */
const BLOCK_VALUES = 1024
const CODEC_RAW = 0
const RAW_WORD_BITS = 32

const PAGE_CODEC = 0
const PAGE_ELEMENT = PAGE_CODEC + 1
const PAGE_WORD_BITS = PAGE_ELEMENT + 1
const PAGE_RIGHT_BITS = PAGE_WORD_BITS + 1
const PAGE_VALUES = PAGE_RIGHT_BITS + 5
const PAGE_BLOCKS = PAGE_VALUES + 4
const PAGE_BASE = PAGE_BLOCKS + 4

/** Whole rows, as many as the target holds; a wider row has a page of its own. */
export function rowsPerPage(dim: number): number {
  return Math.max(1, Math.floor(PAGE_TARGET_BYTES / (4 * dim)))
}

/** @param row - the values of row i, length `dim`, taken before the next call. @returns pages over one buffer. */
export function* encodePages(rows: number, dim: number, row: (i: number) => Float32Array): Iterable<Page> {
  const perPage = rowsPerPage(dim)
  const buffer = new ArrayBuffer(PAGE_HEADER_BYTES + perPage * dim * 4)
  const values = new Float32Array(buffer, PAGE_HEADER_BYTES)
  for (let first = 0; first < rows; first += perPage) {
    const items = Math.min(perPage, rows - first)
    for (let i = 0; i < items; i++) values.set(row(first + i), i * dim)
    const bytes = new Uint8Array(buffer, 0, PAGE_HEADER_BYTES + items * dim * 4)
    encodeRawHeader(bytes, items * dim)
    yield { bytes, logicalBytes: items * dim * 4, items }
  }
}

function encodeRawHeader(page: Uint8Array, values: number): void {
  const view = viewOf(page)
  view.setUint8(PAGE_CODEC, CODEC_RAW)
  view.setUint8(PAGE_ELEMENT, ELEMENT_F32)
  view.setUint8(PAGE_WORD_BITS, RAW_WORD_BITS)
  view.setUint32(PAGE_VALUES, values, true)
  view.setUint32(PAGE_BLOCKS, Math.ceil(values / BLOCK_VALUES), true)
}

export interface PageFault {
  /** A codec of a later version is no damage. */
  readonly code: 'DRIFT_CORRUPT_DECODE' | 'DRIFT_FORMAT_FEATURE'
  readonly what: string
}

/** Why the page cannot be decoded to `values` values, or undefined when it can. */
export function pageFault(page: Uint8Array, values: number): PageFault | undefined {
  const fault = (what: string): PageFault => ({ code: 'DRIFT_CORRUPT_DECODE', what })
  if (page.length < PAGE_HEADER_BYTES) return fault(`has ${page.length} bytes, less than a header`)
  const view = viewOf(page)
  const codec = view.getUint8(PAGE_CODEC)
  const element = view.getUint8(PAGE_ELEMENT)
  if (codec !== CODEC_RAW || element !== ELEMENT_F32) {
    return { code: 'DRIFT_FORMAT_FEATURE', what: `has codec ${codec} and element type ${element}` }
  }
  const stored = view.getUint32(PAGE_VALUES, true)
  if (stored !== values) return fault(`has ${stored} values, expected ${values}`)
  const plain =
    view.getUint8(PAGE_WORD_BITS) === RAW_WORD_BITS &&
    view.getUint32(PAGE_BLOCKS, true) === Math.ceil(values / BLOCK_VALUES) &&
    page.subarray(PAGE_RIGHT_BITS, PAGE_VALUES).every(byte => byte === 0) &&
    page.subarray(PAGE_BASE, PAGE_HEADER_BYTES).every(byte => byte === 0)
  if (!plain) return fault('has codec fields that RAW has no use for')
  if (PAGE_HEADER_BYTES + values * 4 > page.length)
    return fault(`has ${page.length} bytes for ${values} values`)
  return undefined
}

/** Values first .. first + count - 1 of a page without fault, bit for bit, to `into` at `at`. */
export function decodeValues(
  page: Uint8Array,
  first: number,
  count: number,
  into: Float32Array,
  at: number,
): void {
  const from = PAGE_HEADER_BYTES + first * 4
  const target = new Uint8Array(into.buffer, into.byteOffset + at * 4, count * 4)
  target.set(page.subarray(from, from + count * 4))
}
