/**
 * Rows into buckets: by the homes that a checkpoint names, by routing, or, when there is no bucket yet, by partitioning.
 * Rule: between slices the event loop turns and every row stays findable; a row that died meanwhile is passed over. One such
 * job runs at a time, so the router stands still while rows are routed; buckets are split at the end.
 */
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import type { RouteTask } from '../pool/tasks.js'
import { type Homes, nearestBuckets } from '../router/assign.js'
import { Scratch } from '../search/scratch.js'
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
const PLACE_WORK = 2000

/** Rows of a pool task: a few milliseconds, so that a batch of queries behind it does not wait long. */
const TASK_ROWS = 256

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
    const known =
      homes ?? (state.router.count === 0 ? await partitionRows(state, snapshot, rows, job) : undefined)
    const touched = new Set<number>()
    if (known !== undefined) await placeRows(state, rows, known, touched, slices, job)
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

/** Find the nearest buckets of the rows, in the pool when there is one, and give them by `placeRow`. */
export async function placeByRouting(
  state: IndexState,
  rows: Uint32Array,
  touched: Set<number>,
  slices: Slices,
  job: Job,
  placeRow: PlaceRow,
): Promise<void> {
  if (job.pool !== undefined) await routeInPool(state, rows, touched, job.pool, job, placeRow)
  else await routeHere(state, rows, touched, slices, job, placeRow)
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
  touched: Set<number>,
  slices: Slices,
  job: Job,
  placeRow: PlaceRow,
): Promise<void> {
  const { router, store, shape } = state
  const scratch = new Scratch(shape.dim)
  const homes = { homes: new Uint32Array(rows.length), seconds: new Uint32Array(rows.length) }
  const work = router.count * shape.dim
  for (let first = 0; first < rows.length; ) {
    const count = Math.min(rows.length - first, slices.fit(work), PLACE_ROWS)
    nearestBuckets(router, store.vectors, shape.dim, rows, first, count, homes, scratch)
    place(state, rows, homes, first, first + count, touched, placeRow)
    first += count
    job.onProgress(first, rows.length)
    await slices.spend(count * work)
  }
}

async function routeInPool(
  state: IndexState,
  rows: Uint32Array,
  touched: Set<number>,
  pool: IndexPool,
  job: Job,
  placeRow: PlaceRow,
): Promise<void> {
  // A snapshot of now: the partition may be younger than the pin, which only keeps row numbers from being reused.
  const { snapshot, release } = state.pin()
  try {
    const wave = Math.max(1, pool.threads - 1) * TASK_ROWS
    for (let first = 0; first < rows.length; first += wave) {
      const part = rows.subarray(first, first + wave)
      const homes = await pool.runAll(routeTasks(snapshot, part), job.signal)
      job.check()
      for (let i = 0; i < homes.length; i++) {
        const at = i * TASK_ROWS
        place(
          state,
          part.subarray(at, at + TASK_ROWS),
          homes[i]!,
          0,
          homes[i]!.homes.length,
          touched,
          placeRow,
        )
      }
      job.onProgress(first + part.length, rows.length)
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
