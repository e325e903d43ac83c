/** Proves that an index file gives back its columns to the byte, or refuses: cut off anywhere, changed in any bit, or made of another size. */
import { SimFs } from '@drift/fs'
import { blockBytes, paddedDim } from '@drift/native'
import { describe, expect, it } from 'vitest'
import { FOLDER, segmentInput, uuidOf } from '../test/fixture.js'
import { seeded } from '../test/seeded.js'
import { INDEX_COLUMNS, IndexFile, type IndexFileInput, NO_ROW, writeIndexFile } from './index-file.js'
import { SegmentReader } from './segment/reader.js'
import type { FileEntry } from './segment/section-writer.js'
import { writeSegment } from './segment/writer.js'

const DIM = 3

function input(rows = 5, seed = 1): IndexFileInput {
  const random = seeded(seed)
  const sizes = { rows, buckets: 2, blocks: 1, idTextWords: 7, codebookValues: 9 }
  const padded = paddedDim(DIM)
  const bytes = (length: number) => Uint8Array.from({ length }, () => random.int(256))
  return {
    uuid: uuidOf(seed),
    dim: DIM,
    lsn: 77,
    quantizerId: 0xfedc_ba98_7654_3210n,
    sizes,
    columns: {
      codes: bytes(rows * padded),
      factors: bytes(rows * 8),
      homes: bytes(rows * 4),
      seconds: bytes(rows * 4),
      idKinds: bytes(rows),
      idWords: bytes(rows * 8),
      idText: bytes(28),
      centroids: bytes(2 * padded * 4),
      center: bytes(padded * 4),
      heads: bytes(8),
      entries: bytes(8),
      next: bytes(4),
      blocks: bytes(blockBytes(padded)),
      codebooks: bytes(36),
    },
    learned: bytes(rows * 5),
    segments: [
      { segment: uuidOf(8), places: Uint32Array.from({ length: rows }, (_, i) => (i % 2 ? NO_ROW : i)) },
      { segment: uuidOf(9), places: new Uint32Array(0) },
    ],
  }
}

/** Strings are compared a thousand times as fast as arrays. */
function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

function content(disk: SimFs, entry: FileEntry): unknown {
  const file = IndexFile.open(disk, FOLDER, entry)
  try {
    file.verify()
    const { dim, lsn, quantizerId, sizes, segments } = file
    const whole = input(sizes.rows)
    const columns = Object.fromEntries(
      INDEX_COLUMNS.map(column => {
        const into = new Uint8Array(new SharedArrayBuffer(whole.columns[column].length))
        file.read(column, into)
        return [column, textOf(into)]
      }),
    )
    return { dim, lsn, quantizerId, sizes, segments, columns, learned: file.learned() }
  } finally {
    file.close()
  }
}

function written(of: IndexFileInput): { disk: SimFs; entry: FileEntry; bytes: Uint8Array } {
  const disk = new SimFs()
  disk.makeFolder(FOLDER)
  const entry = writeIndexFile(disk, FOLDER, 'index', of)
  const bytes = new Uint8Array(entry.bytes)
  const fd = disk.open(`${FOLDER}/index`, 'read')
  disk.read(fd, bytes, 0)
  disk.close(fd)
  return { disk, entry, bytes }
}

function replace(bytes: Uint8Array): SimFs {
  const disk = new SimFs()
  disk.makeFolder(FOLDER)
  const fd = disk.open(`${FOLDER}/index`, 'create')
  disk.write(fd, bytes, 0)
  disk.close(fd)
  return disk
}

