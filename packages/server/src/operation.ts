/**
 * What the write-ahead log holds: one operation per record, little-endian. A record is one atomic batch.
 *
 * ```
 *  0 u8  kind        1 UPSERT  2 DELETE  3 CREATE  4 DROP  255 LOST (no effect)
 *  1 u8  flags       bit 0: payloads follow; bit 1: vectors as the index holds them, not to be prepared again
 *  2 u16 version     1
 *  4 u32 collection  number of the collection, never reused
 *  8 u32 count       rows or ids; bytes of the JSON for CREATE; 0 for DROP
 * 12 u32 dim         UPSERT only, else 0
 * 16 UPSERT: count * dim f32 as the user gave them (but see flags) | ids | payloads?
 *    DELETE: ids                    CREATE: { name, dim, metric, ... } as JSON
 * ids:      count * u16 length, then the bytes of each (encodeId of @drift/core)
 * payloads: count * u32 length (0xffffffff: none), then the bytes of each
 * ```
 *
 * The log's checksums have passed before a record gets here, so a malformed one is a bug or a newer format: refused.
 */
import { CoreError, decodeId, type Id, type IndexQuantizer, MAX_ENCODED_ID_BYTES, writeId } from '@drift/core'
import { DriftError } from './errors.js'
import type { Batch } from './rows.js'

export type Operation =
  | { readonly kind: 'upsert'; readonly collection: number; readonly batch: Batch }
  | { readonly kind: 'delete'; readonly collection: number; readonly ids: readonly Id[] }
  | { readonly kind: 'create'; readonly collection: number; readonly config: CollectionConfig }
  | { readonly kind: 'drop'; readonly collection: number }
  /** Stands for a record that damage took. */
  | { readonly kind: 'lost'; readonly collection: 0 }

/** What a collection is, for ever. */
export interface CollectionConfig {
  readonly name: string
  readonly dim: number
  readonly metric: 'l2' | 'cosine' | 'ip'
  readonly memtableRows?: number
  /** Exact vectors of flushed rows are in the segments only. */
  readonly cold?: 'disk'
  /** Absent: `auto`. */
  readonly quantizer?: IndexQuantizer
  /** Payload indexes by path; the one thing here that changes, see `createIndex`. */
  readonly indexes?: { readonly [path: string]: 'keyword' | 'number' }
}

const UPSERT = 1
const DELETE = 2
const CREATE = 3
const DROP = 4
const LOST = 255
const VERSION = 1
const HAS_PAYLOADS = 1
const IS_PREPARED = 2
const HEADER_BYTES = 16
const NO_PAYLOAD = 0xffffffff
/** An integer's: what ids are given room for at first. */
const USUAL_ID_BYTES = 9

/** A record that is written where it is to lie. */
export interface Encoded {
  readonly bytes: number
  /** Fills all bytes of `into`, and does not throw. */
  write(into: Uint8Array): void
}

/** An upsert on its way into the log. Its ids and payloads are the record's own, its vectors the caller's until `keep`. */
export class UpsertRecord implements Encoded {
  readonly bytes: number
  /** Of them, those of the payloads and their lengths. */
  readonly payloadBytes: number
  readonly #collection: number
  readonly #dim: number
  readonly #batch: Batch
  #vectors: Float32Array
  #ids: readonly Id[]
  /** As they lie in the record. */
  readonly #idBytes: Uint8Array

  /** @throws CoreError DRIFT_ID. */
  constructor(collection: number, batch: Batch, dim: number) {
    this.#collection = collection
    this.#dim = dim
    this.#batch = batch
    this.#vectors = batch.vectors
    this.#ids = batch.ids
    this.#idBytes = encodeIds(batch.ids)
    this.payloadBytes = batch.payloads ? sum(batch.payloads, p => 4 + (p?.length ?? 0)) : 0
    this.bytes = HEADER_BYTES + batch.vectors.byteLength + this.#idBytes.length + this.payloadBytes
  }

  get vectors(): Float32Array {
    return this.#vectors
  }

  get ids(): readonly Id[] {
    return this.#ids
  }

  get isPrepared(): boolean {
    return this.#batch.isPrepared ?? false
  }

  get payloads(): Batch['payloads'] {
    return this.#batch.payloads
  }

