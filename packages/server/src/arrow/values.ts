/** Ids, vectors and payloads out of the columns of a record batch. Rule: what an id, a number or JSON cannot hold is refused, never rounded. */
import { types } from 'node:util'
import type { Id } from '@drift/core'
import type * as Arrow from 'apache-arrow'
import { DriftError } from '../errors.js'
import { show } from '../given.js'
import { MAX_PAYLOAD_BYTES, type Payload } from '../rows.js'
import { FORM, KEY } from './columns.js'
import { refused } from './refused.js'

export function idsOf(batch: Arrow.RecordBatch, name: string): Id[] {
  const column = child(batch, name)
  const field = batch.schema.fields.find(field => field.name === name)!
  const mixed = field.metadata.get(FORM) === 'mixed'
  const type = plainType(String(field.type))
  // As numbers, times that differ by less than their unit here would become one row.
  if (TIME.test(type)) throw refused(`column '${name}' has type ${type}, expected ids: text or numbers`)
  const unsigned = type === 'Uint64'
  return Array.from({ length: batch.numRows }, (_, row) => {
    const value: unknown = column.get(row)
    if (mixed && typeof value === 'string') return parseMixed(value, name, row)
    if (typeof value === 'bigint' && !unsigned) return safeNumber(value, name, row)
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') return value
    throw refused(`column '${name}' holds ${show(value)} in row ${row}, expected an id`, row)
  })
}

function parseMixed(text: string, name: string, row: number): Id {
  try {
    if (text.startsWith('"')) return JSON.parse(text) as string
    return text.endsWith('n') ? BigInt(text.slice(0, -1)) : Number(text)
  } catch {
    throw refused(`column '${name}' holds ${show(text)} in row ${row}, which is no id`, row)
  }
}

/** @returns row-major; a view of the batch where its values lie like that. */
export function vectorsOf(batch: Arrow.RecordBatch, name: string, dim: number): Float32Array {
  const column = child(batch, name)
  const { numRows } = batch
  const [data, more] = column.data
  const values: unknown = data?.children[0]?.values
  const plain =
    types.isFloat32Array(values) && more === undefined && String(column.type).startsWith('FixedSizeList')
  if (
    column.nullCount === 0 &&
    plain &&
    data!.children[0]!.nullCount === 0 &&
    values.length === numRows * dim
  )
    return values
  const vectors = new Float32Array(numRows * dim)
  for (let row = 0; row < numRows; row++) {
    const value = column.get(row) as ArrayLike<unknown> | null
    const isList = value !== null && typeof value === 'object' && typeof value.length === 'number'
    // The length is looked at first: it is what the bytes say, and no more than that.
    if (isList && value.length !== dim) {
      throw new DriftError(
        'DRIFT_DIMENSION',
        `column '${name}' has ${value.length} values in row ${row}, expected ${dim}`,
        { row, dim },
      )
    }
    const list = isList ? Array.from(value) : undefined
    if (!list || list.some(item => typeof item !== 'number'))
      throw refused(`column '${name}' holds no vector of numbers in row ${row}`, row)
    vectors.set(list as number[], row * dim)
  }
  return vectors
}

export function payloadsOf(
  batch: Arrow.RecordBatch,
  others: ReadonlySet<string>,
): (Payload | undefined)[] | undefined {
  const fields = batch.schema.fields.filter(({ name }) => !others.has(name))
  if (fields.length === 0) return undefined
  const columns = fields.map(field => ({
    column: child(batch, field.name),
    key: field.metadata.get(KEY) ?? field.name,
    isJson: field.metadata.get(FORM) === 'json',
  }))
  return Array.from({ length: batch.numRows }, (_, row) => {
    const payload: Record<string, unknown> = {}
    for (const { column, key, isJson } of columns) {
      const value: unknown = column.get(row)
      if (value === null || value === undefined) continue
      const plain = isJson ? parseJson(value, key, row) : plainOf(value, String(column.type), key, row)
      Object.defineProperty(payload, key, {
        value: plain,
        enumerable: true,
        configurable: true,
        writable: true,
      })
    }
    return Object.keys(payload).length > 0 ? payload : undefined
  })
}

function parseJson(value: unknown, key: string, row: number): unknown {
  try {
    return JSON.parse(value as string)
  } catch {
    throw refused(`column '${key}' holds ${show(value)} in row ${row}, expected JSON`, row)
  }
}

const TIME = /^(Date|Time|Duration|Interval)/

/** Of a dictionary, the type of its values. */
function plainType(type: string): string {
  return /^Dictionary<[^,]*, (.*)>$/.exec(type)?.[1] ?? type
}

/** What JSON can say of an Arrow value. Times have milliseconds; what is finer is cut. */
function plainOf(value: unknown, encoded: string, key: string, row: number): unknown {
  const type = plainType(encoded)
  if (typeof value === 'bigint') return safeNumber(value, key, row)
  if (/^(Timestamp|Date)/.test(type)) return instant(value as number, key, row)
  if (typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean') return value
  const list = /^(?:List|FixedSizeList(?:\[\d+\])?)<(.*)>$/.exec(type)
  if (list) {
    const items = value as ArrayLike<unknown>
    if (items.length > MAX_PAYLOAD_BYTES)
      throw refused(
        `column '${key}' holds a list of ${items.length} values in row ${row}, too long for a payload`,
        row,
      )
    return Array.from(items, item => (item === null ? null : plainOf(item, list[1]!, key, row)))
  }
  throw refused(`column '${key}' has type ${type}, which has no JSON form here; leave it out`, row)
}

function instant(value: number, name: string, row: number): string {
  const date = new Date(value)
  if (Number.isNaN(date.getTime())) throw refused(`column '${name}' holds no time in row ${row}`, row)
  return date.toISOString()
}

function safeNumber(value: bigint, name: string, row: number): number {
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  throw refused(`column '${name}' holds ${value} in row ${row}, which a number cannot hold`, row)
}

export function child(batch: Arrow.RecordBatch, name: string): Arrow.Vector {
  const named = batch.schema.fields.filter(field => field.name === name).length
  if (named > 1) throw refused(`there are ${named} columns '${name}'`)
  const column = batch.getChild(name)
  if (column) return column
  const names = batch.schema.fields.map(field => `'${field.name}'`).join(', ')
  throw refused(`there is no column '${name}', only ${names}`)
}
