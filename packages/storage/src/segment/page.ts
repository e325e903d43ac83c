/**
 * The vector page: whole rows, row-major, so that one row costs one page, under the codec that makes it smallest. The 64-byte header and
 * the codecs are those of float pages (native/src/float_page.c); a codec id's arithmetic never changes, a new codec takes a new id.
 * Codec 0 is RAW: little-endian float32 as they are, after the header.
 */
import { floatPageRoom, kernels } from '@drift/native'
import { pageFaultCode, pageFaultText } from '../codec/floats.js'
import type { Page } from './section-writer.js'

/** Of raw floats: a rerank of 1000 rows reads 16 MB, and one header costs 0.4 %. */
const PAGE_TARGET_BYTES: number = 16 * 1024

/** Whole rows, as many as the target holds; a wider row has a page of its own. */
export function rowsPerPage(dim: number): number {
  return Math.max(1, Math.floor(PAGE_TARGET_BYTES / (4 * dim)))
}

/** @param row - the values of row i, length `dim`, taken before the next call. @returns pages over one buffer. */
export function* encodePages(rows: number, dim: number, row: (i: number) => Float32Array): Iterable<Page> {
  const perPage = rowsPerPage(dim)
  const values = new Float32Array(perPage * dim)
  const page = new Uint8Array(floatPageRoom(values.length, 4))
  for (let first = 0; first < rows; first += perPage) {
    const items = Math.min(perPage, rows - first)
    for (let i = 0; i < items; i++) values.set(row(first + i), i * dim)
    const length = kernels.floatPageEncode(values.subarray(0, items * dim), page)
    yield { bytes: page.subarray(0, length), logicalBytes: items * dim * 4, items }
  }
}

export interface PageFault {
  /** A codec of a later version is no damage. */
  readonly code: 'DRIFT_CORRUPT_DECODE' | 'DRIFT_FORMAT_FEATURE'
  readonly what: string
}

/**
 * Values first .. first + into.length - 1 of a page of `values`, bit for bit, to `into`.
 *
 * @returns why the page cannot be decoded, or undefined when it could.
 */
export function decodePage(
  page: Uint8Array,
  values: number,
  first: number,
  into: Float32Array,
): PageFault | undefined {
  const fault = kernels.floatPageDecode(page, values, first, into)
  return fault === 0 ? undefined : { code: pageFaultCode(fault), what: pageFaultText(fault) }
}
