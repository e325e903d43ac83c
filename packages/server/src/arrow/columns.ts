/**
 * Payloads as Arrow columns: the narrowest type that holds every value of a key. A type only grows: int64 to float64, timestamp to utf8,
 * anything else to JSON text, which a column's metadata says, so that `fromArrow` gives back what `toArrow` took. Arrow knows one absence:
 * a key that is null and one that is missing become the same.
 */
import type * as Arrow from 'apache-arrow'
import type { Payload } from '../rows.js'

type Scalar = 'bool' | 'int' | 'float' | 'time' | 'text'
/** `list:` of nothing yet is an empty list; `json` is everything else. */
export type Kind = Scalar | `list:${Scalar | ''}` | 'json'

/** The key that a column's values had, when the column has another name. */
export const KEY = 'drift.key'
/** `json`: the text is JSON. Of the id column `mixed`: "text", 12 or 12n. */
export const FORM = 'drift.form'
/** Names of other columns, the empty one, which the library writes as none, and what keys of those names are called: no two keys become one column. */
const RESERVED = /^(payload\.)*(id|vector|)$/

const HALF_PAIR = /\p{Surrogate}/u

/** Widens `kinds` by the values of one payload, in order of first appearance. */
export function observe(kinds: Map<string, Kind>, payload: Payload): void {
  for (const [key, value] of Object.entries(payload)) {
    if (value === null || value === undefined) continue
    const before = kinds.get(key)
    const kind = kindOf(value)
    kinds.set(key, before === undefined ? kind : widen(before, kind))
  }
}

export function fieldOf(arrow: typeof Arrow, key: string, kind: Kind): Arrow.Field {
  const name = columnName(key)
  const metadata = new Map<string, string>()
  if (name !== key) metadata.set(KEY, key)
  if (isJson(kind)) metadata.set(FORM, 'json')
  return new arrow.Field(name, typeOf(arrow, kind), true, metadata)
}

export function columnName(key: string): string {
  return RESERVED.test(key) ? `payload.${key}` : key
}

/** One value for each payload, null where there is none. */
export function columnOf(
  arrow: typeof Arrow,
  key: string,
  kind: Kind,
  payloads: readonly (Payload | undefined)[],
): Arrow.Data {
  const convert = converter(kind)
  const values = payloads.map(payload => {
    const value = payload && Object.hasOwn(payload, key) ? payload[key] : undefined
    return value === null || value === undefined ? null : convert(value)
  })
  // A column of nulls only would be of no type.
  return arrow.vectorFromArray(values, typeOf(arrow, kind)).data[0]!
}

function kindOf(value: unknown): Kind {
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0) ? 'int' : 'float'
  if (typeof value === 'string') {
    // Half of a surrogate pair has no UTF-8, and as JSON an escape.
    if (HALF_PAIR.test(value)) return 'json'
    return isTimestamp(value) ? 'time' : 'text'
  }
  if (!Array.isArray(value)) return 'json'
  let item: Kind | '' = ''
  for (const element of value) {
    const kind = kindOf(element)
    item = item === '' ? kind : widen(item, kind)
    if (item === 'json' || item.startsWith('list:')) return 'json'
  }
  return `list:${item as Scalar | ''}`
}

function widen(a: Kind, b: Kind): Kind {
  if (a === b) return a
  const pair = [a, b].sort().join()
  if (pair === 'float,int') return 'float'
  if (pair === 'text,time') return 'text'
  if (!a.startsWith('list:') || !b.startsWith('list:')) return 'json'
  const [left, right] = [a.slice(5), b.slice(5)] as [Scalar | '', Scalar | '']
  if (left === '' || right === '') return `list:${left === '' ? right : left}`
  const item = widen(left, right)
  return item === 'json' ? 'json' : (`list:${item}` as Kind)
}

/** Only what comes back the same: a date in any other spelling is text. */
function isTimestamp(text: string): boolean {
  if (text.length !== 24 || text[10] !== 'T' || text[23] !== 'Z') return false
  const time = Date.parse(text)
  return !Number.isNaN(time) && new Date(time).toISOString() === text
}

function isJson(kind: Kind): boolean {
  return kind === 'json' || kind === 'list:'
}

function typeOf(arrow: typeof Arrow, kind: Kind): Arrow.DataType {
  if (isJson(kind)) return new arrow.Utf8()
  if (kind.startsWith('list:'))
    return new arrow.List(new arrow.Field('item', typeOf(arrow, kind.slice(5) as Scalar), true))
  if (kind === 'bool') return new arrow.Bool()
  if (kind === 'int') return new arrow.Int64()
  if (kind === 'float') return new arrow.Float64()
  if (kind === 'time') return new arrow.TimestampMillisecond('UTC')
  return new arrow.Utf8()
}

function converter(kind: Kind): (value: unknown) => unknown {
  if (isJson(kind)) return value => JSON.stringify(value)
  if (kind.startsWith('list:')) {
    const convert = converter(kind.slice(5) as Scalar)
    return value => (value as unknown[]).map(convert)
  }
  if (kind === 'int') return value => BigInt(value as number)
  if (kind === 'time') return value => Date.parse(value as string)
  return value => value
}
