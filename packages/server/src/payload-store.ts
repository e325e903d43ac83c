/**
 * Where each row's payload is: in memory while the row is only in the log, in a segment afterwards. A row's payload
 * stays readable until its row number is given to another row, so a pinned reader never misses one. Its exact vector lies in the same
 * place, for a collection that does not hold vectors in memory.
 */
import { NO_ROW, type SegmentReader } from '@drift/storage'

const IN_MEMORY = 0xffffffff
const FIRST_ROWS = 1024

export class PayloadStore {
  readonly #memory = new Map<number, Uint8Array>()
  readonly #segments: (SegmentReader | undefined)[] = []
  /** By row: position in #segments, or IN_MEMORY; and the row's place in that segment. */
  #segment = new Uint32Array(FIRST_ROWS).fill(IN_MEMORY)
  #ordinal = new Uint32Array(FIRST_ROWS)
  #memoryBytes = 0

  /** Bytes of payload held in memory. */
  get memoryBytes(): number {
    return this.#memoryBytes
  }

  /** JSON text as UTF-8, or undefined. */
  read(row: number): Uint8Array | undefined {
    const segment = this.#segment[row]
    if (segment === undefined || segment === IN_MEMORY) return this.#memory.get(row)
    return this.#segments[segment]?.payload(this.#ordinal[row]!)
  }

  /** Exact vectors of rows in segments: rows[i] at i * dim of `out`. */
  readVectors(rows: Uint32Array, dim: number, out: Float32Array): void {
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!
      const reader = this.#segments[this.#segment[row] ?? IN_MEMORY]
      if (!reader) throw new Error(`row ${row} is in no segment`)
      reader.readVector(this.#ordinal[row]!, out.subarray(i * dim, (i + 1) * dim))
    }
  }

  /** Bytes that say where rows are. */
  get placeBytes(): number {
    return this.#segment.byteLength + this.#ordinal.byteLength
  }

  /** A new row under this number, not yet in a segment. Ends the life of an older payload. */
  put(row: number, payload: Uint8Array | undefined): void {
    this.#grow(row)
    this.#forget(row)
    this.#segment[row] = IN_MEMORY
    if (!payload) return
    this.#memory.set(row, payload)
    this.#memoryBytes += payload.length
  }

  /** These rows are now in the segment, in this order; NO_ROW is nobody's. */
  moveToSegment(rows: Uint32Array, reader: SegmentReader): void {
    const free = this.#segments.indexOf(undefined)
    const position = free < 0 ? this.#segments.length : free
    this.#segments[position] = reader
    let last = 0
    for (let i = 0; i < rows.length; i++) if (rows[i]! > last && rows[i] !== NO_ROW) last = rows[i]!
    this.#grow(last)
    const segments = this.#segment
    const ordinals = this.#ordinal
    const hasMemory = this.#memory.size > 0
    for (let ordinal = 0; ordinal < rows.length; ordinal++) {
      const row = rows[ordinal]!
      if (row === NO_ROW) continue
      if (hasMemory) this.#forget(row)
      segments[row] = position
      ordinals[row] = ordinal
    }
  }

  /** Whether the row number still stands for the segment's row `ordinal`; after a reuse it stands for another. */
  rowIsAt(row: number, reader: SegmentReader, ordinal: number): boolean {
    return this.#segments[this.#segment[row] ?? IN_MEMORY] === reader && this.#ordinal[row] === ordinal
  }

  /** No row that can still be read is in this segment. */
  release(reader: SegmentReader): void {
    const position = this.#segments.indexOf(reader)
    if (position >= 0) this.#segments[position] = undefined
  }

  #forget(row: number): void {
    const payload = this.#memory.get(row)
    if (!payload) return
    this.#memory.delete(row)
    this.#memoryBytes -= payload.length
  }

  #grow(row: number): void {
    if (row < this.#segment.length) return
    const rows = Math.max(row + 1, this.#segment.length * 2)
    const segment = new Uint32Array(rows).fill(IN_MEMORY)
    segment.set(this.#segment)
    const ordinal = new Uint32Array(rows)
    ordinal.set(this.#ordinal)
    this.#segment = segment
    this.#ordinal = ordinal
  }
}