  /** `wait`, during which the caller may change its memory. */
  keptFor(wait: Promise<void>): Promise<void> {
    this.keep()
    return wait
  }

  /** The caller may change its memory from now on. */
  keep(): void {
    if (this.#batch.isOurs || this.#vectors !== this.#batch.vectors) return
    this.#vectors = this.#batch.vectors.slice()
    this.#ids = [...this.#batch.ids]
  }

  write(into: Uint8Array): void {
    const { payloads, isPrepared } = this.#batch
    const vectors = this.#vectors
    const view = header(into, UPSERT, this.#collection, this.#ids.length, this.#dim)
    view.setUint8(1, (payloads ? HAS_PAYLOADS : 0) | (isPrepared ? IS_PREPARED : 0))
    into.set(new Uint8Array(vectors.buffer, vectors.byteOffset, vectors.byteLength), HEADER_BYTES)
    let at = HEADER_BYTES + vectors.byteLength
    into.set(this.#idBytes, at)
    at += this.#idBytes.length
    if (!payloads) return
    for (const payload of payloads) {
      view.setUint32(at, payload?.length ?? NO_PAYLOAD, true)
      at += 4
    }
    for (const payload of payloads) {
      if (!payload) continue
      into.set(payload, at)
      at += payload.length
    }
  }
}

/** A delete on its way into the log; its ids come in pieces. */
export class DeleteRecord implements Encoded {
  readonly #collection: number
  /** Ids, and as they lie in the record. */
  readonly #pieces: { readonly ids: readonly Id[]; readonly block: Uint8Array }[] = []
  #bytes = HEADER_BYTES

  constructor(collection: number) {
    this.#collection = collection
  }

  /** @param ids - not changed from now on. @throws CoreError DRIFT_ID. */
  add(ids: readonly Id[]): this {
    const block = encodeIds(ids)
    this.#pieces.push({ ids, block })
    this.#bytes += block.length
    return this
  }

  get bytes(): number {
    return this.#bytes
  }

  get ids(): readonly Id[] {
    const [first] = this.#pieces
    return this.#pieces.length === 1 ? first!.ids : this.#pieces.flatMap(({ ids }) => ids)
  }

  write(into: Uint8Array): void {
    const count = sum(this.#pieces, ({ ids }) => ids.length)
    header(into, DELETE, this.#collection, count, 0)
    let lengths = HEADER_BYTES
    let at = HEADER_BYTES + 2 * count
    for (const { ids, block } of this.#pieces) {
      const split = 2 * ids.length
      into.set(block.subarray(0, split), lengths)
      into.set(block.subarray(split), at)
      lengths += split
      at += block.length - split
    }
  }
}

export function encodeCreate(collection: number, config: CollectionConfig): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(config))
  const record = new Uint8Array(HEADER_BYTES + json.length)
  header(record, CREATE, collection, json.length, 0)
  record.set(json, HEADER_BYTES)
  return record
}

export function encodeDrop(collection: number): Uint8Array {
  const record = new Uint8Array(HEADER_BYTES)
  header(record, DROP, collection, 0, 0)
  return record
}

export function encodeLost(): Uint8Array {
  const record = new Uint8Array(HEADER_BYTES)
  header(record, LOST, 0, 0, 0)
  return record
}

/** @throws DriftError DRIFT_WAL_RECORD when the record is not one of the above. */
export function decodeOperation(record: Uint8Array): Operation {
  if (record.length < HEADER_BYTES) throw malformed('shorter than its header')
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength)
  const kind = view.getUint8(0)
  const version = view.getUint16(2, true)
  if (version !== VERSION) throw malformed(`of version ${version}, this release reads ${VERSION}`)
  const collection = view.getUint32(4, true)
  const count = view.getUint32(8, true)
  const dim = view.getUint32(12, true)
  switch (kind) {
    case UPSERT: {
      const vectorBytes = count * dim * 4
      if (HEADER_BYTES + vectorBytes > record.length) throw malformed('shorter than its vectors')
      const vectors = floatsOf(record.subarray(HEADER_BYTES, HEADER_BYTES + vectorBytes))
      const { ids, at } = takeIds(record, view, HEADER_BYTES + vectorBytes, count)
      const payloads = view.getUint8(1) & HAS_PAYLOADS ? takePayloads(record, view, at, count) : undefined
      const isPrepared = (view.getUint8(1) & IS_PREPARED) !== 0
      return { kind: 'upsert', collection, batch: { ids, vectors, payloads, isPrepared } }
    }
    case DELETE:
      return { kind: 'delete', collection, ids: takeIds(record, view, HEADER_BYTES, count).ids }
    case CREATE: {
      const json = new TextDecoder().decode(record.subarray(HEADER_BYTES, HEADER_BYTES + count))
      return { kind: 'create', collection, config: parseConfig(json) }
    }
    case DROP:
      return { kind: 'drop', collection }
    case LOST:
      return { kind: 'lost', collection: 0 }
    default:
      throw malformed(`of kind ${kind}, which this release does not know`)
  }
}

/** Where they lie, as they do in the log; a copy where they start at a byte that a Float32Array cannot start at. */
function floatsOf(bytes: Uint8Array): Float32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return new Float32Array(buffer, byteOffset, length / 4)
}

/** Its values are looked at where the collection is made. */
function parseConfig(json: string): CollectionConfig {
  try {
    const config: unknown = JSON.parse(json)
    if (typeof config === 'object' && config !== null) return config as CollectionConfig
  } catch {
    // Said below, as for JSON of another kind.
  }
  throw malformed('a creation without a collection')
}

function header(record: Uint8Array, kind: number, collection: number, count: number, dim: number): DataView {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength)
  view.setUint8(0, kind)
  view.setUint8(1, 0)
  view.setUint16(2, VERSION, true)
  view.setUint32(4, collection, true)
  view.setUint32(8, count, true)
  view.setUint32(12, dim, true)
  return view
}

