/** Arguments of commands, checked. */
import type { Filter, Id } from '@drift/client'
import { InvalidArgumentError } from 'commander'
import { json } from './json.js'

export function integer(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError('expected a whole number.')
  return Number(text)
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

/** 7, "seven", {"$bigint":"7"}, or plain text. */
export function idArgument(text: string): Id {
  if (/^\{\s*"\$bigint"/.test(text)) return BigInt((json(text, 'the id') as { $bigint: string }).$bigint)
  return /^-?\d+$|^"/.test(text) ? (json(text, 'the id') as Id) : text
}

export function label(id: Id): string {
  return typeof id === 'string' ? id : typeof id === 'bigint' ? `${id}n` : String(id)
}
