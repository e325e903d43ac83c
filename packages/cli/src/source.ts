/**
 * Rows of a file, one after the other and never all at once: .npy, .fvecs, .bvecs, .jsonl and .csv. Rule: a row that
 * cannot be read is told with its number and the reason; a file that is not what it says it is ends the import.
 */
import { createReadStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import type { Id, Payload } from '@drift/client'
import { parse } from 'csv-parse'
import { CliError } from './errors.js'

export interface SourceRow {
  /** Position in the file, from 0. */
  readonly number: number
  readonly id: Id
  readonly vector: Float32Array | readonly number[]
  readonly payload?: Payload
}

export interface Unreadable {
  readonly number: number
  readonly reason: string
  readonly text: string
}

export interface Source {
  /** Undefined until the file has been read to its end. */
  readonly total: number | undefined
  readonly dim: number | undefined
  /** @param skip - rows at the beginning that are passed over. */
  rows(skip: number): AsyncGenerator<SourceRow | Unreadable, void, undefined>
  close(): Promise<void>
}

export interface SourceOptions {
  /** Columns of a .csv and fields of a .jsonl. Default: `id` and `vector`. */
  readonly idField?: string
  readonly vectorField?: string
}

const READ_ROWS = 1_024
const NPY_MAGIC = '\x93NUMPY'
const MAX_DIM = 4_096

/** @throws CliError DRIFT_IMPORT_FORMAT, DRIFT_IMPORT_FILE */
export async function openSource(path: string, options: SourceOptions = {}): Promise<Source> {
  switch (extname(path).toLowerCase()) {
    case '.npy':
      return openNpy(path)
    case '.fvecs':
      return openVecs(path, 4)
    case '.bvecs':
      return openVecs(path, 1)
    case '.jsonl':
    case '.ndjson':
      return textSource(skip => jsonLines(path, skip, options))
    case '.csv':
      return textSource(skip => csvRows(path, skip, options))
    default:
      throw new CliError('DRIFT_IMPORT_FORMAT', `${path}: expected .npy, .fvecs, .bvecs, .jsonl or .csv`)
  }
}

/** NumPy format 1.0 and 2.0, row-major float32, float16 or uint8. */
async function openNpy(path: string): Promise<Source> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const start = await readAt(file, path, 0, Math.min(size, 10))
    if (start.toString('latin1', 0, 6) !== NPY_MAGIC || start.length < 10)
      throw broken(path, 'is no .npy file')
    const wide = start[6] === 2
    if (start[6] !== 1 && !wide) throw broken(path, `has the .npy version ${start[6]}, expected 1 or 2`)
    const textAt = wide ? 12 : 10
    const length = wide ? (await readAt(file, path, 8, 4)).readUInt32LE() : start.readUInt16LE(8)
    if (textAt + length > size || length > 65_536) throw broken(path, 'ends inside its header')
    const header = (await readAt(file, path, textAt, length)).toString('latin1')
    const type = /'descr'\s*:\s*'([<|][fu][124])'/.exec(header)?.[1] ?? ''
    const bytes = { '<f4': 4, '<f2': 2, '|u1': 1, '<u1': 1 }[type]
    const shape = /'shape'\s*:\s*\((\d+),\s*(\d+),?\s*\)/.exec(header)
    if (bytes === undefined) throw broken(path, `holds '${type}', expected float32, float16 or uint8`)
    if (!/'fortran_order'\s*:\s*False/.test(header)) throw broken(path, 'is not stored row by row')
    if (!shape) throw broken(path, 'is not a matrix')
    const [rows, dim] = [Number(shape[1]), Number(shape[2])]
    if (size !== textAt + length + rows * dim * bytes) {
      throw broken(
        path,
        `has ${size} bytes, its shape (${rows}, ${dim}) needs ${textAt + length + rows * dim * bytes}`,
      )
    }
    const decode = { 4: floats, 2: halves, 1: byteValues }[bytes as 1 | 2 | 4]
    return fixedRows(file, path, { rows, dim, stride: dim * bytes, at: textAt + length, lead: 0, decode })
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Each row is its length as int32, then that many float32 (.fvecs) or bytes (.bvecs): corpus-texmex.irisa.fr. */
async function openVecs(path: string, bytes: 1 | 4): Promise<Source> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    if (size < 4) throw broken(path, 'is too short')
    const dim = (await readAt(file, path, 0, 4)).readInt32LE()
    if (dim < 1 || dim > MAX_DIM) throw broken(path, `begins with a row of ${dim} values`)
    const stride = 4 + dim * bytes
    if (size % stride !== 0) throw broken(path, `has ${size} bytes, which are no rows of ${dim} values`)
    const decode = bytes === 4 ? floats : byteValues
    return fixedRows(file, path, { rows: size / stride, dim, stride, at: 0, lead: 4, decode })
  } catch (error) {
    await file.close()
    throw error
  }
}

