/**
 * An index file: what a collection derives from its rows, as flat columns, so that opening need not compute it again. Derived: when it
 * is damaged or does not fit, the caller drops it and indexes the rows anew. It says which files of truth it has seen, and of which
 * row of the index each row of a segment is the home; what the columns mean is the index's business (packages/core/src/index-image.ts).
 *
 * SHAPE   lsn u64 | quantizer id u64 | rows u64 | buckets u64 | blocks u64 | id text words u64 | segments u64
 *         per segment { uuid 16 B, rows u64 }
 * PLACES  per segment, u32 x rows: the row's number in the index, or NO_ROW when it does not count any more
 * one section per column, kinds 34 to 46 in the order of INDEX_COLUMNS; CODEBOOKS only where entries are product codes
 * LEARNED what the index learned about its own recall (packages/core/src/recall/learned.ts); may be missing or empty
 *
 * PLACES and columns are paged: 256 KiB of content a page.
 */
import type { DriftFs } from '@drift/fs'
import { blockBytes, paddedDim } from '@drift/native'
import { requireArgument, requireArray } from './errors.js'
import { FileKind, getU64, SectionKind, setU64, viewOf } from './segment/format.js'
import { SectionReader } from './segment/section-reader.js'
import { type FileEntry, type Page, writeContainer } from './segment/section-writer.js'
import { uuidBytes, uuidText } from './uuid.js'

export const INDEX_COLUMNS = [
  'codes',
  'factors',
  'homes',
  'seconds',
  'idKinds',
  'idWords',
  'idText',
  'centroids',
  'center',
  'heads',
  'entries',
  'next',
  'blocks',
  'codebooks',
] as const
export type IndexColumn = (typeof INDEX_COLUMNS)[number]

const SECTIONS: Readonly<Record<IndexColumn, number>> = {
  codes: SectionKind.rowCodes,
  factors: SectionKind.rowFactors,
  homes: SectionKind.rowHomes,
  seconds: SectionKind.rowSeconds,
  idKinds: SectionKind.idKinds,
  idWords: SectionKind.idWords,
  idText: SectionKind.idText,
  centroids: SectionKind.bucketCentroids,
  center: SectionKind.center,
  heads: SectionKind.heads,
  entries: SectionKind.entries,
  next: SectionKind.next,
  blocks: SectionKind.blocks,
  codebooks: SectionKind.codebooks,
}

/** The place of a segment's row that does not count any more: deleted or replaced. */
export const NO_ROW = 0xffff_ffff

export interface SegmentPlaces {
  /** The segment's uuid. */
  readonly segment: string
  /** By row of the segment: its number in the index, or NO_ROW. */
  readonly places: Uint32Array
}

export interface IndexFileSizes {
  readonly rows: number
  readonly buckets: number
  readonly blocks: number
  readonly idTextWords: number
  /** 0: there are none, and no section. */
  readonly codebookValues: number
}

export interface IndexFileInput {
  readonly uuid: string
  readonly createdMs?: number
  readonly dim: number
  /** Every record up to it has had its effect. */
  readonly lsn: number
  /** Content id of what made the codes. */
  readonly quantizerId: bigint
  readonly sizes: IndexFileSizes
  /** May be shared memory that others write to meanwhile: each page is copied before its checksum is computed. */
  readonly columns: Readonly<Record<IndexColumn, Uint8Array>>
  /** What the index learned about itself. */
  readonly learned?: Uint8Array
  readonly segments: readonly SegmentPlaces[]
  /** The folder is synced too; else that is the caller's next step. */
  readonly syncFolder?: boolean
}

const SHAPE_LSN = 0
const SHAPE_QUANTIZER = SHAPE_LSN + 8
const SHAPE_ROWS = SHAPE_QUANTIZER + 8
const SHAPE_BUCKETS = SHAPE_ROWS + 8
const SHAPE_BLOCKS = SHAPE_BUCKETS + 8
const SHAPE_ID_TEXT = SHAPE_BLOCKS + 8
const SHAPE_SEGMENTS = SHAPE_ID_TEXT + 8
const SHAPE_BYTES = SHAPE_SEGMENTS + 8
const UUID_BYTES = 16
const SEGMENT_BYTES = UUID_BYTES + 8
/** Checked while it is still in the cache. */
const PAGE_BYTES = 256 * 1024

