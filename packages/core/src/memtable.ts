/**
 * L0: the rows appended since the last rotation, an HNSW graph built behind them, and the tail that is not linked yet.
 * Rule: nodes are linked in append order, so rows [0, linked) are searched through the graph and [linked, count) are scanned, but for those
 * below `placed`, which are in buckets already. Nothing is stored twice: a memtable names rows of the row store. A trickle of writes gets
 * the graph; a stream that is searched goes on to buckets; a flood gets the scan.
 */
import { allocateHnsw, hnswBytes, hnswLinked, hnswRows, type KernelMetric, kernels } from '@drift/native'
import { CoreError } from './errors.js'
import type { RowStore } from './row-store.js'
import { RowList } from './search/row-list.js'

export interface GraphOptions {
  /** Neighbours per node and level. */
  readonly M: number
  readonly efConstruction: number
  readonly seed: number
}

/** What a search reads of a memtable. */
export interface MemtableViews {
  readonly rows: Uint32Array
  readonly count: number
  readonly graph: Uint32Array | undefined
  readonly linked: number
  /** Every row below is in a bucket, or dead. */
  readonly placed: number
}

/** What linking reads of the rows. */
export type LinkedRows = Pick<RowStore, 'vectors' | 'codes' | 'factors' | 'rotation'>

export class Memtable implements MemtableViews {
  readonly list: RowList = new RowList()
  /** Rows of the graph; rows beyond are only scanned. The sign to rotate. */
  readonly limit: number
  graph: Uint32Array | undefined
  linked = 0
  placed = 0
  frozen = false
  /** Flushed: its live rows are in buckets and nothing reads it. */
  dropped = false
  readonly #options: GraphOptions

  constructor(limit: number, options: GraphOptions) {
    this.limit = limit
    this.#options = options
  }

  get rows(): Uint32Array {
    return this.list.rows
  }

  get count(): number {
    return this.list.count
  }

  get isFull(): boolean {
    return this.count >= this.limit
  }

  /** Rows that a graph can still take in: none once others are in buckets, where it costs a tenth to bring them. */
  get unlinked(): number {
    return this.placed > this.linked ? 0 : Math.min(this.count, this.limit) - this.linked
  }

  /** Link the next `count` waiting rows of `store` (at most `unlinked`) by their codes. About 0.15 ms a row of 384 dimensions. */
  link(metric: KernelMetric, store: LinkedRows, dim: number, count: number): void {
    const more = Math.min(count, this.unlinked)
    if (more <= 0 || store.vectors === undefined) return
    this.graph ??= allocateHnsw({ capacity: this.limit, ...this.#options })
    hnswRows(this.graph).set(this.rows.subarray(this.linked, this.linked + more), this.linked)
    const { vectors, codes, factors, rotation } = store
    kernels.hnswInsert(this.graph, metric, vectors, dim, more, codes, factors, rotation.padded)
    this.linked = hnswLinked(this.graph)
  }

  get bytes(): number {
    return this.rows.byteLength + (this.graph === undefined ? 0 : hnswBytes(this.graph))
  }
}

export function noMemtable(what: string): CoreError {
  return new CoreError('DRIFT_MEMTABLE', what)
}
