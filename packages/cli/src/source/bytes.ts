/** Files whose rows have one length: read in blocks at a place, so that rows are passed over without being read. */
import type { FileHandle } from 'node:fs/promises'
import type { Id } from '@drift/client'
import { jsonId } from '../json.js'
import { broken } from './broken.js'
import { linesOf } from './lines.js'
import type { Source, SourceOptions } from './source.js'

const READ_ROWS = 1_024

export interface FixedRows {
  readonly rows: number
  readonly dim: number
  /** Bytes of a row, its own header included. */
  readonly stride: number
  /** Offset of the first row. */
  readonly at: number
  /** Bytes before a row's values, which hold `dim`. */
  readonly lead: number
  readonly decode: (bytes: Buffer) => Float32Array
}

/** Owns `file`: it is closed with the source. */
export function fixedRows(
  file: FileHandle,
  path: string,
  { rows, dim, stride, at, lead, decode }: FixedRows,
  { idsFile }: SourceOptions,
): Source {
  let done = 0
  return {
    dim,
    share: () => (rows > 0 ? done / rows : 1),
    async *rows(skip) {
      // Before the first row: beside other rows an id would name the wrong one.
      if (idsFile !== undefined) await assertAsMany(idsFile, path, rows)
      const ids = idsFile === undefined ? undefined : idsOf(idsFile, skip)
      for (let first = skip; first < rows; first += READ_ROWS) {
        const count = Math.min(READ_ROWS, rows - first)
        const block = await readAt(file, path, at + first * stride, count * stride)
        for (let i = 0; i < count; i++) {
          const row = block.subarray(i * stride, (i + 1) * stride)
          const number = first + i
          const id = ids ? (await ids.next()).value : number
          done = number + 1
          if (id === undefined) throw broken(idsFile!, 'shrank while it was read')
          if (lead > 0 && row.readInt32LE() !== dim) {
            yield { number, reason: `the row has ${row.readInt32LE()} values, expected ${dim}` }
          } else yield { number, id, vector: decode(row.subarray(lead)) }
        }
      }
    },
    close: () => file.close(),
  }
}

/** @throws CliError DRIFT_IMPORT_FILE */
async function assertAsMany(idsFile: string, path: string, rows: number): Promise<void> {
  let ids = 0
  for await (const { text } of linesOf(idsFile, () => undefined)) if (text?.trim() !== '') ids++
  if (ids !== rows) throw broken(idsFile, `has ${ids} ids, and ${path} has ${rows} rows`)
}

async function* idsOf(path: string, skip: number): AsyncGenerator<Id, undefined, undefined> {
  let number = -1
  for await (const { line, text } of linesOf(path, () => undefined)) {
    if (text?.trim() === '' || ++number < skip) continue
    try {
      yield jsonId(JSON.parse(text ?? ''))
    } catch (error) {
      throw broken(path, `holds no id in line ${line}: ${(error as Error).message}`, error)
    }
  }
  return undefined
}

/** @throws CliError when the file ends before. */
export async function readAt(file: FileHandle, path: string, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, at + done)
    if (bytesRead === 0) throw broken(path, 'shrank while it was read')
    done += bytesRead
  }
  return bytes
}

export function floats(bytes: Buffer): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer)
}

/** float64, rounded to float32. */
export function doubles(bytes: Buffer): Float32Array {
  return Float32Array.from(new Float64Array(new Uint8Array(bytes).buffer))
}

export function byteValues(bytes: Buffer): Float32Array {
  return Float32Array.from(bytes)
}

/** IEEE 754 binary16. */
export function halves(bytes: Buffer): Float32Array {
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
    const bits = bytes.readUInt16LE(2 * i)
    const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023]
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
  })
}
