/**
 * The filter language: Mongo-style JSON, read once into a tree of five kinds of nodes that cannot be wrong. What it means, row by
 * row, is in docs/filters.md. Rule: whatever is handed in is refused with a code that names the place, or read completely.
 */
import { types } from 'node:util'
import { DriftError } from '../errors.js'
import { show } from '../given.js'
import { isPlain } from '../rows.js'
import { instantOf } from './instant.js'
import { isScalar, type Path, type Scalar } from './path.js'

/** A filter as users write it, for example `{ lang: 'en', time: { $gte: '2024-01-01' } }`. */
export type Filter = Fields | Logical

interface Fields {
  /** Undefined is refused when it is met; the compiler has it in the inferred type of a list such as `[{ a: 1 }, { b: 2 }]`. */
  readonly [path: string]: Scalar | Operators | undefined
}

/** May stand beside fields, which the compiler then does not check. */
interface Logical {
  readonly $and?: readonly Filter[]
  readonly $or?: readonly Filter[]
  readonly $not?: Filter
}

/** What a value at a path has to meet: all of them. */
interface Operators {
  readonly $eq?: Scalar
  readonly $ne?: Scalar
  readonly $gt?: number | string
  readonly $gte?: number | string
  readonly $lt?: number | string
  readonly $lte?: number | string
  readonly $in?: readonly Scalar[]
  readonly $nin?: readonly Scalar[]
  readonly $exists?: boolean
  readonly $not?: Operators
}

/** `$ne`, `$nin` and `$exists: false` are `not` of their opposites; one-sided comparisons are ranges. */
export type FilterNode =
  | { readonly kind: 'and' | 'or'; readonly of: readonly FilterNode[] }
  | { readonly kind: 'not'; readonly of: FilterNode }
  | { readonly kind: 'in'; readonly path: Path; readonly values: ReadonlySet<Scalar> }
  | { readonly kind: 'range'; readonly path: Path; readonly range: Range }
  | { readonly kind: 'exists'; readonly path: Path }

/** What a bound is compared with: numbers, ISO dates as milliseconds, or text by UTF-16 code units. */
export type Range =
  | { readonly of: 'number' | 'instant'; readonly low: Bound<number>; readonly high: Bound<number> }
  | { readonly of: 'text'; readonly low: Bound<string> | undefined; readonly high: Bound<string> | undefined }

export interface Bound<T> {
  readonly value: T
  /** Whether the value itself is inside. */
  readonly closed: boolean
}

const MAX_DEPTH = 16
const MAX_CONDITIONS = 256
const MAX_LIST = 10_000
const MAX_PATH_LENGTH = 256
const MAX_PATH_PARTS = 16

const UNBOUNDED_BELOW: Bound<number> = { value: Number.NEGATIVE_INFINITY, closed: true }
const UNBOUNDED_ABOVE: Bound<number> = { value: Number.POSITIVE_INFINITY, closed: true }
const COMPARISONS = ['$gt', '$gte', '$lt', '$lte']
const FIELD_OPERATORS = ['$eq', '$ne', ...COMPARISONS, '$in', '$nin', '$exists', '$not']
const LOGICAL_OPERATORS = ['$and', '$or', '$not']

interface Reading {
  conditions: number
}

/** @throws DriftError DRIFT_FILTER, DRIFT_FILTER_LIMIT. @returns undefined for a filter that lets every row pass. */
export function parseFilter(filter: unknown): FilterNode | undefined {
  const reading = { conditions: 0 }
  const node = readFilter(filter, 'filter', 1, reading)
  return node.kind === 'and' && node.of.length === 0 ? undefined : node
}

