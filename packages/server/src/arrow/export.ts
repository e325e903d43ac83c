/**
 * `toArrow`: the rows of one moment as Arrow record batches of one schema. The payloads are gone through twice, first for the schema, so
 * that a stream that has begun never meets a value that its schema does not hold. Each batch has its vectors in memory of its own, gathered
 * once; Arrow takes them without another copy. In the order of `scan/order.ts` a later call can go on behind any batch.
 */
import { encodeId, type Id } from '@drift/core'
import type * as Arrow from 'apache-arrow'
import { DriftError } from '../errors.js'
import { type Filter, parseFilter } from '../filter/filter.js'
import { withMatching } from '../filter/match.js'
import { type Held, holding } from '../left-open.js'
import { rowsOfBits } from '../payload-index/bits.js'
import { decodePayload, type Payload } from '../rows.js'
import { decodeCursor, encodeCursor, type Place } from '../scan/order.js'
import { windows } from '../scan/page.js'
import type { Store } from '../store.js'
import { columnName, columnOf, FORM, fieldOf, type Kind, observe } from './columns.js'

export interface ToArrowOptions {
  /** `id`, `vector` and keys of payloads (`payload.id` and `payload.vector` for keys of those names); default: all there are. */
  readonly columns?: readonly string[]
  /** Only rows whose payload matches. */
  readonly filter?: Filter
  /** In the order of `scan({ limit })`: then the metadata of each batch says in `drift.cursor` where to go on behind it. */
  readonly ordered?: boolean
  /**
   * Only the rows behind the place that a batch or a scan gave, in that order. The schema is that of all rows, as if all were given:
   * while nothing is written it stays the same, but for the order of its columns.
   */
  readonly cursor?: string
  readonly signal?: AbortSignal
}

/** In the metadata of a batch: where a later call goes on. */
const CURSOR = 'drift.cursor'
/** Of vectors in a batch, at most. */
const BATCH_BYTES = 4 * 1024 * 1024
const MAX_BATCH_ROWS = 8192
/** Rows between two turns of the event loop. */
const SLICE_ROWS = 1024
/** Rows that are put in order at once, about. */
const WINDOW_ROWS = 32_768

/** At least one batch, of no rows when there are none: a stream needs its schema. */
export function exportRows(
  store: Store,
  options: ToArrowOptions,
  alive: () => void,
): AsyncGenerator<Arrow.RecordBatch, void, undefined> {
  return holding(held => batches(store, options, alive, held))
}

async function* batches(
  store: Store,
  { columns, filter, ordered = false, cursor, signal }: ToArrowOptions,
  alive: () => void,
  held: Held,
): AsyncGenerator<Arrow.RecordBatch, void, undefined> {
  const after = cursor === undefined ? undefined : decodeCursor(cursor)
  const inOrder = ordered || after !== undefined
  const matches = filter === undefined ? undefined : parseFilter(filter)
  const arrow = await import('apache-arrow')
  const { index, config } = store
  await index.vectorsReady()
  alive()
  const { rows, pin } = await withMatching(store, matches, signal, matching => ({
    rows: rowsOfBits(matching.rows),
    pin: index.pin(),
  }))
  held.release = pin.release
  try {
    const layout = await layoutOf(arrow, store, rows, columns, () => turn(signal, alive))
    const perBatch = Math.max(1, Math.min(MAX_BATCH_ROWS, Math.floor(BATCH_BYTES / (4 * config.dim))))
    const cursorOf = (last: number | undefined): Map<string, string> =>
      new Map(last === undefined ? [] : [[CURSOR, encodeCursor(encodeId(index.idAt(last)))]])
    const parts = inOrder ? partsInOrder(store, rows, after, perBatch) : partsOf(rows, perBatch)
    for (const part of parts) {
      await turn(signal, alive)
      if (!part) continue
      yield batchOf(arrow, store, layout, part, cursorOf(inOrder ? part.at(-1) : undefined))
    }
  } finally {
    pin.release()
  }
}

/** At least one part, be it of no rows. */
function* partsOf(rows: Uint32Array, most: number): Generator<Uint32Array> {
  for (let first = 0; first === 0 || first < rows.length; first += most) yield rows.slice(first, first + most)
}

/** The same in the order of `scan/order.ts`; undefined: nothing yet, after some work. */
function* partsInOrder(
  store: Store,
  rows: Uint32Array,
  after: Place | undefined,
  most: number,
): Generator<Uint32Array | undefined> {
  let part: number[] = []
  let given = 0
  for (const window of windows(store, () => rows, rows.length, after, WINDOW_ROWS)) {
    yield undefined
    for (const { row } of window) {
      part.push(row)
      if (part.length < most) continue
      yield Uint32Array.from(part)
      given++
      part = []
    }
  }
  if (part.length > 0 || given === 0) yield Uint32Array.from(part)
}