describe('an index file', () => {
  it.each([0, 1, 5, 9000])('of %i rows round-trips, into shared memory', rows => {
    const { disk, entry } = written(input(rows))
    const { uuid: _, columns, ...whole } = input(rows)
    const texts = Object.fromEntries(INDEX_COLUMNS.map(column => [column, textOf(columns[column])]))
    expect(content(disk, entry)).toEqual({ ...whole, columns: texts })
  })

  it('may say nothing of what was learned', () => {
    const { learned: _, ...rest } = input()
    const { disk, entry } = written(rest)
    expect(content(disk, entry)).toMatchObject({ learned: undefined, lsn: 77 })
  })

  it('may have no codebooks', () => {
    const whole = input()
    const { disk, entry } = written({
      ...whole,
      sizes: { ...whole.sizes, codebookValues: 0 },
      columns: { ...whole.columns, codebooks: new Uint8Array(0) },
    })
    const file = IndexFile.open(disk, FOLDER, entry)
    file.verify()
    expect(file.sizes).toEqual({ ...whole.sizes, codebookValues: 0 })
    file.close()
  })

  it('is refused when it is cut off at any byte or a bit of it is wrong', () => {
    const { disk, entry, bytes } = written(input())
    const whole = content(disk, entry)
    for (let length = 0; length < bytes.length; length += 13) {
      expect(() => content(replace(bytes.slice(0, length)), entry), `${length} bytes`).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^DRIFT_CORRUPT_/) }),
      )
    }
    for (let at = 0; at < bytes.length; at++) {
      const wrong = bytes.slice()
      wrong[at]! ^= 1 << (at % 8)
      expect(() => content(replace(wrong), entry), `byte ${at}`).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^DRIFT_(CORRUPT|FORMAT)_/) }),
      )
    }
    expect(content(replace(bytes), entry)).toEqual(whole)
  })

  it('is not another one, nor of another kind', () => {
    const one = written(input(5, 1))
    const other = written(input(5, 2))
    const misplaced = expect.objectContaining({ code: 'DRIFT_CORRUPT_IDENTITY' })
    expect(() => IndexFile.open(one.disk, FOLDER, other.entry)).toThrow(misplaced)
    const segment = writeSegment(one.disk, FOLDER, 'segment', segmentInput({ rows: 6, dim: 4 }))
    expect(() => IndexFile.open(one.disk, FOLDER, segment)).toThrow(misplaced)
  })

  it('is not written with a column of another size, and not read into one', () => {
    const { columns, ...rest } = input()
    const { disk, entry } = written(input())
    const wrong = { ...rest, columns: { ...columns, homes: new Uint8Array(4) } }
    const refused = expect.objectContaining({ code: 'DRIFT_ARGUMENT' })
    expect(() => writeIndexFile(disk, FOLDER, 'wrong', wrong)).toThrow(refused)
    const file = IndexFile.open(disk, FOLDER, entry)
    const decode = expect.objectContaining({ code: 'DRIFT_CORRUPT_DECODE' })
    expect(() => file.read('homes', new Uint8Array(24))).toThrow(decode)
    file.close()
  })
})

describe('origins', () => {
  it('come back as they were written, and a segment has none when it got none', () => {
    const disk = new SimFs()
    disk.makeFolder(FOLDER)
    const rows = segmentInput({ rows: 6, dim: 4 }).ids.length
    const places = Uint32Array.from({ length: 2 * rows }, (_, i) => (i % 2 ? 100 + i : i % 4 ? 1 : 0))
    const origins = { segments: [uuidOf(3), uuidOf(4)], places }
    const entry = writeSegment(disk, FOLDER, 'with', { ...segmentInput({ rows: 6, dim: 4 }), origins })
    const reader = SegmentReader.open(disk, FOLDER, entry)
    expect(reader.origins()).toEqual(origins)
    reader.verify()
    reader.close()
    const plain = SegmentReader.open(
      disk,
      FOLDER,
      writeSegment(disk, FOLDER, 'without', segmentInput({ rows: 6, dim: 4 })),
    )
    expect(plain.origins()).toBeUndefined()
    plain.close()
    const outside = { segments: [uuidOf(3)], places }
    const forged = writeSegment(disk, FOLDER, 'forged', {
      ...segmentInput({ rows: 6, dim: 4 }),
      origins: outside,
    })
    const bad = SegmentReader.open(disk, FOLDER, forged)
    expect(() => bad.origins()).toThrow(expect.objectContaining({ code: 'DRIFT_CORRUPT_DECODE' }))
    bad.close()
  })
})
