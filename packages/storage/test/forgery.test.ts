/**
 * Proves that checksums are not taken for sense: files whose every checksum agrees and whose fields lie are refused by a coded error or
 * read as some content, without a crash, without an allocation beyond the file; and what a later version wrote is told from damage.
 */
import { SimFs } from '@drift/fs'
import { kernels } from '@drift/native'
import { describe, expect, it } from 'vitest'
import {
  type FileEntry,
  loadManifest,
  manifestName,
  readCheckpoint,
  readTombstones,
  type SegmentEntry,
  type TombstoneEntry,
  writeCheckpoint,
  writeSegment,
  writeTombstones,
} from '../src/index.js'
import { encodeManifest } from '../src/manifest/format.js'
import {
  FileKind,
  FOOTER_BYTES,
  INDEX_BIT,
  SectionKind,
  TOC_ENTRY_BYTES,
  viewOf,
} from '../src/segment/format.js'
import { SectionReader } from '../src/segment/section-reader.js'
import { SectionWriter } from '../src/segment/section-writer.js'
import { bytesOf, diskWith, layoutOf, outcome, reseal } from './damage.js'
import { ascii, checkpoint, contentOfFile, FOLDER, manifest, segmentInput, uuidOf } from './fixture.js'
import { type Seeded, seeded } from './seeded.js'

const disk = new SimFs()
disk.makeFolder(FOLDER)
const segment = writeSegment(disk, FOLDER, 's', segmentInput({ rows: 6, dim: 3 }))
const tombstones = writeTombstones(disk, FOLDER, 't', {
  uuid: uuidOf(1),
  ids: [ascii('a'), ascii('b')],
  lsnLow: 1,
  lsnHigh: 2,
})
/** Of several vector pages, its metadata in no one read. */
const large = writeSegment(disk, FOLDER, 'l', {
  ...segmentInput({ rows: 400, dim: 100 }),
  quantizer: new Uint8Array(100_000),
})
const partition = writeCheckpoint(disk, FOLDER, 'c', checkpoint())

/** The file with bytes changed by `change` and every checksum made to agree, read by `read`. */
function forged<E extends FileEntry, T>(
  entry: E,
  change: (bytes: Uint8Array, sectionAt: (kind: number) => number, entryAt: (kind: number) => number) => void,
  read: (disk: SimFs, entry: E) => T,
) {
  const whole = bytesOf(disk, entry.name)
  const layout = layoutOf(whole)
  const bytes = whole.slice()
  const numberOf = (kind: number) => layout.entries.findIndex(section => section.kind === kind)
  const sectionAt = (kind: number) => layout.entries[numberOf(kind)]!.offset
  const entryAt = (kind: number) => layout.tocOffset + numberOf(kind) * TOC_ENTRY_BYTES
  change(bytes, sectionAt, entryAt)
  const footerCrc = reseal(bytes, whole, layout)
  return outcome(() => read(diskWith(entry.name, bytes), { ...entry, footerCrc }))
}

const readSegment = (from: SimFs, entry: SegmentEntry) => contentOfFile(from, entry, true)
const readIds = (from: SimFs, entry: TombstoneEntry) => readTombstones(from, FOLDER, entry)
const readHomes = (from: SimFs, entry: FileEntry) => readCheckpoint(from, FOLDER, entry)

/** A few changes of 1 to 8 bytes, often to the values that break arithmetic. */
function scramble(bytes: Uint8Array, random: Seeded): void {
  const extremes = [0, 1, 0x7f, 0x80, 0xff]
  // Half of the changes go to the directory and the footer.
  const metadata = FOOTER_BYTES + 6 * TOC_ENTRY_BYTES
  for (let change = 1 + random.int(3); change > 0; change--) {
    const from = random.int(2) === 0 ? 0 : bytes.length - metadata
    const at = from + random.int(bytes.length - from)
    const value = extremes[random.int(6)] ?? random.int(256)
    bytes.fill(value, at, at + 1 + random.int(8))
  }
}

