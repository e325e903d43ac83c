/**
 * Every byte of a container file looked at, page by page, without stopping at damage: what `check` reports and what `salvage` can still
 * read. A row is sound when its id, vector and payload all are; half a row is never given out.
 */
import type { DriftFs } from '@drift/fs'
import { IdFilter } from '../bloom.js'
import { isDamage } from '../errors.js'
import { decodeChunk } from './bytes-column.js'
import { FileKind, INDEX_BIT, SectionKind } from './format.js'
import { decodePage } from './page.js'
import { type Inspected, SectionReader } from './section-reader.js'
import type { FileEntry } from './section-writer.js'
import { digestIds, readStats } from './stats.js'
import { QUANTIZER_ID_BYTES, type SegmentEntry, type SegmentInput, writeSegment } from './writer.js'

export type { Inspected }

/** Rows of a segment or ids of a tombstone file, in their order. */
export interface Inspection {
  /** Undefined where the id cannot be read. */
  readonly ids: readonly (Uint8Array | undefined)[]
  /** 1: every part of the row can be read. */
  readonly sound: Uint8Array
}

const TRUTH: ReadonlySet<number> = new Set([SectionKind.vectors, SectionKind.payload, SectionKind.ids])
/** Decoded at once: equal values take no bytes, so the page's size bounds nothing. */
const DECODE_VALUES = 256 * 1024

/** Whether damage at this place loses what was written: everything else can be made again from it. */
export function isTruthSection(section: number | undefined): boolean {
  return section === undefined || TRUTH.has(section & ~INDEX_BIT)
}

/** @returns undefined when nothing of the file can be told apart. */
export function* inspectSegment(
  fs: DriftFs,
  folder: string,
  entry: SegmentEntry,
): Generator<Inspected, Inspection | undefined> {
  const file = yield* openForInspection(fs, folder, FileKind.segment, entry)
  if (!file) return undefined
  try {
    const { dim } = file.header
    const column = new IdColumn(file, entry.rows)
    const scratch = new Float32Array(Math.min(DECODE_VALUES, Math.max(1, pageRows(file) * dim)))
    let payloads = 0
    let payloadBytes = 0
    const damaged = new Set<number>()
    for (const step of file.inspect((section, page, bytes) => {
      const { items } = file.pages(section)[page]!
      if (section === SectionKind.vectors) {
        for (let first = 0; first < items * dim; first += scratch.length) {
          const part = scratch.subarray(0, Math.min(scratch.length, items * dim - first))
          const fault = decodePage(bytes, items * dim, first, part)
          if (fault) throw file.bad(fault.what, { section, page }, fault.code)
        }
      } else if (section === SectionKind.ids) {
        column.take(page, bytes)
      } else if (section === SectionKind.payload) {
        const chunk = decodeChunk(bytes, items, file, section, page)
        for (let i = 0; i < items; i++) {
          const payload = chunk.entry(i)
          if (payload) payloads++
          payloadBytes += payload?.length ?? 0
        }
      }
    })) {
      if (step.damage) {
        if (step.section !== undefined) damaged.add(step.section)
        column.spoil(step.section, step.page)
      }
      yield step
    }
    yield* claims(file, column, entry, damaged, stats => {
      const { payloadRows: rows, payloadBytes: bytes } = stats
      return damaged.has(SectionKind.payload) || (rows === payloads && bytes === payloadBytes)
        ? undefined
        : `has ${payloads} payloads of ${payloadBytes} bytes, expected ${rows} of ${bytes}`
    })
    return column
  } finally {
    file.close()
  }
}

/** As `inspectSegment`; what is unsound is an id that was deleted and is not known any more. */
export function* inspectTombstones(
  fs: DriftFs,
  folder: string,
  entry: SegmentEntry,
): Generator<Inspected, Inspection | undefined> {
  const file = yield* openForInspection(fs, folder, FileKind.tombstones, entry)
  if (!file) return undefined
  try {
    const column = new IdColumn(file, entry.rows)
    const damaged = new Set<number>()
    for (const step of file.inspect((_, page, bytes) => column.take(page, bytes))) {
      if (step.damage) {
        if (step.section !== undefined) damaged.add(step.section)
        column.spoil(step.section, step.page)
      }
      yield step
    }
    yield* claims(file, column, entry, damaged, () => undefined)
    return column
  } finally {
    file.close()
  }
}

