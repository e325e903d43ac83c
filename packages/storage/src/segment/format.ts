/**
 * The container that segments, tombstone files and checkpoints share: fixed-size records at both ends and a directory of sections.
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
import { uuidBytes, uuidText } from '../uuid.js'

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
export const FileKind = { segment: 1, tombstones: 2, checkpoint: 3 } as const
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
} as const
const KNOWN_SECTIONS: ReadonlySet<number> = new Set(Object.values(SectionKind))
/** The page index of the section of kind k has kind k | INDEX_BIT. */
export const INDEX_BIT = 0x8000
/** The TOC has no kind of its own; its checksum is seeded with this one. */
const TOC_KIND = 0xffff

export type Metric = 'l2' | 'cosine' | 'ip'
/** The stored number of a metric is its position; 0 means that the file has none. */
const METRICS: readonly (Metric | undefined)[] = [undefined, 'l2', 'cosine', 'ip']

/** PNG's trick: a byte that is no text, and line ends that a text-mode copy would change. */
export const MAGIC_BYTES: Uint8Array = Uint8Array.of(0x89, 0x44, 0x52, 0x46, 0x0d, 0x0a, 0x1a, 0x0a)
/** "DRF1", little-endian. */
const FOOTER_MAGIC = 0x31465244

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

// ---------------------------------------------------------------------------------------------------------------- header

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

/** float32, the only element type so far; 0 where dim is 0. */
export const ELEMENT_F32 = 1
/** The low half of the name's hash tells which program wrote the file; only people read it. */
const WRITER_NAME = '@drift/storage'

