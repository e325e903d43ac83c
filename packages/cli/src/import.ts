/**
 * Import: rows of a file into a collection, in batches that are whole on disk before the next is counted. Broken off, it
 * goes on where it stopped (`resume`); rows that cannot be read or that the engine refuses go to a file of their own,
 * one line of JSON each. While one batch is written the next is read.
 */
import { appendFile } from 'node:fs/promises'
import type { Row } from '@drift/client'
import { cutRejects, importPlace } from './import-place.js'
import { writable } from './json.js'
import { resumable } from './place.js'
import { openSource, type SourceOptions, type SourceRow, type Unreadable } from './source/source.js'
import type { Rows } from './target.js'

export interface ImportOptions extends SourceOptions {
  readonly batchRows: number
  readonly resume: boolean
  readonly rejectsFile: string
  /** Names the database and the collection, so that `resume` takes no other import's place for this one's. */
  readonly target: string
  /** The collection, once the file's dimension is known. */
  readonly open: (dim: number) => Promise<Rows>
  readonly onProgress: (progress: ImportProgress) => void
  /** Stops behind the batch that is being written. */
  readonly signal?: AbortSignal
}

export interface ImportProgress {
  /** Rows of the file that are written or rejected, those of imports before included. */
  readonly rows: number
  readonly rejected: number
  /** Of the file, 0..1; undefined when it is not known. */
  readonly share: number | undefined
}

export interface ImportResult {
  readonly written: number
  readonly rejected: number
  /** Rows passed over because an import before had written them. */
  readonly skipped: number
  readonly stopped: boolean
  /** The first rejects, as many as a person reads. */
  readonly firstRejects: readonly Reject[]
}

export interface Reject extends Unreadable {
  readonly code?: string
}

/** Codes that say that one row is bad, not the database. */
const ROW_FAULTS = /^DRIFT_(BATCH$|DIMENSION|ID$|PAYLOAD|VECTOR|ZERO_VECTOR|UNKNOWN_OPTION)/
const SHOWN_REJECTS = 3

/** Before a database is opened, which may make it. @throws CliError for a file that cannot be read, or not as it is asked for. */
export async function assertImportable(path: string, options: SourceOptions): Promise<void> {
  await importPlace(path, '')
  await (await openSource(path, options)).close()
}

/** @throws CliError for a file that cannot be read; what the database throws. */
export async function importFile(path: string, options: ImportOptions): Promise<ImportResult> {
  const { batchRows, rejectsFile, signal } = options
  const place = await importPlace(path, options.target)
  const before = (options.resume && (await place.read())) || { done: 0, rejected: 0, rejectBytes: 0 }
  const source = await openSource(path, options)
  await cutRejects(rejectsFile, before)
  let { done, rejected, rejectBytes } = before
  let rows: Rows | undefined
  const firstRejects: Reject[] = []

  const reject = async (rejects: readonly (Reject & Partial<SourceRow>)[]): Promise<void> => {
    if (rejects.length === 0) return
    rejected += rejects.length
    firstRejects.push(...rejects.slice(0, SHOWN_REJECTS - firstRejects.length))
    const text = rejects.map(line => `${JSON.stringify(line, writable)}\n`).join('')
    await appendFile(rejectsFile, text)
    rejectBytes += Buffer.byteLength(text)
  }
  const write = async (into: Rows, batch: readonly SourceRow[]): Promise<void> => {
    if (batch.length === 0) return
    try {
      await into.upsert(batch.map(toRow))
    } catch (error) {
      const { code = '', message } = error as { code?: string; message: string }
      const tooLarge = code === 'DRIFT_BATCH_TOO_LARGE' || code === 'DRIFT_BODY_TOO_LARGE'
      if (!(ROW_FAULTS.test(code) || (tooLarge && batch.length > 1))) throw error
      // Alone in its batch it is number 0 there, which is not where it is in the file.
      const reason = message.replace(/^row 0: /, '').replace(/\b(row|vector) 0\b/, 'the $1')
      if (batch.length === 1) return reject([{ ...batch[0]!, code, reason }])
      // A batch is refused whole: halves find the row that did it.
      await write(into, batch.slice(0, batch.length >> 1))
      await write(into, batch.slice(batch.length >> 1))
    }
  }
  const flush = async (batch: readonly (SourceRow | Unreadable)[]): Promise<void> => {
    const good = batch.filter(row => 'vector' in row) as SourceRow[]
    await reject(batch.filter((row): row is Unreadable => !('vector' in row)))
    const dim = source.dim ?? usualLength(good)
    if (dim !== undefined) rows ??= await options.open(dim)
    if (rows) await write(rows, good)
    else await reject(good.map(row => ({ ...row, reason: 'the row has no vector' })))
    done += batch.length
    await place.write({ done, rejected, rejectBytes })
    options.onProgress({ rows: done, rejected, share: source.share() })
  }

  let writing: Promise<void> = Promise.resolve()
  const result = (stopped: boolean): ImportResult => ({
    written: done - before.done - (rejected - before.rejected),
    rejected,
    skipped: before.done,
    stopped,
    firstRejects,
  })
  try {
    let batch: (SourceRow | Unreadable)[] = []
    for await (const row of source.rows(before.done)) {
      batch.push(row)
      if (batch.length < batchRows) continue
      await writing
      if (signal?.aborted) return result(true)
      writing = flush(batch)
      // Its failure is met at the next await; until then it is no unhandled one.
      writing.catch(() => undefined)
      batch = []
    }
    await writing
    if (signal?.aborted) return result(true)
    if (batch.length > 0) await flush(batch)
    await place.remove()
  } catch (error) {
    await writing.catch(() => undefined)
    throw done > 0 ? resumable(error, `${done} rows of the file are done`, { done }) : error
  } finally {
    await source.close()
  }
  return result(false)
}

/** Of the vectors of most rows: one bad row in front must not give the collection its dimension. */
function usualLength(rows: readonly SourceRow[]): number | undefined {
  const counts = new Map<number, number>()
  for (const { vector } of rows) {
    if (!Array.isArray(vector) && !(vector instanceof Float32Array)) continue
    counts.set(vector.length, (counts.get(vector.length) ?? 0) + 1)
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0]
}

function toRow({ id, vector, payload }: SourceRow): Row {
  return { id, vector, ...(payload === undefined ? {} : { payload }) }
}
