/** .csv with a header: the vector's column holds its numbers in JSON or with spaces between; other columns are the payload. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { CsvError } from 'csv-parse'
import { CliError } from '../errors.js'
import { broken } from './broken.js'
import type { Source, SourceOptions, SourceRow, Unreadable } from './source.js'

/** A quote that never ends must not take the rest of the file into memory. */
const MAX_RECORD_BYTES = 8 * 1024 * 1024
const SHOWN_CHARS = 200

interface Parsed {
  readonly record: Readonly<Record<string, string>>
  readonly info: { readonly lines: number; readonly error?: CsvError }
}

export async function openCsv(path: string, options: SourceOptions): Promise<Source> {
  const { idField = 'id', vectorField = 'vector', numberFields = [] } = options
  const noNumbers = numberFields.find(name => name === idField || name === vectorField)
  if (noNumbers !== undefined) {
    const message = `--number-fields names '${noNumbers}': it is for payloads, and ids of a .csv are text`
    throw new CliError('DRIFT_OPTION', message)
  }
  const { size } = await stat(path)
  const { parse } = await import('csv-parse')
  const input = createReadStream(path)
  return {
    dim: undefined,
    share: () => (size > 0 ? Math.min(1, input.bytesRead / size) : 1),
    async *rows(skip) {
      const parser = parse({
        bom: true,
        info: true,
        relax_column_count: true,
        skip_empty_lines: true,
        max_record_size: MAX_RECORD_BYTES,
        columns(header: string[]) {
          for (const name of [idField, vectorField, ...numberFields]) {
            if (header.includes(name)) continue
            const others = header.map(column => `'${column.slice(0, 40)}'`).join(', ')
            throw broken(path, `has no column '${name}', only ${others}`)
          }
          const twice = header.find((name, at) => header.indexOf(name) < at)
          if (twice !== undefined) throw broken(path, `has the column '${twice.slice(0, 40)}' twice`)
          return header
        },
      })
      const text = Readable.from(utf8(path, input))
      text.on('error', error => parser.destroy(error))
      let number = -1
      try {
        for await (const { record, info } of text.pipe(parser) as AsyncIterable<Parsed>) {
          if (++number < skip) continue
          yield { number, line: info.lines, ...rowOf(record, info.error, options) }
        }
      } catch (error) {
        throw (error as Error).name === 'CliError' ? error : broken(path, (error as Error).message, error)
      }
    },
    close: async () => void input.destroy(),
  }
}

/** @throws CliError DRIFT_IMPORT_FILE for other bytes: read as text, two ids would become one. */
async function* utf8(path: string, input: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const check = (bytes?: Buffer): void => {
    try {
      decoder.decode(bytes, { stream: bytes !== undefined })
    } catch (cause) {
      throw broken(path, 'is not UTF-8', cause)
    }
  }
  let isUtf16: boolean | undefined
  for await (const chunk of input) {
    // The parser reads it by its mark.
    isUtf16 ??= chunk[0] === 0xff && chunk[1] === 0xfe
    if (!isUtf16) check(chunk)
    yield chunk
  }
  if (!isUtf16) check()
}

function rowOf(
  record: Readonly<Record<string, string>>,
  error: CsvError | undefined,
  { idField = 'id', vectorField = 'vector', numberFields = [] }: SourceOptions,
): Omit<SourceRow, 'number'> | Omit<Unreadable, 'number'> {
  const text = JSON.stringify(record).slice(0, SHOWN_CHARS)
  if (error) return { reason: error.message, text }
  const { [idField]: id = '', [vectorField]: vector = '', ...rest } = record
  const numbers = vector.replace(/^\s*\[|\]\s*$/g, '').trim()
  const items = numbers.split(/\s*[,;]\s*|\s+/)
  if (numbers === '') return { reason: `'${vectorField}' is empty`, text }
  // A number that is left out is none, and not 0.
  const values = items.map(item => (item === '' ? Number.NaN : Number(item)))
  const wrong = values.findIndex(Number.isNaN)
  if (wrong >= 0) return { reason: `'${vectorField}' holds ${JSON.stringify(items[wrong])}, no number`, text }
  const payload: Record<string, unknown> = { ...rest }
  for (const name of numberFields) {
    const given = rest[name] ?? ''
    const value = Number(given)
    if (given === '') delete payload[name]
    else if (Number.isFinite(value)) payload[name] = value
    else return { reason: `'${name}' holds ${JSON.stringify(given)}, no number`, text }
  }
  return { id, vector: values, ...(Object.keys(payload).length > 0 ? { payload } : {}) }
}
