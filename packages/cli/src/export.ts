/**
 * Export: rows of a collection into a file. Rule: under its own name the file is whole; until then it is FILE.part, and a
 * file that exists is not written over. It is written by pages, and broken off it goes on behind the last whole one
 * (`resume`). A page is of one moment; between pages others may write, and a row that stays is there exactly once.
 */
import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { CliError } from './errors.js'
import { writable } from './json.js'
import { PlaceFile, resumable } from './place.js'
import { type ArrowPlace, type ArrowSink, arrowSink, isArrow } from './sink/arrow.js'
import { type Kept, keptOf, SinkFile, type Written } from './sink/file.js'
import { type Selection, type Sink, sinkOf } from './sink/sink.js'
import type { Rows } from './target.js'

export interface ExportOptions extends Selection {
  /** Go on where an export of the same rows to the same file was broken off. */
  readonly resume?: boolean
  /** Names the database and the collection, so that `resume` takes no other export's place for this one's. */
  readonly target?: string
  /** Rows between two places to go on from. Default 20 000. */
  readonly pageRows?: number
  /** Stops behind the page that is being written; an Arrow file, which is of one moment, at once. */
  readonly signal?: AbortSignal
  readonly onProgress: (rows: number) => void
}

export interface ExportResult {
  /** In the file. */
  readonly rows: number
  /** Of them, those that an export before had written. */
  readonly skipped: number
  /** By the signal, before the end: there is FILE.part up to the last place to go on from, or nothing. */
  readonly stopped: boolean
  /** Where the ids are, when the format has vectors only. */
  readonly idsFile?: string
}

/** Up to where a file is whole. */
interface ExportPlace extends ArrowPlace, Written {
  readonly rows: number
  /** The same of the file of ids. */
  readonly ids?: Written
  readonly columns?: readonly string[]
}

interface Out {
  readonly file: SinkFile
  readonly ids: SinkFile | undefined
}

const PAGE_ROWS = 20_000

/**
 * @throws CliError DRIFT_EXPORT_EXISTS, DRIFT_EXPORT_FORMAT, DRIFT_EXPORT_ROW; what the database throws. FILE.part and
 * FILE.drift-export.json are left for `resume` when there is a page to go on from, else nothing is.
 */
export async function exportFile(rows: Rows, path: string, options: ExportOptions): Promise<ExportResult> {
  const idsFile = `${path}.ids.jsonl`
  const [part, idsPart] = [`${path}.part`, `${idsFile}.part`]
  const placeFile = new PlaceFile<ExportPlace>(`${path}.drift-export.json`, [
    options.target,
    options.filter,
    rows.dim,
  ])
  let place = options.resume ? await placeFile.read() : undefined
  let kept: Kept | undefined
  let keptIds: Kept | undefined
  try {
    kept = place && (await keptOf(part, place, options.signal))
    keptIds = place?.ids && (await keptOf(idsPart, place.ids, options.signal))
  } catch (error) {
    if (!place || options.signal?.aborted !== true) throw error
    return { rows: place.rows, skipped: place.rows, stopped: true }
  }
  if (!kept || (place?.ids && !keptIds)) place = undefined
  const sink = isArrow(path) ? undefined : await sinkOf(path, rows, options, place?.columns)
  for (const file of sink?.idsApart ? [path, idsFile] : [path]) {
    if (existsSync(file))
      throw new CliError('DRIFT_EXPORT_EXISTS', `${file} is there already`, { path: file })
  }
  let file: SinkFile | undefined
  let ids: SinkFile | undefined
  let arrow: ArrowSink | undefined
  let skipped = place?.rows ?? 0
  try {
    if (!sink) arrow = await arrowSink(rows, path, part, options, place)
    if (arrow && !arrow.goesOn) {
      place = undefined
      skipped = 0
    }
    if (!place) await placeFile.remove()
    file = await SinkFile.open(part, place && kept)
    if (sink?.idsApart) ids = await SinkFile.open(idsPart, place && keptIds)
    const keep = async (reached: ExportPlace): Promise<boolean> => {
      await placeFile.write(reached)
      place = reached
      return options.signal?.aborted !== true
    }
    const result = sink
      ? await exportPages(rows, sink, { file, ids }, options, place, keep)
      : await exportArrow(arrow!, file, options, place, keep)
    if (result.stopped) {
      await Promise.all([file.close(), ids?.close(), arrow?.close()])
      return { ...result, skipped }
    }
    await file.end(sink?.finalHead?.(result.rows))
    await ids?.end()
    if (ids) await rename(idsPart, idsFile)
    await rename(part, path)
    await placeFile.remove()
    return { ...result, skipped, ...(ids ? { idsFile } : {}) }
  } catch (error) {
    await Promise.allSettled([file?.close(), ids?.close(), arrow?.close()])
    const isStopped = !sink && options.signal?.aborted === true
    if (isStopped && place) return { rows: place.rows, skipped, stopped: true }
    // A row that the format cannot hold will be there again.
    if (place && (error as CliError).code !== 'DRIFT_EXPORT_ROW') {
      const { rows } = place
      throw resumable(error, `${rows} rows are written`, { rows })
    }
    await placeFile.remove()
    await Promise.all([part, idsPart].map(name => rm(name, { force: true })))
    if (isStopped) return { rows: 0, skipped, stopped: true }
    throw error
  }
}

/** @param keep - told of every place that is on disk while more is to come; false: stop there. */
async function exportPages(
  rows: Rows,
  sink: Sink,
  { file, ids }: Out,
  { filter, onProgress, pageRows = PAGE_ROWS }: ExportOptions,
  from: ExportPlace | undefined,
  keep: (place: ExportPlace) => Promise<boolean>,
): Promise<{ rows: number; stopped: boolean }> {
  const selection = { ...(filter === undefined ? {} : { filter }), ...(ids ? { payload: false } : {}) }
  let count = from?.rows ?? 0
  let cursor = from?.cursor
  if (!from) await file.add(sink.head)
  do {
    const page = rows.scan({ ...selection, limit: pageRows, ...(cursor === undefined ? {} : { cursor }) })
    for await (const row of page) {
      await file.add(sink.row(row))
      await ids?.add(`${JSON.stringify(row.id, writable)}\n`)
      onProgress(++count)
    }
    cursor = page.cursor
    if (cursor === undefined) continue
    const written = await file.sync()
    const writtenIds = await ids?.sync()
    const isWanted = await keep({
      cursor,
      rows: count,
      ...written,
      ...(writtenIds ? { ids: writtenIds } : {}),
      ...(sink.columns ? { columns: sink.columns } : {}),
    })
    if (!isWanted) return { rows: count, stopped: true }
  } while (cursor !== undefined)
  return { rows: count, stopped: false }
}

/** @param keep - as `exportPages` has it. */
async function exportArrow(
  { schema, pieces, end }: ArrowSink,
  file: SinkFile,
  { onProgress, pageRows = PAGE_ROWS }: ExportOptions,
  from: ExportPlace | undefined,
  keep: (place: ExportPlace) => Promise<boolean>,
): Promise<{ rows: number; stopped: boolean }> {
  let count = from?.rows ?? 0
  let kept = count
  for await (const { rows, bytes, cursor } of pieces) {
    for (const part of bytes) await file.add(part)
    count += rows
    onProgress(count)
    if (cursor === undefined || count - kept < pageRows) continue
    const isWanted = await keep({ cursor, rows: count, ...(await file.sync()), schema })
    if (!isWanted) return { rows: count, stopped: true }
    kept = count
  }
  for (const part of end()) await file.add(part)
  return { rows: count, stopped: false }
}
