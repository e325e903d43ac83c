/** What a row becomes in each of the formats that rows are exported to. */
import { extname } from 'node:path'
import type { Filter, ScannedRow } from '@drift/server'
import { CliError } from '../errors.js'
import { writable } from '../json.js'
import type { Rows } from '../target.js'
import { csvSink, keysOf } from './csv.js'
import { npySink, vecsSink } from './vectors.js'

export interface Sink {
  /** In front of the first row. */
  readonly head: string | Uint8Array
  /** Text or bytes of one row. @throws CliError DRIFT_EXPORT_ROW for a row that the format cannot hold. */
  row(row: ScannedRow): string | Uint8Array
  /** The head with the number of rows, as long as the first one. */
  finalHead?(rows: number): Uint8Array
  /** The format has vectors only: ids go to a file of their own. */
  readonly idsApart?: boolean
  /** The columns that the head names, when they are of the rows; a sink that goes on is given them again. */
  readonly columns?: readonly string[]
}

export interface Selection {
  readonly filter?: Filter
}

/** @param columns - of the sink that this one goes on from. @throws CliError DRIFT_EXPORT_FORMAT */
export async function sinkOf(
  path: string,
  rows: Rows,
  selection: Selection,
  columns?: readonly string[],
): Promise<Sink> {
  switch (extname(path).toLowerCase()) {
    case '.jsonl':
    case '.ndjson':
      return { head: '', row: row => `${JSON.stringify(row, writable)}\n` }
    case '.csv':
      return csvSink(columns ?? (await keysOf(rows, selection)))
    case '.npy':
      return npySink(rows.dim)
    case '.fvecs':
      return vecsSink(rows.dim, 4)
    case '.bvecs':
      return vecsSink(rows.dim, 1)
    default:
      throw new CliError(
        'DRIFT_EXPORT_FORMAT',
        `${path}: expected .jsonl, .csv, .npy, .fvecs, .bvecs or .arrow`,
        { path },
      )
  }
}
