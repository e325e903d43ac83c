/**
 * A view of the index at one moment that other threads can read: the slabs themselves, plus copies of what a writer
 * changes in place (live bits, chain heads, counts of entries).
 * Rule: while its pin is open, nothing that it reaches is reused. Rows appended later are not live in it; chains that are
 * replaced later stay walkable; a row that moves to another bucket later is still met through its old chain.
 */
import { BLOCK_ENTRIES, blockBytes, type IndexSlabs, type KernelMetric } from '@drift/native'
import type { Directory } from '../bucket/directory.js'
import type { IndexShape } from '../index-state.js'
import type { Memtable, MemtableViews } from '../memtable.js'
import { kernelMetric, routingMetric } from '../metric.js'
import { type GroupSlabs, groupView } from '../router/groups.js'
import type { Router, RouterSlabs } from '../router/router.js'
import type { RowSlabs, RowStore } from '../row-store.js'
import type { RowList } from './row-list.js'
import type { SearchView } from './view.js'

/** Can be posted to a worker: shared memory is shared, the rest is small. */
export interface Snapshot {
  readonly dim: number
  readonly padded: number
  readonly flips: Uint32Array
  readonly metric: KernelMetric
  readonly routing: KernelMetric
  readonly bucketRows: number
  readonly readsAll: boolean
  readonly codebooks: Float32Array | undefined
  readonly rowSlabs: RowSlabs
  /** Rows that the slabs had room for. */
  readonly capacity: number
  readonly rowLimit: number
  readonly liveRows: number
  readonly meanLives: number
  readonly live: Uint32Array
  readonly heads: Uint32Array
  readonly routerSlabs: RouterSlabs
  readonly groupSlabs: GroupSlabs | undefined
  readonly buckets: number
  readonly sizes: Uint32Array
  readonly lives: Uint32Array
  readonly blockSlab: SharedArrayBuffer
  readonly nextSlab: SharedArrayBuffer
  readonly memtables: readonly MemtableViews[]
  readonly unassigned: { readonly rows: Uint32Array; readonly count: number }
}

export interface SnapshotSource {
  readonly shape: Pick<IndexShape, 'bucketRows' | 'quantizer'>
  readonly codebooks: Float32Array | undefined
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
  #sizes: Uint32Array = new Uint32Array(0)
  #lives: Uint32Array = new Uint32Array(0)
  #entryVersion = -1

  get bytes(): number {
    return this.#live.byteLength + this.#heads.byteLength + this.#sizes.byteLength + this.#lives.byteLength
  }

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
    if (directory.entryVersion !== this.#entryVersion || directory.count !== this.#lives.length) {
      this.#sizes = shared(directory.sizes.subarray(0, directory.count))
      this.#lives = shared(directory.lives.subarray(0, directory.count))
      this.#entryVersion = directory.entryVersion
    }
    return {
      dim: store.dim,
      padded: store.rotation.padded,
      flips: store.rotation.flips,
      metric: kernelMetric(store.metric),
      routing: routingMetric(store.metric),
      bucketRows: source.shape.bucketRows,
      readsAll: source.shape.quantizer === 'sq8',
      codebooks: source.codebooks,
      rowSlabs: store.slabs,
      capacity: store.capacity,
      rowLimit: store.rows,
      liveRows: store.liveRows,
      meanLives: directory.meanLives,
      live: this.#live,
      heads: this.#heads,
      routerSlabs: router.slabs,
      groupSlabs: router.groups?.slabs,
      buckets: directory.count,
      sizes: this.#sizes,
      lives: this.#lives,
      blockSlab: directory.extents.slabs.blocks,
      nextSlab: directory.extents.slabs.next,
      memtables: source.memtables.map(({ rows, count, graph, linked, placed, tail }) => ({
        rows,
        count,
        graph,
        linked,
        placed,
        tail: { reference: tail.reference, from: tail.from, end: tail.end, blocks: tail.blocks },
      })),
      unassigned: { rows: source.unassigned.rows, count: source.unassigned.count },
    }
  }
}

/** The view that a snapshot describes, in any thread. */
export function attach(snapshot: Snapshot): SearchView {
  const { bucketRows, liveRows, meanLives, memtables, unassigned } = snapshot
  return {
    slabs: slabsOf(snapshot),
    bucketRows,
    liveRows,
    meanLives,
    memtables,
    unassigned,
    home: undefined,
    changes: 0,
  }
}

/** The two buckets of every row, as they are while they are read. */
export interface RowBuckets {
  readonly home: Uint32Array
  readonly second: Uint32Array
}

export function rowBucketsOf({ rowSlabs, capacity }: Snapshot): RowBuckets {
  return {
    home: new Uint32Array(rowSlabs.homes, 0, capacity),
    second: new Uint32Array(rowSlabs.seconds, 0, capacity),
  }
}

function slabsOf(snapshot: Snapshot): IndexSlabs {
  const { dim, padded, flips, capacity, rowSlabs, routerSlabs, groupSlabs, buckets } = snapshot
  const routerBlocks = Math.ceil(buckets / BLOCK_ENTRIES)
  const centroids = new Float32Array(routerSlabs.centroids, 0, buckets * padded)
  const centroidCodes = new Uint8Array(routerSlabs.codes, 0, buckets * padded)
  const centroidFactors = new Float32Array(routerSlabs.factors, 0, buckets * 2)
  const chains = chainsOf(snapshot.nextSlab, snapshot.blockSlab, padded)
  const below = { padded, flips, centroids, codes: centroidCodes, factors: centroidFactors }
  const ofGroups = groupSlabs && chainsOf(groupSlabs.next, groupSlabs.blocks, padded)
  return {
    metric: snapshot.metric,
    routing: snapshot.routing,
    dim,
    padded,
    flips,
    vectors: rowSlabs.vectors && new Float32Array(rowSlabs.vectors, 0, capacity * dim),
    codes: new Uint8Array(rowSlabs.codes, 0, capacity * padded),
    factors: new Float32Array(rowSlabs.factors, 0, capacity * 2),
    live: snapshot.live,
    centroids,
    centroidCodes,
    centroidFactors,
    router: new Uint8Array(routerSlabs.blocks, 0, routerBlocks * blockBytes(padded)),
    center: new Float32Array(routerSlabs.center),
    heads: snapshot.heads,
    sizes: snapshot.sizes,
    lives: snapshot.lives,
    next: chains.next,
    blocks: chains.blocks,
    groups: groupSlabs && ofGroups && groupView(groupSlabs, below, ofGroups.next, ofGroups.blocks),
    readsAll: snapshot.readsAll,
    codebooks: snapshot.codebooks,
    rowLimit: snapshot.rowLimit,
    bucketCount: buckets,
  }
}

/** The writer may be growing them: whatever both have room for. */
function chainsOf(
  next: SharedArrayBuffer,
  blocks: SharedArrayBuffer,
  padded: number,
): Pick<IndexSlabs, 'next' | 'blocks'> {
  const count = Math.min(next.byteLength / 4, Math.floor(blocks.byteLength / blockBytes(padded)))
  return {
    next: new Uint32Array(next, 0, count),
    blocks: new Uint8Array(blocks, 0, count * blockBytes(padded)),
  }
}

function shared(values: Uint32Array): Uint32Array {
  const copy = new Uint32Array(new SharedArrayBuffer(values.byteLength))
  copy.set(values)
  return copy
}
