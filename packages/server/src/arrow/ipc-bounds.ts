/**
 * A look at Arrow IPC bytes before the library reads them: it takes counts in the metadata as they come and loops over them, so that a few
 * bytes could keep it busy for minutes or ask for all memory. Here every count is held against the bytes that would have to be there.
 * Layout: https://arrow.apache.org/docs/format/Columnar.html (IPC) and the flatbuffers of its format/Message.fbs and Schema.fbs.
 */

const CONTINUATION = 0xffff_ffff
const MAGIC = 'ARROW1'
/** Of a file: the magic, and zeros. */
const STREAM_AT = 8
/** In a footer: where a message lies, and its lengths. */
const BLOCK_BYTES = 24
/** More than any schema that makes sense: the library holds all of it. */
const MAX_METADATA_BYTES = 16 * 1024 * 1024
/** Of a field's table: its way to the vtable, and the distances of name, type and children. */
const FIELD_BYTES = 16

/** Fields of flatbuffer tables, by their number. */
const MESSAGE = { headerType: 1, header: 2, bodyLength: 3, metadata: 4 } as const
const HEADER = { schema: 1, dictionary: 2, batch: 3 } as const
const SCHEMA = { fields: 1, metadata: 2, features: 3 } as const
const FIELD = { children: 5, metadata: 6 } as const
const BATCH = { length: 0, nodes: 1, buffers: 2, variadic: 4 } as const
const DICTIONARY = { batch: 1 } as const
const FOOTER = { schema: 1, dictionaries: 2, batches: 3, metadata: 4 } as const

/** Passes the chunks on; each is looked at before. @throws Error with a sentence about what cannot be. */
export async function* withinBounds(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const watch = new Watch()
  /** Of a file, which is only known by its end. */
  const held: Uint8Array[] = []
  let isFirst = true
  for await (const chunk of chunks) {
    if ((isFirst && startsWithMagic(chunk)) || held.length > 0) held.push(chunk)
    else {
      watch.push(chunk)
      yield chunk
    }
    isFirst &&= chunk.length === 0
  }
  if (held.length === 0) {
    watch.end()
    return
  }
  const file = Buffer.concat(held)
  assertWithinBounds(file)
  yield file
}

/** Whole bytes of a stream or a file. @throws like `withinBounds`. */
export function assertWithinBounds(bytes: Uint8Array): void {
  if (!startsWithMagic(bytes)) {
    const watch = new Watch()
    watch.push(bytes)
    watch.end()
    return
  }
  // A file is a stream between magics, with a footer that repeats the schema and says where the messages lie.
  const end = bytes.length - MAGIC.length - 4
  if (end < STREAM_AT || !endsWithMagic(bytes)) throw new Error('the file has been cut: its end is missing')
  const footerBytes = viewOf(bytes).getUint32(end, true)
  if (footerBytes > end - STREAM_AT) throw new Error(`a footer of ${footerBytes} bytes in ${bytes.length}`)
  const watch = new Watch()
  watch.push(bytes.subarray(STREAM_AT, end - footerBytes))
  const footer = root(bytes.subarray(end - footerBytes, end))
  schema(footer.table(FOOTER.schema))
  footer.vector(FOOTER.metadata, 4)
  for (const [number, type] of [
    [FOOTER.dictionaries, HEADER.dictionary],
    [FOOTER.batches, HEADER.batch],
  ] as const) {
    const blocks = footer.vector(number, BLOCK_BYTES)
    for (let i = 0; blocks && i < blocks.count; i++) {
      const at = long(footer.bytes, blocks.at + BLOCK_BYTES * i)
      // The library would read another kind of message there for ever.
      if (watch.types.get(at - STREAM_AT) !== type)
        throw new Error(`the footer names no such message at ${at}`)
    }
  }
}

function startsWithMagic(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(0, MAGIC.length)) === MAGIC
}

function endsWithMagic(bytes: Uint8Array): boolean {
  return startsWithMagic(bytes.subarray(bytes.length - MAGIC.length))
}

/** Follows the framing: length, metadata, body, again and again. */
class Watch {
  #held: Uint8Array = new Uint8Array(0)
  /** Bytes of a body that are still to come. */
  #skip = 0
  #ended = false
  #at = 0
  /** Kinds of the messages by their place in the stream. */
  readonly types: Map<number, number> = new Map()

