/**
 * One bit per value: the signs of a row's rotated difference r from a mean, and two numbers that make estimates unbiased:
 * <r, q> ~ ||r||^2 / ||r||_1 * <sign r, q> (RaBitQ; Gao and Long 2024, in the form of its extension of 2025).
 * Rule: nothing but the mean is learnt, and an old mean costs accuracy, never correctness.
 *
 *   block of 32 rows: [signs: 4 bits per group as FastScan reads them][||r||: 32 * f32][||r||^2 / ||r||_1: 32 * f32]
 */
import type { KernelMetric } from '@drift/native'
import { requireKnown } from '../arguments.js'
import { Rotation } from '../rotation.js'
import { FAST_SCAN_ROWS, fastScanBytes, nibbleAt, putNibble, scan, scanTable } from './fast-scan.js'
import { badOption, type Quantizer, quantizerOf, requireDim, requireTrainingRows } from './quantizer.js'
import { corrupt, type StoredQuantizer, writeStored } from './stored.js'

export interface SignOptions {
  readonly dim: number
  /** Of the rotation: any safe integer. */
  readonly seed: number
}

const SIGN_OPTIONS: Record<keyof SignOptions, true> = { dim: true, seed: true }

/** Learns the mean of the rows. @throws CoreError DRIFT_EMPTY_BATCH, DRIFT_DIMENSION, DRIFT_VECTOR_VALUE, DRIFT_OPTION. */
export function trainSign(vectors: Float32Array, options: SignOptions): Quantizer {
  requireKnown(options, SIGN_OPTIONS, 'trainSign')
  const { dim, seed } = options
  requireTrainingRows(vectors, dim)
  requireSeed(seed)
  const sums = new Float64Array(dim)
  for (let start = 0; start < vectors.length; start += dim) {
    for (let d = 0; d < dim; d++) sums[d]! += vectors[start + d]!
  }
  const count = vectors.length / dim
  return signOf(
    Float32Array.from(sums, sum => sum / count),
    seed,
  )
}

/** The same around zero, for rows that are already differences. @throws CoreError DRIFT_DIMENSION, DRIFT_OPTION. */
export function signQuantizer(options: SignOptions): Quantizer {
  requireKnown(options, SIGN_OPTIONS, 'signQuantizer')
  const { dim, seed } = options
  requireDim(dim)
  requireSeed(seed)
  return signOf(new Float32Array(dim), seed)
}

/** @throws CoreError DRIFT_QUANTIZER_CORRUPT. */
export function signFrom({ dim, seed, values }: StoredQuantizer): Quantizer {
  if (values.length !== dim) throw corrupt(`has a mean of ${values.length} values, expected ${dim}`)
  return signOf(values, seed)
}

function requireSeed(seed: number): void {
  if (!Number.isSafeInteger(seed)) throw badOption('seed', seed, 'a safe integer')
}

interface Shape {
  readonly dim: number
  readonly mean: Float32Array
  readonly rotation: Rotation
  /** Of a block: where the factors begin. */
  readonly signBytes: number
  readonly blockBytes: number
}

function signOf(mean: Float32Array, seed: number): Quantizer {
  const dim = mean.length
  const rotation = new Rotation(dim, seed)
  const signBytes = fastScanBytes(rotation.padded / GROUP_VALUES)
  const shape: Shape = { dim, mean, rotation, signBytes, blockBytes: signBytes + 2 * FACTOR_BYTES }
  return quantizerOf({
    kind: 'sign',
    dim,
    blockRows: FAST_SCAN_ROWS,
    blockBytes: shape.blockBytes,
    bytes: writeStored({ kind: 'sign', dim, subspaces: 0, bits: 1, rotated: true, seed, values: mean }),
    encode(vectors, count, codes) {
      codes.fill(0)
      for (let first = 0; first < count; first += CHUNK_ROWS) {
        const some = Math.min(CHUNK_ROWS, count - first)
        encodeRows(shape, vectors.subarray(first * dim), first, some, codes)
      }
    },
    decode(codes, count, out) {
      for (let first = 0; first < count; first += CHUNK_ROWS) {
        const some = Math.min(CHUNK_ROWS, count - first)
        decodeRows(shape, codes, first, some, out.subarray(first * dim, (first + some) * dim))
      }
    },
    distances: (metric, query, codes, count, out) => estimate(shape, metric, query, codes, count, out),
  })
}

/** Signs in a group of FastScan: its 4 bits pick one of 16 sums. */
const GROUP_VALUES = 4
/** Of one factor of a block. */
const FACTOR_BYTES = 4 * FAST_SCAN_ROWS
/** Rows turned at a time: their copies stay in the cache. */
const CHUNK_ROWS = 256

