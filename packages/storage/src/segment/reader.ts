/**
 * Reads a segment that the manifest names. What is truth (ids, vectors, payloads, quantizer) is returned as it was written or not at all;
 * what is derived (the id filter) is rebuilt when it is damaged. Damage in one page fails the rows of that page only.
 */
import type { DriftFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { IdFilter } from '../bloom.js'
import { isDamage, requireArgument, requireArray, StorageError } from '../errors.js'
import { decodeChunk, readColumn } from './bytes-column.js'
import { ChunkCache } from './chunk-cache.js'
import { FileKind, type Metric, SectionKind } from './format.js'
import { decodeOrigins, type Origins } from './origins.js'
import { decodePage } from './page.js'
import { FRAME_VALUES, type PageCache, type PageTable } from './page-cache.js'
import { SectionReader } from './section-reader.js'
import { digestIds, readStats, type Stats } from './stats.js'
import { QUANTIZER_ID_BYTES, type SegmentEntry } from './writer.js'

export interface SegmentReaderOptions {
  /** Payload chunks kept in memory, at most. */
  readonly payloadCacheBytes?: number
  /** Where `readVector` keeps pages; without one it reads the disk each time. */
  readonly pages?: PageCache
}

/** 64 chunks: the hits of a few searches. */
const PAYLOAD_CACHE_BYTES = 4 * 1024 * 1024
/** Raw bytes of a page of more than one row: what a damaged field may make us decode at once. */
const PAGE_BYTES_MAX = 1024 * 1024
/** Decoded at once when nobody wants the values: equal ones take no bytes, so the file's size bounds nothing. */
const VERIFY_VALUES = 256 * 1024
/** A rebuilt filter costs memory only, so the rate is that of a new one. */
const REBUILT_FILTER_RATE = 0.001

export class SegmentReader {
  readonly entry: SegmentEntry
  readonly rows: number
  readonly dim: number
  readonly metric: Metric
  /** Whether every vector has length 1. */
  readonly normalised: boolean
  readonly stats: Stats
  /** As it was written; owned by the reader. */
  readonly quantizer: Uint8Array
  /** XXH64 of `quantizer`: codes made with another one must not be mixed with these rows. */
  readonly quantizerId: bigint
  /** Why the stored id filter was rebuilt from the ids, when it was. */
  filterDamage: Error | undefined
  readonly #file: SectionReader
  readonly #rowsPerPage: number
  readonly #cacheBytes: number
  #filter: IdFilter | undefined
  #payloads: ChunkCache | undefined
  readonly #pages: PageCache | undefined
  #table: PageTable | undefined

  /** Throws when the file is damaged, of a later format, or not the one that `entry` names. */
  static open(
    fs: DriftFs,
    folder: string,
    entry: SegmentEntry,
    options: SegmentReaderOptions = {},
  ): SegmentReader {
    const file = SectionReader.open(fs, `${folder}/${entry.name}`, FileKind.segment, entry)
    try {
      return new SegmentReader(file, entry, options)
    } catch (error) {
      file.close()
      throw error
    }
  }

  private constructor(file: SectionReader, entry: SegmentEntry, options: SegmentReaderOptions) {
    this.#file = file
    this.entry = entry
    this.rows = file.footer.rows
    this.dim = file.header.dim
    this.stats = readStats(file)
    this.#cacheBytes = options.payloadCacheBytes ?? PAYLOAD_CACHE_BYTES
    const { metric } = file.header
    if (metric === undefined || this.dim === 0) throw file.bad('is a segment without metric or dimension', {})
    this.metric = metric
    this.normalised = file.header.normalised === true
    this.#checkEntry()
    this.#rowsPerPage = this.#checkCounts()
    const fits = this.#rowsPerPage * this.dim <= FRAME_VALUES
    this.#pages = options.pages?.isOpen && fits ? options.pages : undefined
    const { id, blob } = this.#readQuantizer()
    this.quantizerId = id
    this.quantizer = blob
    this.#filter = this.#storedFilter()
    file.releaseTail()
  }

  /** In row order; the caller's to keep. */
  ids(): Uint8Array[] {
    const ids = readColumn(this.#file, SectionKind.ids)
    const missing = ids.indexOf(undefined)
    if (missing >= 0) throw this.#file.bad(`has no id for row ${missing}`, { section: SectionKind.ids })
    return ids as Uint8Array[]
  }

  /** Rows first .. first + count - 1, bit for bit as written, row-major. @param into - count * dim values. */
  readVectors(first: number, count: number, into: Float32Array): void {
    const { dim, rows } = this
    const inside = Number.isSafeInteger(first) && Number.isSafeInteger(count) && first >= 0 && count >= 0
    requireArgument(inside && first + count <= rows, () => `rows ${first} + ${count} are not among ${rows}`)
    requireArray(into, 'into', Float32Array)
    requireArgument(
      into.length === count * dim,
      () => `${count} rows of ${dim} do not fit ${into.length} values`,
    )
    if (count === 0) return
    const perPage = this.#rowsPerPage
    const firstPage = Math.floor(first / perPage)
    const lastPage = Math.floor((first + count - 1) / perPage)
    this.#file.readPages(SectionKind.vectors, firstPage, lastPage - firstPage + 1, (bytes, page) => {
      const from = Math.max(first, page * perPage)
      const to = Math.min(first + count, (page + 1) * perPage)
      const target = into.subarray((from - first) * dim, (to - first) * dim)
      this.#decodePage(bytes, page, (from - page * perPage) * dim, target)
    })
  }

  /** One row, bit for bit as written. Costs one page, or none when the cache holds it. @param into - dim values. */
  readVector(row: number, into: Float32Array): void {
    const cache = this.#pages
    if (cache === undefined) {
      this.readVectors(row, 1, into)
      return
    }
    const { dim, rows } = this
    requireArgument(Number.isSafeInteger(row) && row >= 0 && row < rows, () => `row ${row} of ${rows}`)
    requireArray(into, 'into', Float32Array)
    requireArgument(into.length === dim, () => `a row of ${dim} does not fit ${into.length} values`)
    const perPage = this.#rowsPerPage
    const page = Math.floor(row / perPage)
    this.#table ??= cache.open(Math.ceil(rows / perPage))
    cache.read(this.#table, page, (row - page * perPage) * dim, into, frame => {
      const values = Math.min(perPage, rows - page * perPage) * dim
      this.#file.readPages(SectionKind.vectors, page, 1, bytes => {
        this.#decodePage(bytes, page, 0, frame.subarray(0, values))
      })
    })
  }

  /** The caller's copy; undefined when the row was written without one. Costs one chunk, or none when it is at hand. */
  payload(row: number): Uint8Array | undefined {
    requireArgument(
      Number.isSafeInteger(row) && row >= 0 && row < this.rows,
      () => `row ${row} of ${this.rows}`,
    )
    if (!this.#file.has(SectionKind.payload)) return undefined
    this.#payloads ??= new ChunkCache(this.#file, SectionKind.payload, this.#cacheBytes)
    return this.#payloads.entry(row)?.slice()
  }

  /** Where the rows were before, when they were brought together from other segments and that is still known. */
  origins(): Origins | undefined {
    if (!this.#file.has(SectionKind.origins)) return undefined
    return decodeOrigins(this.#file.section(SectionKind.origins), this.rows, this.#file)
  }

  /** False: the id is not in this segment. True: it is, or is not in about one case of a thousand. */
  mightContain(id: Uint8Array): boolean {
    this.#filter ??= this.#rebuiltFilter()
    return this.#filter.mightContain(id)
  }

  /** Walks every checksum and rule, the id filter included. Throws at the first damage. */
  verify(): void {
    this.#file.verify()
    readStats(this.#file)
    this.#readQuantizer()
    this.#verifyIds()
    this.#verifyPayloads()
    const { vectors } = SectionKind
    const pages = this.#file.pages(vectors).length
    const scratch = new Float32Array(Math.min(this.#rowsPerPage * this.dim, VERIFY_VALUES))
    this.#file.readPages(vectors, 0, pages, (bytes, page) => {
      const values = Math.min(this.#rowsPerPage, this.rows - page * this.#rowsPerPage) * this.dim
      for (let first = 0; first === 0 || first < values; first += scratch.length) {
        this.#decodePage(bytes, page, first, scratch.subarray(0, Math.max(0, values - first)))
      }
    })
  }

  /** @param isAside - in another thread, where the disk can: of a file that may have been removed. */
  close(isAside = false): void {
    this.#file.close(isAside)
    this.#payloads = undefined
    if (this.#table) this.#pages!.close(this.#table)
    this.#table = undefined
  }

  #checkEntry(): void {
    const { rows, lsnLow, lsnHigh } = this.entry
    const { stats } = this
    if (rows === this.rows && lsnLow === stats.lsnLow && lsnHigh === stats.lsnHigh) return
    const found = `${this.rows} rows of LSN ${stats.lsnLow} to ${stats.lsnHigh}`
    const message = `${this.#file.path} has ${found}, expected ${rows} of ${lsnLow} to ${lsnHigh}`
    throw new StorageError('DRIFT_CORRUPT_IDENTITY', message, { path: this.#file.path })
  }

  /** Sections and footer agree on the rows. @returns rows per vector page. */
  #checkCounts(): number {
    const { vectors, ids, payload } = SectionKind
    for (const kind of [vectors, ids, payload]) {
      if (kind === payload && !this.#file.has(payload)) continue
      const { items } = this.#file.entry(kind)
      if (items !== this.rows) throw this.#file.bad(`has ${items} of ${this.rows} rows`, { section: kind })
    }
    const { pageBytes } = this.#file.entry(vectors)
    const perPage = pageBytes / (this.dim * 4)
    if (!Number.isInteger(perPage) || perPage < 1 || pageBytes > Math.max(PAGE_BYTES_MAX, this.dim * 4)) {
      throw this.#file.bad(`has pages of ${pageBytes} bytes for rows of ${this.dim} values`, {
        section: vectors,
      })
    }
    return perPage
  }

  /** Values of a page, from its value `first` on, as many as `into` holds. */
  #decodePage(bytes: Uint8Array, page: number, first: number, into: Float32Array): void {
    const perPage = this.#rowsPerPage
    const items = Math.min(perPage, this.rows - page * perPage)
    const found = this.#file.pages(SectionKind.vectors)[page]!.items
    const where = { section: SectionKind.vectors, page }
    if (found !== items) throw this.#file.bad(`has ${found} rows, expected ${items}`, where)
    const fault = decodePage(bytes, items * this.dim, first, into)
    if (fault !== undefined) throw this.#file.bad(fault.what, where, fault.code)
  }

  #readQuantizer(): { id: bigint; blob: Uint8Array } {
    const bytes = this.#file.section(SectionKind.quantizer)
    const blob = bytes.subarray(QUANTIZER_ID_BYTES)
    const where = { section: SectionKind.quantizer }
    if (bytes.length < QUANTIZER_ID_BYTES) throw this.#file.bad(`has ${bytes.length} bytes`, where)
    const id = new DataView(bytes.buffer).getBigUint64(0, true)
    const hash = kernels.hash64(blob)
    if (id !== hash) throw this.#file.bad(`has content id ${id}, its content ${hash}`, where)
    return { id, blob }
  }

  /** Undefined when there is none or it is damaged: it can be rebuilt, so the segment stays usable. */
  #storedFilter(): IdFilter | undefined {
    if (!this.#file.has(SectionKind.bloom)) return undefined
    try {
      return this.#decodeFilter()
    } catch (error) {
      const unknown = error instanceof StorageError && error.code === 'DRIFT_FORMAT_FEATURE'
      if (!unknown && !isDamage(error)) throw error
      this.filterDamage = error
      return undefined
    }
  }

  #decodeFilter(): IdFilter {
    return IdFilter.fromBytes(this.#file.section(SectionKind.bloom), this.#file.path)
  }

  #rebuiltFilter(): IdFilter {
    const filter = IdFilter.create(this.rows, REBUILT_FILTER_RATE)
    for (const id of this.ids()) filter.add(id)
    return filter
  }

  #verifyIds(): void {
    const ids = this.ids()
    const section = SectionKind.ids
    if (digestIds(ids) !== this.stats.idDigest)
      throw this.#file.bad('holds other ids than were written', { section })
    if (!this.#file.has(SectionKind.bloom)) return
    const filter = this.#decodeFilter()
    const missed = ids.findIndex(id => !filter.mightContain(id))
    if (missed >= 0) throw this.#file.bad(`misses the id of row ${missed}`, { section: SectionKind.bloom })
  }

  #verifyPayloads(): void {
    const section = SectionKind.payload
    let rows = 0
    let payloadBytes = 0
    if (this.#file.has(section)) {
      const pages = this.#file.pages(section)
      this.#file.readPages(section, 0, pages.length, (bytes, page) => {
        const chunk = decodeChunk(bytes, pages[page]!.items, this.#file, section, page)
        for (let i = 0; i < chunk.items; i++) {
          const payload = chunk.entry(i)
          if (payload === undefined) continue
          rows++
          payloadBytes += payload.length
        }
      })
    }
    if (rows === this.stats.payloadRows && payloadBytes === this.stats.payloadBytes) return
    const expected = `${this.stats.payloadRows} of ${this.stats.payloadBytes}`
    throw this.#file.bad(`has ${rows} payloads of ${payloadBytes} bytes, expected ${expected}`, { section })
  }
}
