/**
 * Proves that no damage to a file passes unseen: each flipped bit, each truncation, each moved or lost block, each foreign part gives a
 * coded error or the very content that was written; and that walking the checksums finds every one of them.
 */
import { SimFs } from '@drift/fs'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  commitManifest,
  type FileEntry,
  loadManifest,
  manifestName,
  readCheckpoint,
  readTombstones,
  type SegmentEntry,
  SegmentReader,
  type TombstoneEntry,
  writeCheckpoint,
  writeSegment,
  writeTombstones,
} from '../src/index.js'
import { FOOTER_BYTES, HEADER_BYTES, SectionKind } from '../src/segment/format.js'
import { bytesOf, diskWith, layoutOf, outcome } from './damage.js'
import { checkpoint, contentOf, contentOfFile, FOLDER, hex, manifest, segmentInput } from './fixture.js'
import { seeded } from './seeded.js'

interface Kind {
  readonly what: string
  /** Another seed is another file of the same shape. */
  write(disk: SimFs, seed: number): FileEntry
  /** All content in comparable form, without more checks than a reader makes by itself. */
  read(disk: SimFs, entry: FileEntry): string
  /** The same with every checksum walked. */
  verify(disk: SimFs, entry: FileEntry): string
}

const tombstoneIds = (seed: number) => segmentInput({ rows: 9, dim: 1, seed }).ids
const readHex = (disk: SimFs, entry: FileEntry) =>
  JSON.stringify(readTombstones(disk, FOLDER, entry as TombstoneEntry).map(hex))
const readHomes = (disk: SimFs, entry: FileEntry) => {
  const { centroids, homes, ...rest } = readCheckpoint(disk, FOLDER, entry)
  const plain = homes.map(({ segment, homes: of }) => [segment, [...of]])
  return JSON.stringify([rest, [...centroids], plain])
}
const readManifest = (disk: SimFs) => JSON.stringify(loadManifest(disk, FOLDER)!.manifest)

const KINDS: readonly Kind[] = [
  {
    what: 'segment',
    write: (disk, seed) => writeSegment(disk, FOLDER, 'file', segmentInput({ rows: 6, dim: 3, seed })),
    read: (disk, entry) => {
      const reader = SegmentReader.open(disk, FOLDER, entry as SegmentEntry)
      const missed = reader.ids().filter(id => !reader.mightContain(id))
      const content = JSON.stringify([contentOf(reader), missed])
      reader.close()
      return content
    },
    verify: (disk, entry) => JSON.stringify([contentOfFile(disk, entry as SegmentEntry, true), []]),
  },
  {
    what: 'tombstone file',
    write: (disk, seed) => {
      const input = { uuid: `${seed}`.padStart(32, '0'), ids: tombstoneIds(seed), lsnLow: 1, lsnHigh: 2 }
      return writeTombstones(disk, FOLDER, 'file', input)
    },
    read: readHex,
    verify: readHex,
  },
  {
    what: 'checkpoint',
    write: (disk, seed) => writeCheckpoint(disk, FOLDER, 'file', checkpoint(seed)),
    read: readHomes,
    verify: readHomes,
  },
  {
    what: 'manifest',
    write: (disk, seed) => {
      const footerCrc = commitManifest(disk, FOLDER, manifest(7, { floorLsn: seed }), 0)
      const name = manifestName(7)
      return { name, uuid: '', bytes: disk.stat(`${FOLDER}/${name}`)!.bytes, footerCrc }
    },
    read: readManifest,
    verify: readManifest,
  },
]

