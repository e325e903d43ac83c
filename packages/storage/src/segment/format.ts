/**
 * The container that segments, tombstone files, index files and checkpoints share: fixed-size records at both ends and a directory of sections.
 * Every number is little-endian; every field is checked before it is used. After Parquet, Lance and Vortex, with their gaps closed:
 * each byte is under a CRC32C that is seeded by file, section and page, so that a good page at a wrong place is caught.
 *
 *      0  header, 64 B       magic, version, uuid, dim, metric
 *     64  sections           each starts at a multiple of 64 (vectors: 4096), zeros between
 *         page indexes       one per paged section: 12 B a page { start / 64, crc, items }
 *         TOC                48 B a section
 * end-64  footer, 64 B       where the TOC is, file length, uuid, version, magic
 *
 * No footer means that the file never existed. Reading starts there and ends at the header: see section-reader.ts.
 */
import { kernels } from '@drift/native'
import { StorageError } from '../errors.js'

export const HEADER_BYTES = 64
export const TOC_ENTRY_BYTES = 48
export const FOOTER_BYTES = 64
export const PAGE_INDEX_ENTRY_BYTES = 12
/** A cache line, and what aligned SIMD loads want. */
export const SECTION_ALIGNMENT = 64
/** A memory page, so that vector pages can be mapped. */
export const VECTOR_ALIGNMENT = 4096

export const FORMAT_MAJOR = 1
export const FORMAT_MINOR = 0
/** Feature bits that this code understands; a file with any other is refused. */
const KNOWN_INCOMPATIBLE = 0

/** What a file is; stored in its header, so that none is ever read as another. */
export const FileKind = { segment: 1, tombstones: 2, checkpoint: 3, index: 4 } as const
export type FileKind = (typeof FileKind)[keyof typeof FileKind]

/** Section kinds. A number is never reused. `codes` and `schema` are reserved. */
export const SectionKind = {
  vectors: 1,
  payload: 2,
  codes: 3,
  ids: 4,
  quantizer: 5,
  centroids: 6,
  bloom: 7,
  stats: 8,
  schema: 9,
  homes: 10,
  origins: 11,
  // Of index files: see index-file.ts.
  shape: 32,
  places: 33,
  rowCodes: 34,
  rowFactors: 35,
  rowHomes: 36,
  rowSeconds: 37,
  idKinds: 38,
  idWords: 39,
  idText: 40,
  bucketCentroids: 41,
  center: 42,
  heads: 43,
  entries: 44,
  next: 45,
  blocks: 46,
  learned: 47,
  codebooks: 48,
} as const
export const KNOWN_SECTIONS: ReadonlySet<number> = new Set(Object.values(SectionKind))
/** The page index of the section of kind k has kind k | INDEX_BIT. */
export const INDEX_BIT = 0x8000
/** The TOC has no kind of its own; its checksum is seeded with this one. */
const TOC_KIND = 0xffff

/** float32, the only element type so far; 0 where dim is 0. */
export const ELEMENT_F32 = 1

export type Metric = 'l2' | 'cosine' | 'ip'

/** PNG's trick: a byte that is no text, and line ends that a text-mode copy would change. */
export const MAGIC_BYTES: Uint8Array = Uint8Array.of(0x89, 0x44, 0x52, 0x46, 0x0d, 0x0a, 0x1a, 0x0a)

if (new Uint8Array(Uint32Array.of(1).buffer)[0] !== 1) {
  throw new StorageError(
    'DRIFT_FORMAT_FEATURE',
    'pages hold little-endian floats, and this machine is big-endian',
  )
}

/** The seed of a page's CRC. A whole section is page 0. */
export function pageSeed(uuid: Uint8Array, section: number, page: number): number {
  const place = new Uint8Array(16 + 2 + 4)
  place.set(uuid)
  const view = new DataView(place.buffer)
  view.setUint16(16, section, true)
  view.setUint32(18, page, true)
  return kernels.crc32c(place)
}

export function tocSeed(uuid: Uint8Array): number {
  return pageSeed(uuid, TOC_KIND, 0)
}

export function align(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Numbers above 2^53 - 1 have no exact double; no length, count or LSN comes near. */
export function getU64(view: DataView, offset: number, path: string): number {
  const value = view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true)
  if (Number.isSafeInteger(value)) return value
  throw new StorageError('DRIFT_CORRUPT_BOUNDS', `${path}: a 64-bit field holds about ${value}`, { path })
}

export function setU64(view: DataView, offset: number, value: number): void {
  view.setBigUint64(offset, BigInt(value), true)
}

/** Of a header or footer, whose seed is 0: they hold the uuid themselves. */
export function checkCrc(stored: number, computed: number, what: string, path: string, offset: number): void {
  if (stored === computed) return
  throw new StorageError(
    'DRIFT_CORRUPT_CRC',
    `${path}: the ${what} has CRC ${computed}, expected ${stored}`,
    { path, offset },
  )
}

export function checkVersion(major: number, incompatible: number, path: string, offset: number): void {
  if (major !== FORMAT_MAJOR) {
    const message = `${path} has format version ${major}, this code reads ${FORMAT_MAJOR}`
    throw new StorageError('DRIFT_FORMAT_VERSION', message, { path, offset })
  }
  const unknown = incompatible & ~KNOWN_INCOMPATIBLE
  if (unknown !== 0) {
    const message = `${path} needs features 0x${(unknown >>> 0).toString(16)} that this code does not know`
    throw new StorageError('DRIFT_FORMAT_FEATURE', message, { path, offset })
  }
}
