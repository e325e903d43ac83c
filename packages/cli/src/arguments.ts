/** Arguments of commands, checked. */
import type { Filter, Id } from '@drift/client'
import { InvalidArgumentError } from 'commander'
import { json, jsonId } from './json.js'

export function integer(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number.')
  return Number(text)
}

export function counted(text: string): number {
  const value = integer(text)
  if (value < 1) throw new InvalidArgumentError('expected a whole number above 0.')
  return value
}

/** Zero or more. */
export function seconds(text: string): number {
  const value = number(text)
  if (value < 0) throw new InvalidArgumentError('expected a number of at least 0.')
  return value
}

/** Zero or more, or Infinity. */
export function milliseconds(text: string): number {
  return text === 'Infinity' ? Number.POSITIVE_INFINITY : seconds(text)
}

export function positive(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('expected a number above 0.')
  return value
}

export function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number.')
  return value
}

export function list(text: string): string[] {
  return text.split(',').map(item => item.trim())
}

export function filterOption(text: string | undefined): { readonly filter?: Filter } {
  return text === undefined ? {} : { filter: json(text, '--filter') as Filter }
}

const INTEGER_ID = /^(-?\d{1,20})(n?)$/
const JSON_ID = /^"|^\{\s*"\$bigint"/

/** 7, 7n, "seven", {"$bigint":"7"}, or plain text. Digits that no number holds exactly are of a bigint. */
export function idArgument(text: string): Id {
  const digits = INTEGER_ID.exec(text)
  if (digits) {
    const [, value = '', isBig] = digits
    return isBig || !Number.isSafeInteger(Number(value)) ? BigInt(value) : Number(value)
  }
  return JSON_ID.test(text) ? jsonId(json(text, 'the id')) : text
}

/** An id as `idArgument` takes it. In JSON when the text alone would be another id, break the line or steer the terminal. */
export function label(id: Id): string {
  if (typeof id === 'bigint') return `${id}n`
  if (typeof id === 'number') return String(id)
  if (!INTEGER_ID.test(id) && !JSON_ID.test(id) && !/\p{Cc}/u.test(id)) return id
  return JSON.stringify(id).replace(/\p{Cc}/gu, unit => `\\u00${unit.charCodeAt(0).toString(16)}`)
}