interface Fixed {
  readonly rows: number
  readonly dim: number
  /** Bytes of a row, its own header included. */
  readonly stride: number
  readonly at: number
  /** Bytes before a row's values, which hold `dim`. */
  readonly lead: number
  readonly decode: (bytes: Buffer) => Float32Array
}

function fixedRows(file: FileHandle, path: string, { rows, dim, stride, at, lead, decode }: Fixed): Source {
  return {
    total: rows,
    dim,
    async *rows(skip) {
      for (let first = skip; first < rows; first += READ_ROWS) {
        const count = Math.min(READ_ROWS, rows - first)
        const block = await readAt(file, path, at + first * stride, count * stride)
        for (let i = 0; i < count; i++) {
          const row = block.subarray(i * stride, (i + 1) * stride)
          const number = first + i
          if (lead > 0 && row.readInt32LE() !== dim) {
            yield { number, reason: `the row has ${row.readInt32LE()} values, expected ${dim}`, text: '' }
          } else yield { number, id: number, vector: decode(row.subarray(lead)) }
        }
      }
    },
    close: () => file.close(),
  }
}

function textSource(rows: Source['rows']): Source {
  return { total: undefined, dim: undefined, rows, close: async () => undefined }
}

/** One object a line: its id and vector, and the rest as its payload, unless it has a field `payload`. */
async function* jsonLines(
  path: string,
  skip: number,
  { idField = 'id', vectorField = 'vector' }: SourceOptions,
): AsyncGenerator<SourceRow | Unreadable, void, undefined> {
  let number = -1
  for await (const line of createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    if (line.trim() === '' || ++number < skip) continue
    try {
      const fields = JSON.parse(line) as Record<string, unknown>
      const { [idField]: id, [vectorField]: vector, payload, ...rest } = fields
      const wanted = (payload ?? (Object.keys(rest).length > 0 ? rest : undefined)) as Payload | undefined
      const optional = wanted === undefined ? {} : { payload: wanted }
      yield { number, id: jsonId(id), vector: vector as number[], ...optional }
    } catch (error) {
      yield { number, reason: (error as Error).message, text: line }
    }
  }
}

/** A header line; the vector's column holds its numbers in JSON or with spaces between; other columns are the payload. */
async function* csvRows(
  path: string,
  skip: number,
  { idField = 'id', vectorField = 'vector' }: SourceOptions,
): AsyncGenerator<SourceRow | Unreadable, void, undefined> {
  const parser = createReadStream(path).pipe(
    parse({ columns: true, relax_column_count: true, skip_empty_lines: true }),
  )
  let number = -1
  try {
    for await (const record of parser as AsyncIterable<Record<string, string>>) {
      if (++number < skip) continue
      const { [idField]: id, [vectorField]: vector = '', ...payload } = record
      const values = vector.replace(/^\[|\]$/g, '').split(/[\s,;]+/)
      if (id === undefined || vector === '') {
        yield {
          number,
          reason: `no ${id === undefined ? idField : vectorField}`,
          text: JSON.stringify(record),
        }
      } else {
        const rest = Object.keys(payload).length > 0 ? { payload } : {}
        yield { number, id, vector: values.filter(value => value !== '').map(asNumber), ...rest }
      }
    }
  } catch (error) {
    throw broken(path, (error as Error).message)
  }
}

/** What is no number stays what it is, for the engine to refuse. */
function asNumber(text: string): number {
  const value = Number(text)
  return Number.isNaN(value) ? (text as never) : value
}

function jsonId(id: unknown): Id {
  const digits = (id as { $bigint?: unknown } | undefined)?.$bigint
  return typeof digits === 'string' ? BigInt(digits) : (id as Id)
}

async function readAt(file: FileHandle, path: string, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, at + done)
    if (bytesRead === 0) throw broken(path, 'shrank while it was read')
    done += bytesRead
  }
  return bytes
}

function floats(bytes: Buffer): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer)
}

function byteValues(bytes: Buffer): Float32Array {
  return Float32Array.from(bytes)
}

/** IEEE 754 binary16. */
function halves(bytes: Buffer): Float32Array {
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
    const bits = bytes.readUInt16LE(2 * i)
    const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023]
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
    return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
  })
}

function broken(path: string, reason: string): CliError {
  return new CliError('DRIFT_IMPORT_FILE', `${path} ${reason}`, { path })
}
