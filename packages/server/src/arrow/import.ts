/**
 * `fromArrow`: rows out of Arrow. The next batch is taken when the one before is written. Arrow itself checks no byte of a body: what has
 * been damaged on the way is found only where it makes no sense.
 */
import type { FileHandle } from 'node:fs/promises'
import type { Id } from '@drift/core'
import type * as Arrow from 'apache-arrow'
import { DriftError } from '../errors.js'
import type { Columns, Payload, Row } from '../rows.js'
import type { SliceOptions } from '../slices.js'
import { type ArrowInput, batchesOf } from './batches.js'
import { notArrow } from './refused.js'
import { child, idsOf, payloadsOf, vectorsOf } from './values.js'

export interface FromArrowOptions extends SliceOptions {
  /** Columns with other names than `id` and `vector`. */
  readonly id?: string
  readonly vector?: string
}

export interface FromArrowResult {
  readonly rows: number
  /** Of the last batch; 0 when there were no rows. */
  readonly lsn: number
}

/** Rows of one write: small enough that their payloads, too, fit a record of the log. */
const WRITE_ROWS = 500

/** @param write - takes rows and resolves to their LSN. Rows written before an error stay; its `details.rows` says how many. */
export async function importRows(
  input: unknown,
  dim: number,
  { id = 'id', vector = 'vector', signal, onProgress }: FromArrowOptions,
  write: (rows: Columns) => Promise<number>,
): Promise<FromArrowResult> {
  let rows = 0
  let lsn = 0
  try {
    for await (const batch of batchesOf(input, signal)) {
      const { ids, vectors, payloads } = columnsOf(batch, id, vector, dim)
      for (let first = 0; first < batch.numRows; first += WRITE_ROWS) {
        signal?.throwIfAborted()
        const end = Math.min(first + WRITE_ROWS, batch.numRows)
        lsn = await write({
          ids: ids.slice(first, end),
          vectors: vectors.subarray(first * dim, end * dim),
          ...(payloads ? { payloads: payloads.slice(first, end) } : {}),
        })
        rows += end - first
        onProgress?.({ stage: 'import', done: rows, total: rows })
      }
    }
  } catch (error) {
    const { code, message, details } = error as DriftError
    if (typeof code === 'string' && code.startsWith('DRIFT_'))
      throw new DriftError(code, message, { ...details, rows }, { cause: error })
    throw error
  }
  return { rows, lsn }
}

/** Columns whose offsets or types do not fit their bytes show only now, as errors of the library. */
function columnsOf(
  batch: Arrow.RecordBatch,
  id: string,
  vector: string,
  dim: number,
): { ids: Id[]; vectors: Float32Array; payloads: (Payload | undefined)[] | undefined } {
  try {
    return {
      ids: idsOf(batch, id),
      vectors: vectorsOf(batch, vector, dim),
      payloads: payloadsOf(batch, new Set([id, vector])),
    }
  } catch (cause) {
    if (cause instanceof DriftError) throw cause
    throw notArrow('a batch makes no sense', cause)
  }
}

/**
 * The rows of Arrow one after the other, as `upsert` takes them, for readers that go on behind a bad one: in its place comes the error that
 * says why. A file handle is read where it is needed, never all at once. The vectors of a batch share memory.
 *
 * @param options.skip - rows at the beginning that are passed over.
 */
export async function* arrowRows(
  input: ArrowInput | FileHandle,
  {
    id = 'id',
    vector = 'vector',
    skip = 0,
  }: { readonly id?: string; readonly vector?: string; readonly skip?: number } = {},
): AsyncGenerator<Row | DriftError, void, undefined> {
  const names = { id, vector }
  let left = skip
  for await (const batch of batchesOf(input)) {
    const from = Math.min(left, batch.numRows)
    left -= from
    if (from === batch.numRows) continue
    // Columns that are not there are the fault of the file, not of a row.
    for (const name of [id, vector]) child(batch, name)
    const rest = batch.slice(from)
    const rows = rowsOf(rest, names)
    if (!(rows instanceof DriftError)) yield* rows
    else {
      for (let row = 0; row < rest.numRows; row++) {
        const one = rowsOf(rest.slice(row, row + 1), names)
        // Alone, each is row 0 of its slice.
        if (one instanceof DriftError)
          yield new DriftError(one.code, one.message.replace(' in row 0', ''), {}, { cause: one })
        else yield* one
      }
    }
  }
}

function rowsOf(
  batch: Arrow.RecordBatch,
  { id, vector }: { readonly id: string; readonly vector: string },
): Row[] | DriftError {
  try {
    const first = child(batch, vector).get(0) as ArrayLike<unknown> | null
    const dim = first?.length ?? 0
    const { ids, vectors, payloads } = columnsOf(batch, id, vector, dim)
    return ids.map((id, row) => {
      const payload = payloads?.[row]
      return { id, vector: vectors.subarray(row * dim, (row + 1) * dim), ...(payload ? { payload } : {}) }
    })
  } catch (error) {
    // What is read here is in memory already: only a value can be wrong.
    return error instanceof DriftError ? error : notArrow('a value is not what its column says', error)
  }
}
