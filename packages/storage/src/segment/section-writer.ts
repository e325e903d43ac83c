/**
 * Writes a container file (format.ts): sections one after the other into `name.tmp`, then page indexes, TOC and footer, fsync, rename.
 * Under its final name a file is always whole. The caller syncs the folder, so that several files can share that sync.
 */
import type { DriftFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { requireArgument } from '../errors.js'
import { uuidBytes } from '../uuid.js'
import { encodeFooter, footerCrc } from './footer.js'
import {
  align,
  FOOTER_BYTES,
  INDEX_BIT,
  PAGE_INDEX_ENTRY_BYTES,
  pageSeed,
  SECTION_ALIGNMENT,
  SectionKind,
  tocSeed,
  VECTOR_ALIGNMENT,
} from './format.js'
import { encodeHeader, type FileHeader } from './header.js'
import { encodePageIndex, encodeToc, type PageIndexEntry, type TocEntry } from './toc.js'

/** What names a file from outside, and by which a truncated, swapped or misdirected one is caught. */
export interface FileEntry {
  /** In the folder, without the folder. */
  readonly name: string
  readonly uuid: string
  readonly bytes: number
  readonly footerCrc: number
}

export interface SectionSpec {
  readonly kind: number
  /** A reader that does not know the kind must refuse the file. Default true. */
  readonly critical?: boolean
  readonly items: number
}

/** One page: its bytes are taken before the next page is asked for, so the buffer may be used again. */
export interface Page {
  readonly bytes: Uint8Array
  /** Of these, content: without header and padding. */
  readonly logicalBytes: number
  readonly items: number
}

/** Few large writes instead of many small ones. */
const BUFFER_BYTES = 256 * 1024
const ZEROS = new Uint8Array(VECTOR_ALIGNMENT)

export class SectionWriter {
  readonly #fs: DriftFs
  readonly #folder: string
  readonly #name: string
  readonly #header: FileHeader
  readonly #uuid: Uint8Array
  readonly #fd: number
  readonly #buffer = new Uint8Array(BUFFER_BYTES)
  #buffered = 0
  #written = 0
  readonly #toc: TocEntry[] = []
  readonly #indexes: { readonly spec: SectionSpec; readonly bytes: Uint8Array }[] = []
  #open = true

  /** A `name.tmp` that an earlier attempt left behind is replaced. */
  static create(fs: DriftFs, folder: string, name: string, header: FileHeader): SectionWriter {
    return new SectionWriter(fs, folder, name, header)
  }

  private constructor(fs: DriftFs, folder: string, name: string, header: FileHeader) {
    requireArgument(isFileName(name), () => `${JSON.stringify(name)} is not a plain file name`)
    this.#fs = fs
    this.#folder = folder
    this.#name = name
    this.#header = header
    this.#uuid = uuidBytes(header.uuid)
    const headerBytes = encodeHeader(header)
    const temp = this.#tempPath()
    if (fs.stat(temp) !== undefined) fs.remove(temp)
    this.#fd = fs.open(temp, 'create')
    this.#append(headerBytes)
  }

  /** A section of one piece, checked as one. */
  add(spec: SectionSpec, bytes: Uint8Array): void {
    this.#pad(SECTION_ALIGNMENT)
    this.#toc.push({
      ...this.#entry(spec),
      storedBytes: bytes.length,
      logicalBytes: bytes.length,
      crc: kernels.crc32c(bytes, pageSeed(this.#uuid, spec.kind, 0)),
      pageBytes: 0,
    })
    this.#append(bytes)
  }

  /** A section that is read page by page. @param pageBytes - content per page, or the aim where pages vary. */
  addPaged(spec: SectionSpec, pageBytes: number, pages: Iterable<Page>): void {
    this.#pad(spec.kind === SectionKind.vectors ? VECTOR_ALIGNMENT : SECTION_ALIGNMENT)
    const entry = this.#entry(spec)
    const index: PageIndexEntry[] = []
    let logicalBytes = 0
    for (const page of pages) {
      const start = this.#offset - entry.offset
      requireArgument(start / SECTION_ALIGNMENT < 2 ** 32, () => `section ${spec.kind} is over 256 GiB`)
      const padding = ZEROS.subarray(0, align(page.bytes.length, SECTION_ALIGNMENT) - page.bytes.length)
      const crc = kernels.crc32c(page.bytes, pageSeed(this.#uuid, spec.kind, index.length))
      index.push({ start, crc: kernels.crc32c(padding, crc), items: page.items })
      this.#append(page.bytes)
      this.#append(padding)
      logicalBytes += page.logicalBytes
    }
    const bytes = encodePageIndex(index)
    const kind = spec.kind | INDEX_BIT
    this.#indexes.push({ spec: { ...spec, kind, items: bytes.length / PAGE_INDEX_ENTRY_BYTES }, bytes })
    const crc = kernels.crc32c(bytes, pageSeed(this.#uuid, kind, 0))
    this.#toc.push({ ...entry, storedBytes: this.#offset - entry.offset, logicalBytes, crc, pageBytes })
  }

  /** Makes the file whole, durable and visible under its name; the folder is the caller's to sync, or `syncFolder` does it. */
  finish(rows: number, syncFolder = false): FileEntry {
    for (const { spec, bytes } of this.#indexes) this.add(spec, bytes)
    this.#pad(SECTION_ALIGNMENT)
    const toc = encodeToc(this.#toc)
    const tocOffset = this.#offset
    const fileBytes = tocOffset + toc.length + FOOTER_BYTES
    const { uuid } = this.#header
    const tocCrc = kernels.crc32c(toc, tocSeed(this.#uuid))
    const footer = encodeFooter({ tocOffset, tocBytes: toc.length, tocCrc, fileBytes, rows, uuid })
    this.#append(toc)
    this.#append(footer)
    this.#flush()
    this.#fs.fsync(this.#fd)
    this.#close()
    this.#fs.rename(this.#tempPath(), `${this.#folder}/${this.#name}`)
    if (syncFolder) this.#fs.syncFolder(this.#folder)
    return { name: this.#name, uuid, bytes: fileBytes, footerCrc: footerCrc(footer) }
  }

  /** After a failure: the temp file goes if the disk allows it. */
  abort(): void {
    try {
      if (this.#open) this.#close()
      this.#fs.remove(this.#tempPath())
    } catch {
      // The caller is about to report the failure that led here; a temp file that stays is replaced or cleaned up later.
    }
  }

  #entry(
    spec: SectionSpec,
  ): Pick<TocEntry, 'kind' | 'critical' | 'codec' | 'offset' | 'items' | 'understood'> {
    const { kind, critical = true, items } = spec
    return { kind, critical, codec: 0, offset: this.#offset, items, understood: true }
  }

  #pad(alignment: number): void {
    this.#append(ZEROS.subarray(0, align(this.#offset, alignment) - this.#offset))
  }

  #append(bytes: Uint8Array): void {
    if (this.#buffered + bytes.length > BUFFER_BYTES) this.#flush()
    if (bytes.length > BUFFER_BYTES) {
      this.#write(bytes)
      return
    }
    this.#buffer.set(bytes, this.#buffered)
    this.#buffered += bytes.length
  }

  #flush(): void {
    this.#write(this.#buffer.subarray(0, this.#buffered))
    this.#buffered = 0
  }

  #write(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#fs.write(this.#fd, bytes, this.#written)
    this.#written += bytes.length
  }

  get #offset(): number {
    return this.#written + this.#buffered
  }

  #close(): void {
    this.#open = false
    this.#fs.close(this.#fd)
  }

  #tempPath(): string {
    return `${this.#folder}/${this.#name}.tmp`
  }
}

/** Writes a whole file by `fill`, or leaves nothing of it. */
export function writeContainer(
  fs: DriftFs,
  folder: string,
  name: string,
  header: FileHeader,
  rows: number,
  syncFolder: boolean | undefined,
  fill: (writer: SectionWriter) => void,
): FileEntry {
  const writer = SectionWriter.create(fs, folder, name, header)
  try {
    fill(writer)
    return writer.finish(rows, syncFolder)
  } catch (error) {
    writer.abort()
    throw error
  }
}

/** Letters, digits, `.`, `_` and `-`, not starting with a dot: never a path. */
export function isFileName(name: unknown): name is string {
  return typeof name === 'string' && /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/.test(name)
}
