/**
 * Rows into buckets: by the homes that a checkpoint names, by routing, or, when there is no bucket yet, by partitioning.
 * Rule: between slices the event loop turns and every row stays findable; a row that died meanwhile is passed over. One such
 * job runs at a time, so the router stands still while rows are routed; buckets are split at the end.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import type { RouteTask } from '../pool/tasks.js'
import type { Homes } from '../router/homes.js'
import type { Snapshot } from '../search/snapshot.js'
import { partitionRows } from './partition.js'
import { Slices } from './slices.js'
import { splitBucket, splitWork } from './split.js'

export interface MaintenanceOptions {
  /** Aborting stops between slices: rows that have a home keep it, and the same call again goes on. */
  readonly signal?: AbortSignal
  /** Called between slices. */
  readonly onProgress?: (doneRows: number, totalRows: number) => void
}

export interface Job {
  readonly pool: IndexPool | undefined
  readonly signal: AbortSignal | undefined
  readonly onProgress: (doneRows: number, totalRows: number) => void
  /** Throws when the result is no longer wanted. */
  readonly check: () => void
}

/** Rows placed between two looks at the clock of `Slices`; placing one touches a few cache lines. */
const PLACE_ROWS = 256
const PLACE_WORK = 20_000

/** Routing by 1-bit codes costs this part of comparing with every centroid. */
const ROUTE_SHARE = 0.1

/** Rows of a pool task: a few milliseconds, so that a batch of queries behind it does not wait long. */
const TASK_ROWS = 256

/** Tasks a thread gets before the results are taken: fewer turns, while a batch of queries waits for some ten milliseconds at most. */
const TASKS_PER_WAVE = 4

/** @param homes - the buckets of each row; undefined: found here. */
export async function assignRows(
  state: IndexState,
  rows: Uint32Array,
  homes: Homes | undefined,
  job: Job,
): Promise<void> {
  const { snapshot, release } = state.pin()
  try {
    const slices = new Slices(job.check)
    if (state.router.count === 0) await partitionRows(state, rows, job)
    const touched = new Set<number>()
    if (homes !== undefined) await placeRows(state, rows, homes, touched, slices, job)
    else {
      await placeByRouting(state, rows, touched, slices, job, (row, home, second) =>
        state.place(row, home, second),
      )
    }
    await splitLarge(state, touched, slices)
  } finally {
    release()
  }
}

/** Gives one row its buckets. @returns whether anything changed. */
export type PlaceRow = (row: number, home: number, second: number) => boolean

/** Find the nearest buckets of the rows and give them by `placeRow`. Buckets that are then too large go to `touched`. */
export async function placeByRouting(
  state: IndexState,
  rows: Uint32Array,
  touched: Set<number>,
  slices: Slices,
  job: Job,
  placeRow: PlaceRow,
): Promise<void> {
  await routeRows(state, rows, slices, job, async (part, homes, done) => {
    for (let first = 0; first < part.length; first += PLACE_ROWS) {
      const end = Math.min(part.length, first + PLACE_ROWS)
      place(state, part, homes, first, end, touched, placeRow)
      await slices.spend((end - first) * PLACE_WORK)
    }
    job.onProgress(done, rows.length)
  })
}

/**
 * The two buckets of all rows, in the pool when there is one, part by part: `each` gets a part, its buckets and how many rows are
 * done with it.
 */
export async function routeRows(
  state: IndexState,
  rows: Uint32Array,
  slices: Slices,
  job: Job,
  each: (part: Uint32Array, homes: Homes, done: number) => Promise<void>,
): Promise<void> {
  if (job.pool !== undefined) await routeInPool(state, rows, job.pool, job, each)
  else await routeHere(state, rows, slices, each)
}

async function placeRows(
  state: IndexState,
  rows: Uint32Array,
  homes: Homes,
  touched: Set<number>,
  slices: Slices,
  job: Job,
): Promise<void> {
  for (let first = 0; first < rows.length; first += PLACE_ROWS) {
    const end = Math.min(rows.length, first + PLACE_ROWS)
    place(state, rows, homes, first, end, touched, (row, home, second) => state.place(row, home, second))
    job.onProgress(end, rows.length)
    await slices.spend((end - first) * PLACE_WORK)
  }
}

async function routeHere(
  state: IndexState,
  rows: Uint32Array,
  slices: Slices,
  each: (part: Uint32Array, homes: Homes, done: number) => Promise<void>,
): Promise<void> {
  const { router, shape } = state
  const work = router.count * shape.dim * ROUTE_SHARE
  for (let first = 0; first < rows.length; ) {
    const count = Math.min(rows.length - first, slices.fit(work), PLACE_ROWS)
    const part = rows.subarray(first, first + count)
    const homes = { homes: new Uint32Array(count), seconds: new Uint32Array(count) }
    kernels.indexAssign(state.slabs, part, 0, count, homes.homes, homes.seconds)
    first += count
    await each(part, homes, first)
    await slices.spend(count * work)
  }
}

async function routeInPool(
  state: IndexState,
  rows: Uint32Array,
  pool: IndexPool,
  job: Job,
  each: (part: Uint32Array, homes: Homes, done: number) => Promise<void>,
): Promise<void> {
  // A snapshot of now: the partition may be younger than the pin, which only keeps row numbers from being reused.
  const { snapshot, release } = state.pin()
  try {
    const wave = pool.threads * TASKS_PER_WAVE * TASK_ROWS
    for (let first = 0; first < rows.length; first += wave) {
      const part = rows.subarray(first, first + wave)
      const homes = await pool.runAll(routeTasks(snapshot, part), job.signal)
      job.check()
      for (let i = 0; i < homes.length; i++) {
        const at = i * TASK_ROWS
        const some = part.subarray(at, at + TASK_ROWS)
        await each(some, homes[i]!, first + at + some.length)
      }
    }
  } finally {
    release()
  }
}

function routeTasks(snapshot: Snapshot, rows: Uint32Array): RouteTask[] {
  const tasks: RouteTask[] = []
  for (let at = 0; at < rows.length; at += TASK_ROWS) {
    // A copy: posting a view would post the whole buffer behind it.
    tasks.push({ kind: 'route', snapshot, rows: rows.slice(at, at + TASK_ROWS) })
  }
  return tasks
}

/** Homes for rows [first, end). Buckets that are now too large go to `touched`. */
function place(
  state: IndexState,
  rows: Uint32Array,
  { homes, seconds }: Homes,
  first: number,
  end: number,
  touched: Set<number>,
  placeRow: PlaceRow,
): void {
  for (let i = first; i < end; i++) {
    const bucket = homes[i]!
    if (placeRow(rows[i]!, bucket, seconds[i]!) && isTooLarge(state, bucket)) touched.add(bucket)
  }
}

/** Split the touched buckets that are too large, and what comes of them. */
export async function splitLarge(state: IndexState, touched: Set<number>, slices: Slices): Promise<void> {
  // A Set is walked in order of insertion, also over what is added on the way.
  for (const bucket of touched) {
    touched.delete(bucket)
    if (!isTooLarge(state, bucket)) continue
    const rows = state.directory.homesIn(bucket)
    const added = splitBucket(state, bucket)
    if (added !== undefined) touched.add(bucket).add(added)
    await slices.spend(splitWork(rows, state.shape.dim))
  }
}

function isTooLarge(state: IndexState, bucket: number): boolean {
  return state.directory.homesIn(bucket) > 2 * state.shape.bucketRows
}