/** Whole and durable under `name` when it returns. */
export function writeIndexFile(fs: DriftFs, folder: string, name: string, input: IndexFileInput): FileEntry {
  const { uuid, createdMs = 0, dim, sizes, columns, segments } = input
  requireArgument(Number.isSafeInteger(dim) && dim >= 1, () => `dim is ${dim}`)
  for (const column of INDEX_COLUMNS) {
    const expected = columnBytes(column, sizes, dim)
    requireArray(columns[column], column, Uint8Array)
    const { length } = columns[column]
    requireArgument(length === expected, () => `${column} has ${length} bytes, expected ${expected}`)
  }
  const header = { kind: FileKind.index, uuid, createdMs, dim }
  return writeContainer(fs, folder, name, header, sizes.rows, input.syncFolder, writer => {
    const places = segments.reduce((sum, { places }) => sum + places.length, 0)
    writer.addPaged({ kind: SectionKind.places, items: places * 4 }, PAGE_BYTES, placePages(segments))
    for (const column of INDEX_COLUMNS) {
      const bytes = columns[column]
      if (column === 'codebooks' && bytes.length === 0) continue
      writer.addPaged({ kind: SECTIONS[column], items: bytes.length }, PAGE_BYTES, pagesOf(bytes))
    }
    const { learned } = input
    if (learned) writer.add({ kind: SectionKind.learned, items: learned.length }, learned)
    writer.add({ kind: SectionKind.shape, items: 1 }, encodeShape(input))
  })
}

export class IndexFile {
  readonly dim: number
  readonly lsn: number
  readonly quantizerId: bigint
  readonly sizes: IndexFileSizes
  readonly segments: readonly SegmentPlaces[]
  readonly #file: SectionReader

  /** Throws when the file is damaged, of a later format, or not the one that `entry` names. Columns are checked as they are read. */
  static open(fs: DriftFs, folder: string, entry: FileEntry): IndexFile {
    const file = SectionReader.open(fs, `${folder}/${entry.name}`, FileKind.index, entry)
    try {
      return new IndexFile(file)
    } catch (error) {
      file.close()
      throw error
    }
  }

  private constructor(file: SectionReader) {
    this.#file = file
    this.dim = file.header.dim
    const shape = file.section(SectionKind.shape)
    const bad = (what: string) => file.bad(what, { section: SectionKind.shape })
    if (shape.length < SHAPE_BYTES) throw bad(`has ${shape.length} bytes`)
    const view = viewOf(shape)
    const u64 = (at: number) => getU64(view, at, file.path)
    this.lsn = u64(SHAPE_LSN)
    this.quantizerId = view.getBigUint64(SHAPE_QUANTIZER, true)
    this.sizes = {
      rows: u64(SHAPE_ROWS),
      buckets: u64(SHAPE_BUCKETS),
      blocks: u64(SHAPE_BLOCKS),
      idTextWords: u64(SHAPE_ID_TEXT),
      codebookValues: file.has(SectionKind.codebooks)
        ? Math.floor(file.entry(SectionKind.codebooks).logicalBytes / 4)
        : 0,
    }
    const segments = u64(SHAPE_SEGMENTS)
    const expected = SHAPE_BYTES + segments * SEGMENT_BYTES
    if (shape.length !== expected) throw bad(`has ${shape.length} bytes, expected ${expected}`)
    if (this.dim === 0 || this.sizes.rows !== file.footer.rows) throw bad(`has ${this.sizes.rows} rows`)
    // Sizes are what memory is taken by, so they must be those of sections that are there.
    for (const column of INDEX_COLUMNS) {
      const bytes = columnBytes(column, this.sizes, this.dim)
      if (column === 'codebooks' && bytes === 0) continue
      const entry = file.entry(SECTIONS[column])
      if (entry.logicalBytes !== bytes || entry.storedBytes < bytes)
        throw bad(`gives ${column} ${bytes} bytes, its section has another size`)
    }
    const counts = Array.from({ length: segments }, (_, i) => {
      const at = SHAPE_BYTES + i * SEGMENT_BYTES
      return { segment: uuidText(shape.subarray(at, at + UUID_BYTES)), rows: u64(at + UUID_BYTES) }
    })
    this.segments = this.#readPlaces(counts)
    file.releaseTail()
  }