/** Codes of `count` rows to rows first .. of `codes`, which are 0. */
function encodeRows(
  shape: Shape,
  vectors: Float32Array,
  first: number,
  count: number,
  codes: Uint8Array,
): void {
  const { dim, mean, rotation, blockBytes } = shape
  const { padded } = rotation
  const view = new DataView(codes.buffer, codes.byteOffset, codes.byteLength)
  const residuals = new Float32Array(count * dim)
  for (let i = 0; i < residuals.length; i++) residuals[i] = vectors[i]! - mean[i % dim]!
  const turned = new Float32Array(count * padded)
  rotation.apply(residuals, 0, count, turned)
  for (let j = 0; j < count; j++) {
    let squares = 0
    let magnitudes = 0
    for (let i = 0; i < padded; i += GROUP_VALUES) {
      let nibble = 0
      for (let b = 0; b < GROUP_VALUES; b++) {
        const value = turned[j * padded + i + b]!
        if (value >= 0) nibble |= 1 << b
        squares += value * value
        magnitudes += Math.abs(value)
      }
      putNibble(codes, blockBytes, first + j, i / GROUP_VALUES, nibble)
    }
    const at = factorsAt(shape, first + j)
    view.setFloat32(at, Math.sqrt(squares), true)
    view.setFloat32(at + FACTOR_BYTES, magnitudes === 0 ? 0 : squares / magnitudes, true)
  }
}

/** The least wrong rows of these signs: each value of r is as large as their mean magnitude. */
function decodeRows(shape: Shape, codes: Uint8Array, first: number, count: number, out: Float32Array): void {
  const { dim, mean, rotation, blockBytes } = shape
  const { padded } = rotation
  const view = new DataView(codes.buffer, codes.byteOffset, codes.byteLength)
  const turned = new Float32Array(count * padded)
  for (let j = 0; j < count; j++) {
    const at = factorsAt(shape, first + j)
    const norm = view.getFloat32(at, true)
    const factor = view.getFloat32(at + FACTOR_BYTES, true)
    const magnitude = factor === 0 ? 0 : norm * (norm / factor / padded)
    for (let i = 0; i < padded; i++) {
      const nibble = nibbleAt(codes, blockBytes, first + j, Math.floor(i / GROUP_VALUES))
      turned[j * padded + i] = (nibble >> (i % GROUP_VALUES)) & 1 ? magnitude : -magnitude
    }
  }
  rotation.undo(turned, count, out)
  for (let i = 0; i < count * dim; i++) out[i]! += mean[i % dim]!
}

/**
 * With x = mean + r: ||q - x||^2 = ||r||^2 + ||q - mean||^2 - 2 <r, q - mean>, and <q, x> = <q, mean> + <r, q>; a rotation
 * keeps inner products.
 */
function estimate(
  shape: Shape,
  metric: KernelMetric,
  query: Float32Array,
  codes: Uint8Array,
  count: number,
  out: Float32Array,
): void {
  const { mean, rotation, blockBytes } = shape
  const view = new DataView(codes.buffer, codes.byteOffset, codes.byteLength)
  const isL2 = metric === 'l2'
  const turned = new Float32Array(rotation.padded)
  rotation.apply(isL2 ? query.map((value, d) => value - mean[d]!) : query, 0, 1, turned)
  const table = scanTable(signTable(turned))
  const constant = isL2
    ? turned.reduce((sum, value) => sum + value * value, 0)
    : query.reduce((sum, value, d) => sum - value * mean[d]!, 0)
  scan(table, blockBytes, codes, count, (sums, first, rows) => {
    for (let j = 0; j < rows; j++) {
      const at = factorsAt(shape, first + j)
      const product = view.getFloat32(at + FACTOR_BYTES, true) * (table.bias + table.step * sums[j]!)
      if (isL2) out[first + j] = constant + view.getFloat32(at, true) ** 2 - 2 * product
      else out[first + j] = constant - product
    }
  })
}

/** Entry 16 g + n: <s, q> over group g for the signs n, a set bit meaning +1. */
function signTable(query: Float32Array): Float32Array {
  const table = new Float32Array((query.length / GROUP_VALUES) * 16)
  for (let at = 0; at < table.length; at++) {
    const first = (at >> 4) * GROUP_VALUES
    for (let b = 0; b < GROUP_VALUES; b++) {
      const value = query[first + b]!
      table[at]! += (at >> b) & 1 ? value : -value
    }
  }
  return table
}

/** Byte of a row's norm; its other factor is FACTOR_BYTES further. */
function factorsAt({ signBytes, blockBytes }: Shape, row: number): number {
  return Math.floor(row / FAST_SCAN_ROWS) * blockBytes + signBytes + 4 * (row % FAST_SCAN_ROWS)
}
