/**
 * A quantizer as bytes, little-endian. Anything this did not write is refused, never half read.
 *
 *   [magic u32][version u32][kind u32][dim u32][subspaces u32][bits u32][rotated u32][count u32][seed f64]
 *   [values: count * f32][CRC32C of all before u32]
 */
import { types } from 'node:util'
import { kernels, MAX_DIMENSION } from '@drift/native'
import { CoreError } from '../errors.js'
import type { QuantizerKind } from './quantizer.js'

/** Everything that makes a quantizer. What a kind has no use for is 0. */
export interface StoredQuantizer {
  readonly kind: QuantizerKind
  readonly dim: number
  readonly subspaces: number
  readonly bits: number
  readonly rotated: boolean
  /** Of the rotation. */
  readonly seed: number
  /** What was learnt: its shape is the kind's. */
  readonly values: Float32Array
}

export function writeStored(stored: StoredQuantizer): Uint8Array {
  const { kind, dim, subspaces, bits, rotated, seed, values } = stored
  const bytes = new Uint8Array(HEADER_BYTES + 4 * values.length + CRC_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(MAGIC_AT, MAGIC, true)
  view.setUint32(VERSION_AT, VERSION, true)
  view.setUint32(KIND_AT, KINDS.indexOf(kind), true)
  view.setUint32(DIM_AT, dim, true)
  view.setUint32(SUBSPACES_AT, subspaces, true)
  view.setUint32(BITS_AT, bits, true)
  view.setUint32(ROTATED_AT, Number(rotated), true)
  view.setUint32(COUNT_AT, values.length, true)
  view.setFloat64(SEED_AT, seed, true)
  for (let i = 0; i < values.length; i++) view.setFloat32(HEADER_BYTES + 4 * i, values[i]!, true)
  const end = bytes.length - CRC_BYTES
  view.setUint32(end, kernels.crc32c(bytes.subarray(0, end)), true)
  return bytes
}

/** @throws CoreError DRIFT_QUANTIZER_CORRUPT for what `writeStored` did not write, DRIFT_QUANTIZER_VERSION for a later one. */
export function readStored(bytes: Uint8Array): StoredQuantizer {
  if (!types.isUint8Array(bytes)) throw corrupt('is no Uint8Array')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = bytes.length - CRC_BYTES
  if (end < HEADER_BYTES) throw corrupt(`has ${bytes.length} bytes, fewer than its header`)
  if (view.getUint32(MAGIC_AT, true) !== MAGIC) throw corrupt('does not begin with its magic')
  if (view.getUint32(end, true) !== kernels.crc32c(bytes.subarray(0, end)))
    throw corrupt('fails its checksum')
  const version = view.getUint32(VERSION_AT, true)
  if (version !== VERSION) {
    const what = `the stored quantizer has version ${version}, this reads ${VERSION}`
    throw new CoreError('DRIFT_QUANTIZER_VERSION', what, { version })
  }
  const kind = KINDS[view.getUint32(KIND_AT, true)]
  const dim = view.getUint32(DIM_AT, true)
  const count = view.getUint32(COUNT_AT, true)
  const seed = view.getFloat64(SEED_AT, true)
  if (kind === undefined) throw corrupt('is of no known kind')
  if (dim === 0 || dim > MAX_DIMENSION) throw corrupt(`has ${dim} dimensions`)
  if (end !== HEADER_BYTES + 4 * count) throw corrupt(`of ${count} values has ${bytes.length} bytes`)
  if (!Number.isSafeInteger(seed)) throw corrupt(`has the seed ${seed}`)
  const values = new Float32Array(count)
  for (let i = 0; i < count; i++) values[i] = view.getFloat32(HEADER_BYTES + 4 * i, true)
  if (!values.every(Number.isFinite)) throw corrupt('holds values that are not finite')
  return {
    kind,
    dim,
    subspaces: view.getUint32(SUBSPACES_AT, true),
    bits: view.getUint32(BITS_AT, true),
    rotated: view.getUint32(ROTATED_AT, true) !== 0,
    seed,
    values,
  }
}

export function corrupt(what: string): CoreError {
  return new CoreError('DRIFT_QUANTIZER_CORRUPT', `the stored quantizer ${what}`)
}

/** By the number that stands for a kind. */
const KINDS: readonly QuantizerKind[] = ['sq8', 'pq', 'sign']

const MAGIC = 0x5a545144 // 'DQTZ'
const VERSION = 1
const MAGIC_AT = 0
const VERSION_AT = 4
const KIND_AT = 8
const DIM_AT = 12
const SUBSPACES_AT = 16
const BITS_AT = 20
const ROTATED_AT = 24
const COUNT_AT = 28
const SEED_AT = 32
const HEADER_BYTES = 40
const CRC_BYTES = 4