  /** Fills `into`, which has as many bytes as the column. */
  read(column: IndexColumn, into: Uint8Array): void {
    this.#file.readInto(SECTIONS[column], PAGE_BYTES, into)
  }

  /** What the index had learned about itself, if it is there. Throws when it is damaged; the columns are as good then as without it. */
  learned(): Uint8Array | undefined {
    return this.#file.has(SectionKind.learned) ? this.#file.section(SectionKind.learned) : undefined
  }

  /** Walks every checksum. Throws at the first damage. */
  verify(): void {
    this.#file.verify()
  }

  close(): void {
    this.#file.close()
  }

  #readPlaces(counts: readonly { segment: string; rows: number }[]): SegmentPlaces[] {
    const total = counts.reduce((sum, { rows }) => sum + rows, 0)
    const { places } = SectionKind
    const { logicalBytes, storedBytes } = this.#file.entry(places)
    if (logicalBytes !== total * 4 || storedBytes < logicalBytes) {
      throw this.#file.bad(`has ${logicalBytes} bytes for ${total} rows of segments`, { section: places })
    }
    const bytes = new Uint8Array(logicalBytes)
    this.#file.readInto(places, PAGE_BYTES, bytes)
    let at = 0
    return counts.map(({ segment, rows }) => {
      const of = new Uint32Array(bytes.buffer, at, rows)
      at += rows * 4
      return { segment, places: of }
    })
  }
}

function encodeShape({ lsn, quantizerId, sizes, segments }: IndexFileInput): Uint8Array {
  const bytes = new Uint8Array(SHAPE_BYTES + segments.length * SEGMENT_BYTES)
  const view = viewOf(bytes)
  setU64(view, SHAPE_LSN, lsn)
  view.setBigUint64(SHAPE_QUANTIZER, quantizerId, true)
  setU64(view, SHAPE_ROWS, sizes.rows)
  setU64(view, SHAPE_BUCKETS, sizes.buckets)
  setU64(view, SHAPE_BLOCKS, sizes.blocks)
  setU64(view, SHAPE_ID_TEXT, sizes.idTextWords)
  setU64(view, SHAPE_SEGMENTS, segments.length)
  segments.forEach(({ segment, places }, i) => {
    bytes.set(uuidBytes(segment), SHAPE_BYTES + i * SEGMENT_BYTES)
    setU64(view, SHAPE_BYTES + i * SEGMENT_BYTES + UUID_BYTES, places.length)
  })
  return bytes
}

function placePages(segments: readonly SegmentPlaces[]): Iterable<Page> {
  const all = new Uint32Array(segments.reduce((sum, { places }) => sum + places.length, 0))
  let at = 0
  for (const { places } of segments) {
    all.set(places, at)
    at += places.length
  }
  return pagesOf(new Uint8Array(all.buffer))
}

/** Pages over one buffer: what is checked is what is written, whoever writes to `bytes` meanwhile. */
function* pagesOf(bytes: Uint8Array): Iterable<Page> {
  const buffer = new Uint8Array(Math.min(bytes.length, PAGE_BYTES))
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
    const part = bytes.subarray(at, at + PAGE_BYTES)
    buffer.set(part)
    yield { bytes: buffer.subarray(0, part.length), logicalBytes: part.length, items: part.length }
  }
}

function columnBytes(column: IndexColumn, sizes: IndexFileSizes, dim: number): number {
  const { rows, buckets, blocks, idTextWords, codebookValues } = sizes
  const padded = paddedDim(dim)
  const each: Readonly<Record<IndexColumn, number>> = {
    codes: rows * padded,
    factors: rows * 8,
    homes: rows * 4,
    seconds: rows * 4,
    idKinds: rows,
    idWords: rows * 8,
    idText: idTextWords * 4,
    centroids: buckets * padded * 4,
    center: padded * 4,
    heads: buckets * 4,
    entries: buckets * 4,
    next: blocks * 4,
    blocks: blocks * blockBytes(padded),
    codebooks: codebookValues * 4,
  }
  return each[column]
}
