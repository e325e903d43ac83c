/**
 * Finding buckets for many rows: part by part, in the pool when there is one, else here in slices between which the event loop turns.
 */
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import type { RouteTask } from '../pool/tasks.js'
import { assignBuckets, homesFor, type Routed, type Routing, SECOND_CHOICES } from '../router/homes.js'
import type { Job } from './assign.js'
import type { Slices } from './slices.js'

/** Rows of a pool task: a few milliseconds, so that a batch of queries behind it does not wait long. */
const TASK_ROWS = 256

/** Tasks a thread gets before the results are taken: fewer turns, while a batch of queries waits some ten milliseconds at most. */
const TASKS_PER_WAVE = 4

/** Routing by 1-bit codes costs this part of comparing with every centroid. */
const ROUTE_SHARE = 0.1

/** Of buckets in groups, as if about so many were looked at, the groups included. */
const GROUPED = 4096

/** Gets a part of the rows, its buckets, and the place of its first row. */
export type EachPart = (part: Uint32Array, homes: Routed, first: number) => Promise<void>

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

async function routeHere(
  state: IndexState,
  rows: Uint32Array,
  routing: Routing,
  slices: Slices,
  each: EachPart,
): Promise<void> {
  const { router, shape } = state
  const looked = router.groups === undefined ? router.count : Math.min(router.count, GROUPED)
  const work = routeWork(1, looked, shape.dim)
  for (let first = 0; first < rows.length; ) {
    const count = Math.min(rows.length - first, slices.fit(work), TASK_ROWS)
    const part = rows.subarray(first, first + count)
    const found = homesFor(count, routing)
    assignBuckets(state.slabs, part, 0, count, found, routing)
    await each(part, found, first)
    first += count
    await slices.spend(count * work)
  }
}

/** Multiply-adds that routing rows among so many buckets without groups is worth. */
export function routeWork(rows: number, buckets: number, dim: number): number {
  return rows * (buckets * ROUTE_SHARE + SECOND_CHOICES) * dim
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
  const wave = pool.threads * TASKS_PER_WAVE * TASK_ROWS
  let running: Promise<Routed[]> = Promise.resolve([])
  try {
    running = pool.runAll(routeTasks(snapshot, rows, routing, 0, wave), job.signal)
    for (let first = 0; first < rows.length; first += wave) {
      const homes = await running
      job.check()
      // The threads go on while this one works on what they found.
      if (first + wave < rows.length) {
        running = pool.runAll(routeTasks(snapshot, rows, routing, first + wave, wave), job.signal)
        running.catch(() => {}) // awaited in the next round; a failure of `each` comes first
      }
      for (let i = 0; i < homes.length; i++) {
        const at = first + i * TASK_ROWS
        await each(rows.subarray(at, Math.min(rows.length, at + TASK_ROWS)), homes[i]!, at)
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
  routing: Routing,
  first: number,
  count: number,
): RouteTask[] {
  const tasks: RouteTask[] = []
  const end = Math.min(rows.length, first + count)
  for (let at = first; at < end; at += TASK_ROWS) {
    const to = Math.min(end, at + TASK_ROWS)
    // A copy: posting a view would post the whole buffer behind it.
    tasks.push({ kind: 'route', snapshot, rows: rows.slice(at, to), routing })
  }
  return tasks
}
