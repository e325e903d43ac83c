/** .csv with a header: the vector's column holds its numbers in JSON or with spaces between; other columns are the payload. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { type CsvError, parse } from 'csv-parse'
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
  const { size } = await stat(path)
  const input = createReadStream(path)
  const { idField = 'id', vectorField = 'vector' } = options
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
          for (const name of [idField, vectorField]) {
            if (header.includes(name)) continue
            const others = header.map(column => `'${column.slice(0, 40)}'`).join(', ')
            throw broken(path, `has no column '${name}', only ${others}`)
          }
          return header
        },
      })
      input.on('error', error => parser.destroy(error))
      let number = -1
      try {
        for await (const { record, info } of input.pipe(parser) as AsyncIterable<Parsed>) {
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

function rowOf(
  record: Readonly<Record<string, string>>,
  error: CsvError | undefined,
  { idField = 'id', vectorField = 'vector', numberFields = [] }: SourceOptions,
): Omit<SourceRow, 'number'> | Omit<Unreadable, 'number'> {
  const text = JSON.stringify(record).slice(0, SHOWN_CHARS)
  if (error) return { reason: error.message, text }
  const { [idField]: id = '', [vectorField]: vector = '', ...rest } = record
  const items = vector.replace(/^\s*\[|\]\s*$/g, '').match(/[^\s,;]+/g)
  if (!items) return { reason: `'${vectorField}' is empty`, text }
  const values = items.map(Number)
  const wrong = values.findIndex(Number.isNaN)
  if (wrong >= 0) return { reason: `'${vectorField}' holds ${JSON.stringify(items[wrong])}, no number`, text }
  const payload: Record<string, unknown> = { ...rest }
  for (const name of numberFields) {
    const value = Number(rest[name] || Number.NaN)
    if (Number.isNaN(value)) delete payload[name]
    else payload[name] = value
  }
  return { id, vector: values, ...(Object.keys(payload).length > 0 ? { payload } : {}) }
}
