/**
 * Rows of a file, one after the other and never all at once. Rule: a row that cannot be read is told with its place and
 * the reason; a file that is not what it says it is ends the import.
 */
import { extname } from 'node:path'
import type { Id, Payload } from '@drift/client'
import { CliError } from '../errors.js'
import { openArrow } from './arrow.js'
import { broken } from './broken.js'
import { openCsv } from './csv.js'
import { openJsonLines } from './json-lines.js'
import { openNpy } from './npy.js'
import { openVecs } from './vecs.js'

export interface SourceRow {
  /** Position in the file, from 0. */
  readonly number: number
  /** Of a text file, from 1; where a row has several, the last one. */
  readonly line?: number
  readonly id: Id
  readonly vector: Float32Array | readonly number[]
  readonly payload?: Payload | undefined
}

export interface Unreadable {
  readonly number: number
  readonly line?: number
  readonly reason: string
  /** What stands there, its beginning. */
  readonly text?: string
}

export interface Source {
  /** Undefined when only reading tells. */
  readonly dim: number | undefined
  /** Share of the file that has been read, 0..1; undefined when it is not known. */
  share(): number | undefined
  /** @param skip - rows at the beginning that are passed over. */
  rows(skip: number): AsyncGenerator<SourceRow | Unreadable, void, undefined>
  close(): Promise<void>
}

export interface SourceOptions {
  /** Columns of a .csv and .arrow and fields of a .jsonl. Default: `id` and `vector`. */
  readonly idField?: string
  readonly vectorField?: string
  /** Columns of a .csv whose values are numbers; others are text. */
  readonly numberFields?: readonly string[]
  /** A line of JSON for each row of a .npy, .fvecs or .bvecs: its id. Without it row numbers are the ids. */
  readonly idsFile?: string
}

const VECTORS_ONLY: readonly string[] = ['.npy', '.fvecs', '.bvecs']

/** @throws CliError DRIFT_IMPORT_FORMAT, DRIFT_IMPORT_FILE also for a file that cannot be read, DRIFT_OPTION */
export async function openSource(path: string, options: SourceOptions = {}): Promise<Source> {
  const format = extname(path).toLowerCase()
  // What a format has no use for would be taken for done.
  if (options.idsFile !== undefined && !VECTORS_ONLY.includes(format)) {
    throw new CliError('DRIFT_OPTION', `--ids is for ${VECTORS_ONLY.join(', ')}: ${path} has ids of its own`)
  }
  if (options.numberFields !== undefined && format !== '.csv') {
    throw new CliError('DRIFT_OPTION', `--number-fields is for .csv, not for ${path}`)
  }
  try {
    return await openAs(format, path, options)
  } catch (error) {
    // Not there, or not to be read, in the system's words.
    const { path: refused, message } = error as NodeJS.ErrnoException
    if (error instanceof CliError || refused !== path) throw error
    throw broken(path, `cannot be read: ${message}`, error)
  }
}

async function openAs(format: string, path: string, options: SourceOptions): Promise<Source> {
  switch (format) {
    case '.npy':
      return openNpy(path, options)
    case '.fvecs':
      return openVecs(path, 4, options)
    case '.bvecs':
      return openVecs(path, 1, options)
    case '.jsonl':
    case '.ndjson':
      return openJsonLines(path, options)
    case '.csv':
      return openCsv(path, options)
    case '.arrow':
    case '.arrows':
    case '.feather':
      return openArrow(path, options)
    default:
      throw new CliError(
        'DRIFT_IMPORT_FORMAT',
        `${path}: expected .npy, .fvecs, .bvecs, .jsonl, .csv or .arrow`,
        { path },
      )
  }
}