/** The checksums of an index file. What it says is compared with the rows when it is used. */
export function* inspectIndex(
  fs: DriftFs,
  folder: string,
  entry: FileEntry,
): Generator<Inspected, undefined> {
  const file = yield* openForInspection(fs, folder, FileKind.index, entry)
  if (!file) return undefined
  try {
    yield* file.inspect(() => {})
    return undefined
  } finally {
    file.close()
  }
}

/**
 * The sound rows of a damaged segment as a new one, under another name and uuid. Whole and durable when it returns.
 *
 * @returns undefined when no row is sound.
 */
export function salvageSegment(
  fs: DriftFs,
  folder: string,
  entry: SegmentEntry,
  sound: Uint8Array,
  target: { readonly name: string; readonly uuid: string },
): SegmentEntry | undefined {
  const rows = [...sound.keys()].filter(row => sound[row] === 1)
  if (rows.length === 0) return undefined
  const file = SectionReader.open(fs, `${folder}/${entry.name}`, FileKind.segment, entry)
  try {
    const { dim, metric, normalised = false, createdMs } = file.header
    const vectors = new Float32Array(rows.length * dim)
    const ids: Uint8Array[] = []
    const payloads: (Uint8Array | undefined)[] = []
    const places = new Map(rows.map((row, place) => [row, place]))
    eachRow(file, SectionKind.vectors, places, (bytes, items, _page, within, place) => {
      decodePage(bytes, items * dim, within * dim, vectors.subarray(place * dim, (place + 1) * dim))
    })
    for (const [section, into] of [
      [SectionKind.ids, ids],
      [SectionKind.payload, payloads],
    ] as const) {
      if (!file.has(section)) continue
      eachRow(file, section, places, (bytes, items, page, within, place) => {
        const found = decodeChunk(bytes, items, file, section, page).entry(within)
        if (found) into[place] = found.slice()
      })
    }
    const input: SegmentInput = {
      uuid: target.uuid,
      createdMs,
      dim,
      metric: metric!,
      normalised,
      ids,
      vectors,
      ...(file.has(SectionKind.payload) ? { payloads: rows.map((_, place) => payloads[place]) } : {}),
      lsnLow: entry.lsnLow,
      lsnHigh: entry.lsnHigh,
      quantizer: quantizerOf(file),
      syncFolder: true,
    }
    return writeSegment(fs, folder, target.name, input)
  } finally {
    file.close()
  }
}

/** Opaque here, and made from the rows alone; empty when it cannot be read. */
function quantizerOf(file: SectionReader): Uint8Array {
  try {
    return file.section(SectionKind.quantizer).subarray(QUANTIZER_ID_BYTES)
  } catch (error) {
    if (isDamage(error)) return new Uint8Array()
    throw error
  }
}

/** The wanted rows of a section, and only the pages that hold one. @param places - row to its place in the result. */
function eachRow(
  file: SectionReader,
  section: number,
  places: ReadonlyMap<number, number>,
  take: (bytes: Uint8Array, items: number, page: number, within: number, place: number) => void,
): void {
  let first = 0
  for (const [page, { items }] of file.pages(section).entries()) {
    const wanted: number[] = []
    for (let row = first; row < first + items; row++) if (places.has(row)) wanted.push(row)
    if (wanted.length > 0) {
      const start = first
      file.readPages(section, page, 1, bytes => {
        for (const row of wanted) take(bytes, items, page, row - start, places.get(row)!)
      })
    }
    first += items
  }
}

