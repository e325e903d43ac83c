/**
 * Finding buckets for many rows: part by part, in the pool when there is one, else here in slices between which the event loop turns.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import type { NeighbourTask, RouteTask } from '../pool/tasks.js'
import { assignBuckets, type Homes, NEIGHBOURS, type Neighbours } from '../router/homes.js'
import type { Job } from './assign.js'
import type { Slices } from './slices.js'

/** Rows of a pool task: a few milliseconds, so that a batch of queries behind it does not wait long; among neighbours a row costs a fifth. */
const TASK_ROWS = 256
const NEAR_TASK_ROWS = 1024

/** Tasks a thread gets before the results are taken: fewer turns, while a batch of queries waits some ten milliseconds at most. */
const TASKS_PER_WAVE = 4

/** Routing by 1-bit codes costs this part of comparing with every centroid. */
const ROUTE_SHARE = 0.1

export interface Routing {
  /** Homes so far, by position, with the neighbours among which to choose. Undefined: among all buckets. */
  readonly from?: { readonly homes: Uint32Array; readonly neighbours: Neighbours }
  /** Also the second buckets. */
  readonly seconds: boolean
}

/** Gets a part of the rows, its buckets, and the place of its first row. */
export type EachPart = (part: Uint32Array, homes: Homes, first: number) => Promise<void>

export async function routeRows(
  state: IndexState,
  rows: Uint32Array,
  routing: Routing,
  slices: Slices,
  job: Job,
  each: EachPart,
): Promise<void> {
  if (job.pool !== undefined) await routeInPool(state, rows, routing, job.pool, job, each)
  else await routeHere(state, rows, routing, slices, each)
}

/** The nearest buckets of all that are there now. */
export async function findNeighbours(state: IndexState, slices: Slices, job: Job): Promise<Neighbours> {
  const count = state.router.count
  const width = Math.min(NEIGHBOURS, count)
  const buckets = new Uint32Array(new SharedArrayBuffer(4 * count * width))
  if (job.pool === undefined) {
    const out = new Uint32Array(TASK_ROWS * width)
    for (let first = 0; first < count; first += TASK_ROWS) {
      const some = Math.min(TASK_ROWS, count - first)
      kernels.indexNeighbours(state.slabs, first, some, width, out)
      buckets.set(out.subarray(0, some * width), first * width)
      await slices.spend(some * count * state.shape.dim * ROUTE_SHARE)
    }
    return { buckets, width }
  }
  const { snapshot, release } = state.pin()
  try {
    const tasks: NeighbourTask[] = []
    for (let first = 0; first < count; first += TASK_ROWS) {
      tasks.push({ kind: 'neighbours', snapshot, first, count: Math.min(TASK_ROWS, count - first), width })
    }
    const parts = await job.pool.runAll(tasks, job.signal)
    for (const [i, part] of parts.entries()) buckets.set(part, i * TASK_ROWS * width)
    return { buckets, width }
  } finally {
    release()
  }
}

async function routeHere(
  state: IndexState,
  rows: Uint32Array,
  { from, seconds }: Routing,
  slices: Slices,
  each: EachPart,
): Promise<void> {
  const compared = from === undefined ? state.router.count * ROUTE_SHARE : from.neighbours.width
  const work = (compared + NEIGHBOURS) * state.shape.dim
  for (let first = 0; first < rows.length; ) {
    const count = Math.min(rows.length - first, slices.fit(work), TASK_ROWS)
    const part = rows.subarray(first, first + count)
    const homes = from?.homes.slice(first, first + count) ?? new Uint32Array(count)
    const found = { homes, seconds: new Uint32Array(count) }
    assignBuckets(state.slabs, part, 0, count, found, from?.neighbours, seconds)
    await each(part, found, first)
    first += count
    await slices.spend(count * work)
  }
}

async function routeInPool(
  state: IndexState,
  rows: Uint32Array,
  routing: Routing,
  pool: IndexPool,
  job: Job,
  each: EachPart,
): Promise<void> {
  // A snapshot of now: the partition may be younger than a pin that the caller holds.
  const { snapshot, release } = state.pin()
  const taskRows = routing.from === undefined ? TASK_ROWS : NEAR_TASK_ROWS
  const wave = pool.threads * TASKS_PER_WAVE * taskRows
  let running: Promise<Homes[]> = Promise.resolve([])
  try {
    running = pool.runAll(routeTasks(snapshot, rows, routing, taskRows, 0, wave), job.signal)
    for (let first = 0; first < rows.length; first += wave) {
      const homes = await running
      job.check()
      // The threads go on while this one works on what they found.
      if (first + wave < rows.length) {
        running = pool.runAll(routeTasks(snapshot, rows, routing, taskRows, first + wave, wave), job.signal)
        running.catch(() => {}) // awaited in the next round; a failure of `each` comes first
      }
      for (let i = 0; i < homes.length; i++) {
        const at = first + i * taskRows
        await each(rows.subarray(at, Math.min(rows.length, at + taskRows)), homes[i]!, at)
      }
    }
  } finally {
    // What still runs reads rows that the pin keeps.
    await running.catch(() => {})
    release()
  }
}

function routeTasks(
  snapshot: RouteTask['snapshot'],
  rows: Uint32Array,
  { from, seconds }: Routing,
  taskRows: number,
  first: number,
  count: number,
): RouteTask[] {
  const tasks: RouteTask[] = []
  const end = Math.min(rows.length, first + count)
  for (let at = first; at < end; at += taskRows) {
    const to = Math.min(end, at + taskRows)
    // Copies: posting a view would post the whole buffer behind it.
    const homes = from?.homes.slice(at, to)
    tasks.push({
      kind: 'route',
      snapshot,
      rows: rows.slice(at, to),
      homes,
      neighbours: from?.neighbours,
      seconds,
    })
  }
  return tasks
}
