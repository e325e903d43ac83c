/**
 * Export: rows of a collection into a file, as of the moment when it begins. Rule: under its own name the file is whole;
 * until then it is FILE.part, and a file that exists is not written over.
 */
import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { extname } from 'node:path'
import { Collection } from '@drift/server'
import type { RecordBatch } from 'apache-arrow'
import { CliError } from './errors.js'
import { writable } from './json.js'
import { SinkFile } from './sink/file.js'
import { isArrow, type Selection, type Sink, sinkOf } from './sink/sink.js'
import type { Rows } from './target.js'

export interface ExportOptions extends Selection {
  readonly onProgress: (rows: number) => void
}

export interface ExportResult {
  readonly rows: number
  /** Where the ids are, when the format has vectors only. */
  readonly idsFile?: string
}

/** @throws CliError DRIFT_EXPORT_EXISTS, DRIFT_EXPORT_FORMAT, DRIFT_EXPORT_ROW; what the database throws. Nothing is left then. */
export async function exportFile(rows: Rows, path: string, options: ExportOptions): Promise<ExportResult> {
  const idsFile = `${path}.ids.jsonl`
  const sink = isArrow(path) ? undefined : await sinkOf(path, rows, options)
  for (const file of sink?.idsApart ? [path, idsFile] : [path]) {
    if (existsSync(file))
      throw new CliError('DRIFT_EXPORT_EXISTS', `${file} is there already`, { path: file })
  }
  const part = `${path}.part`
  const idsPart = `${idsFile}.part`
  const out = await SinkFile.create(part)
  const ids = sink?.idsApart ? await SinkFile.create(idsPart) : undefined
  try {
    const count = sink
      ? await exportRows(rows, sink, { out, ids }, options)
      : await exportArrow(rows, path, out, options)
    await out.end(sink?.finalHead?.(count))
    await ids?.end()
    if (ids) await rename(idsPart, idsFile)
    await rename(part, path)
    return { rows: count, ...(ids ? { idsFile } : {}) }
  } catch (error) {
    await Promise.allSettled([out.close(), ids?.close()])
    await Promise.all([part, idsPart].map(file => rm(file, { force: true })))
    throw error
  }
}

async function exportRows(
  rows: Rows,
  sink: Sink,
  { out, ids }: { readonly out: SinkFile; readonly ids: SinkFile | undefined },
  { filter, onProgress }: ExportOptions,
): Promise<number> {
  const scan = { ...(filter === undefined ? {} : { filter }), ...(ids ? { payload: false } : {}) }
  let count = 0
  await out.add(sink.head)
  for await (const row of rows.scan(scan)) {
    await out.add(sink.row(row))
    await ids?.add(`${JSON.stringify(row.id, writable)}\n`)
    onProgress(++count)
  }
  return count
}

/** The engine's own batches; a server sends them as one stream. */
async function exportArrow(
  rows: Rows,
  path: string,
  out: SinkFile,
  { filter, onProgress }: ExportOptions,
): Promise<number> {
  const { RecordBatchFileWriter, RecordBatchReader, RecordBatchStreamWriter } = await import('apache-arrow')
  // The file format ends with an index of its batches, the stream format does not.
  const isStream = extname(path).toLowerCase() === '.arrows'
  const writer = isStream ? new RecordBatchStreamWriter() : new RecordBatchFileWriter()
  const given = rows.toArrow(filter === undefined ? {} : { filter })
  const batches: AsyncIterable<RecordBatch> =
    rows instanceof Collection
      ? (given as AsyncIterable<RecordBatch>)
      : await RecordBatchReader.from(given as AsyncIterable<Uint8Array>)
  let count = 0
  const produce = async (): Promise<void> => {
    for await (const batch of batches) {
      writer.write(batch)
      count += batch.numRows
      onProgress(count)
      // Arrow's queue takes all that it is given, so the disk is waited for here.
      do await new Promise(resolve => setImmediate(resolve))
      while (out.busy)
    }
    writer.close()
  }
  const consume = async (): Promise<void> => {
    for await (const bytes of writer) await out.add(bytes)
  }
  await Promise.all([
    produce().catch(error => {
      writer.abort(error)
      throw error
    }),
    consume(),
  ])
  return count
}
