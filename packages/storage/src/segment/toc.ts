/**
 * The directory of a container file: one entry per section, in file order, and for each section that is read by pages an index of them.
 * Both are covered by checksums of their own, and still every place is checked against the file before it is used.
 */
import { StorageError } from '../errors.js'
import {
  getU64,
  HEADER_BYTES,
  INDEX_BIT,
  KNOWN_SECTIONS,
  PAGE_INDEX_ENTRY_BYTES,
  SECTION_ALIGNMENT,
  setU64,
  TOC_ENTRY_BYTES,
  VECTOR_ALIGNMENT,
  viewOf,
} from './format.js'

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
