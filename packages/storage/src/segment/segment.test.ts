/** Proves that a segment gives back what was written, bit for bit, on real files, and what its cache and filter promise. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NodeFs, SimFs } from '@drift/fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ascii, contentOf, contentOfFile, contentOfInput, FOLDER, segmentInput } from '../../test/fixture.js'
import { seeded } from '../../test/seeded.js'
import { type SegmentEntry, type SegmentInput, SegmentReader, writeSegment } from '../index.js'

const fs = new NodeFs()
let folder: string
let files = 0

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'drift-segment-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function write(input: SegmentInput): SegmentEntry {
  return writeSegment(fs, folder, `s-${files++}.drift`, input)
}

function open(entry: SegmentEntry, payloadCacheBytes?: number): SegmentReader {
  return SegmentReader.open(fs, folder, entry, payloadCacheBytes === undefined ? {} : { payloadCacheBytes })
}

/** Written, read back, compared and verified. */
function roundTrip(input: SegmentInput & { vectors: Float32Array }): SegmentReader {
  const entry = write(input)
  const reader = open(entry)
  expect(contentOf(reader)).toEqual(contentOfInput(input))
  expect(entry).toMatchObject({
    uuid: input.uuid,
    rows: input.ids.length,
    lsnLow: input.lsnLow,
    lsnHigh: input.lsnHigh,
  })
  expect(input.ids.filter(id => !reader.mightContain(id))).toEqual([])
  reader.verify()
  reader.close()
  return reader
}

