/**
 * CRC32C, eight bytes per step with eight tables ("slicing-by-8", Kounavis and Berry 2005).
 */

const POLYNOMIAL = 0x82f63b78 // Castagnoli, reflected
const TABLES = makeTables()

export function crc32c(bytes: Uint8Array, seed = 0): number {
  const tables = TABLES
  let crc = ~seed
  let i = 0
  for (const end = bytes.length - 7; i < end; i += 8) {
    const low = crc ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24))
    crc =
      tables[0x700 | (low & 0xff)]! ^
      tables[0x600 | ((low >>> 8) & 0xff)]! ^
      tables[0x500 | ((low >>> 16) & 0xff)]! ^
      tables[0x400 | (low >>> 24)]! ^
      tables[0x300 | bytes[i + 4]!]! ^
      tables[0x200 | bytes[i + 5]!]! ^
      tables[0x100 | bytes[i + 6]!]! ^
      tables[bytes[i + 7]!]!
  }
  for (; i < bytes.length; i++) crc = tables[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8)
  return ~crc >>> 0
}

/** tables[256 * n + b]: the CRC of byte b followed by n zero bytes. */
function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
    tables[byte] = crc
  }
  for (let i = 256; i < tables.length; i++) {
    const crc = tables[i - 256]!
    tables[i] = tables[crc & 0xff]! ^ (crc >>> 8)
  }
  return tables
}
