/**
 * A payload index that answers ranges and equality of numbers, and ranges of ISO dates. Text that is no date, booleans and null
 * are not in it: conditions on those are answered by scanning.
 */
import type { FilterNode } from '../filter/filter.js'
import { instantOf } from '../filter/instant.js'
import type { Scalar } from '../filter/path.js'
import { Bits } from './bits.js'
import { NumberColumn } from './number-column.js'

export class NumberIndex {
  readonly kind = 'number'
  readonly #numbers = new NumberColumn()
  readonly #instants = new NumberColumn()
  readonly #present = new Bits()

  /** @param scalars - at the path; undefined when it leads nowhere. */
  put(row: number, scalars: readonly Scalar[] | undefined): void {
    this.#present.set(row, scalars !== undefined)
    const numbers: number[] = []
    const instants: number[] = []
    for (const scalar of scalars ?? []) {
      if (typeof scalar === 'number') numbers.push(scalar)
      const instant = typeof scalar === 'string' ? instantOf(scalar) : undefined
      if (instant !== undefined) instants.push(instant)
    }
    this.#numbers.put(row, numbers)
    this.#instants.put(row, instants)
  }

  /** Whether the index knows the rows of this condition. */
  answers(node: FilterNode): boolean {
    if (node.kind === 'range') return node.range.of !== 'text'
    if (node.kind !== 'in') return node.kind === 'exists'
    for (const value of node.values) if (typeof value !== 'number') return false
    return true
  }

  /** Set the bits of the rows that match. @param out - zeros. */
  collect(node: FilterNode, out: Uint32Array): void {
    if (node.kind === 'exists') this.#present.addTo(out)
    if (node.kind === 'range' && node.range.of !== 'text') {
      this.#column(node.range.of).collect(node.range.low, node.range.high, out)
    }
    if (node.kind === 'in') this.#numbers.collectAny(node.values as ReadonlySet<number>, out)
  }

  /** Whether two ranges of the kind on this path may be made one: no row holds two such values. */
  isSingle(of: 'number' | 'instant'): boolean {
    return this.#column(of).isSingle
  }

  get bytes(): number {
    return this.#numbers.bytes + this.#instants.bytes + this.#present.bytes
  }

  #column(of: 'number' | 'instant'): NumberColumn {
    return of === 'number' ? this.#numbers : this.#instants
  }
}
