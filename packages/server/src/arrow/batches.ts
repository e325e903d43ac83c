/**
 * Record batches out of whatever has them: IPC bytes, a stream of them, a file, record batches or a table; also of another copy or release of
 * the library, since only names and values are looked at.
 */
import type { FileHandle } from 'node:fs/promises'
import { types } from 'node:util'
import type * as Arrow from 'apache-arrow'
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

export async function* batchesOf(input: unknown): AsyncGenerator<Arrow.RecordBatch> {
  const table = input as { batches?: Iterable<unknown> } | null
  if (typeof table === 'object' && table !== null && table.batches && !types.isUint8Array(input)) {
    for (const batch of table.batches) yield asBatch(batch)
    return
  }
  if (isBytes(input)) {
    yield* decode(types.isUint8Array(input) ? input : new Uint8Array(input))
    return
  }
  // A stream of a file has a descriptor too.
  if (typeof input === 'object' && input !== null && 'fd' in input && !(Symbol.asyncIterator in input)) {
    yield* decode(input as FileHandle)
    return
  }
  const items = typeof input === 'object' && input !== null ? iteratorOf(input) : undefined
  if (!items) throw refused(`fromArrow got ${show(input)}, expected IPC bytes, a stream of them, or a table`)
  let ended = false
  let failed: { readonly error: unknown } | undefined
  const take = async (): Promise<IteratorResult<unknown>> => {
    try {
      const next = await items.next()
      ended = next.done === true
      return next
    } catch (error) {
      ended = true
      failed = { error }
      throw error
    }
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
    // What the source itself threw says nothing of Arrow.
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

function iteratorOf(input: object): AsyncIterator<unknown> | Iterator<unknown> | undefined {
  if (Symbol.asyncIterator in input) return (input as AsyncIterable<unknown>)[Symbol.asyncIterator]()
  if (Symbol.iterator in input) return (input as Iterable<unknown>)[Symbol.iterator]()
  return undefined
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
