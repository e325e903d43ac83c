/**
 * Calibration: which floors reach which recall in this index. Some of its rows are asked for as if they were queries (self-queries), and
 * where their nearest rows lie tells which floor finds how many of them. One floor for all data is off by a factor of three either way;
 * this one is within a point or two of recall (docs/adr/0011). Where vectors are not resident, codes stand for them.
 * The neighbours of the first self-queries are found by comparing all rows, which takes 30 ms of a million rows; those of the others by deep
 * searches, whose floor misses next to none of what comparing found.
 * Rule: it only reads, while the index goes on changing: in the pool if there is one, piece by piece, each on a snapshot of its own
 * moment. A row may move between two pieces, which are some ten milliseconds apart.
 */
import { kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import type { IndexState } from '../index-state.js'
import { joined } from '../joined.js'
import { type Paced, SLICE_WORK, Slices } from '../maintenance/slices.js'
import { kernelMetric } from '../metric.js'
import type { IndexPool } from '../pool/pool.js'
import { type CompareTask, type MeetTask, stepsOf, type TaskResult } from '../pool/tasks.js'
import { seededRandom } from '../random.js'
import type { RowStore } from '../row-store.js'
import { searchMany } from '../search/fan-out.js'
import { Scratch } from '../search/scratch.js'
import type { Snapshot } from '../search/snapshot.js'
import { NEVER_FLAT, type SearchWidth } from '../search/view.js'
import { CalibratedFloors, meanAndError, samplesOf } from './calibrated-floors.js'
import { priorFloor, rerankOf } from './map.js'
import { logFloorsOf, NEIGHBOURS, unitEntries } from './meeting.js'
import { NearestRows } from './nearest-rows.js'
import type { SelfQueries } from './self-queries.js'

/** Multiply-adds of comparing, about 0.2 s. A self-query that is not compared is searched for, at a tenth of the work and as well. */
const COMPARE_WORK = 1e9
const LEAST_COMPARED = 32
/** Self-queries for NEIGHBOURS neighbours. */
const WIDE_QUERIES = 384
/** Further ones for few neighbours, a tenth of the work each: they tell the floors of a small k, which is what is mostly asked for. */
const NARROW_QUERIES = 768
const NARROW_NEIGHBOURS = 10
/** Rows drawn for each self-query, at most, where most rows are alike. */
const MOST_DRAWN = 8
/** Share of the neighbours found by comparing that a deep search may miss, before its floor is halved. */
const DEEP_MISSES = 1e-3
/** Below so many rows the prior of all data serves: what it reads too much of so few is little. */
const LEAST_ROWS = 2000
/** Depths that are tried in turn, and the share of neighbours that the right one may miss. */
const DEPTHS = [0, 32, 128, 512]
const DEPTH_MISSES = 0.01
/** Self-queries by which the loss is measured, and the recall that they ask for. */
const LOSS_QUERIES = 128
const LOSS_RECALL = 0.95
/** Standard errors by which the loss is taken lower than measured: with one, an index of sift-128 in three reads a tenth more than it has to. */
const LOSS_CAUTION = 2
/** Searches in one turn of the event loop: about a millisecond at 100 000 rows. */
const TURN_QUERIES = 4
/** Multiply-adds of a task: some ten milliseconds of a thread that others wait for, too. */
const TASK_WORK = 1.2e8
/** Queries of a task, at most: what is read of the index is read once for all of them. */
const TASK_QUERIES = 16

export interface CalibrateJob extends Paced {
  readonly pool: IndexPool | undefined
  readonly signal: AbortSignal | undefined
  /** Throws when the result is no longer wanted. */
  readonly check: () => void
}

/** Work in this thread is cut into the same slices from beginning to end. */
interface SlicedJob extends CalibrateJob {
  readonly slices: Slices
  readonly scratch: Scratch
}

/** @returns undefined for an index that this says nothing about. Throws what `check` throws. */
export async function calibrate(
  state: IndexState,
  { pool, signal, check, between }: CalibrateJob,
): Promise<CalibratedFloors | undefined> {
  const { store, directory, shape } = state
  if (directory.rowsAtHome < LEAST_ROWS) return undefined
  const job = { pool, signal, check, between, slices: new Slices(check), scratch: new Scratch(shape.dim) }
  const random = seededRandom(shape.seed ^ store.version)
  const rows = chooseRows(state, WIDE_QUERIES + NARROW_QUERIES, random)
  const affordable = Math.max(LEAST_COMPARED, Math.floor(COMPARE_WORK / (directory.rowsAtHome * shape.dim)))
  const compared = rows.subarray(0, Math.min(WIDE_QUERIES, affordable))
  const nearest = await nearestOf(state, compared, job)
  const meetings = await meetingsBy(state, compared, nearest, job)
  const wide = deepWidth(meetings, state, NEIGHBOURS)
  const narrow = deepWidth(meetings, state, NARROW_NEIGHBOURS)
  meetings.push(...(await meetingsBy(state, rows.subarray(compared.length, WIDE_QUERIES), wide, job)))
  meetings.push(...(await meetingsBy(state, rows.subarray(WIDE_QUERIES), narrow, job)))
  const depth = await depthOf(state, compared, nearest, narrow, job)
  const floors = new CalibratedFloors(shape.metric, meetings, depth)
  const loss = await lossOf(state, compared, nearest, narrow, floors, job)
  return new CalibratedFloors(shape.metric, meetings, depth, loss)
}

/** The nearest rows of each row, itself included, exactly and nearest first: every row in a bucket is compared. */
async function nearestOf(state: IndexState, rows: Uint32Array, job: SlicedJob): Promise<Uint32Array[]> {
  const { dim } = state.shape
  const k = NEIGHBOURS + 1
  const nearest = Array.from(rows, () => new NearestRows(k))
  for (let at = 0; at < rows.length; at += TASK_QUERIES) {
    const part = nearest.slice(at, at + TASK_QUERIES)
    const { queries } = selfQueriesOf(state, rows.subarray(at, at + TASK_QUERIES))
    const step = Math.ceil(TASK_WORK / (part.length * dim))
    const end = state.store.rows
    for (let first = 0; first < end; ) {
      const limits = Float32Array.from(part, ({ limit }) => limit)
      const results = await onSnapshot(state, job, snapshot => {
        const tasks: CompareTask[] = []
        while (first < end && tasks.length < (job.pool?.threads ?? 1)) {
          const to = Math.min(end, first + step)
          tasks.push({ kind: 'compare', snapshot, queries, first, end: to, k, limits })
          first = to
        }
        return tasks
      })
      for (const result of results) {
        for (const [q, { rows, distances }] of result.entries()) part[q]!.add(rows, distances)
      }
    }
  }
  return nearest.map(ofRow => ofRow.nearest().rows)
}

/**
 * @param by - the nearest rows of each, or the width of a search that finds them.
 * @param isInCentroid - the row counts in the centroid of its home, as it does for a search.
 */
async function meetingsBy(
  state: IndexState,
  rows: Uint32Array,
  by: readonly Uint32Array[] | SearchWidth,
  job: SlicedJob,
  isInCentroid = false,
): Promise<Float32Array[]> {
  const meetings: Float32Array[] = []
  for (let first = 0; first < rows.length; ) {
    const fit = Math.floor((job.pool ? TASK_WORK : SLICE_WORK) / (2 * state.router.count * state.shape.dim))
    const count = Math.min(TASK_QUERIES, Math.max(1, fit))
    const parts: Pick<MeetTask, 'selfQueries' | 'by'>[] = []
    while (first < rows.length && parts.length < (job.pool?.threads ?? 1)) {
      const selfQueries = selfQueriesOf(state, rows.subarray(first, first + count))
      if (isInCentroid) selfQueries.homeRows.fill(0)
      parts.push({ selfQueries, by: 'k' in by ? by : by.slice(first, first + count) })
      first += count
    }
    const results = await onSnapshot(state, job, snapshot =>
      parts.map((part): MeetTask => ({ kind: 'meet', snapshot, ...part })),
    )
    for (const result of results) meetings.push(...result)
  }
  return meetings
}

/**
 * How many rows beyond the tenth have to get an exact distance, for a search to find the nearest among what it scans: 0 where those that
 * always do are enough, as they mostly are. Found by searching, since what codes leave out of rows that lie close together, what buckets and
 * what bounds leave out adds up in ways of its own.
 *
 * @param nearest - of each row, as `nearestOf` found them.
 * @param deep - a search that scans the buckets of nearly all of them.
 */
async function depthOf(
  state: IndexState,
  rows: Uint32Array,
  nearest: readonly Uint32Array[],
  deep: SearchWidth,
  job: SlicedJob,
): Promise<number> {
  if (state.store.vectors === undefined) return 0
  for (const depth of DEPTHS) {
    const width = { ...deep, rerank: rerankOf(deep.owed, depth) }
    const found = await countFound(state, rows.subarray(0, LEAST_COMPARED), nearest, width, job)
    const wanted = deep.owed * found.length
    if (wanted - found.reduce((sum, count) => sum + count, 0) <= DEPTH_MISSES * wanted) return depth
  }
  return DEPTHS.at(-1)!
}

/**
 * Share of the rows in buckets worth scanning that a search leaves out all the same: by 1-bit entries, and as it chooses buckets by codes
 * of their centroids. Less LOSS_CAUTION standard errors, so that chance alone shows no loss.
 *
 * @param nearest, deep - as for `depthOf`.
 */
async function lossOf(
  state: IndexState,
  rows: Uint32Array,
  nearest: readonly Uint32Array[],
  deep: SearchWidth,
  floors: CalibratedFloors,
  job: SlicedJob,
): Promise<number> {
  if (state.store.vectors === undefined) return 0
  const some = rows.subarray(0, LOSS_QUERIES)
  const wanted = nearest.slice(0, some.length).map(ofRow => ofRow.subarray(0, deep.owed))
  const floor = floors.floorOf(LOSS_RECALL, deep.owed - 1, deep.weights, priorFloor)
  const width = { ...deep, floor, rerank: rerankOf(deep.owed, floors.depth) }
  const meetings = await meetingsBy(state, some, wanted, job, true)
  const found = await countFound(state, some, nearest, width, job)
  const lost = found.map((count, q) => {
    const logs = logFloorsOf(meetings[q]!, deep.weights)
    // The row itself is among those wanted and none of its neighbours: whoever asks for it meets it.
    const met = logs.filter(log => log >= Math.log(floor)).length + wanted[q]!.length - logs.length
    return (met - count) / deep.owed
  })
  const { mean, error } = meanAndError(lost)
  return Math.max(0, mean - LOSS_CAUTION * error)
}

/** Of the `owed` nearest of each row, itself included, how many a search finds, by distance: any of the rows that are equally far will do. */
async function countFound(
  state: IndexState,
  rows: Uint32Array,
  nearest: readonly Uint32Array[],
  width: SearchWidth,
  job: SlicedJob,
): Promise<number[]> {
  const { vectors, dim, metric } = state.store
  const counts: number[] = []
  const distances = new Float32Array(width.owed)
  for (let first = 0; first < rows.length; first += TURN_QUERIES) {
    await job.between?.()
    job.check()
    const some = rows.subarray(first, first + TURN_QUERIES)
    const { queries } = selfQueriesOf(state, some)
    const { snapshot, release } = state.pin()
    try {
      const found = await searchMany(snapshot, job.pool, queries, width, job.scratch, job.check, job.signal)
      for (let q = 0; q < some.length; q++) {
        const query = queries.subarray(q * dim, (q + 1) * dim)
        const wanted = nearest[first + q]!.subarray(0, width.owed)
        const toWanted = distances.subarray(0, wanted.length)
        kernels.distancesGather(kernelMetric(metric), query, vectors!, dim, wanted, wanted.length, toWanted)
        const farthest = toWanted.reduce((most, distance) => Math.max(most, distance))
        const toFound = found.distances.subarray(q * width.k, q * width.k + wanted.length)
        counts.push(toFound.reduce((count, distance) => count + (distance <= farthest ? 1 : 0), 0))
      }
    } finally {
      release()
    }
  }
  return counts
}

/** The tasks on the index as it is now: in the pool, or here in slices. */
async function onSnapshot<T extends CompareTask | MeetTask>(
  state: IndexState,
  { pool, signal, check, between, slices, scratch }: SlicedJob,
  tasksOf: (snapshot: Snapshot) => T[],
): Promise<TaskResult<T>[]> {
  await between?.()
  check()
  const { snapshot, release } = state.pin()
  try {
    // Every search scans the rows that are in no bucket: they tell nothing of floors.
    const tasks = tasksOf({ ...snapshot, memtables: [], unassigned: { rows: new Uint32Array(0), count: 0 } })
    if (pool !== undefined) return await pool.runAll(tasks, signal)
    const results: TaskResult<T>[] = []
    for (const task of tasks) results.push(await slices.run(stepsOf(task, scratch)))
    return results
  } finally {
    release()
    check()
  }
}

/** For tasks, in shared memory. A row that died since it was chosen is as good a query as it was. */
function selfQueriesOf({ store, directory }: IndexState, rows: Uint32Array): SelfQueries {
  const { dim, vectors, home } = store
  const queries = new Float32Array(new SharedArrayBuffer(4 * rows.length * dim))
  const homeRows = new Uint32Array(rows.length)
  for (const [i, row] of rows.entries()) {
    queries.set(vectors?.subarray(row * dim, (row + 1) * dim) ?? store.decodedAt(row), i * dim)
    if (home[row] !== NONE) homeRows[i] = directory.homesIn(home[row]!)
  }
  return { rows: rows.slice(), queries, homeRows }
}

/**
 * Rows in buckets, no two alike, in random order: a vector that most rows have (of an empty text) is found by every search, and would
 * speak for rows that are not.
 */
function chooseRows(
  { store, directory: { rowsAtHome } }: IndexState,
  most: number,
  random: () => number,
): Uint32Array {
  const chosen = new Map<bigint, number>()
  for (let drawn = 0; drawn < MOST_DRAWN * most && chosen.size < Math.min(most, rowsAtHome); ) {
    const row = Math.floor(random() * store.rows)
    if (!store.isAtHome(row)) continue
    drawn++
    const hash = hashOf(store, row)
    if (!chosen.has(hash)) chosen.set(hash, row)
  }
  return Uint32Array.from(chosen.values())
}

/** Of the vector, or of its code where that is elsewhere. */
function hashOf(store: RowStore, row: number): bigint {
  const { vectors, dim } = store
  const { buffer, byteOffset, byteLength } =
    vectors?.subarray(row * dim, (row + 1) * dim) ?? store.decodedAt(row)
  return kernels.hash64(new Uint8Array(buffer, byteOffset, byteLength))
}

/** A search that finds a row and its neighbours, and misses next to none of those that were found by comparing. */
function deepWidth(meetings: readonly Float32Array[], state: IndexState, neighbours: number): SearchWidth {
  const weights = state.recall.weightsOf(neighbours)
  const sorted = joined(Float32Array, samplesOf(meetings, weights, neighbours)).sort()
  const floor = Math.exp(sorted[Math.floor(DEEP_MISSES * sorted.length)]!) / 2
  return {
    k: neighbours + 1,
    owed: neighbours + 1,
    probes: undefined,
    floor: Number.isFinite(floor) ? floor : Number.MIN_VALUE,
    weights,
    rerank: rerankOf(neighbours + 1),
    near: unitEntries(neighbours),
    flat: NEVER_FLAT,
    paper: undefined,
    ef: undefined,
    allow: undefined,
  }
}
