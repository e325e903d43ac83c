/**
 * Rows to the buckets that are nearest now, after centroids around them have changed: the reassignment of LIRE (Xu et al., SOSP 2023),
 * whose two conditions say which rows may gain; those are the rows of the buckets around. Second buckets are chosen anew with it.
 * Rule: a row moves in one synchronous step, only while it is alive, and only from the bucket where it is at that moment, so a delete or
 * an upsert that comes between is never undone.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import type { Job } from './assign.js'
import { nearestBuckets } from './region.js'
import { routeRows } from './route.js'
import type { Slices } from './slices.js'

export interface Moves {
  /** Rows that got another home. */
  readonly moves: number
  /** Rows of which only the second bucket changed. */
  readonly seconds: number
}

export const NO_MOVES: Moves = { moves: 0, seconds: 0 }

/** Multiply-adds that giving a row its buckets is worth, and rows that get their codes in one call. */
const MOVE_WORK = 200_000
const STEP_ROWS = 64

/** Finding the buckets around one is worth so many multiply-adds for each value of all centroids, which come from memory. */
const LIST_WORK = 2

/**
 * The rows, which have homes, to the nearest of all buckets, by routing: in the pool when there is one.
 *
 * @param limit - rows that may get another home.
 */
export async function steal(
  state: IndexState,
  rows: Uint32Array,
  limit: number,
  slices: Slices,
  job: Job,
): Promise<Moves> {
  let moves = 0
  let seconds = 0
  await routeRows(state, rows, { seconds: true }, slices, job, async (part, { homes, seconds: others }) => {
    for (let first = 0; first < part.length; first += STEP_ROWS) {
      const end = Math.min(part.length, first + STEP_ROWS)
      const before = moves + seconds
      state.directory.beginTogether()
      try {
        for (let i = first; i < end; i++) {
          const row = part[i]!
          const home = state.store.home[row]
          if (moves >= limit && home !== homes[i]) continue
          if (!state.move(row, homes[i]!, others[i]!)) continue
          if (home === homes[i]) seconds++
          else moves++
        }
      } finally {
        state.directory.endTogether()
      }
      await slices.spend((moves + seconds - before) * MOVE_WORK)
    }
  })
  return { moves, seconds }
}

/**
 * Each row, in a step of its own, to its best buckets among `width` around its home, but not to `leaving`.
 *
 * @param limit - rows that may get another home.
 */
export async function scatter(
  state: IndexState,
  rows: Uint32Array,
  limit: number,
  leaving: number,
  width: number,
  avoid: ReadonlySet<number>,
  slices: Slices,
): Promise<Moves> {
  let moves = 0
  let seconds = 0
  const lists = new Map<number, Uint32Array>()
  for (const row of rows) {
    // It may have died while the event loop turned.
    if (!state.store.isAtHome(row)) continue
    const from = state.store.home[row]!
    let list = lists.get(from)
    if (list === undefined) {
      const near = nearestBuckets(state.slabs, from, width + 1).filter(bucket => bucket !== leaving)
      const open = near.filter(bucket => !avoid.has(bucket))
      list = Uint32Array.from(open.length > 0 ? open : near)
      lists.set(from, list)
      await slices.spend(state.router.count * state.router.padded * LIST_WORK)
      if (!state.store.isAtHome(row)) continue
    }
    if (list.length === 0) continue
    const home = new Uint32Array(1)
    const second = new Uint32Array(1)
    // As if at home in bucket 0, with the list for its neighbours: the kernel chooses among them.
    kernels.indexAssign(state.slabs, Uint32Array.of(row), 0, 1, home, second, list, list.length)
    if (moves >= limit && from !== home[0]) continue
    if (!state.move(row, home[0]!, second[0]!)) continue
    if (from === home[0]) seconds++
    else moves++
  }
  return { moves, seconds }
}
