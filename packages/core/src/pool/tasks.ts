/**
 * What a worker can do: pure functions from a message to a result over shared slabs.
 * Rule: a task looks at the cancel flag between units of about a millisecond. What a cancelled task returns is not used.
 */
import { hierarchicalKmeans } from '../kmeans.js'
import { type Homes, nearestBuckets, secondBuckets } from '../router/assign.js'
import {
  emptySlice,
  type FoundSlice,
  type Share,
  SLICE_QUERIES,
  scanShare,
  searchSlice,
} from '../search/batch.js'
import { Scratch } from '../search/scratch.js'
import { attach, type Snapshot } from '../search/snapshot.js'

/** Search for every query. */
export interface SearchTask {
  readonly kind: 'search'
  readonly snapshot: Snapshot
  /** Prepared, count * dim. */
  readonly queries: Float32Array
  readonly k: number
  readonly probes: number | undefined
  readonly ef: number | undefined
}

/** Scan a share of the candidate rows of one query. */
export interface ScanTask {
  readonly kind: 'scan'
  readonly snapshot: Snapshot
  readonly query: Float32Array
  readonly rows: Uint32Array
  readonly k: number
}

/** The two buckets of every row. */
export interface RouteTask {
  readonly kind: 'route'
  readonly snapshot: Snapshot
  readonly rows: Uint32Array
}

/** The second bucket of rows whose home is known. */
export interface SecondTask {
  readonly kind: 'second'
  readonly snapshot: Snapshot
  readonly rows: Uint32Array
  readonly homes: Uint32Array
}

/** Partition rows by k-means. */
export interface PartitionTask {
  readonly kind: 'partition'
  readonly snapshot: Snapshot
  readonly rows: Uint32Array
  readonly targetRows: number
  readonly seed: number
}

export interface Partition {
  readonly centroids: Float32Array
  /** The cluster of each row of the task. */
  readonly assignment: Uint32Array
}

export type Task = SearchTask | ScanTask | RouteTask | SecondTask | PartitionTask

export type TaskResult<T extends Task> = T extends SearchTask
  ? FoundSlice
  : T extends ScanTask
    ? Share
    : T extends RouteTask | SecondTask
      ? Homes
      : Partition

/** `cancel`: one word of shared memory, not 0 once the result is not wanted any more. */
export interface TaskMessage {
  readonly task: Task
  readonly cancel: Int32Array
}

export function runTask({ task, cancel }: TaskMessage): FoundSlice | Share | Homes | Partition {
  switch (task.kind) {
    case 'search':
      return searchTask(task, cancel)
    case 'scan':
      return scanShare(attach(task.snapshot), task.query, task.rows, task.k, scratchFor(task.snapshot.dim))
    case 'route':
      return routeTask(task, cancel)
    case 'second':
      return secondTask(task)
    case 'partition':
      return partitionTask(task, cancel)
  }
}

/** Rows routed between two looks at the flag. */
const SLICE_ROWS = 64

/** One scratch per dimension and thread: indexes of one process mostly share theirs. */
const scratches = new Map<number, Scratch>()

function scratchFor(dim: number): Scratch {
  let scratch = scratches.get(dim)
  if (scratch === undefined) {
    scratch = new Scratch(dim)
    scratches.set(dim, scratch)
  }
  return scratch
}

function searchTask(task: SearchTask, cancel: Int32Array): FoundSlice {
  const view = attach(task.snapshot)
  const scratch = scratchFor(view.dim)
  const count = task.queries.length / view.dim
  const found = emptySlice(count, task.k)
  for (let first = 0; first < count && Atomics.load(cancel, 0) === 0; first += SLICE_QUERIES) {
    searchSlice(view, task.queries, first, Math.min(SLICE_QUERIES, count - first), task, scratch, found)
  }
  return found
}

function routeTask({ snapshot, rows }: RouteTask, cancel: Int32Array): Homes {
  const { dim, router, rows: store } = attach(snapshot)
  const homes = { homes: new Uint32Array(rows.length), seconds: new Uint32Array(rows.length) }
  for (let first = 0; first < rows.length && Atomics.load(cancel, 0) === 0; first += SLICE_ROWS) {
    const count = Math.min(SLICE_ROWS, rows.length - first)
    nearestBuckets(router, store.vectors, dim, rows, first, count, homes, scratchFor(dim))
  }
  return homes
}

function secondTask({ snapshot, rows, homes }: SecondTask): Homes {
  const { dim, router, rows: store } = attach(snapshot)
  return secondBuckets(router, store.vectors, dim, rows, homes, scratchFor(dim))
}

function partitionTask(task: PartitionTask, cancel: Int32Array): Partition {
  const { rows, targetRows, seed } = task
  const { dim, rows: store } = attach(task.snapshot)
  const signal = {
    throwIfAborted() {
      if (Atomics.load(cancel, 0) !== 0) throw new Error('the partition was cancelled')
    },
  }
  const options = { targetRows, seed, index: rows, signal }
  const { centroids, assignment } = hierarchicalKmeans(store.vectors, dim, options)
  return { centroids, assignment }
}