/** A dotted path as `indexes`, `createIndex` and filters take it. */
export function parsePath(path: unknown, where: string): Path {
  if (typeof path !== 'string' || path.length === 0) {
    throw malformed(where, `is ${show(path)}, expected a dotted path such as 'author.name'`)
  }
  if (path.length > MAX_PATH_LENGTH)
    throw tooMuch(where, 'characters in a path', path.length, MAX_PATH_LENGTH)
  const parts = path.split('.')
  if (parts.length > MAX_PATH_PARTS) throw tooMuch(where, 'parts of a path', parts.length, MAX_PATH_PARTS)
  if (parts.includes('')) throw malformed(where, `has the path ${show(path)} with an empty part`)
  if (path.startsWith('$'))
    throw malformed(where, `has the path ${show(path)}, which starts like an operator`)
  return parts
}

function readFilter(filter: unknown, where: string, depth: number, reading: Reading): FilterNode {
  if (depth > MAX_DEPTH) throw tooMuch(where, 'levels', depth, MAX_DEPTH)
  const entries = entriesOf(filter, where, "an object such as { lang: 'en' }")
  const of = entries.map(([key, value]) => {
    const place = `${where}.${key}`
    if (!key.startsWith('$')) return readField(parsePath(key, where), value, place, depth, reading)
    if (key === '$not') return not(readFilter(value, place, depth + 1, reading))
    if (key === '$and' || key === '$or') return readList(key, value, place, depth, reading)
    throw unknown(where, key, LOGICAL_OPERATORS)
  })
  return of.length === 1 ? of[0]! : { kind: 'and', of }
}

function readList(
  key: '$and' | '$or',
  value: unknown,
  where: string,
  depth: number,
  reading: Reading,
): FilterNode {
  if (!Array.isArray(value) || value.length === 0) {
    throw malformed(where, `is ${Array.isArray(value) ? 'empty' : show(value)}, expected an array of filters`)
  }
  if (value.length > MAX_CONDITIONS) throw tooMuch(where, 'conditions', value.length, MAX_CONDITIONS)
  const of = Array.from(value, (item, i) => readFilter(item, `${where}[${i}]`, depth + 1, reading))
  return { kind: key === '$and' ? 'and' : 'or', of }
}

/** The condition on one path: a value, or an object of operators. */
function readField(path: Path, value: unknown, where: string, depth: number, reading: Reading): FilterNode {
  if (depth > MAX_DEPTH) throw tooMuch(where, 'levels', depth, MAX_DEPTH)
  if (isScalar(value))
    return counted(reading, where, { kind: 'in', path, values: new Set([scalar(value, where)]) })
  const entries = entriesOf(value, where, 'a string, number, boolean, null or an object of operators')
  if (entries.length === 0)
    throw malformed(where, 'is an empty object, expected operators such as { $gte: 1 }')
  const of = entries.map(([operator, operand]) => {
    const place = `${where}.${operator}`
    if (!FIELD_OPERATORS.includes(operator)) throw unknown(where, operator, FIELD_OPERATORS)
    if (operator === '$not') return not(readNegated(path, operand, place, depth + 1, reading))
    return counted(reading, place, readCondition(path, operator, operand, place))
  })
  return of.length === 1 ? of[0]! : { kind: 'and', of }
}

function readNegated(
  path: Path,
  operand: unknown,
  where: string,
  depth: number,
  reading: Reading,
): FilterNode {
  if (isScalar(operand))
    throw malformed(where, `is ${show(operand)}, expected an object of operators; or use $ne`)
  return readField(path, operand, where, depth, reading)
}

function readCondition(path: Path, operator: string, operand: unknown, where: string): FilterNode {
  switch (operator) {
    case '$eq':
      return { kind: 'in', path, values: new Set([scalar(operand, where)]) }
    case '$ne':
      return not({ kind: 'in', path, values: new Set([scalar(operand, where)]) })
    case '$in':
      return { kind: 'in', path, values: scalars(operand, where) }
    case '$nin':
      return not({ kind: 'in', path, values: scalars(operand, where) })
    case '$exists':
      if (typeof operand !== 'boolean') throw malformed(where, `is ${show(operand)}, expected true or false`)
      return operand ? { kind: 'exists', path } : not({ kind: 'exists', path })
    default:
      return { kind: 'range', path, range: rangeOf(operator, operand, where) }
  }
}

