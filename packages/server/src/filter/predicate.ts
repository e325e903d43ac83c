/**
 * A filter as a function of one decoded payload: what the language means (docs/filters.md). Indexes must agree with it
 * to the row; a test holds them to that.
 */
import type { Payload } from '../rows.js'
import type { Bound, FilterNode, Range } from './filter.js'
import { instantOf } from './instant.js'
import { isPresent, type Scalar, someValue } from './path.js'

export type Predicate = (payload: Payload | undefined) => boolean

export function predicateOf(node: FilterNode): Predicate {
  switch (node.kind) {
    case 'and': {
      const all = node.of.map(predicateOf)
      return payload => all.every(passes => passes(payload))
    }
    case 'or': {
      const any = node.of.map(predicateOf)
      return payload => any.some(passes => passes(payload))
    }
    case 'not': {
      const passes = predicateOf(node.of)
      return payload => !passes(payload)
    }
    case 'exists':
      return payload => isPresent(payload, node.path)
    case 'in': {
      const { path, values } = node
      const isIn = (value: unknown) => values.has(value as Scalar)
      // A missing value equals null, as in MongoDB.
      if (values.has(null)) return payload => someValue(payload, path, isIn) || !isPresent(payload, path)
      return payload => someValue(payload, path, isIn)
    }
    case 'range': {
      const inside = insideOf(node.range)
      return payload => someValue(payload, node.path, inside)
    }
  }
}

function insideOf(range: Range): (value: unknown) => boolean {
  const { low, high } = range
  if (range.of === 'number') {
    return value => typeof value === 'number' && isInside(value, range.low, range.high)
  }
  if (range.of === 'instant') {
    return value => {
      const instant = typeof value === 'string' ? instantOf(value) : undefined
      return instant !== undefined && isInside(instant, range.low, range.high)
    }
  }
  return value => typeof value === 'string' && isInside(value, low as Bound<string>, high as Bound<string>)
}

/** Text has no least and no greatest: a missing bound lets everything pass. */
export function isInside<T extends number | string>(
  value: T,
  low: Bound<T> | undefined,
  high: Bound<T> | undefined,
): boolean {
  if (low && (low.closed ? value < low.value : value <= low.value)) return false
  return !(high && (high.closed ? value > high.value : value >= high.value))
}