function* openForInspection(
  fs: DriftFs,
  folder: string,
  kind: FileKind,
  entry: FileEntry,
): Generator<Inspected, SectionReader | undefined> {
  try {
    return SectionReader.open(fs, `${folder}/${entry.name}`, kind, entry)
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'DRIFT_FS_ENOENT'
    if (!missing && !isDamage(error)) throw error
    yield { bytes: 0, offset: 0, damage: error as Error }
    return undefined
  }
}

/** What the file says of itself as a whole, where its parts are sound enough to tell. */
function* claims(
  file: SectionReader,
  column: IdColumn,
  entry: SegmentEntry,
  damaged: ReadonlySet<number>,
  payloadFault: (stats: ReturnType<typeof readStats>) => string | undefined,
): Generator<Inspected, void> {
  const place = (section: number) => ({ bytes: 0, offset: 0, section })
  if (!damaged.has(SectionKind.stats)) {
    const fault = describe(() => {
      const stats = readStats(file)
      const { rows, lsnLow, lsnHigh } = stats
      if (rows !== entry.rows || lsnLow !== entry.lsnLow || lsnHigh !== entry.lsnHigh)
        throw file.bad(`has ${rows} rows of LSN ${lsnLow} to ${lsnHigh}`, { section: SectionKind.stats })
      if (column.isWhole && digestIds(column.ids as Uint8Array[]) !== stats.idDigest)
        throw file.bad('holds other ids than were written', { section: SectionKind.ids })
      const payload = payloadFault(stats)
      if (payload) throw file.bad(payload, { section: SectionKind.payload })
    })
    if (fault) yield { ...place(fault.section ?? SectionKind.stats), damage: fault.error }
  }
  if (!file.has(SectionKind.bloom) || damaged.has(SectionKind.bloom)) return
  const fault = describe(() => {
    const filter = IdFilter.fromBytes(file.section(SectionKind.bloom), file.path)
    const missed = column.ids.findIndex(id => id && !filter.mightContain(id))
    if (missed >= 0) throw file.bad(`misses the id of row ${missed}`, { section: SectionKind.bloom })
  })
  if (fault) yield { ...place(SectionKind.bloom), damage: fault.error }
}

function describe(look: () => void): { error: Error; section: number | undefined } | undefined {
  try {
    look()
    return undefined
  } catch (error) {
    if (!isDamage(error)) throw error
    const { section } = (error as { details?: { section?: number } }).details ?? {}
    return { error, section }
  }
}

/** Rows of a whole vector page; 0 when there is none. */
function pageRows(file: SectionReader): number {
  const { pageBytes } = file.entry(SectionKind.vectors)
  return Math.floor(pageBytes / (4 * Math.max(1, file.header.dim)))
}

/** Ids and soundness by row, filled as pages are looked at. */
class IdColumn implements Inspection {
  readonly ids: (Uint8Array | undefined)[]
  readonly sound: Uint8Array
  readonly #file: SectionReader

  constructor(file: SectionReader, rows: number) {
    this.#file = file
    this.ids = new Array(rows).fill(undefined)
    this.sound = new Uint8Array(rows).fill(1)
  }

  get isWhole(): boolean {
    return this.ids.every(id => id !== undefined)
  }

  take(page: number, bytes: Uint8Array): void {
    const { ids } = SectionKind
    const [first, end] = this.#rows(ids, page)
    const chunk = decodeChunk(bytes.slice(), end - first, this.#file, ids, page)
    for (let i = 0; i < chunk.items; i++) {
      const id = chunk.entry(i)
      if (!id) throw this.#file.bad(`has no id for row ${first + i}`, { section: ids, page })
      this.ids[first + i] = id
    }
  }

  /** Rows that a damaged place takes with it. */
  spoil(section: number | undefined, page: number | undefined): void {
    if (section === undefined || !isTruthSection(section)) return
    if (page === undefined) this.sound.fill(0)
    else this.sound.fill(0, ...this.#rows(section, page))
  }

  #rows(section: number, page: number): [first: number, end: number] {
    let first = 0
    const pages = this.#file.pages(section)
    for (let i = 0; i < page; i++) first += pages[i]!.items
    return [first, first + pages[page]!.items]
  }
}
