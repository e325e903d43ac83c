/** The first 64 bytes of a container file: what it is and whose. Read last, since the footer says first whether the file is whole. */
import { kernels } from '@drift/native'
import { requireArgument, StorageError } from '../errors.js'
import { uuidBytes, uuidText } from '../uuid.js'
import {
  checkCrc,
  checkVersion,
  ELEMENT_F32,
  FileKind,
  FORMAT_MAJOR,
  FORMAT_MINOR,
  getU64,
  HEADER_BYTES,
  MAGIC_BYTES,
  type Metric,
  setU64,
  viewOf,
} from './format.js'

/** The stored number of a metric is its position; 0 means that the file has none. */
const METRICS: readonly (Metric | undefined)[] = [undefined, 'l2', 'cosine', 'ip']

export interface FileHeader {
  readonly kind: FileKind
  readonly uuid: string
  /** Milliseconds since 1970, by the caller's clock. */
  readonly createdMs: number
  /** Values per vector; 0 where the file holds none. */
  readonly dim: number
  readonly metric?: Metric | undefined
  /** Whether every vector has length 1. */
  readonly normalised?: boolean
}

const HEADER_MAGIC = 0
const HEADER_MAJOR = HEADER_MAGIC + 8
const HEADER_MINOR = HEADER_MAJOR + 2
const HEADER_COMPATIBLE = HEADER_MINOR + 2
const HEADER_UUID = HEADER_COMPATIBLE + 4
const HEADER_CREATED = HEADER_UUID + 16
const HEADER_DIM = HEADER_CREATED + 8
const HEADER_ELEMENT = HEADER_DIM + 4
const HEADER_METRIC = HEADER_ELEMENT + 1
const HEADER_NORMALISED = HEADER_METRIC + 1
const HEADER_KIND = HEADER_NORMALISED + 1
const HEADER_INCOMPATIBLE = HEADER_KIND + 1
const HEADER_WRITER = HEADER_INCOMPATIBLE + 4
const HEADER_CRC = HEADER_WRITER + 8

/** The low half of the name's hash tells which program wrote the file; only people read it. */
const WRITER_NAME = '@drift/storage'

/** What could not be read back is refused. */
export function encodeHeader(header: FileHeader): Uint8Array {
  const { createdMs, dim, metric } = header
  requireArgument(Number.isSafeInteger(createdMs) && createdMs >= 0, () => `createdMs is ${createdMs}`)
  requireArgument(Number.isInteger(dim) && dim >= 0 && dim < 2 ** 32, () => `dim is ${dim}`)
  requireArgument(METRICS.includes(metric), () => `metric is ${metric}, expected one of ${METRICS.slice(1)}`)
  const bytes = new Uint8Array(HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  bytes.set(MAGIC_BYTES, HEADER_MAGIC)
  view.setUint16(HEADER_MAJOR, FORMAT_MAJOR, true)
  view.setUint16(HEADER_MINOR, FORMAT_MINOR, true)
  bytes.set(uuidBytes(header.uuid), HEADER_UUID)
  setU64(view, HEADER_CREATED, header.createdMs)
  view.setUint32(HEADER_DIM, header.dim, true)
  bytes[HEADER_ELEMENT] = header.dim === 0 ? 0 : ELEMENT_F32
  bytes[HEADER_METRIC] = METRICS.indexOf(header.metric)
  bytes[HEADER_NORMALISED] = header.normalised ? 1 : 0
  bytes[HEADER_KIND] = header.kind
  view.setBigUint64(HEADER_WRITER, kernels.hash64(new TextEncoder().encode(WRITER_NAME)), true)
  view.setUint32(HEADER_CRC, kernels.crc32c(bytes.subarray(0, HEADER_CRC)), true)
  return bytes
}

export function decodeHeader(bytes: Uint8Array, path: string): FileHeader {
  const view = viewOf(bytes)
  if (!MAGIC_BYTES.every((byte, i) => bytes[HEADER_MAGIC + i] === byte)) {
    throw new StorageError('DRIFT_CORRUPT_MAGIC', `${path} does not start with the magic of a Drift file`, {
      path,
      offset: 0,
    })
  }
  checkCrc(
    view.getUint32(HEADER_CRC, true),
    kernels.crc32c(bytes.subarray(0, HEADER_CRC)),
    'header',
    path,
    HEADER_CRC,
  )
  checkVersion(
    view.getUint16(HEADER_MAJOR, true),
    view.getUint32(HEADER_INCOMPATIBLE, true),
    path,
    HEADER_MAJOR,
  )
  const kind = Object.values(FileKind).find(known => known === bytes[HEADER_KIND])
  const dim = view.getUint32(HEADER_DIM, true)
  const metric = METRICS[bytes[HEADER_METRIC]!]
  const normalised = bytes[HEADER_NORMALISED]!
  if (
    kind === undefined ||
    bytes[HEADER_METRIC]! >= METRICS.length ||
    bytes[HEADER_ELEMENT] !== (dim === 0 ? 0 : ELEMENT_F32) ||
    normalised > 1
  ) {
    throw new StorageError(
      'DRIFT_CORRUPT_DECODE',
      `${path}: the header has file kind ${bytes[HEADER_KIND]}, metric ${bytes[HEADER_METRIC]}, element type ${bytes[HEADER_ELEMENT]}`,
      { path, offset: HEADER_ELEMENT },
    )
  }
  const uuid = uuidText(bytes.subarray(HEADER_UUID, HEADER_UUID + 16))
  return {
    kind,
    uuid,
    createdMs: getU64(view, HEADER_CREATED, path),
    dim,
    metric,
    normalised: normalised === 1,
  }
}
