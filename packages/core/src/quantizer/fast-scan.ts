/**
 * Codes of 4 bits in blocks of 32 rows, as the kernel `fastScan` reads them: 16 bytes per group, byte j with the code of row j
 * low and that of row 16 + j high. Rule: a table entry is rounded to one of at most 128 levels that all groups share, so a sum
 * is wrong by at most half a level per group, and by about a third of the root of their number.
 */
import { kernels } from '@drift/native'

export const FAST_SCAN_ROWS = 32

/** Bytes of the codes of one block. */
export function fastScanBytes(groups: number): number {
  return GROUP_BYTES * groups
}

/** @param stride - bytes from block to block. The place must be 0 before. */
export function putNibble(codes: Uint8Array, stride: number, row: number, group: number, code: number): void {
  codes[byteAt(stride, row, group)]! |= code << shiftOf(row)
}

export function nibbleAt(codes: Uint8Array, stride: number, row: number, group: number): number {
  return (codes[byteAt(stride, row, group)]! >> shiftOf(row)) & 15
}

/** The sum of a row's entries is about bias + step * (sum of its entries of `lut`). */
export interface ScanTable {
  readonly lut: Uint8Array
  readonly bias: number
  readonly step: number
}

/** @param table - 16 finite entries per group. */
export function scanTable(table: Float32Array): ScanTable {
  const groups = table.length / GROUP_BYTES
  const lowest = new Float64Array(groups)
  let bias = 0
  let widest = 0
  for (let g = 0; g < groups; g++) {
    let low = Number.POSITIVE_INFINITY
    let high = Number.NEGATIVE_INFINITY
    for (let i = g * GROUP_BYTES; i < (g + 1) * GROUP_BYTES; i++) {
      low = Math.min(low, table[i]!)
      high = Math.max(high, table[i]!)
    }
    lowest[g] = low
    bias += low
    widest = Math.max(widest, high - low)
  }
  const step = widest / levelsOf(groups)
  const lut = new Uint8Array(table.length)
  if (step > 0) for (let i = 0; i < lut.length; i++) lut[i] = (table[i]! - lowest[i >> 4]!) / step + 0.5
  return { lut, bias, step }
}

/**
 * Sums of `lut` for the first `count` rows, some blocks at a time.
 *
 * @param visit - gets the sums of rows first .. first + rows - 1; they are overwritten after it returns.
 */
export function scan(
  { lut }: ScanTable,
  stride: number,
  codes: Uint8Array,
  count: number,
  visit: (sums: Uint16Array, first: number, rows: number) => void,
): void {
  const blocks = Math.ceil(count / FAST_SCAN_ROWS)
  const sums = new Uint16Array(FAST_SCAN_ROWS * Math.min(blocks, BLOCKS_AT_ONCE))
  for (let block = 0; block < blocks; block += BLOCKS_AT_ONCE) {
    const some = Math.min(BLOCKS_AT_ONCE, blocks - block)
    kernels.fastScan(lut, lut.length / GROUP_BYTES, codes.subarray(block * stride), stride, some, sums)
    const first = block * FAST_SCAN_ROWS
    visit(sums, first, Math.min(some * FAST_SCAN_ROWS, count - first))
  }
}

const GROUP_BYTES = 16
/** 4 096 sums: 8 KiB beside the table in the first-level cache. */
const BLOCKS_AT_ONCE = 128
/** The kernel adds two entries in a byte. */
const MAX_ENTRY = 127
/** And all of a row in 16 bits. */
const MAX_SUM = 65_535

function levelsOf(groups: number): number {
  return Math.min(MAX_ENTRY, Math.floor(MAX_SUM / groups))
}

function byteAt(stride: number, row: number, group: number): number {
  return Math.floor(row / FAST_SCAN_ROWS) * stride + group * GROUP_BYTES + (row & 15)
}

function shiftOf(row: number): number {
  return (row >> 2) & 4
}
