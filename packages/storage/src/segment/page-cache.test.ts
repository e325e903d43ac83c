/** Proves that what comes by way of the page cache is what the segments hold, within its bytes, and that a scan does not empty it. */
import { SimFs } from '@drift/fs'
import { expect, it } from 'vitest'
import { FOLDER, segmentInput } from '../../test/fixture.js'
import { seeded } from '../../test/seeded.js'
import { PageCache, SegmentReader, writeSegment } from '../index.js'

const PAGE_BYTES = 16 * 1024
const DIM = 512
/** Of a page. */
const ROWS = 8

/** A segment of so many pages, counting the pages that are read of its file. */
function segmentOf(pages: number, cache: PageCache | undefined, seed = 1) {
  const log: number[] = []
  const disk: SimFs = new SimFs({
    before: operation => {
      if (operation === 'read') log.push(1)
    },
  })
  disk.makeFolder(FOLDER)
  const input = segmentInput({ rows: pages * ROWS, dim: DIM, seed, payloadBytes: 0 })
  const entry = writeSegment(disk, FOLDER, 'a.drift', input)
  const reader = SegmentReader.open(disk, FOLDER, entry, cache ? { pages: cache } : {})
  reader.readVectors(0, 1, new Float32Array(DIM))
  log.length = 0
  const row = new Float32Array(DIM)
  return {
    reader,
    disk,
    reads: () => log.splice(0).length,
    /** Whether the row is what was written. */
    isTrue(at: number): boolean {
      reader.readVector(at, row)
      return Buffer.from(row.buffer).equals(
        Buffer.from(input.vectors.buffer, input.vectors.byteOffset + at * DIM * 4, DIM * 4),
      )
    },
  }
}

it('rows are what was written, whatever comes and goes', () => {
  const cache = new PageCache(10 * PAGE_BYTES)
  const segments = [segmentOf(12, cache, 1), segmentOf(25, cache, 2)]
  const random = seeded(7)
  for (let i = 0; i < 4000; i++) {
    const segment = segments[random.next() < 0.5 ? 0 : 1]!
    // Mostly of a few pages.
    const page = Math.floor(random.next() ** 3 * (segment.reader.rows / ROWS))
    expect(segment.isTrue(page * ROWS + random.int(ROWS))).toBe(true)
    expect(cache.stats.bytes).toBeLessThanOrEqual(10 * PAGE_BYTES)
  }
  const { hits, misses } = cache.stats
  expect(hits + misses).toBe(4000)
  expect(misses).toBe(segments.reduce((sum, { reads }) => sum + reads(), 0))
  expect(hits).toBeGreaterThan(1000)
})

it('a row of a page that is held reads nothing', () => {
  const { isTrue, reads } = segmentOf(4, new PageCache(4 * PAGE_BYTES))
  for (let row = 0; row < 4 * ROWS; row++) expect(isTrue(row)).toBe(true)
  expect(reads()).toBe(4)
  for (let row = 0; row < 4 * ROWS; row++) expect(isTrue(row)).toBe(true)
  expect(reads()).toBe(0)
})

it('pages that are asked for again stay through a scan of everything', () => {
  const { isTrue, reads } = segmentOf(200, new PageCache(40 * PAGE_BYTES))
  const hot = Array.from({ length: 20 }, (_, page) => page * ROWS)
  for (let round = 0; round < 4; round++) for (const row of hot) isTrue(row)
  for (let page = 20; page < 200; page++) isTrue(page * ROWS)
  reads()
  for (const row of hot) expect(isTrue(row)).toBe(true)
  expect(reads()).toBe(0)
})

it('a page that is asked for soon after it went comes to stay', () => {
  const { isTrue, reads } = segmentOf(200, new PageCache(40 * PAGE_BYTES))
  for (let page = 0; page < 60; page++) isTrue(page * ROWS)
  // The first ones went, and are met again, once.
  for (let page = 0; page < 20; page++) isTrue(page * ROWS)
  for (let page = 60; page < 200; page++) isTrue(page * ROWS)
  reads()
  for (let page = 0; page < 20; page++) isTrue(page * ROWS)
  expect(reads()).toBe(0)
})

it('the pages of closed segments make room for those of an open one', () => {
  const cache = new PageCache(60 * PAGE_BYTES)
  for (let seed = 1; seed <= 5; seed++) {
    const { isTrue, reads, reader } = segmentOf(40, cache, seed)
    // As often as those before, which count no more.
    for (let i = 0; i < 5; i++) for (let page = 0; page < 40; page++) isTrue(page * ROWS)
    reads()
    for (let page = 0; page < 40; page++) expect(isTrue(page * ROWS)).toBe(true)
    expect(reads()).toBe(0)
    reader.close()
  }
})

it('a damaged page is refused each time and takes no place', () => {
  const cache = new PageCache(3 * PAGE_BYTES)
  const { disk, reader, isTrue } = segmentOf(4, cache)
  const path = `${FOLDER}/a.drift`
  const fd = disk.open(path, 'write')
  // The first page begins behind the header.
  const bytes = new Uint8Array(disk.stat(path)!.bytes)
  disk.read(fd, bytes, 0)
  const at = 4096 + 200
  disk.write(
    fd,
    bytes.subarray(at, at + 1).map(byte => byte ^ 4),
    at,
  )
  for (let i = 0; i < 10; i++) {
    expect(() => reader.readVector(0, new Float32Array(DIM))).toThrow(
      expect.objectContaining({ code: 'DRIFT_CORRUPT_CRC' }),
    )
    for (let page = 1; page < 4; page++) expect(isTrue(page * ROWS)).toBe(true)
  }
})

it('a cache of no bytes, or none at all, reads the disk each time', () => {
  for (const cache of [new PageCache(PAGE_BYTES - 1), undefined]) {
    const { isTrue, reads } = segmentOf(2, cache)
    for (let i = 0; i < 3; i++) expect(isTrue(ROWS)).toBe(true)
    expect(reads()).toBe(3)
  }
})

it('refuses rows that there are not', () => {
  const { reader } = segmentOf(1, new PageCache(PAGE_BYTES))
  for (const row of [-1, ROWS, 0.5, Number.NaN]) {
    expect(() => reader.readVector(row, new Float32Array(DIM))).toThrow(
      expect.objectContaining({ code: 'DRIFT_ARGUMENT' }),
    )
  }
  expect(() => reader.readVector(0, new Float32Array(DIM - 1))).toThrow(
    expect.objectContaining({ code: 'DRIFT_ARGUMENT' }),
  )
})
