/** Entries, signs or codewords: writing one, and estimating distances from a block of 32. Layout and formulas: src/index.h. */
import {
  BLOCK_ENTRIES,
  blockBytes,
  blockRowsAt,
  CODEWORD_VALUES,
  CODEWORDS,
  codebookLength,
  type IndexSlabs,
} from '../index-slabs.js'
import type { KernelMetric } from '../kernels.js'

const GROUP_BYTES = 16
/** As src/words.h. */
const LEAST_REACH = 0.125
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

/** Entry `slot` of the block at byte `start` becomes x, in a bucket of the index with the centroid at `at`: signs or, with codebooks, codewords. */
export function writeEntry(
  { metric, codebooks }: Pick<IndexSlabs, 'metric' | 'codebooks'>,
  x: Float32Array,
  centroids: Float32Array,
  at: number,
  blocks: Uint8Array,
  start: number,
  slot: number,
  row: number,
): void {
  if (codebooks === undefined) {
    writeSigns(metric, x, centroids, at, blocks, start, slot, row)
    return
  }
  const padded = x.length
  const c = centroids.subarray(at, at + padded)
  const r = x.map((value, i) => value - c[i]!)
  const squares = inner(r, r)
  const times = squares > 0 ? codebooks[codebookLength(padded) - 1]! / Math.sqrt(squares) : 0
  const shift = slot >= 16 ? 4 : 0
  const words = new Float32Array(padded)
  for (let g = 0; g < padded / CODEWORD_VALUES; g++) {
    const first = CODEWORD_VALUES * g
    const word = nearestWord(
      codebooks,
      g,
      r.subarray(first, first + CODEWORD_VALUES).map(value => times * value),
    )
    for (let b = 0; b < CODEWORD_VALUES; b++) words[first + b] = wordValue(codebooks, g, word, b)
    const byte = start + GROUP_BYTES * g + (slot & 15)
    blocks[byte] = (blocks[byte]! & (0xf0 >> shift)) | (word << shift)
  }
  const along = inner(words, r)
  const isTold = along >= LEAST_REACH * Math.sqrt(squares * padded)
  const h = isTold && along > 0 ? squares / along : 0
  const { factors, rows } = tailOf(blocks, start, padded)
  rows[slot] = row
  factors[BLOCK_ENTRIES + slot] = metric === 'l2' ? 2 * h : h
  factors[slot] = metric === 'l2' ? squares + 2 * h * inner(words, c) : h * inner(words, c) - inner(r, c)
  if (!isTold) factors[slot] = -FLT_MAX
}

function nearestWord(codebooks: Float32Array, group: number, part: Float32Array): number {
  let best = 0
  let least = Number.POSITIVE_INFINITY
  for (let word = 0; word < CODEWORDS; word++) {
    const lack = part.reduce((sum, value, b) => sum + (wordValue(codebooks, group, word, b) - value) ** 2, 0)
    if (lack < least) {
      least = lack
      best = word
    }
  }
  return best
}

function wordValue(codebooks: Float32Array, group: number, word: number, b: number): number {
  return codebooks[CODEWORDS * (CODEWORD_VALUES * group + b) + word]!
}

function inner(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
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

/** out[j] = base + add[j] - scale[j] * (<s_j, query> + slack), j < 32. @param codebooks - of which s_j is; undefined: signs. */
export function scanSigns(
  query: Float32Array,
  blocks: Uint8Array,
  start: number,
  base: number,
  slack: number,
  out: Float32Array,
  codebooks?: Float32Array,
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
      const nibble = (blocks[start + GROUP_BYTES * g + (slot & 15)]! >> shift) & 15
      for (let b = 0; b < CODEWORD_VALUES; b++) {
        const sign = (nibble >> b) & 1 ? 1 : -1
        sum += query[4 * g + b]! * (codebooks === undefined ? sign : wordValue(codebooks, g, nibble, b))
      }
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