describe.each(KINDS)('a $what', kind => {
  let entry: FileEntry
  let whole: Uint8Array
  let other: Uint8Array
  let content: string

  beforeAll(() => {
    const [disk, second] = [new SimFs(), new SimFs()]
    for (const each of [disk, second]) each.makeFolder(FOLDER)
    entry = kind.write(disk, 1)
    whole = bytesOf(disk, entry.name)
    other = bytesOf(second, kind.write(second, 2).name)
    content = kind.read(disk, entry)
    expect(kind.verify(disk, entry)).toBe(content)
    expect(other.length).toBe(whole.length)
  })

  /** A walk of the checksums refuses it; reading refuses it or gives the same. @returns the code of the refusal. */
  function expectFound(bytes: Uint8Array, what: string): string {
    const verified = outcome(() => kind.verify(diskWith(entry.name, bytes), entry))
    if (!('code' in verified)) expect.unreachable(`${what} is not found`)
    const read = outcome(() => kind.read(diskWith(entry.name, bytes), entry))
    if ('value' in read && read.value !== content) expect.unreachable(`${what} gives other content`)
    return verified.code
  }

  it('shows every flipped bit', () => {
    const bytes = whole.slice()
    // Zeros between sections are looked at by one test alone: there, one bit of each byte shows it.
    const inGap = (at: number) => bytes.subarray(Math.max(0, at - 64), at + 64).every(byte => byte === 0)
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of inGap(at) ? [at % 8] : [0, 1, 2, 3, 4, 5, 6, 7]) {
        bytes[at]! ^= 1 << bit
        expectFound(bytes, `bit ${bit} of byte ${at}`)
        bytes[at]! ^= 1 << bit
      }
    }
  })

  it('shows every truncation', () => {
    for (let length = 0; length < whole.length; length++) {
      expectFound(whole.subarray(0, length), `truncation to ${length} bytes`)
    }
  })

  it('shows that it has grown', () => {
    const random = seeded(1)
    for (const more of [1, 48, 64, 4096]) {
      expectFound(new Uint8Array([...whole, ...new Uint8Array(more)]), `${more} zeros more`)
      expectFound(new Uint8Array([...whole, ...random.bytes(more)]), `${more} bytes more`)
    }
    expectFound(new Uint8Array([...whole, ...whole]), 'a second copy')
  })

  it('shows blocks of 64 and 512 bytes that were swapped, lost or came from another file', () => {
    for (const size of [64, 512]) {
      for (let to = 0; to < whole.length; to += size) {
        const change = (source: Uint8Array, what: string) => {
          const bytes = whole.slice()
          const original = bytes.slice(to, to + size)
          bytes.set(source.subarray(0, original.length), to)
          if (hex(bytes) !== hex(whole)) expectFound(bytes, `${size} bytes at ${to} ${what}`)
        }
        change(new Uint8Array(size), 'zeroed')
        change(other.subarray(to, to + size), 'of another file')
        for (let from = 0; from < to; from += size) change(whole.subarray(from, from + size), `from ${from}`)
      }
    }
  })

  it('of the same shape in its place is another file', () => {
    if (kind.what === 'manifest') return
    expect(expectFound(other, 'another file')).toBe('DRIFT_CORRUPT_IDENTITY')
    const mixed = other.slice()
    mixed.set(whole.subarray(0, -FOOTER_BYTES))
    expectFound(mixed, 'the footer of another file')
    const headed = whole.slice()
    headed.set(other.subarray(0, HEADER_BYTES))
    expect(expectFound(headed, 'the header of another file')).toBe('DRIFT_CORRUPT_IDENTITY')
  })

  it('is not read from random bytes', () => {
    const random = seeded(2)
    for (let i = 0; i < 300; i++) {
      const bytes = random.bytes(random.int(400))
      expectFound(bytes, `random bytes ${i}`)
      const framed = whole.slice()
      framed.set(random.bytes(random.int(whole.length - 128)), 64)
      if (hex(framed) !== hex(whole)) expectFound(framed, `random middle ${i}`)
    }
  })

  it('is not read from a folder', () => {
    const disk = new SimFs()
    disk.makeFolder(FOLDER)
    disk.makeFolder(`${FOLDER}/${entry.name}`)
    expect(outcome(() => kind.read(disk, entry))).toHaveProperty('code')
  })

  it('of another kind in its place is refused', () => {
    for (const foreign of KINDS.filter(each => each !== kind)) {
      const disk = new SimFs()
      disk.makeFolder(FOLDER)
      expectFound(bytesOf(disk, foreign.write(disk, 1).name), `a ${foreign.what}`)
    }
  })
})

