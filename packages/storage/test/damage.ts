/** Ways to damage a file, to hide the damage from its checksums, and to tell what a reader made of it. */
import { SimFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { StorageError } from '../src/index.js'
import { decodeFooter, footerCrc } from '../src/segment/footer.js'
import {
  FOOTER_BYTES,
  HEADER_BYTES,
  INDEX_BIT,
  PAGE_INDEX_ENTRY_BYTES,
  pageSeed,
  TOC_ENTRY_BYTES,
  tocSeed,
  viewOf,
} from '../src/segment/format.js'
import { decodePageIndex, decodeToc, type TocEntry } from '../src/segment/toc.js'
import { uuidBytes } from '../src/uuid.js'
import { FOLDER } from './fixture.js'

/** A disk with one folder and one file in it. */
export function diskWith(name: string, bytes: Uint8Array): SimFs {
  const disk = new SimFs()
  disk.makeFolder(FOLDER)
  putFile(disk, name, bytes)
  return disk
}

export function putFile(disk: SimFs, name: string, bytes: Uint8Array): void {
  const fd = disk.open(`${FOLDER}/${name}`, 'create')
  disk.write(fd, bytes, 0)
  disk.close(fd)
}

export function bytesOf(disk: SimFs, name: string): Uint8Array {
  const path = `${FOLDER}/${name}`
  const bytes = new Uint8Array(disk.stat(path)!.bytes)
  const fd = disk.open(path, 'read')
  disk.read(fd, bytes, 0)
  disk.close(fd)
  return bytes
}

/** What was read, or the code of the error that refused it. Any other error is a failure of the test. */
export function outcome<T>(read: () => T): { readonly value: T } | { readonly code: string } {
  try {
    return { value: read() }
  } catch (error) {
    if (error instanceof StorageError && /^DRIFT_(CORRUPT|FORMAT)_/.test(error.code))
      return { code: error.code }
    throw error
  }
}

export interface Layout {
  readonly uuid: Uint8Array
  readonly tocOffset: number
  readonly entries: readonly TocEntry[]
}

export function layoutOf(file: Uint8Array): Layout {
  const footer = decodeFooter(file.subarray(-FOOTER_BYTES), file.length, 'test')
  const toc = file.subarray(footer.tocOffset, footer.tocOffset + footer.tocBytes)
  const entries = decodeToc(toc, footer.tocOffset, 'test')
  return { uuid: uuidBytes(footer.uuid), tocOffset: footer.tocOffset, entries }
}

/** Makes every checksum agree with the bytes as they are now. @param layout - of the whole file. @returns the new footer CRC. */
export function reseal(file: Uint8Array, whole: Uint8Array, layout: Layout): number {
  const view = viewOf(file)
  const { uuid, tocOffset, entries } = layout
  const crcAt = (entry: TocEntry): number => tocOffset + entries.indexOf(entry) * TOC_ENTRY_BYTES + 32
  for (const entry of entries) {
    const index = entries.find(other => other.kind === (entry.kind | INDEX_BIT) && other !== entry)
    if (entry.pageBytes === 0 || index === undefined) continue
    const indexBytes = whole.subarray(index.offset, index.offset + index.storedBytes)
    const pages = decodePageIndex(indexBytes, entry, 'test')
    pages.forEach((page, i) => {
      const end = pages[i + 1]?.start ?? entry.storedBytes
      const bytes = file.subarray(entry.offset + page.start, entry.offset + end)
      const crc = kernels.crc32c(bytes, pageSeed(uuid, entry.kind, i))
      view.setUint32(index.offset + i * PAGE_INDEX_ENTRY_BYTES + 4, crc, true)
    })
  }
  for (const entry of entries) {
    if (entry.pageBytes !== 0) continue
    const bytes = file.subarray(entry.offset, entry.offset + entry.storedBytes)
    const crc = kernels.crc32c(bytes, pageSeed(uuid, entry.kind, 0))
    view.setUint32(crcAt(entry), crc, true)
    const paged = entries.find(other => other.kind === (entry.kind & ~INDEX_BIT) && other !== entry)
    if (paged !== undefined) view.setUint32(crcAt(paged), crc, true)
  }
  const toc = file.subarray(tocOffset, tocOffset + entries.length * TOC_ENTRY_BYTES)
  const footer = file.length - FOOTER_BYTES
  view.setUint32(HEADER_BYTES - 4, kernels.crc32c(file.subarray(0, HEADER_BYTES - 4)), true)
  view.setUint32(footer + 12, kernels.crc32c(toc, tocSeed(uuid)), true)
  view.setUint32(footer + 56, footerCrc(file.subarray(footer)), true)
  return view.getUint32(footer + 56, true)
}