describe('a segment', () => {
  const dims = [1, 3, 128, 384, 5000]
  it.each(dims.flatMap(dim => [0, 1, 2, 77].map(rows => [rows, dim])))(
    'of %d rows of %d values round-trips',
    (rows, dim) => {
      roundTrip(segmentInput({ rows: rows!, dim: dim! }))
      roundTrip(segmentInput({ rows: rows!, dim: dim!, payloadBytes: 0 }))
    },
  )

  it('of many rows round-trips, its rows spread over many pages and chunks', () => {
    roundTrip(segmentInput({ rows: 5000, dim: 16, payloadBytes: 300 }))
  })

  it('round-trips payloads around the size of a chunk, and tells absent from empty', () => {
    const random = seeded(3)
    const lengths = [undefined, 0, 1, 65_535, undefined, 65_536, 65_537, 0, 200_000, undefined]
    const payloads = lengths.map(length => (length === undefined ? undefined : random.bytes(length)))
    roundTrip({ ...segmentInput({ rows: lengths.length, dim: 4 }), payloads })
  })

  it('in which no row has a payload says so for each', () => {
    const input = { ...segmentInput({ rows: 3, dim: 4 }), payloads: [undefined, undefined, undefined] }
    expect(roundTrip(input).stats).toMatchObject({ payloadRows: 0, payloadBytes: 0 })
  })

  it('round-trips ids from 0 bytes to 1 KiB, of any bytes', () => {
    const random = seeded(4)
    const ids = [0, 1, 16, 255, 1024].map(length => random.bytes(length))
    roundTrip({ ...segmentInput({ rows: ids.length, dim: 2 }), ids })
  })

  it('keeps the bits of NaNs, infinities, zeros of both signs and subnormals', () => {
    const input = segmentInput({ rows: 2, dim: 5 })
    const bits = [
      0x7fc0_0001, 0xff80_0001, 0x7f80_0000, 0xff80_0000, 0x8000_0000, 0, 1, 0x8000_0001, 0x7f7f_ffff,
      0x7fa0_1234,
    ]
    new Uint32Array(input.vectors.buffer).set(bits)
    roundTrip(input)
  })

  it('takes vectors one by one from a function that reuses its buffer', () => {
    const input = segmentInput({ rows: 9, dim: 700 })
    const row = new Float32Array(700)
    const entry = write({
      ...input,
      vectors: i => {
        row.set(input.vectors.subarray(i * 700, (i + 1) * 700))
        return row
      },
    })
    expect(entry.footerCrc).toBe(write(input).footerCrc)
  })

  it('says whether its vectors are normalised', () => {
    const normalised = [undefined, false, true].map(given => {
      const input = segmentInput({ rows: 1, dim: 1 })
      const reader = open(write(given === undefined ? input : { ...input, normalised: given }))
      reader.close()
      return reader.normalised
    })
    expect(normalised).toEqual([false, false, true])
  })

  it('gives any range of rows, also into shared memory', () => {
    const input = segmentInput({ rows: 300, dim: 100 })
    const reader = open(write(input))
    for (const [first, count] of [
      [0, 1],
      [39, 2],
      [40, 40],
      [41, 200],
      [299, 1],
      [300, 0],
    ] as const) {
      const into = new Float32Array(new SharedArrayBuffer(count * 400 + 400), 400)
      reader.readVectors(first, count, into)
      expect(into).toEqual(input.vectors.subarray(first * 100, (first + count) * 100))
    }
    reader.close()
  })

  it('shares payload chunks among hits, keeps few of them, and hands out copies', () => {
    const input = segmentInput({ rows: 400, dim: 2, payloadBytes: 3000 })
    const disk = new SimFs()
    disk.makeFolder(FOLDER)
    const reader = SegmentReader.open(disk, FOLDER, writeSegment(disk, FOLDER, 'a.drift', input), {
      payloadCacheBytes: 150_000,
    })
    const operations = (read: () => void): number => {
      const before = disk.operationCount
      read()
      return disk.operationCount - before
    }
    // Rows 0, 99 and 201 are in chunks apart, and there is room for two.
    reader.payload(399)
    const rows = [0, 3, 99, 0, 201, 0, 99, 201]
    expect(rows.map(row => operations(() => reader.payload(row)))).toEqual([1, 0, 1, 0, 1, 0, 1, 1])
    const copy = reader.payload(0)!
    copy.fill(0)
    expect(reader.payload(0)).toEqual(input.payloads![0])
    reader.close()
  })

  it('reads one row with one read of one page', () => {
    const disk = new SimFs()
    disk.makeFolder(FOLDER)
    const reader = SegmentReader.open(
      disk,
      FOLDER,
      writeSegment(disk, FOLDER, 'a.drift', segmentInput({ rows: 500, dim: 384 })),
    )
    reader.readVectors(0, 1, new Float32Array(384))
    const before = disk.operationCount
    reader.readVectors(321, 1, new Float32Array(384))
    expect(disk.operationCount - before).toBe(1)
    reader.close()
  })

  it('says no for most ids that it does not hold, and sizes its filter by the rate asked for', () => {
    const input = segmentInput({ rows: 1000, dim: 1 })
    const rate = (entry: SegmentEntry): number => {
      const reader = open(entry)
      const hits = Array.from({ length: 5000 }, (_, i) => reader.mightContain(ascii(`other-${i}`))).filter(
        Boolean,
      )
      reader.close()
      return hits.length / 5000
    }
    expect(rate(write(input))).toBeLessThan(0.02)
    expect(rate(write({ ...input, idFilterRate: 0.2 }))).toBeGreaterThan(0.1)
  })

  it('leaves nothing but its file in the folder, and replaces what an earlier attempt left', () => {
    const disk = new SimFs()
    disk.makeFolder(FOLDER)
    disk.close(disk.open(`${FOLDER}/a.drift.tmp`, 'create'))
    const input = segmentInput({ rows: 3, dim: 3 })
    writeSegment(disk, FOLDER, 'a.drift', segmentInput({ rows: 30, dim: 3 }))
    const entry = writeSegment(disk, FOLDER, 'a.drift', input)
    expect(disk.list(FOLDER)).toEqual(['a.drift'])
    expect(contentOfFile(disk, entry)).toEqual(contentOfInput(input))
    expect(readdirSync(folder).filter(name => name.endsWith('.tmp'))).toEqual([])
  })

  it('survives a power cut after it was written with syncFolder', () => {
    const disk = new SimFs()
    disk.makeFolder(FOLDER)
    disk.syncFolder('/')
    const input = segmentInput({ rows: 3, dim: 3 })
    const entry = writeSegment(disk, FOLDER, 'a.drift', { ...input, syncFolder: true })
    const after = disk.powerCut({ data: 'none', entries: 'none' })
    expect(contentOfFile(after, entry)).toEqual(contentOfInput(input))
  })

  const input = segmentInput({ rows: 4, dim: 3 })
  it.each<[string, Partial<SegmentInput>]>([
    ['too few vectors', { vectors: new Float32Array(11) }],
    ['a row of another length', { vectors: () => new Float32Array(2) }],
    ['too many payloads', { payloads: new Array(5).fill(undefined) }],
    ['a dim of 0', { dim: 0, vectors: new Float32Array(0) }],
    ['an LSN range upside down', { lsnLow: 9, lsnHigh: 8 }],
    ['a uuid with dashes', { uuid: '00000000-0000-0000-0000-000000000000' }],
    ['a filter that may always say yes', { idFilterRate: 1 }],
  ])('is not written with %s', (_, change) => {
    const disk = new SimFs()
    disk.makeFolder(FOLDER)
    const attempt = () => writeSegment(disk, FOLDER, 'a.drift', { ...input, ...change })
    expect(attempt).toThrow(expect.objectContaining({ code: 'DRIFT_ARGUMENT' }))
    expect(disk.list(FOLDER)).toEqual([])
  })

  it.each(['', '.', '..', 'a/b', '../a', 'a\\b', '.hidden', 'x'.repeat(201)])(
    'is not written as %j',
    name => {
      expect(() => writeSegment(fs, folder, name, input)).toThrow(
        expect.objectContaining({ code: 'DRIFT_ARGUMENT' }),
      )
    },
  )

  it('refuses rows that it does not have, and every call after close', () => {
    const reader = open(write(input))
    const wrong = [
      () => reader.readVectors(3, 2, new Float32Array(6)),
      () => reader.readVectors(-1, 1, new Float32Array(3)),
      () => reader.readVectors(0, 1, new Float32Array(4)),
      () => reader.readVectors(0.5, 1, new Float32Array(3)),
      () => reader.payload(4),
      () => reader.payload(-1),
    ]
    for (const call of wrong) expect(call).toThrow(expect.objectContaining({ code: 'DRIFT_ARGUMENT' }))
    reader.close()
    reader.close()
    for (const call of [
      () => reader.ids(),
      () => reader.readVectors(0, 1, new Float32Array(3)),
      () => reader.verify(),
    ]) {
      expect(call).toThrow(expect.objectContaining({ code: 'DRIFT_CLOSED' }))
    }
  })
})
