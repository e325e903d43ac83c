/**
 * Rows into buckets: by routing, or, when there is no bucket yet, by partitioning.
 * Rule: between slices the event loop turns and every row stays findable; a row that died meanwhile is passed over. One such
 * job runs at a time, so the router stands still while rows are routed; buckets are split at the end.
 */
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import type { Homes } from '../router/homes.js'
import { learnCodebooks } from './codebooks.js'
import { groupBuckets } from './grouping.js'
import { partitionRows } from './partition.js'
import { routeRows } from './route.js'
import { Slices } from './slices.js'
import { isTooLarge, splitLarge } from './split.js'

export interface MaintenanceOptions {
  /** Aborting stops between slices: rows that have a home keep it, and the same call again goes on. */
  readonly signal?: AbortSignal
  /** Called between slices. What it throws is an uncaught exception of the process, and the work goes on. */
  readonly onProgress?: (doneRows: number, totalRows: number) => void
}

export interface Job {
  readonly pool: IndexPool | undefined
  readonly signal: AbortSignal | undefined
  readonly onProgress: (doneRows: number, totalRows: number) => void
  /** Throws when the result is no longer wanted. */
  readonly check: () => void
}

/** Rows placed between two looks at the clock of `Slices`; each gets two codes, one call of the addon apiece. */
const PLACE_ROWS = 64
const PLACE_WORK = 200_000

export async function assignRows(state: IndexState, rows: Uint32Array, job: Job): Promise<void> {
  const release = state.pins.open()
  const slices = new Slices(job.check)
  const touched = new Set<number>()
  const isNew = state.router.count === 0
  try {
    if (isNew) await partitionRows(state, rows, job)
    await learnCodebooks(state, rows, slices)
    await placeByRouting(state, rows, touched, slices, job, placeNew)
  } finally {
    release()
  }
  // Without the pin, so that chains which a split replaces are free for the next one.
  await splitLarge(state, touched, slices, job)
  await groupBuckets(state, slices)
  // A partition that was made of these rows has seen them.
  if (isNew) {
    tendAll(state)
    state.refinedRows = state.directory.rowsAtHome
  }
}

/** Nothing that changed so far is a reason to tend to a bucket. */
export function tendAll({ directory, health, store }: IndexState): void {
  health.tendAll(directory.changes.subarray(0, directory.count), store.version)
}

/** Gives one row its buckets. @returns whether anything changed. */
export type PlaceRow = (state: IndexState, row: number, home: number, second: number) => boolean

const placeNew: PlaceRow = (state, row, home, second) => state.place(row, home, second)

/** Find the buckets of the rows and give them by `placeRow`. Buckets that are then too large go to `touched`. */
export async function placeByRouting(
  state: IndexState,
  rows: Uint32Array,
  touched: Set<number>,
  slices: Slices,
  job: Job,
  placeRow: PlaceRow,
): Promise<void> {
  await routeRows(state, rows, { seconds: true }, slices, job, async (part, homes, done) => {
    for (let first = 0; first < part.length; first += PLACE_ROWS) {
      const end = Math.min(part.length, first + PLACE_ROWS)
      place(state, part, homes, first, end, touched, placeRow)
      await slices.spend((end - first) * PLACE_WORK)
    }
    job.onProgress(done + part.length, rows.length)
  })
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
  state.directory.beginTogether()
  try {
    for (let i = first; i < end; i++) {
      const bucket = homes[i]!
      if (placeRow(state, rows[i]!, bucket, seconds[i]!) && isTooLarge(state, bucket)) touched.add(bucket)
    }
  } finally {
    state.directory.endTogether()
  }
}
