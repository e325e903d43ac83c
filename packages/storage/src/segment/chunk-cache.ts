/** The chunks of a bytes column that were used last, bounded by bytes, so that the hits of one search share what they read. */
import { type Chunk, decodeChunk } from './bytes-column.js'
import type { SectionReader } from './section-reader.js'

export class ChunkCache {
  readonly #reader: SectionReader
  readonly #section: number
  readonly #maxBytes: number
  /** Least recently used first. */
  readonly #chunks = new Map<number, Chunk>()
  #bytes = 0
  /** First row of each chunk. */
  readonly #firstRows: Float64Array

  /** @param maxBytes - kept at most; the chunk in use counts, and stays even when it alone is larger. */
  constructor(reader: SectionReader, section: number, maxBytes: number) {
    this.#reader = reader
    this.#section = section
    this.#maxBytes = maxBytes
    const pages = reader.pages(section)
    this.#firstRows = new Float64Array(pages.length)
    let row = 0
    pages.forEach((page, i) => {
      this.#firstRows[i] = row
      row += page.items
    })
  }

  /** A view into a shared chunk: copy it before handing it out. @param row - below the column's length. */
  entry(row: number): Uint8Array | undefined {
    const number = this.#chunkOf(row)
    return this.#chunk(number).entry(row - this.#firstRows[number]!)
  }

  /** The last chunk that starts at or before the row. */
  #chunkOf(row: number): number {
    let low = 0
    let high = this.#firstRows.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#firstRows[middle]! <= row) low = middle
      else high = middle - 1
    }
    return low
  }

  #chunk(number: number): Chunk {
    const known = this.#chunks.get(number)
    this.#chunks.delete(number)
    const chunk = known ?? this.#read(number)
    this.#chunks.set(number, chunk)
    if (known === undefined) this.#bytes += chunk.bytes.length
    for (const [oldest, { bytes }] of this.#chunks) {
      if (this.#bytes <= this.#maxBytes || oldest === number) break
      this.#chunks.delete(oldest)
      this.#bytes -= bytes.length
    }
    return chunk
  }

  #read(number: number): Chunk {
    let chunk: Chunk | undefined
    this.#reader.readPages(this.#section, number, 1, bytes => {
      const { items } = this.#reader.pages(this.#section)[number]!
      chunk = decodeChunk(bytes.slice(), items, this.#reader, this.#section, number)
    })
    return chunk!
  }
}