describe('a forged file', () => {
  it('makes some content or a coded error, whatever is changed', () => {
    const codes = new Map<string, number>()
    const note = (result: object) => {
      const code = 'code' in result ? String(result.code) : 'content'
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }
    for (let seed = 0; seed < 4000; seed++) {
      const change = (bytes: Uint8Array) => scramble(bytes, seeded(seed))
      try {
        note(forged(segment, change, readSegment))
        note(forged(tombstones, change, readIds))
        note(forged(partition, change, readHomes))
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error })
      }
    }
    // The changes reach all kinds of checks, so none of them hides the others.
    const met = [
      'CORRUPT_BOUNDS',
      'CORRUPT_DECODE',
      'CORRUPT_IDENTITY',
      'CORRUPT_MAGIC',
      'FORMAT_VERSION',
      'FORMAT_FEATURE',
    ]
    for (const code of met) expect(codes.get(`DRIFT_${code}`), code).toBeGreaterThan(5)
    expect(codes.get('content')).toBeGreaterThan(100)
  })

  it.each<[string, number, number, number]>([
    ['number of values', SectionKind.vectors, 8, 0xffff_ffff],
    ['number of blocks', SectionKind.vectors, 12, 2],
    ['exception count', SectionKind.vectors, 32, 1],
    ['number of ids', SectionKind.ids, 0, 0xffff_ffff],
    ['id that starts after its end', SectionKind.ids, 8, 0x7fff_ffff],
    ['id that is absent', SectionKind.ids, 4, 0x8000_0000],
    ['payload that ends outside', SectionKind.payload, 4 + 6 * 4, 0x7fff_ffff],
    ['quantizer of another content', SectionKind.quantizer, 12, 0],
    ['number of rows in the statistics', SectionKind.stats, 0, 7],
    ['digest of the ids', SectionKind.stats, 24, 0],
    ['number of filter bits', SectionKind.bloom, 8, 0xffff_fff0],
  ])('is refused for its %s', (_, section, at, value) => {
    const change = (bytes: Uint8Array, sectionAt: (kind: number) => number) =>
      viewOf(bytes).setUint32(sectionAt(section) + at, value, true)
    expect(forged(segment, change, readSegment)).toEqual({ code: 'DRIFT_CORRUPT_DECODE' })
  })

  const { vectors, ids, bloom, stats, homes } = SectionKind
  const [CODE_BOUNDS, CODE_DECODE] = ['DRIFT_CORRUPT_BOUNDS', 'DRIFT_CORRUPT_DECODE']
  it.each<[string, number, number, number, string]>([
    ['section that starts between two multiples of 64', vectors, 8, 4097, CODE_BOUNDS],
    ['section that starts in the header', vectors, 8, 0, CODE_BOUNDS],
    ['section longer than the file', vectors, 16, 0xffff_ff00, CODE_BOUNDS],
    ['section of 2^53 bytes', vectors, 20, 0x0020_0000, CODE_BOUNDS],
    ['section that reaches into the next', ids, 16, 0x800, CODE_BOUNDS],
    ['last section longer than the file', ids | INDEX_BIT, 16, 0xffff_ff00, CODE_BOUNDS],
    ['section that is there twice', bloom, 0, stats, CODE_BOUNDS],
    ['section whose lengths differ', stats, 24, 47, CODE_DECODE],
    ['row count of a section', ids, 40, 7, CODE_DECODE],
    ['page size that splits a row', vectors, 36, 13, CODE_DECODE],
    ['page size of 0', vectors, 36, 0, CODE_DECODE],
  ])('is refused for a %s', (_, section, field, value, code) => {
    const change = (bytes: Uint8Array, _sectionAt: unknown, entryAt: (kind: number) => number) =>
      viewOf(bytes).setUint32(entryAt(section) + field, value, true)
    // Without a walk of the checksums, which would find some of them by accident.
    expect(forged(segment, change, (from, entry) => contentOfFile(from, entry))).toEqual({ code })
  })

  it.each([
    ['first page that does not come first', 0, 1],
    ['last page that starts after the section', 9 * 12, 0xffff_ffff],
    ['page that starts before the one before', 24, 1],
    ['page of no rows', 8, 0],
    ['page of more rows than there are', 8, 7000],
  ])('is refused for a %s', (_, field, value) => {
    const change = (bytes: Uint8Array, sectionAt: (kind: number) => number) =>
      viewOf(bytes).setUint32(sectionAt(vectors | INDEX_BIT) + field, value, true)
    expect(forged(large, change, readSegment)).toEqual({ code: CODE_BOUNDS })
  })

  it.each([
    ['element type', 44, 2],
    ['metric', 45, 4],
    ['normalised flag', 46, 2],
    ['file kind', 47, 9],
  ])('is refused for the %s in its header', (_, at, value) => {
    const change = (bytes: Uint8Array) => viewOf(bytes).setUint8(at, value)
    expect(forged(segment, change, readSegment)).toEqual({ code: CODE_DECODE })
  })

  it('is refused for a filter that misses its ids, and for payloads that were not counted', () => {
    const empty = (bytes: Uint8Array, sectionAt: (kind: number) => number) =>
      bytes.fill(0, sectionAt(bloom) + 32, sectionAt(bloom) + 40)
    expect(forged(segment, empty, readSegment)).toEqual({ code: CODE_DECODE })
    for (const field of [32, 40]) {
      const count = (bytes: Uint8Array, sectionAt: (kind: number) => number) =>
        viewOf(bytes).setUint32(sectionAt(stats) + field, 1, true)
      expect(forged(segment, count, readSegment)).toEqual({ code: CODE_DECODE })
    }
  })

  it.each([
    ['more segments than there are', 0, 0xffff_ffff],
    ['fewer segments than there are', 0, 2],
    ['more rows than there are', 8 + 16, 0xffff],
    ['fewer rows than there are', 8 + 16, 39],
    ['a home outside of the centroids', 8 + 3 * 24, 5],
  ])('that is a checkpoint is refused for %s', (_, at, value) => {
    const change = (bytes: Uint8Array, sectionAt: (kind: number) => number) =>
      viewOf(bytes).setUint32(sectionAt(homes) + at, value, true)
    expect(forged(partition, change, readHomes)).toEqual({ code: CODE_DECODE })
  })

  it('is refused for a length that no memory holds, when metadata do not fit the first read', () => {
    for (const kind of [vectors, SectionKind.quantizer]) {
      const change = (bytes: Uint8Array, _sectionAt: unknown, entryAt: (kind: number) => number) => {
        viewOf(bytes).setUint32(entryAt(kind) + 20, 0x1000, true)
        viewOf(bytes).setUint32(entryAt(kind) + 28, 0x1000, true)
      }
      expect(forged(large, change, readSegment)).toEqual({ code: CODE_BOUNDS })
    }
  })
})

