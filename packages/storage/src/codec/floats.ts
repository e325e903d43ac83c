/**
 * Floats as bytes, smaller where they let themselves be packed, and back, exact to the bit: NaN payloads, -0, subnormals and infinities
 * included. Never larger than the values by more than 72 bytes per 16 384 of them and 32 for all. Damage is an error, never other values.
 *
 *  0 magic "DRFV"   4 version u8   5 element u8: 1 float32, 2 float64   6 zeros u16   8 values u64   16 pages u32   20 zeros u32   24 zeros u32
 * 28 CRC32C of what lies before and of the table
 * 32 per page: length u32, CRC32C u32; then the pages (native/src/float_page.c), each of 16 384 values, the last of the rest
 */
import { floatPageRoom, kernels, PageFault } from '@drift/native'
import { requireArgument, requireArray, StorageError, type StorageErrorCode } from '../errors.js'
import { getU64, setU64, viewOf } from '../segment/format.js'

/** 64 KiB of float32: the cost of a call and of a header is lost in it. */
const VALUES_PER_PAGE = 16_384
const MAGIC = 0x56465244
const VERSION = 1
const HEADER_BYTES = 32
const CRC_AT = 28
const ENTRY_BYTES = 8
const ELEMENT_F32 = 1
const ELEMENT_F64 = 2
const NAME = 'encoded floats'

/** @throws StorageError DRIFT_ARGUMENT for anything but these two. */
export function encodeFloats(values: Float32Array | Float64Array): Uint8Array {
  requireArray(values, 'values', Float32Array, Float64Array)
  const elementBytes = values.BYTES_PER_ELEMENT
  const pages = Math.ceil(values.length / VALUES_PER_PAGE)
  const table = HEADER_BYTES + pages * ENTRY_BYTES
  const bytes = new Uint8Array(table + pages * floatPageRoom(0, elementBytes) + values.byteLength)
  const view = viewOf(bytes)
  view.setUint32(0, MAGIC, true)
  bytes[4] = VERSION
  bytes[5] = elementBytes === 4 ? ELEMENT_F32 : ELEMENT_F64
  setU64(view, 8, values.length)
  view.setUint32(16, pages, true)
  let at = table
  for (let page = 0; page < pages; page++) {
    const from = page * VALUES_PER_PAGE
    const length = kernels.floatPageEncode(values.subarray(from, from + VALUES_PER_PAGE), bytes.subarray(at))
    view.setUint32(HEADER_BYTES + page * ENTRY_BYTES, length, true)
    const crc = kernels.crc32c(bytes.subarray(at, at + length))
    view.setUint32(HEADER_BYTES + page * ENTRY_BYTES + 4, crc, true)
    at += length
  }
  view.setUint32(CRC_AT, tableCrc(bytes, table), true)
  return bytes.slice(0, at)
}

/**
 * The values, as float32 or float64 as they were given. Their number is checked against the pages before memory is taken for them; equal
 * values take 64 bytes a page, so that who takes bytes from strangers bounds it by `maxValues`.
 */
export function decodeFloats(
  bytes: Uint8Array,
  maxValues: number = Number.MAX_SAFE_INTEGER,
): Float32Array | Float64Array {
  requireArray(bytes, 'bytes', Uint8Array)
  if (bytes.length < HEADER_BYTES) throw corrupt('TRUNCATED', `${bytes.length} bytes are less than a header`)
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== MAGIC) throw corrupt('MAGIC', 'they do not start with DRFV')
  if (bytes[4] !== VERSION) {
    throw new StorageError('DRIFT_FORMAT_VERSION', `${NAME}: version ${bytes[4]}, this code reads ${VERSION}`)
  }
  const count = getU64(view, 8, NAME)
  const pages = view.getUint32(16, true)
  const table = HEADER_BYTES + pages * ENTRY_BYTES
  if (table > bytes.length) throw corrupt('TRUNCATED', `${bytes.length} bytes for a table of ${pages} pages`)
  if (view.getUint32(CRC_AT, true) !== tableCrc(bytes, table))
    throw corrupt('CRC', 'the table has another CRC')
  const element = bytes[5]!
  const known = element === ELEMENT_F32 || element === ELEMENT_F64
  if (!known || pages !== Math.ceil(count / VALUES_PER_PAGE)) {
    throw corrupt('DECODE', `${count} values of element type ${element} in ${pages} pages`)
  }
  let end = table
  for (let page = 0; page < pages; page++) end += view.getUint32(HEADER_BYTES + page * ENTRY_BYTES, true)
  if (end !== bytes.length) throw corrupt('BOUNDS', `${bytes.length} bytes, and pages that end at ${end}`)
  requireArgument(count <= maxValues, () => `${count} values are more than ${maxValues}`)
  const values = element === ELEMENT_F32 ? new Float32Array(count) : new Float64Array(count)
  for (let page = 0, at = table; page < pages; page++) {
    const entry = HEADER_BYTES + page * ENTRY_BYTES
    const stored = bytes.subarray(at, at + view.getUint32(entry, true))
    if (kernels.crc32c(stored) !== view.getUint32(entry + 4, true))
      throw corrupt('CRC', `page ${page} has another CRC`, at)
    const from = page * VALUES_PER_PAGE
    const out = values.subarray(from, from + VALUES_PER_PAGE)
    const fault = kernels.floatPageDecode(stored, out.length, 0, out)
    if (fault !== 0)
      throw new StorageError(pageFaultCode(fault), `${NAME}: page ${page} ${pageFaultText(fault)}`, {
        offset: at,
      })
    at += stored.length
  }
  return values
}

/** A codec of a later version is no damage. */
export function pageFaultCode(fault: number): 'DRIFT_CORRUPT_DECODE' | 'DRIFT_FORMAT_FEATURE' {
  return fault === PageFault.unknown ? 'DRIFT_FORMAT_FEATURE' : 'DRIFT_CORRUPT_DECODE'
}

export function pageFaultText(fault: number): string {
  if (fault === PageFault.length) return 'is shorter than its content'
  if (fault === PageFault.unknown) return 'has a codec or element type that this code does not know'
  return fault === PageFault.fields
    ? 'has fields that its codec does not write'
    : 'has exceptions that make no sense'
}

function tableCrc(bytes: Uint8Array, table: number): number {
  return kernels.crc32c(bytes.subarray(HEADER_BYTES, table), kernels.crc32c(bytes.subarray(0, CRC_AT)))
}

function corrupt(
  kind: 'TRUNCATED' | 'MAGIC' | 'CRC' | 'DECODE' | 'BOUNDS',
  what: string,
  offset = 0,
): StorageError {
  const code: StorageErrorCode = `DRIFT_CORRUPT_${kind}`
  return new StorageError(code, `${NAME}: ${what}`, { offset })
}
