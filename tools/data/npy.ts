// Reads matrices from .npy files by rows, so that a file may be larger than memory.
// Rule: a value is never reported that the file does not hold; a file that lies about its length is refused at open.
// Assumes a little-endian machine, as Node's supported platforms for this project are.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { f16ToF32 } from './float16.js'
import { bytesPerValue, decodeHeader, MAX_HEADER_BYTES, type NpyHeader } from './npy-header.js'
import { ToolError } from './tool-error.js'

/** One read takes at most 2 GiB - 1 bytes. */
const READ_BYTES = 2 ** 30

export class NpyFile {
  readonly path: string
  readonly header: NpyHeader
  #fd: number

  /** @throws ToolError NPY_OPEN when the file cannot be read, or what decodeHeader throws. */
  constructor(path: string) {
    this.path = path
    this.#fd = openFile(path)
    try {
      const { size } = fstatSync(this.#fd)
      const start = new Uint8Array(Math.min(size, 12 + MAX_HEADER_BYTES))
      this.#readFully(start, 0)
      this.header = decodeHeader(start, size, path)
    } catch (error) {
      this.close()
      throw error
    }
  }

  get rows(): number {
    return this.header.rows
  }

  get columns(): number {
    return this.header.columns
  }

  /** The stored bytes of rows first .. first + count - 1, in a buffer of their own. */
  readBytes(first: number, count: number): Uint8Array<ArrayBuffer> {
    const { rows, columns, type, dataOffset } = this.header
    if (
      !Number.isInteger(first) ||
      !Number.isInteger(count) ||
      first < 0 ||
      count < 0 ||
      first + count > rows
    ) {
      throw new ToolError('NPY_RANGE', `${this.path}: rows ${first} to ${first + count} of ${rows}`)
    }
    const rowBytes = columns * bytesPerValue[type]
    const bytes = new Uint8Array(count * rowBytes)
    this.#readFully(bytes, dataOffset + first * rowBytes)
    return bytes
  }

  /** The same rows as float32, whatever the stored type is (i32 beyond 2^24 is rounded). Row-major, count * columns. */
  readFloats(first: number, count: number): Float32Array<ArrayBuffer> {
    const { buffer } = this.readBytes(first, count)
    switch (this.header.type) {
      case 'f32':
        return new Float32Array(buffer)
      case 'u8':
        return Float32Array.from(new Uint8Array(buffer))
      case 'i32':
        return Float32Array.from(new Int32Array(buffer))
      case 'f16': {
        const bits = new Uint16Array(buffer)
        const out = new Float32Array(bits.length)
        f16ToF32(bits, out)
        return out
      }
    }
  }

  /** The same rows of an i32 file. @throws ToolError NPY_TYPE for any other type. */
  readInts(first: number, count: number): Int32Array<ArrayBuffer> {
    if (this.header.type !== 'i32') {
      throw new ToolError('NPY_TYPE', `${this.path}: holds ${this.header.type}, expected i32`)
    }
    return new Int32Array(this.readBytes(first, count).buffer)
  }

  /** All rows in order, at most `chunkRows` at a time. */
  *floatChunks(chunkRows: number): Generator<{ first: number; count: number; values: Float32Array }> {
    for (let first = 0; first < this.rows; first += chunkRows) {
      const count = Math.min(chunkRows, this.rows - first)
      yield { first, count, values: this.readFloats(first, count) }
    }
  }

  close(): void {
    if (this.#fd < 0) return
    closeSync(this.#fd)
    this.#fd = -1
  }

  #readFully(into: Uint8Array, offset: number): void {
    for (let done = 0; done < into.length; ) {
      const got = readSync(this.#fd, into, done, Math.min(READ_BYTES, into.length - done), offset + done)
      if (got === 0) {
        throw new ToolError('NPY_TRUNCATED', `${this.path}: shrank while it was read`, { path: this.path })
      }
      done += got
    }
  }
}

/** Every row of a file as float32, read at once. */
export function readMatrix(path: string): { values: Float32Array; rows: number; columns: number } {
  const file = new NpyFile(path)
  try {
    return { values: file.readFloats(0, file.rows), rows: file.rows, columns: file.columns }
  } finally {
    file.close()
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw new ToolError('NPY_OPEN', `${path}: ${(cause as Error).message}`, { path }, { cause })
  }
}
