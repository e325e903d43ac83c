/** The last 64 bytes of a container file, and the first that are read: without a whole footer the file never existed. */
import { kernels } from '@drift/native'
import { StorageError } from '../errors.js'
import { uuidBytes, uuidText } from '../uuid.js'
import {
  checkCrc,
  checkVersion,
  FOOTER_BYTES,
  FORMAT_MAJOR,
  FORMAT_MINOR,
  getU64,
  HEADER_BYTES,
  setU64,
  TOC_ENTRY_BYTES,
  viewOf,
} from './format.js'

/** "DRF1", little-endian. */
const FOOTER_MAGIC = 0x31465244

export interface Footer {
  readonly tocOffset: number
  readonly tocBytes: number
  readonly tocCrc: number
  readonly fileBytes: number
  readonly rows: number
  readonly uuid: string
}

const FOOTER_TOC_OFFSET = 0
const FOOTER_TOC_BYTES = FOOTER_TOC_OFFSET + 8
const FOOTER_TOC_CRC = FOOTER_TOC_BYTES + 4
const FOOTER_FILE_BYTES = FOOTER_TOC_CRC + 4
const FOOTER_ROWS = FOOTER_FILE_BYTES + 8
const FOOTER_UUID = FOOTER_ROWS + 8
const FOOTER_MAJOR = FOOTER_UUID + 16
const FOOTER_MINOR = FOOTER_MAJOR + 2
const FOOTER_INCOMPATIBLE = FOOTER_MINOR + 2
const FOOTER_CRC = FOOTER_INCOMPATIBLE + 4
const FOOTER_MAGIC_AT = FOOTER_CRC + 4

export function encodeFooter(footer: Footer): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES)
  const view = new DataView(bytes.buffer)
  setU64(view, FOOTER_TOC_OFFSET, footer.tocOffset)
  view.setUint32(FOOTER_TOC_BYTES, footer.tocBytes, true)
  view.setUint32(FOOTER_TOC_CRC, footer.tocCrc, true)
  setU64(view, FOOTER_FILE_BYTES, footer.fileBytes)
  setU64(view, FOOTER_ROWS, footer.rows)
  bytes.set(uuidBytes(footer.uuid), FOOTER_UUID)
  view.setUint16(FOOTER_MAJOR, FORMAT_MAJOR, true)
  view.setUint16(FOOTER_MINOR, FORMAT_MINOR, true)
  view.setUint32(FOOTER_MAGIC_AT, FOOTER_MAGIC, true)
  view.setUint32(FOOTER_CRC, footerCrc(bytes), true)
  return bytes
}

export function decodeFooter(bytes: Uint8Array, fileBytes: number, path: string): Footer {
  const view = viewOf(bytes)
  const offset = fileBytes - FOOTER_BYTES
  const magic = view.getUint32(FOOTER_MAGIC_AT, true)
  if (magic !== FOOTER_MAGIC) {
    const what = `footer magic is 0x${magic.toString(16)}, expected 0x${FOOTER_MAGIC.toString(16)}`
    throw new StorageError('DRIFT_CORRUPT_MAGIC', `${path}: ${what}`, {
      path,
      offset: offset + FOOTER_MAGIC_AT,
    })
  }
  checkCrc(view.getUint32(FOOTER_CRC, true), footerCrc(bytes), 'footer', path, offset + FOOTER_CRC)
  checkVersion(
    view.getUint16(FOOTER_MAJOR, true),
    view.getUint32(FOOTER_INCOMPATIBLE, true),
    path,
    offset + FOOTER_MAJOR,
  )
  const footer: Footer = {
    tocOffset: getU64(view, FOOTER_TOC_OFFSET, path),
    tocBytes: view.getUint32(FOOTER_TOC_BYTES, true),
    tocCrc: view.getUint32(FOOTER_TOC_CRC, true),
    fileBytes: getU64(view, FOOTER_FILE_BYTES, path),
    rows: getU64(view, FOOTER_ROWS, path),
    uuid: uuidText(bytes.subarray(FOOTER_UUID, FOOTER_UUID + 16)),
  }
  if (footer.fileBytes !== fileBytes) {
    const code = footer.fileBytes > fileBytes ? 'DRIFT_CORRUPT_TRUNCATED' : 'DRIFT_CORRUPT_BOUNDS'
    throw new StorageError(code, `${path} has ${fileBytes} bytes, its footer says ${footer.fileBytes}`, {
      path,
      offset,
    })
  }
  if (
    footer.tocOffset < HEADER_BYTES ||
    footer.tocOffset + footer.tocBytes !== offset ||
    footer.tocBytes % TOC_ENTRY_BYTES !== 0
  ) {
    const what = `a TOC of ${footer.tocBytes} bytes cannot be at ${footer.tocOffset} of ${fileBytes}`
    throw new StorageError('DRIFT_CORRUPT_BOUNDS', `${path}: ${what}`, { path, offset })
  }
  return footer
}

/** Over everything but the field that holds it. */
export function footerCrc(footer: Uint8Array): number {
  return kernels.crc32c(footer.subarray(FOOTER_MAGIC_AT), kernels.crc32c(footer.subarray(0, FOOTER_CRC)))
}
