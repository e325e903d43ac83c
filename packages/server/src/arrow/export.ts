/**
 * `toArrow`: the rows of one moment as Arrow record batches of one schema. The payloads are gone through twice, first for the schema, so
 * that a stream that has begun never meets a value that its schema does not hold. Each batch has its vectors in memory of its own, gathered
 * once; Arrow takes them without another copy.
 */
import type { Id } from '@drift/core'
import type * as Arrow from 'apache-arrow'
import { DriftError } from '../errors.js'
import { type Filter, parseFilter } from '../filter/filter.js'
import { withMatching } from '../filter/match.js'
import { type Held, holding } from '../left-open.js'
import { rowsOfBits } from '../payload-index/bits.js'
import { decodePayload, type Payload } from '../rows.js'
import type { Store } from '../store.js'
import { columnName, columnOf, FORM, fieldOf, type Kind, observe } from './columns.js'

export interface ToArrowOptions {
  /** `id`, `vector` and keys of payloads (`payload.id` and `payload.vector` for keys of those names); default: all there are. */
  readonly columns?: readonly string[]
  /** Only rows whose payload matches. */
  readonly filter?: Filter
  readonly signal?: AbortSignal
}

/** Of vectors in a batch, at most. */
const BATCH_BYTES = 4 * 1024 * 1024
const MAX_BATCH_ROWS = 8192
/** Rows between two turns of the event loop. */
const SLICE_ROWS = 1024

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
  { columns, filter, signal }: ToArrowOptions,
  alive: () => void,
  held: Held,
): AsyncGenerator<Arrow.RecordBatch, void, undefined> {
  const matches = filter === undefined ? undefined : parseFilter(filter)
  const arrow = await import('apache-arrow')
  const { index, payloads, config } = store
  await index.vectorsReady()
  alive()
  const { rows, pin } = await withMatching(store, matches, signal, matching => ({
    rows: rowsOfBits(matching.rows),
    pin: index.pin(),
  }))
  held.release = pin.release
  try {
    const wanted = (name: string) => columns === undefined || columns.includes(name)
    const keysWanted = columns === undefined || columns.some(name => name !== 'id' && name !== 'vector')
    const kinds = new Map<string, Kind>()
    const idKinds = new Set<string>()
    for (const [i, row] of rows.entries()) {
      if (i % SLICE_ROWS === 0) await turn(signal, alive)
      idKinds.add(idKindOf(index.idAt(row)))
      const payload = keysWanted ? payloads.read(row) : undefined
      if (payload) observe(kinds, decodePayload(payload))
    }
    const names = new Set(['id', 'vector', ...Array.from(kinds.keys(), columnName)])
    for (const name of columns ?? []) {
      if (names.has(name)) continue
      throw new DriftError('DRIFT_ARROW', `no row of '${config.name}' has a payload with '${name}'`, { name })
    }
    const keys = [...kinds].filter(([key]) => wanted(columnName(key)))
    const idForm = idFormOf(idKinds)
    const vectorType = new arrow.FixedSizeList(
      config.dim,
      new arrow.Field('item', new arrow.Float32(), false),
    )
    const fields = [
      ...(wanted('id') ? [idField(arrow, idForm)] : []),
      ...(wanted('vector') ? [new arrow.Field('vector', vectorType, false)] : []),
      ...keys.map(([key, kind]) => fieldOf(arrow, key, kind)),
    ]
    const schema = new arrow.Schema(fields)
    const perBatch = Math.max(1, Math.min(MAX_BATCH_ROWS, Math.floor(BATCH_BYTES / (4 * config.dim))))
    for (let first = 0; first === 0 || first < rows.length; first += perBatch) {
      await turn(signal, alive)
      const part = rows.slice(first, first + perBatch)
      const children: Arrow.Data[] = []
      if (wanted('id')) {
        const ids = Array.from(part, row => idValue(index.idAt(row), idForm))
        children.push(arrow.vectorFromArray(ids, idField(arrow, idForm).type).data[0]!)
      }
      if (wanted('vector')) {
        const values = index.readVectors(part)
        children.push(vectorColumn(arrow, values, part.length, vectorType))
      }
      const read = keys.length > 0 ? Array.from(part, row => payloadOf(payloads.read(row))) : []
      for (const [key, kind] of keys) children.push(columnOf(arrow, key, kind, read))
      const type = new arrow.Struct(fields)
      yield new arrow.RecordBatch(
        schema,
        arrow.makeData({ type, length: part.length, nullCount: 0, children }),
      ) as Arrow.RecordBatch
    }
  } finally {
    pin.release()
  }
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
