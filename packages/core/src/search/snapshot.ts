/**
 * A view of the index at one moment that other threads can read: the slabs themselves, plus copies of what a writer
 * changes in place (live bits, chain heads).
 * Rule: while its pin is open, nothing that it reaches is reused. Rows appended later are not live in it; chains that are
 * replaced later stay walkable; a row that moves to another bucket later is still met through its old chain.
 */
import type { KernelMetric } from '@drift/native'
import type { Directory } from '../bucket/directory.js'
import type { Memtable } from '../memtable.js'
import { kernelMetric, routingMetric } from '../metric.js'
import type { Router, RouterSlabs } from '../router/router.js'
import type { RowSlabs, RowStore } from '../row-store.js'
import type { RowList } from './row-list.js'
import type { SearchView } from './view.js'

/** Can be posted to a worker: shared memory is shared, the rest is small. */
export interface Snapshot {
  readonly dim: number
  readonly metric: KernelMetric
  readonly routing: KernelMetric
  readonly bucketRows: number
  readonly rowSlabs: RowSlabs
  /** Rows that the slabs had room for. */
  readonly capacity: number
  readonly rowLimit: number
  readonly liveRows: number
  readonly live: Uint32Array
  readonly heads: Uint32Array
  readonly routerSlabs: RouterSlabs
  readonly buckets: number
  readonly entrySlab: SharedArrayBuffer
  readonly nextSlab: SharedArrayBuffer
  readonly memtables: readonly {
    readonly rows: Uint32Array
    readonly count: number
    readonly graph: Uint32Array | undefined
    readonly linked: number
  }[]
  readonly unassigned: { readonly rows: Uint32Array; readonly count: number }
}

export interface SnapshotSource {
  readonly bucketRows: number
  readonly store: RowStore
  readonly directory: Directory
  readonly router: Router
  readonly memtables: readonly Memtable[]
  readonly unassigned: RowList
}

/** Copies of the live bits and the heads, kept while nothing changed so that readers in a quiet index share them. */
export class SnapshotCopies {
  #live: Uint32Array = new Uint32Array(0)
  #liveVersion = -1
  #heads: Uint32Array = new Uint32Array(0)
  #headsVersion = -1

  take(source: SnapshotSource): Snapshot {
    const { store, directory, router } = source
    if (store.version !== this.#liveVersion || store.live.length !== this.#live.length) {
      // As long as the column: a graph may meanwhile link rows that were appended later, which are dead here.
      this.#live = shared(store.live)
      this.#liveVersion = store.version
    }
    if (directory.version !== this.#headsVersion) {
      this.#heads = shared(directory.heads.subarray(0, directory.count))
      this.#headsVersion = directory.version
    }
    return {
      dim: store.dim,
      metric: kernelMetric(store.metric),
      routing: routingMetric(store.metric),
      bucketRows: source.bucketRows,
      rowSlabs: store.slabs,
      capacity: store.capacity,
      rowLimit: store.rows,
      liveRows: store.liveRows,
      live: this.#live,
      heads: this.#heads,
      routerSlabs: router.slabs,
      buckets: directory.count,
      entrySlab: directory.extents.slabs.entries,
      nextSlab: directory.extents.slabs.next,
      memtables: source.memtables.map(({ rows, count, graph, linked }) => ({ rows, count, graph, linked })),
      unassigned: { rows: source.unassigned.rows, count: source.unassigned.count },
    }
  }
}

/** The view that a snapshot describes, in any thread. */
export function attach(snapshot: Snapshot): SearchView {
  const { dim, capacity, rowSlabs, routerSlabs, buckets, entrySlab, nextSlab } = snapshot
  const blocks = nextSlab.byteLength / 4
  return {
    dim,
    metric: snapshot.metric,
    routing: snapshot.routing,
    bucketRows: snapshot.bucketRows,
    rows: {
      vectors: new Float32Array(rowSlabs.vectors, 0, capacity * dim),
      codes: new Uint8Array(rowSlabs.codes, 0, capacity * dim),
      factors: new Float32Array(rowSlabs.factors, 0, capacity * 2),
      live: snapshot.live,
    },
    rowLimit: snapshot.rowLimit,
    liveRows: snapshot.liveRows,
    homes: undefined,
    router: {
      centroids: new Float32Array(routerSlabs.centroids, 0, buckets * dim),
      codes: new Uint8Array(routerSlabs.codes, 0, buckets * dim),
      factors: new Float32Array(routerSlabs.factors, 0, buckets * 2),
      count: buckets,
    },
    chains: {
      entries: new Uint32Array(entrySlab, 0, blocks * 32),
      next: new Uint32Array(nextSlab, 0, blocks),
    },
    heads: snapshot.heads,
    memtables: snapshot.memtables,
    unassigned: snapshot.unassigned,
  }
}

function shared(values: Uint32Array): Uint32Array {
  const copy = new Uint32Array(new SharedArrayBuffer(values.byteLength))
  copy.set(values)
  return copy
}
