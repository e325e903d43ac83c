/** Proves that a column's chunks hold whole entries within their size, and that absent and empty stay apart. */
import { SimFs } from '@drift/fs'
import { describe, expect, it } from 'vitest'
import { ascii, FOLDER, hex, uuidOf } from '../../test/fixture.js'
import { seeded } from '../../test/seeded.js'
import { CHUNK_BYTES, encodeChunks, readColumn } from './bytes-column.js'
import { ChunkCache } from './chunk-cache.js'
import { FileKind, SectionKind } from './format.js'
import { SectionReader } from './section-reader.js'
import { writeContainer } from './section-writer.js'

type Column = readonly (Uint8Array | undefined)[]

const text = (entry: Uint8Array | undefined) => entry && hex(entry)

function written(entries: Column): SectionReader {
  const disk = new SimFs()
  disk.makeFolder(FOLDER)
  const header = { kind: FileKind.tombstones, uuid: uuidOf(1), createdMs: 0, dim: 0 }
  writeContainer(disk, FOLDER, 'c', header, entries.length, false, writer =>
    writer.addPaged({ kind: SectionKind.ids, items: entries.length }, CHUNK_BYTES, encodeChunks(entries)),
  )
  return SectionReader.open(disk, `${FOLDER}/c`, FileKind.tombstones)
}

const random = seeded(1)
const mixed = Array.from(
  { length: 3000 },
  () => [undefined, new Uint8Array(0), random.bytes(random.int(200))][random.int(3)],
)
const COLUMNS: [string, Column][] = [
  ['nothing', []],
  ['one absent entry', [undefined]],
  ['one empty entry', [ascii('')]],
  ['absent entries at both ends', [undefined, ascii('a'), undefined]],
  ['empty entries at both ends', [ascii(''), ascii('a'), ascii('')]],
  ['entries of all kinds', mixed],
  ['20 000 absent entries', new Array(20_000).fill(undefined)],
  ['a long entry between short ones', [ascii('a'), random.bytes(300_000), ascii('b')]],
  ['entries that fill a chunk to the byte', [random.bytes(CHUNK_BYTES - 16), ascii('abcd'), ascii('e')]],
]

describe('a column of byte strings', () => {
  it.each(COLUMNS)('of %s round-trips, whole and entry by entry', (_, entries) => {
    const file = written(entries)
    expect(readColumn(file, SectionKind.ids).map(text)).toEqual(entries.map(text))
    const cache = new ChunkCache(file, SectionKind.ids, 200_000)
    for (let row = entries.length - 1; row >= 0; row -= 7) {
      expect(text(cache.entry(row)), `row ${row}`).toBe(text(entries[row]))
    }
    file.close()
  })

  it.each(COLUMNS)('of %s has chunks of at most 64 KiB, except of one long entry', (_, entries) => {
    for (const { bytes, items } of encodeChunks(entries)) {
      if (items > 1) expect(bytes.length).toBeLessThanOrEqual(CHUNK_BYTES)
    }
  })

  it('with short entries fills its chunks', () => {
    const chunks = [...encodeChunks(mixed)].map(({ bytes }) => bytes.length)
    expect(Math.min(...chunks.slice(0, -1))).toBeGreaterThan(CHUNK_BYTES - 300)
  })
})