export function encodeHeader(header: FileHeader): Uint8Array {
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

// ------------------------------------------------------------------------------------------------------------- TOC entry

export interface TocEntry {
  readonly kind: number
  /** A reader that does not know the kind must refuse the file. */
  readonly critical: boolean
  /** 0: bytes as they are, or, for pages, as each page's header says. */
  readonly codec: number
  readonly offset: number
  readonly storedBytes: number
  /** Bytes of content, without page headers and padding. */
  readonly logicalBytes: number
  /** Of the section; of a paged section: of its page index. */
  readonly crc: number
  /** Bytes of content per page, or the aim where pages vary. 0: the section is one whole. */
  readonly pageBytes: number
  readonly items: number
  /** False: an optional section of a later version, to be skipped. */
  readonly understood: boolean
}

const TOC_KIND_AT = 0
const TOC_FLAGS = TOC_KIND_AT + 2
const TOC_CODEC = TOC_FLAGS + 2
const TOC_CHECKSUM = TOC_CODEC + 2
const TOC_OFFSET = TOC_CHECKSUM + 2
const TOC_STORED = TOC_OFFSET + 8
const TOC_LOGICAL = TOC_STORED + 8
const TOC_CRC = TOC_LOGICAL + 8
const TOC_PAGE_BYTES = TOC_CRC + 4
const TOC_ITEMS = TOC_PAGE_BYTES + 4

const FLAG_CRITICAL = 1
const CHECKSUM_CRC32C = 1

export function encodeToc(entries: readonly TocEntry[]): Uint8Array {
  const bytes = new Uint8Array(entries.length * TOC_ENTRY_BYTES)
  entries.forEach((entry, i) => {
    const view = new DataView(bytes.buffer, i * TOC_ENTRY_BYTES, TOC_ENTRY_BYTES)
    view.setUint16(TOC_KIND_AT, entry.kind, true)
    view.setUint16(TOC_FLAGS, entry.critical ? FLAG_CRITICAL : 0, true)
    view.setUint16(TOC_CODEC, entry.codec, true)
    view.setUint16(TOC_CHECKSUM, CHECKSUM_CRC32C, true)
    setU64(view, TOC_OFFSET, entry.offset)
    setU64(view, TOC_STORED, entry.storedBytes)
    setU64(view, TOC_LOGICAL, entry.logicalBytes)
    view.setUint32(TOC_CRC, entry.crc, true)
    view.setUint32(TOC_PAGE_BYTES, entry.pageBytes, true)
    setU64(view, TOC_ITEMS, entry.items)
  })
  return bytes
}

/**
 * The sections in file order: aligned, inside the file, apart from each other, each kind once. Unknown optional sections stay in the
 * list, for their checksums; an unknown critical one is refused.
 */
export function decodeToc(bytes: Uint8Array, tocOffset: number, path: string): TocEntry[] {
  const entries: TocEntry[] = []
  const kinds = new Set<number>()
  let end = HEADER_BYTES
  for (let at = 0; at < bytes.length; at += TOC_ENTRY_BYTES) {
    const view = viewOf(bytes.subarray(at, at + TOC_ENTRY_BYTES))
    const kind = view.getUint16(TOC_KIND_AT, true)
    const flags = view.getUint16(TOC_FLAGS, true)
    const codec = view.getUint16(TOC_CODEC, true)
    const entry: TocEntry = {
      kind,
      critical: (flags & FLAG_CRITICAL) !== 0,
      codec,
      offset: getU64(view, TOC_OFFSET, path),
      storedBytes: getU64(view, TOC_STORED, path),
      logicalBytes: getU64(view, TOC_LOGICAL, path),
      crc: view.getUint32(TOC_CRC, true),
      pageBytes: view.getUint32(TOC_PAGE_BYTES, true),
      items: getU64(view, TOC_ITEMS, path),
      understood:
        KNOWN_SECTIONS.has(kind & ~INDEX_BIT) &&
        codec === 0 &&
        (flags & ~FLAG_CRITICAL) === 0 &&
        view.getUint16(TOC_CHECKSUM, true) === CHECKSUM_CRC32C,
    }
    const where = { path, offset: tocOffset + at, section: entry.kind }
    const gap = entry.offset - end
    if (
      entry.offset % SECTION_ALIGNMENT !== 0 ||
      gap < 0 ||
      gap >= VECTOR_ALIGNMENT ||
      entry.storedBytes > tocOffset - entry.offset ||
      kinds.has(entry.kind)
    ) {
      const place = `${entry.storedBytes} bytes at ${entry.offset}`
      throw new StorageError(
        'DRIFT_CORRUPT_BOUNDS',
        `${path}: section ${entry.kind} cannot be ${place}`,
        where,
      )
    }
    if (!entry.understood && entry.critical) {
      const what = `section ${kind} with flags ${flags}, codec ${codec}`
      throw new StorageError('DRIFT_FORMAT_FEATURE', `${path}: this version cannot read ${what}`, where)
    }
    kinds.add(entry.kind)
    end = entry.offset + entry.storedBytes
    entries.push(entry)
  }
  return entries
}

/** A page starts at `start` bytes into its section and ends where the next one starts. */
export interface PageIndexEntry {
  readonly start: number
  readonly crc: number
  readonly items: number
}

export function encodePageIndex(pages: readonly PageIndexEntry[]): Uint8Array {
  const words = new Uint32Array(pages.length * 3)
  pages.forEach((page, i) => {
    words.set([page.start / SECTION_ALIGNMENT, page.crc, page.items], i * 3)
  })
  return new Uint8Array(words.buffer)
}

export function decodePageIndex(bytes: Uint8Array, entry: TocEntry, path: string): PageIndexEntry[] {
  const where = { path, offset: entry.offset, section: entry.kind }
  const view = viewOf(bytes)
  const pages: PageIndexEntry[] = []
  let items = 0
  for (let at = 0; at + PAGE_INDEX_ENTRY_BYTES <= bytes.length; at += PAGE_INDEX_ENTRY_BYTES) {
    const start = view.getUint32(at, true) * SECTION_ALIGNMENT
    const page = { start, crc: view.getUint32(at + 4, true), items: view.getUint32(at + 8, true) }
    const inOrder = pages.length === 0 ? start === 0 : start > pages[pages.length - 1]!.start
    if (!inOrder || start >= entry.storedBytes || page.items === 0) {
      const what = `page ${pages.length} of ${page.items} items cannot start at ${start}`
      throw new StorageError('DRIFT_CORRUPT_BOUNDS', `${path}: section ${entry.kind}: ${what}`, where)
    }
    items += page.items
    pages.push(page)
  }
  const covers = pages.length > 0 || entry.storedBytes === 0
  if (bytes.length % PAGE_INDEX_ENTRY_BYTES !== 0 || items !== entry.items || !covers) {
    const what = `the page index has ${items} items, the section ${entry.items}`
    throw new StorageError('DRIFT_CORRUPT_BOUNDS', `${path}: section ${entry.kind}: ${what}`, where)
  }
  return pages
}

// ---------------------------------------------------------------------------------------------------------------- footer

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

// --------------------------------------------------------------------------------------------------------------- helpers

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

function checkCrc(stored: number, computed: number, what: string, path: string, offset: number): void {
  if (stored === computed) return
  throw new StorageError(
    'DRIFT_CORRUPT_CRC',
    `${path}: the ${what} has CRC ${computed}, expected ${stored}`,
    { path, offset },
  )
}

function checkVersion(major: number, incompatible: number, path: string, offset: number): void {
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
