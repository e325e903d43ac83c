/** Entries of 1 bit a dimension: writing one, and estimating distances from a block of 32. Layout and formulas: src/index.h. */
import { BLOCK_ENTRIES, blockBytes, blockRowsAt } from '../index-slabs.js'
import type { KernelMetric } from '../kernels.js'

const GROUP_BYTES = 16
const FLT_MAX = (2 - 2 ** -23) * 2 ** 127

/** Entry `slot` of the block at byte `start` becomes x, in a bucket with the centroid at `at`. */
export function writeSigns(
  metric: KernelMetric,
  x: Float32Array,
  centroids: Float32Array,
  at: number,
  blocks: Uint8Array,
  start: number,
  slot: number,
  row: number,
): void {
  const padded = x.length
  const shift = slot >= 16 ? 4 : 0
  let squares = 0
  let l1 = 0
  let signs = 0
  let along = 0
  for (let i = 0; i < padded; i += 4) {
    let nibble = 0
    for (let b = 0; b < 4; b++) {
      const c = centroids[at + i + b]!
      const r = Math.fround(x[i + b]! - c)
      if (r >= 0) nibble |= 1 << b
      squares += r * r
      l1 += Math.abs(r)
      signs += r >= 0 ? c : -c
      along += r * c
    }
    const byte = start + 4 * i + (slot & 15)
    blocks[byte] = (blocks[byte]! & (0xf0 >> shift)) | (nibble << shift)
  }
  const h = l1 > 0 ? squares / l1 : 0
  const { factors, rows } = tailOf(blocks, start, padded)
  rows[slot] = row
  factors[BLOCK_ENTRIES + slot] = metric === 'l2' ? 2 * h : h
  factors[slot] = metric === 'l2' ? squares + 2 * h * signs : h * signs - along
}

/** Of values whose squares overflow an entry says nothing: its row is always near enough. */
export function admitUnknown(blocks: Uint8Array, start: number, slot: number, padded: number): void {
  const { factors } = tailOf(blocks, start, padded)
  if (Number.isFinite(factors[slot]!) && Number.isFinite(factors[BLOCK_ENTRIES + slot]!)) return
  factors[slot] = -FLT_MAX
  factors[BLOCK_ENTRIES + slot] = 0
}

/** Entry `toSlot` of the block at byte `to` becomes what entry `fromSlot` of the block at byte `from` is. */
export function copySigns(
  padded: number,
  blocks: Uint8Array,
  from: number,
  fromSlot: number,
  to: number,
  toSlot: number,
): void {
  const fromShift = fromSlot >= 16 ? 4 : 0
  const toShift = toSlot >= 16 ? 4 : 0
  for (let g = 0; g < padded / 4; g++) {
    const nibble = (blocks[from + GROUP_BYTES * g + (fromSlot & 15)]! >> fromShift) & 15
    const byte = to + GROUP_BYTES * g + (toSlot & 15)
    blocks[byte] = (blocks[byte]! & (0xf0 >> toShift)) | (nibble << toShift)
  }
  const source = tailOf(blocks, from, padded)
  const target = tailOf(blocks, to, padded)
  target.rows[toSlot] = source.rows[fromSlot]!
  target.factors[BLOCK_ENTRIES + toSlot] = source.factors[BLOCK_ENTRIES + fromSlot]!
  target.factors[toSlot] = source.factors[fromSlot]!
}

/** out[j] = base + add[j] - scale[j] * (<s_j, query> + slack), j < 32. */
export function scanSigns(
  query: Float32Array,
  blocks: Uint8Array,
  start: number,
  base: number,
  slack: number,
  out: Float32Array,
): void {
  const padded = query.length
  const { factors } = tailOf(blocks, start, padded)
  for (let slot = 0; slot < BLOCK_ENTRIES; slot++) {
    if (factors[slot] === Number.POSITIVE_INFINITY) {
      out[slot] = Number.POSITIVE_INFINITY
      continue
    }
    const shift = slot >= 16 ? 4 : 0
    let sum = 0
    for (let g = 0; g < padded / 4; g++) {
      const nibble = blocks[start + GROUP_BYTES * g + (slot & 15)]! >> shift
      for (let b = 0; b < 4; b++) sum += (nibble >> b) & 1 ? query[4 * g + b]! : -query[4 * g + b]!
    }
    out[slot] = base + factors[slot]! - factors[BLOCK_ENTRIES + slot]! * (sum + slack)
  }
}

/** Row numbers of the block. */
export function rowsOfBlock(blocks: Uint8Array, block: number, padded: number): Uint32Array {
  return tailOf(blocks, block * blockBytes(padded), padded).rows
}

function tailOf(
  blocks: Uint8Array,
  start: number,
  padded: number,
): { factors: Float32Array; rows: Uint32Array } {
  const at = blocks.byteOffset + start
  return {
    factors: new Float32Array(blocks.buffer, at + 4 * padded, 2 * BLOCK_ENTRIES),
    rows: new Uint32Array(blocks.buffer, at + 4 * blockRowsAt(padded), BLOCK_ENTRIES),
  }
}
