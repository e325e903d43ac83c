/**
 * Reads a container file (format.ts) that may hold anything: each field is checked before it is used, no allocation is larger than the
 * file, and every section and page is checked against its CRC whenever it comes from the disk.
 *
 * Order of acceptance: length, footer magic, footer CRC, version and features, file length, TOC place and CRC, each section's place
 * and kind, header magic and CRC, header and footer agree, and what the caller expects. One read of the last 64 KiB serves most of that.
 */
import { closeRead, type DriftFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { isDamage, StorageError, type StorageErrorDetails } from '../errors.js'
import { uuidBytes } from '../uuid.js'
import { decodeFooter, type Footer, footerCrc } from './footer.js'
import {
  type FileKind,
  FOOTER_BYTES,
  HEADER_BYTES,
  INDEX_BIT,
  pageSeed,
  SECTION_ALIGNMENT,
  tocSeed,
} from './format.js'
import { decodeHeader, type FileHeader } from './header.js'
import type { FileEntry } from './section-writer.js'
import { decodePageIndex, decodeToc, type PageIndexEntry, type TocEntry } from './toc.js'

/** Usually holds all metadata of a file. */
const TAIL_BYTES = 64 * 1024
/** Neighbouring pages are read together up to this size. */
const RUN_BYTES = 1024 * 1024
/** A buffer up to this size is kept for the next read: room for one vector page of ordinary width. */
const KEPT_BYTES = 32 * 1024

/** A step of `inspect`. */
export interface Inspected {
  readonly bytes: number
  readonly offset: number
  readonly section?: number
  readonly page?: number
  readonly damage?: Error
}

export class SectionReader {
  readonly path: string
  readonly header: FileHeader
  readonly footer: Footer
  readonly #fs: DriftFs
  readonly #fd: number
  readonly #uuid: Uint8Array
  readonly #sections: ReadonlyMap<number, TocEntry>
  readonly #indexes = new Map<number, readonly PageIndexEntry[]>()
  #tail: { readonly offset: number; readonly bytes: Uint8Array } | undefined
  #run = new Uint8Array(0)
  #open = true

  /** @param expected - what names the file from outside; without it any whole file of that kind is taken. */
  static open(fs: DriftFs, path: string, kind: FileKind, expected?: FileEntry): SectionReader {
    const stat = fs.stat(path)
    if (stat?.kind === 'folder') {
      throw new StorageError('DRIFT_CORRUPT_MAGIC', `${path} is a folder, not a file`, { path })
    }
    const fd = fs.open(path, 'read')
    try {
      const reader = new SectionReader(fs, fd, path, stat?.bytes ?? 0)
      reader.#expect(kind, expected)
      return reader
    } catch (error) {
      fs.close(fd)
      throw error
    }
  }

  private constructor(fs: DriftFs, fd: number, path: string, fileBytes: number) {
    this.path = path
    this.#fs = fs
    this.#fd = fd
    if (fileBytes < HEADER_BYTES + FOOTER_BYTES) {
      const what = `${fileBytes} bytes are less than a header and a footer`
      throw new StorageError('DRIFT_CORRUPT_TRUNCATED', `${path}: ${what}`, { path, offset: fileBytes })
    }
    const tailBytes = Math.min(fileBytes, TAIL_BYTES)
    const tailOffset = fileBytes - tailBytes
    this.#tail = { offset: tailOffset, bytes: this.#read(tailOffset, new Uint8Array(tailBytes)) }
    const footerBytes = this.#bytes(fileBytes - FOOTER_BYTES, FOOTER_BYTES)
    this.footer = decodeFooter(footerBytes, fileBytes, path)
    this.#uuid = uuidBytes(this.footer.uuid)

    const { tocOffset, tocBytes, tocCrc } = this.footer
    const toc = this.#bytes(tocOffset, tocBytes)
    this.#check(toc, tocSeed(this.#uuid), tocCrc, 'TOC', { offset: tocOffset })
    this.#sections = new Map(decodeToc(toc, tocOffset, path).map(entry => [entry.kind, entry]))

    this.header = decodeHeader(this.#bytes(0, HEADER_BYTES), path)
    if (this.header.uuid !== this.footer.uuid) {
      const what = `header of ${this.header.uuid}, footer of ${this.footer.uuid}`
      throw new StorageError('DRIFT_CORRUPT_IDENTITY', `${path}: ${what}`, { path, offset: 0 })
    }
  }

  /** What the footer's own checksum is; with uuid and length it names this file's content. */
  get footerCrc(): number {
    return footerCrc(this.#bytes(this.footer.fileBytes - FOOTER_BYTES, FOOTER_BYTES))
  }

  has(kind: number): boolean {
    return this.#sections.get(kind)?.understood === true
  }

  entry(kind: number): TocEntry {
    const entry = this.#sections.get(kind)
    if (entry?.understood) return entry
    const message = `${this.path} has no section ${kind}`
    throw new StorageError('DRIFT_CORRUPT_DECODE', message, { path: this.path, section: kind })
  }

  /** A section of one piece, checked. The bytes are the caller's. */
  section(kind: number): Uint8Array {
    const entry = this.entry(kind)
    if (entry.pageBytes !== 0 || entry.logicalBytes !== entry.storedBytes) {
      throw this.bad('is paged or of unequal lengths', { offset: entry.offset, section: kind })
    }
    const bytes = this.#bytes(entry.offset, entry.storedBytes).slice()
    this.#check(bytes, pageSeed(this.#uuid, kind, 0), entry.crc, `section ${kind}`, {
      offset: entry.offset,
      section: kind,
    })
    return bytes
  }

  /** The pages of a paged section; the index is checked when it is first asked for. */
  pages(kind: number): readonly PageIndexEntry[] {
    const known = this.#indexes.get(kind)
    if (known !== undefined) return known
    const entry = this.entry(kind)
    if (entry.pageBytes === 0) throw this.bad('is not paged', { offset: entry.offset, section: kind })
    const bytes = this.section(kind | INDEX_BIT)
    const pages = decodePageIndex(bytes, entry, this.path)
    const seed = pageSeed(this.#uuid, kind | INDEX_BIT, 0)
    this.#check(bytes, seed, entry.crc, `page index of section ${kind}`, {
      offset: entry.offset,
      section: kind,
    })
    this.#indexes.set(kind, pages)
    return pages
  }

  /**
   * A paged section whose pages hold `pageBytes` bytes each and the last one what is left, straight into `into`, which may be shared
   * memory: copying there is ten times slower than reading. What is there after an error is anything.
   */
  readInto(kind: number, pageBytes: number, into: Uint8Array): void {
    const entry = this.entry(kind)
    const pages = this.pages(kind)
    const where = { section: kind }
    if (entry.logicalBytes !== into.length || entry.storedBytes < into.length) {
      throw this.bad(`has ${entry.logicalBytes} bytes, expected ${into.length}`, where)
    }
    if (pages.length !== Math.ceil(into.length / pageBytes)) throw this.bad('has other pages', where)
    for (let i = 0; i < pages.length; i++) {
      const { start, crc, items } = pages[i]!
      const content = into.subarray(i * pageBytes, (i + 1) * pageBytes)
      const end = pages[i + 1]?.start ?? entry.storedBytes
      const padding = end - start - content.length
      if (padding < 0 || padding >= SECTION_ALIGNMENT || items !== content.length) {
        throw this.bad(`has ${end - start} bytes for ${content.length}`, { ...where, page: i })
      }
      const offset = entry.offset + start
      this.#read(offset, content)
      let found = kernels.crc32c(content, pageSeed(this.#uuid, kind, i))
      if (padding > 0) {
        found = kernels.crc32c(this.#read(offset + content.length, new Uint8Array(padding)), found)
      }
      if (found !== crc)
        this.#throwCrc(found, crc, `section ${kind} page ${i}`, { offset, ...where, page: i })
    }
  }

  /**
   * Pages first .. first + count - 1, checked, with their padding, in order. The bytes are valid during the call of `visit` only: runs of
   * pages are read into one buffer.
   */
  readPages(
    kind: number,
    first: number,
    count: number,
    visit: (bytes: Uint8Array, page: number) => void,
  ): void {
    const pages = this.pages(kind)
    const entry = this.entry(kind)
    const startOf = (page: number) => pages[page]?.start ?? entry.storedBytes
    for (let page = first; page < first + count; ) {
      const from = startOf(page)
      let end = page + 1
      while (end < first + count && startOf(end + 1) - from <= RUN_BYTES) end++
      const run = this.#scratch(startOf(end) - from)
      this.#read(entry.offset + from, run)
      for (; page < end; page++) {
        const bytes = run.subarray(startOf(page) - from, startOf(page + 1) - from)
        const where = { offset: entry.offset + startOf(page), section: kind, page }
        const seed = pageSeed(this.#uuid, kind, page)
        this.#check(bytes, seed, pages[page]!.crc, `page ${page} of section ${kind}`, where)
        visit(bytes, page)
      }
    }
  }

  /** Every checksum as the disk holds it now, and the zeros between the sections; sections of later versions are skipped. Throws at the first damage. */
  verify(): void {
    this.releaseTail()
    const { fileBytes, tocOffset } = this.footer
    decodeHeader(this.#bytes(0, HEADER_BYTES), this.path)
    decodeFooter(this.#bytes(fileBytes - FOOTER_BYTES, FOOTER_BYTES), fileBytes, this.path)
    let end = HEADER_BYTES
    for (const entry of this.#sections.values()) {
      this.#checkZeros(end, entry.offset)
      end = entry.offset + entry.storedBytes
      if (!entry.understood) continue
      if (entry.pageBytes === 0) this.section(entry.kind)
      else this.readPages(entry.kind, 0, this.pages(entry.kind).length, () => {})
    }
    this.#checkZeros(end, tocOffset)
  }

  /**
   * As `verify`, in steps, and it goes on behind damage: for each page, section and gap its bytes, and what is wrong with them.
   *
   * @param visit - is given each sound page of the sections read by pages; what it throws counts as damage of the page.
   */
  *inspect(visit: (section: number, page: number, bytes: Uint8Array) => void): Generator<Inspected, void> {
    this.releaseTail()
    const { fileBytes, tocOffset } = this.footer
    yield inspected(HEADER_BYTES, { offset: 0 }, () => {
      decodeHeader(this.#bytes(0, HEADER_BYTES), this.path)
    })
    yield inspected(fileBytes - tocOffset, { offset: tocOffset }, () => {
      decodeFooter(this.#bytes(fileBytes - FOOTER_BYTES, FOOTER_BYTES), fileBytes, this.path)
      const toc = this.#bytes(tocOffset, this.footer.tocBytes)
      this.#check(toc, tocSeed(this.#uuid), this.footer.tocCrc, 'TOC', { offset: tocOffset })
    })
    let end = HEADER_BYTES
    for (const { kind, offset, storedBytes, understood, pageBytes } of this.#sections.values()) {
      const gap = end
      yield inspected(offset - gap, { offset: gap }, () => this.#checkZeros(gap, offset))
      end = offset + storedBytes
      if (!understood) continue
      let pages: readonly PageIndexEntry[] = []
      yield inspected(pageBytes === 0 ? storedBytes : 0, { section: kind, offset }, () => {
        if (pageBytes === 0) this.section(kind)
        else pages = this.pages(kind)
      })
      for (const [page, { start }] of pages.entries()) {
        const bytes = (pages[page + 1]?.start ?? storedBytes) - start
        yield inspected(bytes, { section: kind, page, offset: offset + start }, () =>
          this.readPages(kind, page, 1, content => visit(kind, page, content)),
        )
      }
    }
    yield inspected(tocOffset - end, { offset: end }, () => this.#checkZeros(end, tocOffset))
  }

  /** The 64 KiB read at opening are needed no more. */
  releaseTail(): void {
    this.#tail = undefined
  }

  /** @param isAside - in another thread, where the disk can: of a file that may have been removed. */
  close(isAside = false): void {
    if (!this.#open) return
    this.#open = false
    this.releaseTail()
    this.#run = new Uint8Array(0)
    if (isAside && this.#fs.closeAside) this.#fs.closeAside(this.#fd)
    else closeRead(this.#fs, this.#fd)
  }

  /** The error for content that checksums accept and sense does not. */
  bad(
    what: string,
    details: StorageErrorDetails,
    code: 'DRIFT_CORRUPT_DECODE' | 'DRIFT_FORMAT_FEATURE' = 'DRIFT_CORRUPT_DECODE',
  ): StorageError {
    const section = details.section === undefined ? '' : ` section ${details.section}`
    const page = details.page === undefined ? '' : ` page ${details.page}`
    return new StorageError(code, `${this.path}:${section}${page} ${what}`, { path: this.path, ...details })
  }

  #expect(kind: FileKind, expected: FileEntry | undefined): void {
    const claims: [what: string, found: unknown, wanted: unknown][] = [['file kind', this.header.kind, kind]]
    if (expected !== undefined) {
      claims.push(['length', this.footer.fileBytes, expected.bytes])
      claims.push(['uuid', this.footer.uuid, expected.uuid])
      claims.push(['footer CRC', this.footerCrc, expected.footerCrc])
    }
    for (const [what, found, wanted] of claims) {
      if (found === wanted) continue
      const message = `${this.path} is whole but another file: ${what} ${found}, expected ${wanted}`
      throw new StorageError('DRIFT_CORRUPT_IDENTITY', message, { path: this.path })
    }
  }

  /** From the tail where it covers them. The result may be shared: copy before handing it out. */
  #bytes(offset: number, length: number): Uint8Array {
    const tail = this.#tail
    if (tail !== undefined && offset >= tail.offset) {
      return tail.bytes.subarray(offset - tail.offset, offset - tail.offset + length)
    }
    return this.#read(offset, new Uint8Array(length))
  }

  #read(offset: number, into: Uint8Array): Uint8Array {
    if (!this.#open) throw new StorageError('DRIFT_CLOSED', `${this.path} is closed`, { path: this.path })
    const read = this.#fs.read(this.#fd, into, offset)
    if (read === into.length) return into
    const message = `${this.path} ends ${into.length - read} bytes early`
    throw new StorageError('DRIFT_CORRUPT_TRUNCATED', message, { path: this.path, offset: offset + read })
  }

  #scratch(bytes: number): Uint8Array {
    if (bytes > KEPT_BYTES) return new Uint8Array(bytes)
    if (this.#run.length < bytes) this.#run = new Uint8Array(KEPT_BYTES)
    return this.#run.subarray(0, bytes)
  }

  #check(bytes: Uint8Array, seed: number, stored: number, what: string, where: StorageErrorDetails): void {
    const computed = kernels.crc32c(bytes, seed)
    if (computed !== stored) this.#throwCrc(computed, stored, what, where)
  }

  #throwCrc(computed: number, stored: number, what: string, where: StorageErrorDetails): never {
    const message = `${this.path}: the ${what} has CRC ${computed}, expected ${stored}`
    throw new StorageError('DRIFT_CORRUPT_CRC', message, { path: this.path, ...where })
  }

  #checkZeros(from: number, to: number): void {
    const gap = this.#bytes(from, to - from)
    const at = gap.findIndex(byte => byte !== 0)
    if (at < 0) return
    const message = `${this.path}: byte ${from + at} between sections is ${gap[at]}, expected 0`
    throw new StorageError('DRIFT_CORRUPT_BOUNDS', message, { path: this.path, offset: from + at })
  }
}

function inspected(bytes: number, place: Omit<Inspected, 'bytes' | 'damage'>, look: () => void): Inspected {
  try {
    look()
    return { bytes, ...place }
  } catch (error) {
    if (isDamage(error)) return { bytes, ...place, damage: error }
    throw error
  }
}