describe('a file of a later version', () => {
  const footerAt = bytesOf(disk, 's').length - FOOTER_BYTES
  it.each([
    ['major version in the footer', footerAt + 48, 2, 'DRIFT_FORMAT_VERSION'],
    ['feature in the footer', footerAt + 52, 1, 'DRIFT_FORMAT_FEATURE'],
    ['major version in the header', 8, 2, 'DRIFT_FORMAT_VERSION'],
    ['feature in the header', 48, 1, 'DRIFT_FORMAT_FEATURE'],
  ])('is refused by its %s, as no damage', (_, at, value, code) => {
    expect(forged(segment, bytes => bytes.fill(value, at, at + 1), readSegment)).toEqual({ code })
  })

  it('is refused for a page codec that is unknown, as no damage', () => {
    const change = (bytes: Uint8Array, sectionAt: (kind: number) => number) =>
      viewOf(bytes).setUint8(sectionAt(SectionKind.vectors), 9)
    expect(forged(segment, change, readSegment)).toEqual({ code: 'DRIFT_FORMAT_FEATURE' })
  })

  it.each([
    ['minor version in the footer', footerAt + 50],
    ['minor version in the header', 10],
    ['compatible feature', 12],
  ])('is read in spite of its %s', (_, at) => {
    expect(forged(segment, bytes => bytes.fill(9, at, at + 1), readSegment)).toHaveProperty('value')
  })

  it('is read without the optional sections that are unknown, and refused for a critical one', () => {
    const write = (critical: boolean, name: string) => {
      const header = { kind: FileKind.segment, uuid: uuidOf(3), createdMs: 0, dim: 0 }
      const writer = SectionWriter.create(disk, FOLDER, name, header)
      writer.add({ kind: 77, critical, items: 1 }, ascii('new'))
      writer.addPaged({ kind: 78, critical, items: 1 }, 64, [
        { bytes: ascii('page'), logicalBytes: 4, items: 1 },
      ])
      writer.add({ kind: SectionKind.stats, items: 1 }, ascii('known'))
      return writer.finish(0)
    }
    const file = SectionReader.open(disk, `${FOLDER}/${write(false, 'optional').name}`, FileKind.segment)
    expect(file.has(77)).toBe(false)
    expect(file.section(SectionKind.stats)).toEqual(ascii('known'))
    file.verify()
    file.close()
    const { name } = write(true, 'critical')
    const open = () => SectionReader.open(disk, `${FOLDER}/${name}`, FileKind.segment)
    expect(outcome(open)).toEqual({ code: 'DRIFT_FORMAT_FEATURE' })
  })

  it('is not passed over when it is a manifest: no older one is taken instead', () => {
    const first = encodeManifest(manifest(1), 0)
    const { bytes } = encodeManifest(manifest(2), first.crc)
    const later = diskWith(manifestName(2), bytes)
    viewOf(bytes).setUint16(8, 2, true)
    viewOf(bytes).setUint32(bytes.length - 12, kernels.crc32c(bytes.subarray(0, -12)), true)
    const fd = later.open(`${FOLDER}/${manifestName(2)}`, 'write')
    later.write(fd, bytes, 0)
    const before = later.open(`${FOLDER}/${manifestName(1)}`, 'create')
    later.write(before, first.bytes, 0)
    expect(outcome(() => loadManifest(later, FOLDER))).toEqual({ code: 'DRIFT_FORMAT_VERSION' })
  })
})