/** Which columns there are. */
interface Layout {
  /** Undefined: not wanted. */
  readonly idForm: IdForm | undefined
  readonly vectorType: Arrow.FixedSizeList<Arrow.Float32> | undefined
  readonly keys: readonly (readonly [string, Kind])[]
  readonly schema: Arrow.Schema
}

/** @param columns - that are wanted; undefined: all. @param pause - waited for between pieces of the rows. */
async function layoutOf(
  arrow: typeof Arrow,
  { index, payloads, config }: Store,
  rows: Uint32Array,
  columns: readonly string[] | undefined,
  pause: () => Promise<void>,
): Promise<Layout> {
  const isWanted = (name: string) => columns === undefined || columns.includes(name)
  const areKeysWanted = columns === undefined || columns.some(name => name !== 'id' && name !== 'vector')
  const kinds = new Map<string, Kind>()
  const idKinds = new Set<string>()
  for (const [i, row] of rows.entries()) {
    if (i % SLICE_ROWS === 0) await pause()
    idKinds.add(idKindOf(index.idAt(row)))
    const payload = areKeysWanted ? payloads.read(row) : undefined
    if (payload) observe(kinds, decodePayload(payload))
  }
  const names = new Set(['id', 'vector', ...Array.from(kinds.keys(), columnName)])
  for (const name of columns ?? []) {
    if (names.has(name)) continue
    throw new DriftError('DRIFT_ARROW', `no row of '${config.name}' has a payload with '${name}'`, { name })
  }
  const keys = [...kinds].filter(([key]) => isWanted(columnName(key)))
  const idForm = isWanted('id') ? idFormOf(idKinds) : undefined
  const item = new arrow.Field('item', new arrow.Float32(), false)
  const vectorType = isWanted('vector') ? new arrow.FixedSizeList(config.dim, item) : undefined
  const fields = [
    ...(idForm ? [idField(arrow, idForm)] : []),
    ...(vectorType ? [new arrow.Field('vector', vectorType, false)] : []),
    ...keys.map(([key, kind]) => fieldOf(arrow, key, kind)),
  ]
  return { idForm, vectorType, keys, schema: new arrow.Schema(fields) }
}

function batchOf(
  arrow: typeof Arrow,
  { index, payloads }: Store,
  { idForm, vectorType, keys, schema }: Layout,
  rows: Uint32Array,
  metadata: Map<string, string>,
): Arrow.RecordBatch {
  const children: Arrow.Data[] = []
  if (idForm) {
    const ids = Array.from(rows, row => idValue(index.idAt(row), idForm))
    children.push(arrow.vectorFromArray(ids, idField(arrow, idForm).type).data[0]!)
  }
  if (vectorType) children.push(vectorColumn(arrow, index.readVectors(rows), rows.length, vectorType))
  const read = keys.length > 0 ? Array.from(rows, row => payloadOf(payloads.read(row))) : []
  for (const [key, kind] of keys) children.push(columnOf(arrow, key, kind, read))
  const type = new arrow.Struct(schema.fields)
  const data = arrow.makeData({ type, length: rows.length, nullCount: 0, children })
  return new arrow.RecordBatch(schema, data, metadata) as Arrow.RecordBatch
}

type IdForm = 'text' | 'number' | 'bigint' | 'mixed'

function idKindOf(id: Id): string {
  if (typeof id === 'bigint') return id < 0n ? 'negative' : 'bigint'
  return typeof id
}

/** One kind of id has a type of its own; several become text that tells them apart. */
function idFormOf(kinds: ReadonlySet<string>): IdForm {
  const [kind] = kinds
  if (kinds.size > 1 || kind === 'negative') return 'mixed'
  return kind === 'number' || kind === 'bigint' ? kind : 'text'
}

function idField(arrow: typeof Arrow, form: IdForm): Arrow.Field {
  if (form === 'number') return new arrow.Field('id', new arrow.Int64(), false)
  if (form === 'bigint') return new arrow.Field('id', new arrow.Uint64(), false)
  const metadata = form === 'mixed' ? new Map([[FORM, 'mixed']]) : undefined
  return new arrow.Field('id', new arrow.Utf8(), false, metadata)
}

function idValue(id: Id, form: IdForm): unknown {
  if (form === 'number') return BigInt(id)
  if (form !== 'mixed') return id
  return typeof id === 'string' ? JSON.stringify(id) : typeof id === 'bigint' ? `${id}n` : String(id)
}

function vectorColumn(
  arrow: typeof Arrow,
  values: Float32Array,
  rows: number,
  type: Arrow.FixedSizeList<Arrow.Float32>,
): Arrow.Data {
  const { length } = values
  const child = arrow.makeData({ type: new arrow.Float32(), length, nullCount: 0, data: values })
  return arrow.makeData({ type, length: rows, nullCount: 0, child })
}

function payloadOf(bytes: Uint8Array | undefined): Payload | undefined {
  return bytes && decodePayload(bytes)
}

async function turn(signal: AbortSignal | undefined, alive: () => void): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
  signal?.throwIfAborted()
  alive()
}
