/**
 * The exact answer to a query: every live row is compared, by its exact vector wherever that is. In the pool, or in this thread in slices of
 * about a millisecond.
 */
import { kernels } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { Slices } from '../maintenance/slices.js'
import type { IndexPool } from '../pool/pool.js'
import type { SearchTask } from '../pool/tasks.js'
import { liveRowsOf } from '../row-store.js'
import { cutOf, emptyBatch } from '../search/batch.js'
import { searchAllMany } from '../search/elsewhere.js'
import { attach, type Snapshot } from '../search/snapshot.js'
import type { SearchView, SearchWidth } from '../search/view.js'
import type { Neighbours } from './nearest-rows.js'

/** @param width - `owed` rows are wanted, of which there are as many. @returns nearest first. @throws what `check` throws. */
export async function exactAnswer(
  state: IndexState,
  snapshot: Snapshot,
  pool: IndexPool | undefined,
  query: Float32Array,
  width: SearchWidth,
  check: () => void,
): Promise<Neighbours> {
  if (state.exact !== undefined) return searchAllMany(state, snapshot, pool, query, width, check)
  if (pool !== undefined) return compareInPool(snapshot, pool, query, width)
  return compareHere(attach(snapshot), query, width.owed, check)
}

async function compareInPool(
  snapshot: Snapshot,
  pool: IndexPool,
  query: Float32Array,
  width: SearchWidth,
): Promise<Neighbours> {
  const k = width.owed
  const whole: SearchWidth = { ...width, k, probes: Number.POSITIVE_INFINITY }
  const batch = emptyBatch(snapshot.dim, 1, k)
  batch.queries.set(query)
  const { memory } = batch
  const task: SearchTask = { kind: 'search', snapshot, memory, cut: cutOf(1, whole, 1), ...whole }
  await pool.runAll([task])
  return batch
}

/** Vectors that no cache holds come so many times as slowly as they are compared. */
const FROM_MEMORY = 8

async function compareHere(
  { slabs, liveRows }: SearchView,
  query: Float32Array,
  k: number,
  check: () => void,
): Promise<Neighbours> {
  const { metric, vectors, dim, live, rowLimit } = slabs
  const rows = new Uint32Array(liveRows)
  const count = liveRowsOf(live, rowLimit, rows)
  const distances = new Float32Array(count)
  const slices = new Slices(check)
  const step = slices.fit(dim * FROM_MEMORY)
  for (let first = 0; first < count; first += step) {
    const some = Math.min(step, count - first)
    kernels.distancesGather(
      metric,
      query,
      vectors!,
      dim,
      rows.subarray(first),
      some,
      distances.subarray(first),
    )
    await slices.spend(some * dim * FROM_MEMORY)
  }
  const positions = new Uint32Array(k)
  const nearest = new Float32Array(k)
  kernels.topK(distances, count, k, positions, nearest)
  return { rows: positions.map(at => rows[at]!), distances: nearest }
}
