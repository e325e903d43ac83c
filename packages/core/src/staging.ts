/**
 * A batch on its way into the row store: its rows are taken, and filled a piece at a time, so that a large batch need not hold its
 * thread. The batch has no place in the order of the writes before `VectorIndex.enter`. Whoever enters it fills in what is left in the same
 * tick: nothing else may come upon listed rows without vectors.
 */
import type { Id } from './id.js'
import type { Metric } from './metric.js'
import type { RowStore } from './row-store.js'

/** Values copied and encoded in one piece: half a millisecond, or several where memory is touched for the first time. */
export const PIECE_VALUES = 65_536

export class Staging {
  readonly rows: Uint32Array
  readonly ids: readonly Id[]
  /** The place of each in the batch that was given: of equal ids, the last one's. */
  readonly positions: Uint32Array
  readonly #store: RowStore
  readonly #vectors: Float32Array
  readonly #metric: Metric
  #filled = 0

  /** Made by `VectorIndex.stage`. @param vectors - not to be changed before everything is filled in. */
  constructor(
    store: RowStore,
    rows: Uint32Array,
    ids: readonly Id[],
    vectors: Float32Array,
    positions: Uint32Array,
    metric: Metric,
  ) {
    this.rows = rows
    this.ids = ids
    this.positions = positions
    this.#store = store
    this.#vectors = vectors
    this.#metric = metric
    // Now, as ids may find no room: filling in vectors does not fail.
    for (let i = 0; i < rows.length; i++) store.ids.recordId(rows[i]!, ids[i]!)
  }

  /** Of the next piece; 0 when everything is filled in. */
  get nextValues(): number {
    const { dim } = this.#store
    return dim * Math.min(this.rows.length - this.#filled, Math.ceil(PIECE_VALUES / dim))
  }

  /** So many values are left. */
  get leftValues(): number {
    return this.#store.dim * (this.rows.length - this.#filled)
  }

  /** Fill in the next piece. */
  fill(): void {
    const { rows, positions } = this
    const first = this.#filled
    const end = first + this.nextValues / this.#store.dim
    this.#store.fill(rows.subarray(first, end), this.#vectors, positions.subarray(first, end), this.#metric)
    this.#filled = end
  }

  /** Fill in what is left. */
  finish(): void {
    while (this.nextValues > 0) this.fill()
  }
}