/** Lengths, then the bytes of each. @throws DriftError DRIFT_ID that names the row. */
function encodeIds(ids: readonly Id[]): Uint8Array {
  let at = 2 * ids.length
  let block = new Uint8Array(at + USUAL_ID_BYTES * ids.length + MAX_ENCODED_ID_BYTES)
  for (let i = 0; i < ids.length; i++) {
    if (at + MAX_ENCODED_ID_BYTES > block.length) {
      const larger = new Uint8Array(2 * block.length)
      larger.set(block)
      block = larger
    }
    const length = writeIdOf(i, ids[i]!, block, at)
    block[2 * i] = length
    block[2 * i + 1] = length >>> 8
    at += length
  }
  return block.subarray(0, at)
}

/** Of a batch of thousands, which one: the value alone would not tell. */
function writeIdOf(position: number, id: Id, block: Uint8Array, at: number): number {
  try {
    return writeId(id, block, at)
  } catch (cause) {
    if (!(cause instanceof CoreError)) throw cause
    const { code, message, details } = cause
    throw new DriftError(code, `row ${position}: ${message}`, { position, ...details }, { cause })
  }
}

function takeIds(
  record: Uint8Array,
  view: DataView,
  start: number,
  count: number,
): { ids: Id[]; at: number } {
  let at = start + 2 * count
  if (at > record.length) throw malformed('shorter than its ids')
  const ids: Id[] = []
  for (let i = 0; i < count; i++) {
    const length = view.getUint16(start + 2 * i, true)
    if (at + length > record.length) throw malformed('shorter than its ids')
    ids.push(decodeId(record.subarray(at, at + length)))
    at += length
  }
  return { ids, at }
}

function takePayloads(
  record: Uint8Array,
  view: DataView,
  start: number,
  count: number,
): (Uint8Array | undefined)[] {
  let at = start + 4 * count
  if (at > record.length) throw malformed('shorter than its payloads')
  const payloads: (Uint8Array | undefined)[] = []
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(start + 4 * i, true)
    if (length === NO_PAYLOAD) {
      payloads.push(undefined)
      continue
    }
    if (at + length > record.length) throw malformed('shorter than its payloads')
    payloads.push(record.slice(at, at + length))
    at += length
  }
  return payloads
}

function malformed(what: string): DriftError {
  return new DriftError('DRIFT_WAL_RECORD', `a record of the write-ahead log is ${what}`)
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  let total = 0
  for (const item of items) total += of(item)
  return total
}