describe('a segment of many pages', () => {
  const disk = new SimFs()
  disk.makeFolder(FOLDER)
  const input = segmentInput({ rows: 8, dim: 2048, payloadBytes: 40_000 })
  const entry = writeSegment(disk, FOLDER, 'file', input)
  const whole = bytesOf(disk, 'file')
  const sectionAt = (kind: number) => layoutOf(whole).entries.find(each => each.kind === kind)!
  const pageBytes = 64 + 2 * 2048 * 4

  it('shows two whole pages that changed places', () => {
    const { offset } = sectionAt(SectionKind.vectors)
    const bytes = whole.slice()
    bytes.copyWithin(offset, offset + pageBytes, offset + 2 * pageBytes)
    bytes.set(whole.subarray(offset, offset + pageBytes), offset + pageBytes)
    expect(outcome(() => contentOfFile(diskWith('file', bytes), entry))).toEqual({
      code: 'DRIFT_CORRUPT_CRC',
    })
  })

  it('still gives every row of every page but the damaged ones', () => {
    const bytes = whole.slice()
    bytes[sectionAt(SectionKind.vectors).offset + pageBytes + 100]! ^= 1
    bytes[sectionAt(SectionKind.payload).offset + 20]! ^= 1
    const reader = SegmentReader.open(diskWith('file', bytes), FOLDER, entry)
    const row = new Float32Array(2048)
    const rows = input.ids.map((_, i) => outcome(() => reader.readVectors(i, 1, row)))
    expect(rows.map(each => 'value' in each)).toEqual([true, true, false, false, true, true, true, true])
    const payloads = input.ids.map((_, i) => outcome(() => reader.payload(i)))
    expect(payloads.filter(each => 'code' in each)).not.toEqual([])
    expect(payloads.filter(each => 'value' in each)).not.toEqual([])
    expect(reader.ids()).toEqual(input.ids)
    expect(() => reader.verify()).toThrow(expect.objectContaining({ code: 'DRIFT_CORRUPT_CRC' }))
    reader.close()
  })

  it('with a damaged id filter answers from the ids, and says so', () => {
    const bytes = whole.slice()
    bytes[sectionAt(SectionKind.bloom).offset + 33]! ^= 1
    const reader = SegmentReader.open(diskWith('file', bytes), FOLDER, entry)
    expect(reader.filterDamage).toMatchObject({
      code: 'DRIFT_CORRUPT_CRC',
      details: { section: SectionKind.bloom },
    })
    expect(input.ids.filter(id => !reader.mightContain(id))).toEqual([])
    expect(reader.mightContain(Uint8Array.of(1, 2, 3))).toBe(false)
    expect(() => reader.verify()).toThrow(expect.objectContaining({ code: 'DRIFT_CORRUPT_CRC' }))
    reader.close()
  })

  it.each<[string, Partial<SegmentEntry>]>([
    ['length', { bytes: entry.bytes + 1 }],
    ['uuid', { uuid: 'f'.repeat(32) }],
    ['footer CRC', { footerCrc: entry.footerCrc ^ 1 }],
    ['row count', { rows: 9 }],
    ['first LSN', { lsnLow: 9 }],
    ['last LSN', { lsnHigh: 19 }],
  ])('is refused by a manifest that names another %s', (_, change) => {
    const opened = outcome(() => SegmentReader.open(disk, FOLDER, { ...entry, ...change }))
    expect(opened).toEqual({ code: 'DRIFT_CORRUPT_IDENTITY' })
  })

  it('that is missing is a failure of the disk, not damage', () => {
    const missing = { ...entry, name: 'other' }
    expect(() => SegmentReader.open(disk, FOLDER, missing)).toThrow(
      expect.objectContaining({ code: 'DRIFT_FS_ENOENT' }),
    )
  })
})
