/**
 * What a worker can do: pure functions from a message to a result over shared slabs.
 * Rule: a task looks at the cancel flag between units of about a millisecond. What a cancelled task returns is not used.
 */
import { type Halves, halveBuckets } from '../maintenance/halve.js'
import { NOT_DRAWN, type RedrawAsk, type Redrawn, redraw } from '../maintenance/redraw.js'
import type { Neighbours } from '../recall/nearest-rows.js'
import { compareRows, type Met, meet, type SelfQueries } from '../recall/self-queries.js'
import { assignBuckets, homesFor, type Routed, type Routing } from '../router/homes.js'
import { fixRows } from '../search/allowed.js'
import { batchIn, type Cut, type Part, searchPart, searchSlice } from '../search/batch.js'
import type { Candidates } from '../search/bounds.js'
import { candidatesIn } from '../search/elsewhere.js'
import { Scratch } from '../search/scratch.js'
import { attach, rowBucketsOf, type Snapshot } from '../search/snapshot.js'
import type { SearchView, SearchWidth } from '../search/view.js'

/** Search for the queries that nobody else has taken, slice by slice. */
export interface SearchTask extends SearchWidth {
  readonly kind: 'search'
  readonly snapshot: Snapshot
  /** Of the batch: `batchIn`. */
  readonly memory: SharedArrayBuffer
  readonly cut: Cut
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
  readonly routing: Routing
}

/** Rows that may be among the k nearest of all, by the bounds of their codes. */
export interface BoundsTask {
  readonly kind: 'bounds'
  readonly snapshot: Snapshot
  readonly query: Float32Array
  readonly k: number
  readonly allow: Uint32Array | undefined
}

/** Of some rows the nearest to each query, by comparing. */
export interface CompareTask {
  readonly kind: 'compare'
  readonly snapshot: Snapshot
  readonly queries: Float32Array
  readonly first: number
  readonly end: number
  readonly k: number
  /** Of each query: only nearer rows are wanted. */
  readonly limits: Float32Array
}

/** What is known of the meetings of self-queries with their neighbours. */
export interface MeetTask {
  readonly kind: 'meet'
  readonly snapshot: Snapshot
  readonly selfQueries: SelfQueries
  /** The neighbours of each, or the width of a search that finds them. */
  readonly by: readonly Uint32Array[] | SearchWidth
}

/** The halves of buckets. */
export interface HalveTask {
  readonly kind: 'halve'
  readonly snapshot: Snapshot
  readonly buckets: Uint32Array
  readonly seed: number
}

/** What should become of a neighbourhood. */
export interface RedrawTask {
  readonly kind: 'redraw'
  readonly snapshot: Snapshot
  readonly ask: RedrawAsk
}

export type Task =
  | SearchTask
  | PartTask
  | RouteTask
  | BoundsTask
  | CompareTask
  | MeetTask
  | HalveTask
  | RedrawTask

interface Results {
  readonly search: undefined
  readonly part: Part
  readonly route: Routed
  readonly bounds: Candidates
  /** By query. */
  readonly compare: Neighbours[]
  readonly meet: Met
  readonly halve: Halves
  readonly redraw: Redrawn
}

export type TaskResult<T extends Task> = Results[T['kind']]

/** `cancel`: one word of shared memory, not 0 once the result is not wanted any more. */
export interface TaskMessage {
  readonly task: Task
  readonly cancel: Int32Array
}

export function runTask({ task, cancel }: TaskMessage): TaskResult<Task> {
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
    case 'halve':
      return untilCancelled(halveTask(task), cancel) ?? NO_HALVES
    case 'redraw':
      return untilCancelled(redrawTask(task), cancel) ?? NOT_DRAWN
    case 'compare':
      return untilCancelled(stepsOf(task, scratchFor(task.snapshot.dim)), cancel) ?? []
    case 'meet':
      return untilCancelled(stepsOf(task, scratchFor(task.snapshot.dim)), cancel) ?? NOTHING_MET
  }
}

function halveTask({ snapshot, buckets, seed }: HalveTask): Generator<number, Halves> {
  return halveBuckets(attach(snapshot).slabs, rowBucketsOf(snapshot), buckets, seed)
}

function redrawTask({ snapshot, ask }: RedrawTask): Generator<number, Redrawn> {
  return redraw({ slabs: attach(snapshot).slabs, rowBuckets: rowBucketsOf(snapshot) }, ask)
}

const NOTHING_MET: Met = { meetings: [], scanned: 0 }

const NO_HALVES: Halves = {
  buckets: new Uint32Array(0),
  centroids: new Float32Array(0),
  groups: new Uint32Array(0),
  counts: new Uint32Array(0),
  rows: new Uint32Array(0),
  blocks: new Uint8Array(0),
}

/** What such a task does, piece by piece, in any thread; it yields multiply-adds. */
export function stepsOf<T extends CompareTask | MeetTask>(
  task: T,
  scratch: Scratch,
): Generator<number, TaskResult<T>>
export function stepsOf(
  task: CompareTask | MeetTask,
  scratch: Scratch,
): Generator<number, Neighbours[] | Met> {
  const view = attach(task.snapshot)
  const buckets = rowBucketsOf(task.snapshot)
  if (task.kind === 'meet') return meet(view, buckets, task.selfQueries, task.by, scratch)
  const { queries, first, end, k, limits } = task
  return compareRows(view, buckets, queries, first, end, k, limits)
}

/** @returns undefined when it was cancelled. */
function untilCancelled<T>(steps: Generator<number, T>, cancel: Int32Array): T | undefined {
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value
    if (Atomics.load(cancel, 0) !== 0) return undefined
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
  const { snapshot, memory, cut, allow, k } = task
  const { dim } = snapshot
  // A copy of this thread's own.
  if (allow !== undefined) fixRows(allow)
  const batch = batchIn(memory, dim, cut.count, k)
  let view: SearchView | undefined
  const attached = (): SearchView => (view ??= attach(snapshot))
  const scratch = scratchFor(dim)
  while (Atomics.load(cancel, 0) === 0) {
    if (searchSlice(attached, batch, cut, task, scratch) === undefined) break
  }
  return undefined
}

function boundsTask({ snapshot, query, k, allow }: BoundsTask, cancel: Int32Array): Candidates {
  const work = candidatesIn(attach(snapshot), query, k, allow)
  return untilCancelled(work, cancel) ?? { rows: new Uint32Array(0), least: new Float32Array(0) }
}

function routeTask({ snapshot, rows, routing }: RouteTask, cancel: Int32Array): Routed {
  const { slabs } = attach(snapshot)
  const found = homesFor(rows.length, routing)
  for (let first = 0; first < rows.length && Atomics.load(cancel, 0) === 0; first += SLICE_ROWS) {
    assignBuckets(slabs, rows, first, Math.min(SLICE_ROWS, rows.length - first), found, routing)
  }
  return found
}
