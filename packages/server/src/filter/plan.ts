/**
 * What payload indexes know about a filter: a bitmap of the rows that may match, and whether it is exact. Rule: without an answer for
 * a part, the bitmap is only larger, never smaller, and the predicate decides about the rows that are left.
 */
import type { PayloadIndexes } from '../payload-index/payload-indexes.js'
import type { FilterNode, Range } from './filter.js'

/** How a filter was or would be answered; `explain` shows it. */
export interface FilterPlan {
  /** `index`: from indexes alone. `index, then scan`: indexes leave rows whose payloads are read. `scan`: every payload is read. */
  readonly access: 'index' | 'index, then scan' | 'scan'
  /** Paths whose index was used. */
  readonly indexes: readonly string[]
  /** Paths that no index could answer. */
  readonly scanned: readonly string[]
}

/** Rows as bits; owned by the caller. `exact`: these rows match and no others, dead rows aside. */
export interface Candidates {
  readonly rows: Uint32Array
  readonly exact: boolean
}

/** @param words - length of the bitmap. @returns undefined when no index can help. */
export function candidatesOf(
  node: FilterNode,
  indexes: PayloadIndexes,
  words: number,
): Candidates | undefined {
  switch (node.kind) {
    case 'and':
      return intersection(fused(node.of, indexes), indexes, words)
    case 'or':
      return union(node.of, indexes, words)
    case 'not': {
      const inner = candidatesOf(node.of, indexes, words)
      if (!inner?.exact) return undefined
      for (let i = 0; i < words; i++) inner.rows[i] = ~inner.rows[i]!
      return inner
    }
    default: {
      const index = indexes.at(node.path)
      if (!index?.answers(node)) return undefined
      const rows = new Uint32Array(words)
      index.collect(node, rows)
      return { rows, exact: true }
    }
  }
}

export function planOf(node: FilterNode, indexes: PayloadIndexes): FilterPlan {
  const used = new Set<string>()
  const scanned = new Set<string>()
  const helps = mark(node, indexes, used, scanned)
  const access = !helps ? 'scan' : scanned.size === 0 ? 'index' : 'index, then scan'
  return { access, indexes: helps ? [...used] : [], scanned: [...scanned] }
}

function intersection(
  of: readonly FilterNode[],
  indexes: PayloadIndexes,
  words: number,
): Candidates | undefined {
  let all: Candidates | undefined
  let exact = true
  for (const node of of) {
    const one = candidatesOf(node, indexes, words)
    if (!one?.exact) exact = false
    if (!one) continue
    if (all) for (let i = 0; i < words; i++) all.rows[i]! &= one.rows[i]!
    all ??= one
  }
  return all && { rows: all.rows, exact }
}

function union(of: readonly FilterNode[], indexes: PayloadIndexes, words: number): Candidates | undefined {
  const rows = new Uint32Array(words)
  let exact = true
  for (const node of of) {
    const one = candidatesOf(node, indexes, words)
    if (!one) return undefined
    if (!one.exact) exact = false
    for (let i = 0; i < words; i++) rows[i]! |= one.rows[i]!
  }
  return { rows, exact }
}

/** Two bounds on one path made one range, where no row holds two values that could meet them separately. */
function fused(of: readonly FilterNode[], indexes: PayloadIndexes): readonly FilterNode[] {
  const out: FilterNode[] = []
  for (const node of of) {
    const at = out.findIndex(other => meets(other, node, indexes))
    const other = out[at]
    if (other?.kind === 'range' && node.kind === 'range') {
      out[at] = { kind: 'range', path: node.path, range: narrower(other.range, node.range) }
    } else out.push(node)
  }
  return out
}

function meets(a: FilterNode, b: FilterNode, indexes: PayloadIndexes): boolean {
  if (a.kind !== 'range' || b.kind !== 'range' || a.range.of !== b.range.of || a.range.of === 'text')
    return false
  if (a.path.join('.') !== b.path.join('.')) return false
  const index = indexes.at(a.path)
  return index?.kind === 'number' && index.isSingle(a.range.of)
}

function narrower(a: Range, b: Range): Range {
  if (a.of === 'text' || b.of === 'text') return a
  const low = a.low.value > b.low.value || (a.low.value === b.low.value && !a.low.closed) ? a.low : b.low
  const high =
    a.high.value < b.high.value || (a.high.value === b.high.value && !a.high.closed) ? a.high : b.high
  return { of: a.of, low, high }
}

/** @returns whether indexes narrow the node's rows. */
function mark(node: FilterNode, indexes: PayloadIndexes, used: Set<string>, scanned: Set<string>): boolean {
  switch (node.kind) {
    case 'and':
      return node.of.map(inner => mark(inner, indexes, used, scanned)).includes(true)
    case 'or':
      return !node.of.map(inner => mark(inner, indexes, used, scanned)).includes(false)
    case 'not': {
      const before = scanned.size
      return mark(node.of, indexes, used, scanned) && scanned.size === before
    }
    default: {
      const answered = indexes.at(node.path)?.answers(node) === true
      const paths = answered ? used : scanned
      paths.add(node.path.join('.'))
      return answered
    }
  }
}
