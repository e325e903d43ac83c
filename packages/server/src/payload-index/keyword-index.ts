/**
 * A payload index that answers equality: each scalar at the path, whatever its type, with the rows that hold it.
 * Rule: a row's entry is that of its latest holder, dead or alive; who asks leaves dead rows out.
 */
import type { FilterNode } from '../filter/filter.js'
import type { Scalar } from '../filter/path.js'
import { Bits } from './bits.js'
import { RowSet } from './row-set.js'

interface Posting {
  readonly value: Scalar
  readonly rows: RowSet
}

/** What a JavaScript map and its entry take, about. */
const POSTING_BYTES = 160

export class KeywordIndex {
  readonly kind = 'keyword'
  readonly #postings = new Map<Scalar, Posting>()
  readonly #present = new Bits()
  /** By row. Sparse rows are rare: row numbers are reused. */
  readonly #held: (Posting | readonly Posting[] | undefined)[] = []

  /** @param scalars - at the path; undefined when it leads nowhere. */
  put(row: number, scalars: readonly Scalar[] | undefined): void {
    for (const posting of listOf(this.#held[row])) {
      posting.rows.remove(row)
      if (posting.rows.count === 0) this.#postings.delete(posting.value)
    }
    this.#present.set(row, scalars !== undefined)
    const distinct = scalars === undefined || scalars.length < 2 ? (scalars ?? []) : [...new Set(scalars)]
    const postings = distinct.map(value => this.#posting(value))
    for (const posting of postings) posting.rows.add(row)
    while (this.#held.length < row) this.#held.push(undefined)
    this.#held[row] = postings.length < 2 ? postings[0] : postings
  }

  /** Whether the index knows the rows of this condition. */
  answers(node: FilterNode): boolean {
    return node.kind === 'exists' || node.kind === 'in'
  }

  /** Set the bits of the rows that match. @param out - zeros; rows that the index has never seen may be set too. */
  collect(node: FilterNode, out: Uint32Array): void {
    if (node.kind === 'exists') this.#present.addTo(out)
    if (node.kind !== 'in') return
    if (node.values.has(null)) {
      this.#present.addTo(out)
      for (let i = 0; i < out.length; i++) out[i] = ~out[i]!
    }
    for (const value of node.values) this.#postings.get(value)?.rows.addTo(out)
  }

  get bytes(): number {
    let bytes = this.#present.bytes + 8 * this.#held.length
    for (const { value, rows } of this.#postings.values()) {
      bytes += POSTING_BYTES + rows.bytes + (typeof value === 'string' ? value.length : 0)
    }
    return bytes
  }

  #posting(value: Scalar): Posting {
    let posting = this.#postings.get(value)
    if (!posting) {
      posting = { value, rows: new RowSet() }
      this.#postings.set(value, posting)
    }
    return posting
  }
}

function listOf(held: Posting | readonly Posting[] | undefined): readonly Posting[] {
  if (held === undefined) return []
  return Array.isArray(held) ? held : [held as Posting]
}