function rangeOf(operator: string, operand: unknown, where: string): Range {
  const closed = operator.endsWith('e')
  const isLow = operator.startsWith('$gt')
  const instant = typeof operand === 'string' ? instantOf(operand) : undefined
  if (typeof operand === 'string' && instant === undefined) {
    const bound = { value: operand, closed }
    return { of: 'text', low: isLow ? bound : undefined, high: isLow ? undefined : bound }
  }
  if (instant === undefined && typeof scalar(operand, where) !== 'number') {
    throw malformed(
      where,
      `is ${show(operand)}, which has no order; expected a number, an ISO date or other text`,
    )
  }
  const bound = { value: instant ?? (operand as number), closed }
  const of = instant === undefined ? 'number' : 'instant'
  return { of, low: isLow ? bound : UNBOUNDED_BELOW, high: isLow ? UNBOUNDED_ABOVE : bound }
}

function scalars(operand: unknown, where: string): ReadonlySet<Scalar> {
  if (!Array.isArray(operand)) throw malformed(where, `is ${show(operand)}, expected an array of values`)
  if (operand.length > MAX_LIST) throw tooMuch(where, 'values', operand.length, MAX_LIST)
  return new Set(Array.from(operand, (value, i) => scalar(value, `${where}[${i}]`)))
}

function scalar(value: unknown, where: string): Scalar {
  if (!isScalar(value)) {
    throw malformed(where, `is ${show(value)}, expected a string, number, boolean or null${dateHint(value)}`)
  }
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw malformed(where, `is ${value}, which no payload can hold`)
  }
  return value
}

/** Own enumerable entries of a plain object; each value is read once. */
function entriesOf(value: unknown, where: string, expected: string): [string, unknown][] {
  if (!isPlain(value)) throw malformed(where, `is ${show(value)}, expected ${expected}${dateHint(value)}`)
  const keys = Object.keys(value)
  if (keys.length > MAX_CONDITIONS) throw tooMuch(where, 'conditions', keys.length, MAX_CONDITIONS)
  return keys.map(key => [key, (value as Readonly<Record<string, unknown>>)[key]])
}

function dateHint(value: unknown): string {
  return types.isDate(value) ? '; write a date as toISOString() or getTime()' : ''
}

function counted(reading: Reading, where: string, node: FilterNode): FilterNode {
  if (++reading.conditions > MAX_CONDITIONS) {
    throw tooMuch(where, 'conditions', reading.conditions, MAX_CONDITIONS)
  }
  return node
}

function not(of: FilterNode): FilterNode {
  return of.kind === 'not' ? of.of : { kind: 'not', of }
}

function unknown(where: string, operator: string, known: readonly string[]): DriftError {
  // No guess: what is nearest by its letters is by its meaning often the opposite, as $or is of $nor.
  const only = known.join(', ')
  return new DriftError(
    'DRIFT_FILTER',
    operator.startsWith('$')
      ? `${where} has no operator '${short(operator)}', only ${only}`
      : `${where} has the key ${show(operator)} beside or instead of operators (${only}); write nested fields as a dotted path`,
    { path: where, operator: short(operator) },
  )
}

function malformed(where: string, what: string): DriftError {
  return new DriftError('DRIFT_FILTER', `${clip(where)} ${what}`, { path: clip(where) })
}

function tooMuch(where: string, what: string, count: number, limit: number): DriftError {
  return new DriftError('DRIFT_FILTER_LIMIT', `${clip(where)} has ${count} ${what}, the limit is ${limit}`, {
    path: clip(where),
    count,
    limit,
  })
}

/** A place in a hostile filter may be very long. */
function clip(where: string): string {
  return where.length > 200 ? `${where.slice(0, 200)}…` : where
}

function short(operator: string): string {
  return operator.length > 40 ? `${operator.slice(0, 40)}…` : operator
}
