/**
 * A column of byte strings (ids, payloads) as pages of about 64 KiB, each of whole entries. An absent entry is not an empty one.
 *
 * 0            count u32
 * 4            offset u32 x (count + 1), from the end of this table, never falling; bit 31 of offset[i]: entry i is absent
 * 8 + 4 count  the entries' bytes, then zeros to a multiple of 64
 */
import { requireArgument } from '../errors.js'
import { SECTION_ALIGNMENT, viewOf } from './format.js'
import type { SectionReader } from './section-reader.js'
import type { Page } from './section-writer.js'

/** One hit's payload costs one chunk: small enough to read for it, large enough to keep the index short. */
export const CHUNK_BYTES: number = 64 * 1024
const ABSENT = 0x8000_0000

/** Whole entries per chunk; an entry of over 64 KiB has a chunk of its own. */
export function* encodeChunks(entries: readonly (Uint8Array | undefined)[]): Iterable<Page> {
  for (let first = 0; first < entries.length; ) {
    let end = first + 1
    let content = entries[first]?.length ?? 0
    for (; end < entries.length; end++) {
      const grown = content + (entries[end]?.length ?? 0)
      if (tableBytes(end + 1 - first) + grown > CHUNK_BYTES) break
      content = grown
    }
    requireArgument(content < ABSENT, () => `entry ${first} has ${content} bytes, over 2 GiB`)
    yield encodeChunk(entries, first, end, content)
    first = end
  }
}

function encodeChunk(
  entries: readonly (Uint8Array | undefined)[],
  first: number,
  end: number,
  content: number,
): Page {
  const items = end - first
  const table = tableBytes(items)
  const bytes = new Uint8Array(table + content)
  const view = viewOf(bytes)
  view.setUint32(0, items, true)
  let at = 0
  for (let i = 0; i < items; i++) {
    const entry = entries[first + i]
    view.setUint32(4 + i * 4, entry === undefined ? (at | ABSENT) >>> 0 : at, true)
    if (entry !== undefined) bytes.set(entry, table + at)
    at += entry?.length ?? 0
  }
  view.setUint32(4 + items * 4, at, true)
  return { bytes, logicalBytes: content, items }
}

/** A checked chunk. Its entries are views into `bytes`. */
export interface Chunk {
  readonly bytes: Uint8Array
  readonly items: number
  entry(i: number): Uint8Array | undefined
}

/** @param page - with its padding; kept by the chunk, so the caller hands over a copy of its own. */
export function decodeChunk(
  page: Uint8Array,
  items: number,
  reader: SectionReader,
  section: number,
  number: number,
): Chunk {
  const fault = chunkFault(page, items)
  if (fault !== undefined) throw reader.bad(fault, { section, page: number })
  const view = viewOf(page)
  const table = tableBytes(items)
  return {
    bytes: page,
    items,
    entry(i) {
      const start = view.getUint32(4 + i * 4, true)
      if (start >= ABSENT) return undefined
      const end = view.getUint32(8 + i * 4, true) % ABSENT
      return page.subarray(table + start, table + end)
    },
  }
}

function chunkFault(page: Uint8Array, items: number): string | undefined {
  const table = tableBytes(items)
  if (page.length < table) return `has ${page.length} bytes, less than ${items} offsets`
  const view = viewOf(page)
  if (view.getUint32(0, true) !== items) return `has ${view.getUint32(0, true)} entries, expected ${items}`
  let start = 0
  let absent = true
  for (let i = 0; i <= items; i++) {
    const word = view.getUint32(4 + i * 4, true)
    const offset = word % ABSENT
    if (offset < start || (absent && offset !== start)) return `has entry ${i} at ${offset}, after ${start}`
    start = offset
    absent = word >= ABSENT
  }
  const padding = page.length - table - start
  const whole = !absent && padding >= 0 && padding < SECTION_ALIGNMENT
  return whole ? undefined : `has ${page.length} bytes for entries that end at ${table + start}`
}

function tableBytes(items: number): number {
  return 4 + 4 * (items + 1)
}

/** All entries, in row order, in memory of their own. */
export function readColumn(reader: SectionReader, section: number): (Uint8Array | undefined)[] {
  const entries: (Uint8Array | undefined)[] = []
  const pages = reader.pages(section)
  reader.readPages(section, 0, pages.length, (bytes, number) => {
    const chunk = decodeChunk(bytes.slice(), pages[number]!.items, reader, section, number)
    for (let i = 0; i < chunk.items; i++) entries.push(chunk.entry(i))
  })
  return entries
}
