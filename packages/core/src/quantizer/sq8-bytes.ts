/**
 * A trained SQ8 quantizer as bytes, little-endian. Anything this did not write is refused, never half read.
 *
 *   [magic u32][version u32][dim u32][CRC32C of what follows u32][min: dim * f32][step: dim * f32]
 */
import { kernels } from '@drift/native'
import { CoreError } from '../errors.js'
import type { Sq8Quantizer } from './sq8.js'

export function serialiseSq8({ dim, min, step }: Sq8Quantizer): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + 8 * dim)
  const view = new DataView(bytes.buffer)
  for (let d = 0; d < dim; d++) {
    view.setFloat32(HEADER_BYTES + 4 * d, min[d]!, true)
    view.setFloat32(HEADER_BYTES + 4 * (dim + d), step[d]!, true)
  }
  view.setUint32(MAGIC_AT, MAGIC, true)
  view.setUint32(VERSION_AT, VERSION, true)
  view.setUint32(DIM_AT, dim, true)
  view.setUint32(CRC_AT, kernels.crc32c(bytes.subarray(HEADER_BYTES)), true)
  return bytes
}

/** @throws CoreError DRIFT_SQ8_CORRUPT for anything that `serialiseSq8` did not write, DRIFT_SQ8_VERSION for a later one. */
export function deserialiseSq8(bytes: Uint8Array): Sq8Quantizer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < HEADER_BYTES) throw corrupt(`has ${bytes.length} bytes, fewer than its header`)
  if (view.getUint32(MAGIC_AT, true) !== MAGIC) throw corrupt('does not begin with its magic')
  const version = view.getUint32(VERSION_AT, true)
  if (version !== VERSION) {
    throw new CoreError('DRIFT_SQ8_VERSION', `SQ8 quantizer of version ${version}, this reads ${VERSION}`, {
      version,
    })
  }
  const dim = view.getUint32(DIM_AT, true)
  const expected = HEADER_BYTES + 8 * dim
  if (dim === 0 || bytes.length !== expected) throw corrupt(`of ${dim} dimensions has ${bytes.length} bytes`)
  if (view.getUint32(CRC_AT, true) !== kernels.crc32c(bytes.subarray(HEADER_BYTES)))
    throw corrupt('fails its checksum')
  const min = Float32Array.from({ length: dim }, (_, d) => view.getFloat32(HEADER_BYTES + 4 * d, true))
  const step = Float32Array.from({ length: dim }, (_, d) =>
    view.getFloat32(HEADER_BYTES + 4 * (dim + d), true),
  )
  if (!min.every(Number.isFinite) || !step.every(value => value >= 0 && Number.isFinite(value))) {
    throw corrupt('holds a range that is no range')
  }
  return { dim, min, step }
}

const MAGIC = 0x38515344 // 'DSQ8'
const VERSION = 1
const MAGIC_AT = 0
const VERSION_AT = MAGIC_AT + 4
const DIM_AT = VERSION_AT + 4
const CRC_AT = DIM_AT + 4
const HEADER_BYTES = CRC_AT + 4

function corrupt(what: string): CoreError {
  return new CoreError('DRIFT_SQ8_CORRUPT', `the stored SQ8 quantizer ${what}`)
}
