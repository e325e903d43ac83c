/**
 * Record batches out of whatever has them: IPC bytes, a stream of them, a file, record batches or a table; also of another copy or release of
 * the library, since only names and values are looked at.
 */
import type { FileHandle } from 'node:fs/promises'
import { types } from 'node:util'
import type * as Arrow from 'apache-arrow'
import { orAborted } from '../abort.js'
import { DriftError } from '../errors.js'
import { show } from '../given.js'
import { assertWithinBounds, withinBounds } from './ipc-bounds.js'
import { notArrow, refused } from './refused.js'

/** Bytes are an Arrow IPC stream or file. */
export type ArrowInput =
  | Uint8Array
  | ArrayBuffer
  | { readonly batches: Iterable<unknown> }
  | Iterable<unknown>
  | AsyncIterable<unknown>

/** @param signal - ends the waiting for a stream, too. */
export async function* batchesOf(input: unknown, signal?: AbortSignal): AsyncGenerator<Arrow.RecordBatch> {
  const items = isTable(input) || isBytes(input) || isFile(input) ? undefined : iteratorOf(input)
  if (items) return yield* batchesOfStream(items, signal)
  signal?.throwIfAborted()
  if (isTable(input)) for (const batch of listed(input.batches)) yield asBatch(batch)
  else if (isBytes(input)) yield* decode(types.isUint8Array(input) ? input : new Uint8Array(input))
  else if (isFile(input)) yield* decode(input)
  else throw refused(`fromArrow got ${show(input)}, expected IPC bytes, a stream of them, or a table`)
}

async function* batchesOfStream(
  items: AsyncIterator<unknown> | Iterator<unknown>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Arrow.RecordBatch> {
  let ended = false
  let failed: { readonly error: unknown } | undefined
  // Asked before the signal is: a stream of Node's that has not been read from would not close when it is let go.
  const take = (): Promise<IteratorResult<unknown>> => {
    const next = (async () => asResult(await items.next()))()
    next.then(
      ({ done }) => {
        ended = done === true
      },
      error => {
        ended = true
        failed = { error }
      },
    )
    return orAborted(next, signal)
  }
  try {
    const first = await take()
    if (first.done) throw refused('the stream is empty')
    const rest = async function* (): AsyncGenerator<unknown> {
      yield first.value
      for (let next = await take(); !next.done; next = await take()) yield next.value
    }
    if (isBytes(first.value)) yield* decode(bytesOf(rest()))
    else for await (const batch of rest()) yield asBatch(batch)
  } catch (error) {
    // What the signal or the source itself says, says nothing of Arrow.
    signal?.throwIfAborted()
    throw failed ? failed.error : error
  } finally {
    // Not waited for: a source that has stalled would keep the error from its caller.
    if (!ended) void letGo(items)
  }
}

/** A stream that is not read to its end is told, so that it closes what it has open. */
async function letGo(items: AsyncIterator<unknown> | Iterator<unknown>): Promise<void> {
  try {
    await items.return?.()
  } catch {
    // The error that led here is the one to be told.
  }
}

function isBytes(value: unknown): value is Uint8Array | ArrayBuffer {
  return types.isUint8Array(value) || types.isArrayBuffer(value)
}

async function* bytesOf(chunks: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    if (!isBytes(chunk)) throw refused(`the stream holds ${show(chunk)}, expected bytes`)
    yield types.isUint8Array(chunk) ? chunk : new Uint8Array(chunk)
  }
}

function isTable(input: unknown): input is { readonly batches: Iterable<unknown> } {
  const { batches } = (typeof input === 'object' && input !== null ? input : {}) as Partial<Arrow.Table>
  return typeof batches?.[Symbol.iterator] === 'function'
}

/** A stream of a file has a descriptor too. */
function isFile(input: unknown): input is FileHandle {
  return typeof input === 'object' && input !== null && 'fd' in input && !(Symbol.asyncIterator in input)
}

function iteratorOf(input: unknown): AsyncIterator<unknown> | Iterator<unknown> | undefined {
  if (typeof input !== 'object' || input === null) return undefined
  const given = input as Partial<AsyncIterable<unknown> & Iterable<unknown>>
  const begin = typeof given[Symbol.asyncIterator] === 'function' ? Symbol.asyncIterator : Symbol.iterator
  const items = typeof given[begin] === 'function' ? given[begin]() : undefined
  return typeof items?.next === 'function' ? items : undefined
}

function asResult(result: unknown): IteratorResult<unknown> {
  if (typeof result === 'object' && result !== null) return result as IteratorResult<unknown>
  throw refused(`the iterator gave ${show(result)}, expected { value, done }`)
}

/** Those of a table are in memory already. */
function listed(batches: Iterable<unknown>): unknown[] {
  try {
    return [...batches]
  } catch (cause) {
    throw notArrow('the batches of the table cannot be gone through', cause)
  }
}

async function* decode(
  bytes: Uint8Array | AsyncIterable<Uint8Array> | FileHandle,
): AsyncGenerator<Arrow.RecordBatch> {
  const { RecordBatchReader } = await import('apache-arrow')
  try {
    // A stream is looked at as it comes, by the same rules as bytes.
    if (types.isUint8Array(bytes)) assertWithinBounds(bytes)
    const isStream = !types.isUint8Array(bytes) && Symbol.asyncIterator in bytes
    const within = isStream ? withinBounds(bytes) : bytes
    const reader = await RecordBatchReader.from(within as AsyncIterable<Uint8Array>)
    await reader.open()
    if (!reader.schema) throw refused('the bytes hold no schema')
    for await (const batch of reader) yield batch
  } catch (cause) {
    if (cause instanceof DriftError) throw cause
    // As Feather files of pandas are, by lz4.
    if (/compress/i.test((cause as Error).message))
      throw refused('the record batches are compressed, which is not read here: write them uncompressed')
    throw notArrow('the bytes are not Arrow IPC', cause)
  }
}

function asBatch(value: unknown): Arrow.RecordBatch {
  const batch = value as Partial<Arrow.RecordBatch> | null
  if (typeof batch?.numRows === 'number' && batch.schema && typeof batch.getChild === 'function')
    return batch as Arrow.RecordBatch
  throw refused(`the input holds ${show(value)}, expected bytes or record batches`)
}
