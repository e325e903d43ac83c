/**
 * The rows that recent filters matched, for as long as no row comes or goes: most callers ask with the same few filters again and again
 * (a tenant, a language), and finding 10 000 rows by an index takes as long as searching among them. Rule: a payload never changes while
 * its row lives, so equal live rows mean equal matches.
 */
import { fixRows } from '@drift/core'
import type { FilterNode } from './filter.js'
import type { Matching } from './match.js'

/** Filters remembered, a bit a row each. */
const MOST = 8

/** A filter whose text is longer is not asked for often, and its text takes as long as its answer. */
const MOST_LIST = 32

export class RecentMatches {
  /** Of the rows: changes whenever one comes or goes. */
  #version = -1
  readonly #byFilter = new Map<string, Matching>()

  find(filter: string, version: number): Matching | undefined {
    this.#expire(version)
    const found = this.#byFilter.get(filter)
    if (!found) return undefined
    // The last one asked for is the last to go.
    this.#byFilter.delete(filter)
    this.#byFilter.set(filter, found)
    // Asked for once more: worth some memory to the index.
    fixRows(found.rows)
    return found
  }

  /** @param matching - is not changed from now on. */
  keep(filter: string, version: number, matching: Matching): void {
    this.#expire(version)
    if (this.#byFilter.size >= MOST) this.#byFilter.delete(this.#byFilter.keys().next().value!)
    this.#byFilter.set(filter, matching)
  }

  #expire(version: number): void {
    if (version === this.#version) return
    this.#version = version
    this.#byFilter.clear()
  }
}

/** Equal texts are equal filters; undefined for one with a long list. */
export function textOf(node: FilterNode): string | undefined {
  return hasLongList(node) ? undefined : JSON.stringify(node, withoutLoss)
}

function hasLongList(node: FilterNode): boolean {
  switch (node.kind) {
    case 'and':
    case 'or':
      return node.of.length > MOST_LIST || node.of.some(hasLongList)
    case 'not':
      return hasLongList(node.of)
    default:
      return node.kind === 'in' && node.values.size > MOST_LIST
  }
}

/** What JSON has no word for: sets, and bounds that are infinite. */
function withoutLoss(_: string, value: unknown): unknown {
  if (value instanceof Set) return [...value]
  return typeof value === 'number' && !Number.isFinite(value) ? { infinite: String(value) } : value
}