  push(chunk: Uint8Array): void {
    if (this.#ended) return
    const skipped = Math.min(this.#skip, chunk.length)
    this.#skip -= skipped
    this.#at += skipped
    const rest = chunk.subarray(skipped)
    if (rest.length === 0) return
    const held = new Uint8Array(this.#held.length + rest.length)
    held.set(this.#held)
    held.set(rest, this.#held.length)
    const done = this.#messages(held)
    this.#held = held.subarray(done)
    this.#at += done
  }

  /** The mark of the end may be missing; a part of it, or of a message, is one that was cut. Of old it was four bytes of zeros. */
  end(): void {
    const rest = this.#held
    const isOldMark = rest.length === 4 && rest.every(byte => byte === 0)
    if (this.#ended || isOldMark || (rest.length === 0 && this.#skip === 0)) return
    throw new Error(`the stream has been cut: it ends within a message, at byte ${this.#at + rest.length}`)
  }

  /** @returns bytes that are done with. */
  #messages(bytes: Uint8Array): number {
    const view = viewOf(bytes)
    let at = 0
    while (at + 8 <= bytes.length) {
      // Before 0.15 there was no continuation in front of the length.
      const prefix = view.getUint32(at, true) === CONTINUATION ? 8 : 4
      const length = view.getUint32(at + prefix - 4, true)
      this.#ended = length === 0
      if (this.#ended) return bytes.length
      if (length > MAX_METADATA_BYTES) throw new Error(`metadata of ${length} bytes`)
      const body = at + prefix + length
      if (body > bytes.length) return at
      const { type, bodyBytes } = message(bytes.subarray(at + prefix, body))
      this.types.set(this.#at + at, type)
      at = Math.min(bytes.length, body + bodyBytes)
      this.#skip = body + bodyBytes - at
    }
    return at
  }
}

function message(metadata: Uint8Array): { type: number; bodyBytes: number } {
  const found = root(metadata)
  const type = found.byte(MESSAGE.headerType)
  const bodyBytes = found.long(MESSAGE.bodyLength)
  const header = found.table(MESSAGE.header)
  found.vector(MESSAGE.metadata, 4)
  if (!header) throw new Error('a message without a header')
  if (type === HEADER.schema) schema(header)
  else if (type === HEADER.batch) batch(header, bodyBytes)
  else if (type === HEADER.dictionary) batch(header.table(DICTIONARY.batch), bodyBytes)
  else throw new Error(`a message of kind ${type}`)
  // The library looks for none there, and would take it for the next message.
  if (type === HEADER.schema && bodyBytes > 0) throw new Error(`a schema with ${bodyBytes} bytes behind it`)
  return { type, bodyBytes }
}

function batch(table: Table | undefined, bodyBytes: number): void {
  if (!table) return
  const rows = table.long(BATCH.length)
  // A row takes a bit at least: one of its columns is an id.
  if (rows > bodyBytes * 8) throw new Error(`${rows} rows in a body of ${bodyBytes} bytes`)
  const nodes = table.vector(BATCH.nodes, 16)
  for (let i = 0; nodes && i < nodes.count; i++) {
    const values = long(table.bytes, nodes.at + 16 * i)
    if (values > bodyBytes * 8) throw new Error(`${values} values in a body of ${bodyBytes} bytes`)
  }
  table.vector(BATCH.buffers, 16)
  table.vector(BATCH.variadic, 8)
}

function schema(table: Table | undefined): void {
  if (!table) return
  table.vector(SCHEMA.metadata, 4)
  table.vector(SCHEMA.features, 8)
  // Distances may lead to the same field again and again, also to one that it is within: a field takes some bytes of its own.
  const most = table.bytes.length / FIELD_BYTES
  let found = 0
  const fields = (parent: Table, number: number): void => {
    const list = parent.vector(number, 4)
    for (let i = 0; list && i < list.count; i++) {
      if (++found > most) throw new Error(`more than ${found} columns in ${table.bytes.length} bytes`)
      const field = tableAt(table.bytes, offsetAt(table.bytes, list.at + 4 * i))
      field.vector(FIELD.metadata, 4)
      fields(field, FIELD.children)
    }
  }
  fields(table, SCHEMA.fields)
}

/** A flatbuffer table: the distance back to its vtable, which has the distance of each field that is there. */
interface Table {
  readonly bytes: Uint8Array
  byte(number: number): number
  long(number: number): number
  table(number: number): Table | undefined
  /** @param unit - bytes of an element. @throws when there are more than fit. */
  vector(number: number, unit: number): { readonly at: number; readonly count: number } | undefined
}

function root(bytes: Uint8Array): Table {
  return tableAt(bytes, offsetAt(bytes, 0))
}

function tableAt(bytes: Uint8Array, at: number): Table {
  const view = viewOf(bytes)
  assertInside(bytes, at, 4)
  const vtable = at - view.getInt32(at, true)
  assertInside(bytes, vtable, 4)
  const vtableBytes = view.getUint16(vtable, true)
  assertInside(bytes, vtable, vtableBytes)
  const field = (number: number, size: number): number | undefined => {
    const slot = 4 + 2 * number
    const distance = slot + 2 <= vtableBytes ? view.getUint16(vtable + slot, true) : 0
    if (distance === 0) return undefined
    assertInside(bytes, at + distance, size)
    return at + distance
  }
  return {
    bytes,
    byte: number => bytes[field(number, 1) ?? -1] ?? 0,
    long(number) {
      const found = field(number, 8)
      return found === undefined ? 0 : long(bytes, found)
    },
    table(number) {
      const found = field(number, 4)
      return found === undefined ? undefined : tableAt(bytes, offsetAt(bytes, found))
    },
    vector(number, unit) {
      const found = field(number, 4)
      if (found === undefined) return undefined
      const start = offsetAt(bytes, found)
      assertInside(bytes, start, 4)
      const count = view.getUint32(start, true)
      assertInside(bytes, start + 4, count * unit)
      return { at: start + 4, count }
    },
  }
}

/** Where the distance that is stored there leads. */
function offsetAt(bytes: Uint8Array, at: number): number {
  assertInside(bytes, at, 4)
  return at + viewOf(bytes).getUint32(at, true)
}

function long(bytes: Uint8Array, at: number): number {
  const value = Number(viewOf(bytes).getBigInt64(at, true))
  if (value < 0 || !Number.isSafeInteger(value)) throw new Error(`a length of ${value}`)
  return value
}

function assertInside(bytes: Uint8Array, at: number, length: number): void {
  if (at < 0 || at + length > bytes.length) throw new Error(`${length} bytes at ${at}, of ${bytes.length}`)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
