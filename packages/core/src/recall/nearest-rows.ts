/** The k nearest of rows that come in pieces, in any order. Kept with some more, and thinned to k when the room is full. */
import { kernels } from '@drift/native'

/** Rows near to one query, and how far they are. */
export interface Neighbours {
  readonly rows: Uint32Array
  readonly distances: Float32Array
}

export class NearestRows {
  readonly #k: number
  #rows: Uint32Array
  #distances: Float32Array
  #count = 0
  #limit: number

  /** @param limit - a row counts when it is nearer than this. */
  constructor(k: number, limit: number = Number.POSITIVE_INFINITY) {
    this.#k = k
    this.#rows = new Uint32Array(4 * k)
    this.#distances = new Float32Array(4 * k)
    this.#limit = limit
  }

  /** A row counts when it is nearer than this: the k-th nearest so far. */
  get limit(): number {
    this.#thin()
    return this.#limit
  }

  add(rows: Uint32Array, distances: Float32Array, count: number = rows.length): void {
    for (let i = 0; i < count; i++) {
      if (!(distances[i]! < this.#limit)) continue
      this.#rows[this.#count] = rows[i]!
      this.#distances[this.#count++] = distances[i]!
      if (this.#count === this.#rows.length) this.#thin()
    }
  }

  /** Nearest first. */
  nearest(): Neighbours {
    this.#thin()
    return { rows: this.#rows.slice(0, this.#count), distances: this.#distances.slice(0, this.#count) }
  }

  #thin(): void {
    const positions = new Uint32Array(this.#k)
    const nearest = new Float32Array(this.#k)
    const found = kernels.topK(this.#distances, this.#count, this.#k, positions, nearest)
    const rows = positions.subarray(0, found).map(at => this.#rows[at]!)
    this.#rows.set(rows)
    this.#distances.set(nearest.subarray(0, found))
    this.#count = found
    if (found === this.#k) this.#limit = nearest[found - 1]!
  }
}
