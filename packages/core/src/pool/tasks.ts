/**
 * What a worker can do: pure functions from a message to a result over shared slabs.
 * Rule: a task looks at the cancel flag between units of about a millisecond. What a cancelled task returns is not used.
 */
import { assignBuckets, type Homes } from '../router/homes.js'
import { type FoundSlice, type Part, searchPart, searchSlice, sliceOf, takeSlice } from '../search/batch.js'
import type { Candidates } from '../search/bounds.js'
import { candidatesIn } from '../search/elsewhere.js'
import { Scratch } from '../search/scratch.js'
import { attach, type Snapshot } from '../search/snapshot.js'
import type { SearchWidth } from '../search/view.js'

/** Search for the queries that nobody else has taken, slice by slice. */
export interface SearchTask extends SearchWidth {
  readonly kind: 'search'
  readonly snapshot: Snapshot
  /** Prepared, count * dim. In shared memory, as what follows is. */
  readonly queries: Float32Array
  /** Queries taken so far, by all who work on the batch; from their number on there is nothing to do. */
  readonly taken: Int32Array
  /** Where the answers go. */
  readonly found: FoundSlice
}

/** Every parts-th bucket of one query's, from `part` on. */
export interface PartTask extends SearchWidth {
  readonly kind: 'part'
  readonly snapshot: Snapshot
  readonly query: Float32Array
  readonly part: number
  readonly parts: number
}

/** The buckets of every row. */
export interface RouteTask {
  readonly kind: 'route'
  readonly snapshot: Snapshot
  readonly rows: Uint32Array
  readonly seconds: boolean
}

/** Rows that may be among the k nearest of all, by the bounds of their codes. */
export interface BoundsTask {
  readonly kind: 'bounds'
  readonly snapshot: Snapshot
  readonly query: Float32Array
  readonly k: number
  readonly allow: Uint32Array | undefined
}

export type Task = SearchTask | PartTask | RouteTask | BoundsTask

export type TaskResult<T extends Task> = T extends SearchTask
  ? undefined
  : T extends PartTask
    ? Part
    : T extends BoundsTask
      ? Candidates
      : Homes

/** `cancel`: one word of shared memory, not 0 once the result is not wanted any more. */
export interface TaskMessage {
  readonly task: Task
  readonly cancel: Int32Array
}

export function runTask({ task, cancel }: TaskMessage): undefined | Part | Candidates | Homes {
  switch (task.kind) {
    case 'search':
      return searchTask(task, cancel)
    case 'part':
      return searchPart(
        attach(task.snapshot),
        task.query,
        task,
        task.part,
        task.parts,
        scratchFor(task.snapshot.dim),
      )
    case 'bounds':
      return boundsTask(task, cancel)
    case 'route':
      return routeTask(task, cancel)
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

function searchTask(task: SearchTask, cancel: Int32Array): undefined {
  const view = attach(task.snapshot)
  const { dim } = view.slabs
  const { queries, taken, found } = task
  const scratch = scratchFor(dim)
  const count = queries.length / dim
  const slice = sliceOf(task)
  while (Atomics.load(cancel, 0) === 0) {
    const first = takeSlice(taken, slice)
    if (first >= count) break
    searchSlice(view, queries, first, Math.min(slice, count - first), task, scratch, found)
  }
  return undefined
}

function boundsTask({ snapshot, query, k, allow }: BoundsTask, cancel: Int32Array): Candidates {
  const work = candidatesIn(attach(snapshot), query, k, allow)
  for (let step = work.next(); ; step = work.next()) {
    if (step.done) return step.value
    if (Atomics.load(cancel, 0) !== 0) return { rows: new Uint32Array(0), least: new Float32Array(0) }
  }
}

function routeTask({ snapshot, rows, seconds }: RouteTask, cancel: Int32Array): Homes {
  const { slabs } = attach(snapshot)
  const found = { homes: new Uint32Array(rows.length), seconds: new Uint32Array(rows.length) }
  for (let first = 0; first < rows.length && Atomics.load(cancel, 0) === 0; first += SLICE_ROWS) {
    assignBuckets(slabs, rows, first, Math.min(SLICE_ROWS, rows.length - first), found, seconds)
  }
  return found
}
