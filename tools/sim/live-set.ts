// The vectors that are alive, side by side, for exact answers. Rule: row numbers in here mean nothing outside; ids do.
import type { KernelMetric } from '@drift/native'
import { type Truth, truth } from '../data/truth.js'
import type { Step } from './runbook.js'

export class LiveSet {
  readonly dim: number
  #vectors = new Float32Array(0)
  #ids = new Uint32Array(0)
  readonly #rowOf = new Map<number, number>()

  constructor(dim: number) {
    this.dim = dim
  }

  get count(): number {
    return this.#rowOf.size
  }

  get ids(): Uint32Array {
    return this.#ids.subarray(0, this.count)
  }

  /** count * dim values, in the order of `ids`. */
  get vectors(): Float32Array {
    return this.#vectors.subarray(0, this.count * this.dim)
  }

  apply(step: Step): void {
    if (step.do === 'search') return
    if (step.do === 'delete') for (const id of step.ids) this.#delete(id)
    else {
      for (const [i, id] of step.ids.entries()) {
        this.#set(id, step.vectors.subarray(i * this.dim, (i + 1) * this.dim))
      }
    }
  }

  /** `rows` of the answer are ids. */
  exact(queries: Float32Array, metric: KernelMetric, k: number): Truth {
    const found = truth(this.vectors, queries, this.dim, metric, k)
    return { ...found, rows: found.rows.map(row => this.#ids[row]!) }
  }

  #set(id: number, vector: Float32Array): void {
    let row = this.#rowOf.get(id)
    if (row === undefined) {
      row = this.count
      if (row === this.#ids.length) this.#grow()
      this.#rowOf.set(id, row)
      this.#ids[row] = id
    }
    this.#vectors.set(vector, row * this.dim)
  }

  /** The last row takes its place. */
  #delete(id: number): void {
    const row = this.#rowOf.get(id)
    if (row === undefined) return
    const last = this.count - 1
    this.#vectors.copyWithin(row * this.dim, last * this.dim, (last + 1) * this.dim)
    this.#ids[row] = this.#ids[last]!
    this.#rowOf.set(this.#ids[row]!, row)
    this.#rowOf.delete(id)
  }

  #grow(): void {
    const rows = Math.max(1024, 2 * this.#ids.length)
    const [vectors, ids] = [new Float32Array(rows * this.dim), new Uint32Array(rows)]
    vectors.set(this.#vectors)
    ids.set(this.#ids)
    this.#vectors = vectors
    this.#ids = ids
  }
}
