/**
 * Import: rows of a file into a collection, in batches that are whole on disk before the next is counted. Broken off, it
 * goes on where it stopped (`resume`); rows that the engine refuses go to a file of their own, one line of JSON each.
 */
import { appendFile, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { Row } from '@drift/client'
import { openSource, type SourceOptions, type SourceRow, type Unreadable } from './source.js'
import type { Rows } from './target.js'

export interface ImportOptions extends SourceOptions {
  readonly batchRows: number
  readonly resume: boolean
  readonly rejectsFile: string
  /** The collection, once the file's dimension is known. */
  readonly open: (dim: number) => Promise<Rows>
  readonly onProgress: (done: number, total: number | undefined) => void
}

export interface ImportResult {
  readonly written: number
  readonly rejected: number
  /** Rows passed over because an import before had written them. */
  readonly skipped: number
}

/** Codes that say that one row is bad, not the database. */
const ROW_FAULTS = /^DRIFT_(BATCH$|DIMENSION|ID$|PAYLOAD|VECTOR|ZERO_VECTOR|UNKNOWN_OPTION)/

/** @throws CliError for a file that cannot be read; what the database throws. */
export async function importFile(path: string, options: ImportOptions): Promise<ImportResult> {
  const place = `${path}.drift-import.json`
  const { size, mtimeMs } = await stat(path)
  const skipped = options.resume ? await doneBefore(place, size, mtimeMs) : 0
  const source = await openSource(path, options)
  let [rows, done, rejected] = [undefined as Rows | undefined, skipped, 0]
  const reject = async (lines: readonly object[]): Promise<void> => {
    rejected += lines.length
    await appendFile(options.rejectsFile, lines.map(line => `${JSON.stringify(line, writable)}\n`).join(''))
  }
  const write = async (batch: readonly SourceRow[]): Promise<void> => {
    try {
      await rows!.upsert(batch.map(toRow))
    } catch (error) {
      const { code = '', message } = error as { code?: string; message: string }
      if (!ROW_FAULTS.test(code)) throw error
      if (batch.length === 1) return reject([{ ...batch[0]!, code, reason: message }])
      // A batch is refused whole: halves find the row that did it.
      await write(batch.slice(0, batch.length >> 1))
      await write(batch.slice(batch.length >> 1))
    }
  }
  const flush = async (batch: (SourceRow | Unreadable)[]): Promise<void> => {
    const good = batch.filter(row => 'vector' in row) as SourceRow[]
    const bad = batch.filter(row => !('vector' in row))
    if (bad.length > 0) await reject(bad)
    const first = good.find(row => Array.isArray(row.vector) || row.vector instanceof Float32Array)
    rows ??= first && (await options.open(source.dim ?? first.vector.length))
    if (rows && good.length > 0) await write(good)
    else if (good.length > 0) await reject(good.map(row => ({ ...row, reason: 'has no vector' })))
    done += batch.length
    await writeFile(place, JSON.stringify({ size, mtimeMs, done }))
    options.onProgress(done, source.total)
  }
  try {
    let batch: (SourceRow | Unreadable)[] = []
    for await (const row of source.rows(skipped)) {
      batch.push(row)
      if (batch.length < options.batchRows) continue
      await flush(batch)
      batch = []
    }
    if (batch.length > 0) await flush(batch)
    await rm(place, { force: true })
  } finally {
    await source.close()
  }
  return { written: done - skipped - rejected, rejected, skipped }
}

/** The progress of an import of this very file; of another, none. */
async function doneBefore(place: string, size: number, mtimeMs: number): Promise<number> {
  let text: string
  try {
    text = await readFile(place, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
  const before = JSON.parse(text) as { size: number; mtimeMs: number; done: number }
  return before.size === size && before.mtimeMs === mtimeMs ? before.done : 0
}

function toRow({ id, vector, payload }: SourceRow): Row {
  return { id, vector, ...(payload === undefined ? {} : { payload }) }
}

export function writable(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { $bigint: String(value) }
  return value instanceof Float32Array ? Array.from(value) : value
}
