/**
 * A prior of the index's own: some of its rows are asked for as if they were queries, and their exact neighbours tell which floor finds
 * how many. One floor for all data is off by a factor of three either way; this one is within a point or two of recall (docs/adr/0011).
 * Where vectors are not resident, codes stand for them: what is learned is where neighbours lie, not how far.
 * Few rows leave the mean uncertain, and comparing one with a million takes 30 ms: rows beyond what WORK pays for are asked of the index
 * itself, by a floor that misses next to nothing of what those before them tell.
 * Rule: it only reads, beside whatever changes the index: in the pool if there is one, piece by piece, each on a snapshot of its own
 * moment, so that a row is where the snapshot has it but for what moves within some ten milliseconds.
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
import { type Asked, Best } from './asking.js'
import { priorFloor } from './map.js'
import { floorsAt, NEIGHBOURS, nearOf } from './meeting.js'
import { meanAndError, OwnFloors, samplesOf } from './own-floors.js'
import { rerankOf } from './resolution.js'

/** Multiply-adds of comparing, about 0.2 s: each row that is not compared is found by a search, at a tenth of that and as well. */
const WORK = 1e9
/** Rows that are compared with all others, at least. */
const LEAST_COMPARED = 32
const ASKED = 384
/** Rows asked for few neighbours besides, which is a tenth of the work: what tells the small k that is mostly asked for. */
const ASKED_FEW = 768
const FEW_NEIGHBOURS = 10
/** Rows drawn for each that is asked for, at most, where most are alike. */
const MOST_DRAWN = 8
/** Share of the neighbours found by comparing that a deep search may miss, before its floor is halved. */
const DEEP_MISSES = 1e-3
/** Below so many rows the prior of all data serves: what it reads too much of so few is little. */
const FEW_ROWS = 2000
/** Rows beyond the tenth that may have to get an exact distance, and the share of neighbours for whose sake it is tried with more. */
const DEPTHS = [0, 32, 128, 512]
const MOST_MISSED = 0.01
/** Rows by which is told what searches leave out, and the recall of ten that they ask for. */
const LOSS_ROWS = 128
const LOSS_RECALL = 0.95
/** Standard errors: with one, an index of sift-128 in three reads a tenth more than it has to. */
const SURE = 2
/** Deep searches in one turn of the event loop: about a millisecond at 100 000 rows. */
const DEPTH_QUERIES = 4
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

/** What is done here, is done in the same slices from beginning to end. */
interface Sliced extends CalibrateJob {
  readonly slices: Slices
  readonly scratch: Scratch
}

/** @returns undefined for an index that this says nothing about. Throws what `check` throws. */
export async function calibrate(
  state: IndexState,
  { pool, signal, check, between }: CalibrateJob,
): Promise<OwnFloors | undefined> {
  const { store, directory, shape } = state
  if (directory.rowsAtHome < FEW_ROWS) return undefined
  const job = { pool, signal, check, between, slices: new Slices(check), scratch: new Scratch(shape.dim) }
  const random = seededRandom(shape.seed ^ store.version)
  const rows = chosen(state, ASKED + ASKED_FEW, random)
  const affordable = Math.max(LEAST_COMPARED, Math.floor(WORK / (directory.rowsAtHome * shape.dim)))
  const compared = rows.subarray(0, Math.min(ASKED, affordable))
  const near = await nearestOf(state, compared, job)
  const meetings = await meetingsBy(state, compared, near, job)
  const [deep, shallow] = [NEIGHBOURS, FEW_NEIGHBOURS].map(most => deepWidth(meetings, state, most))
  meetings.push(...(await meetingsBy(state, rows.subarray(compared.length, ASKED), deep!, job)))
  meetings.push(...(await meetingsBy(state, rows.subarray(ASKED), shallow!, job)))
  const depth = await depthOf(state, compared, near, shallow!, job)
  const loss = await lossOf(
    state,
    compared,
    near,
    shallow!,
    new OwnFloors(shape.metric, meetings, depth),
    job,
  )
  return new OwnFloors(shape.metric, meetings, depth, loss)
}

/** The nearest rows of each row, itself included, exactly: every row in a bucket is compared. */
async function nearestOf(state: IndexState, rows: Uint32Array, job: Sliced): Promise<Uint32Array[]> {
  const { dim } = state.shape
  const k = NEIGHBOURS + 1
  const best = Array.from(rows, () => new Best(k))
  for (let at = 0; at < rows.length; at += TASK_QUERIES) {
    const some = best.slice(at, at + TASK_QUERIES)
    const { queries } = askedOf(state, rows.subarray(at, at + TASK_QUERIES))
    const step = Math.ceil(TASK_WORK / (some.length * dim))
    const end = state.store.rows
    for (let first = 0; first < end; ) {
      const limits = Float32Array.from(some, one => one.limit)
      const told = await onSnapshot(state, job, snapshot => {
        const tasks: CompareTask[] = []
        while (first < end && tasks.length < (job.pool?.threads ?? 1)) {
          const to = Math.min(end, first + step)
          tasks.push({ kind: 'compare', snapshot, queries, first, end: to, k, limits })
          first = to
        }
        return tasks
      })
      for (const part of told) {
        for (const [q, { rows, distances }] of part.entries()) some[q]!.take(rows, distances)
      }
    }
  }
  return best.map(one => one.near().rows)
}

/**
 * @param by - the nearest rows of each, or a search that finds them.
 * @param isIn - the row asked for counts in the centroid of its home, as it does for a search.
 */
async function meetingsBy(
  state: IndexState,
  rows: Uint32Array,
  by: readonly Uint32Array[] | SearchWidth,
  job: Sliced,
  isIn = false,
): Promise<Float32Array[]> {
  const meetings: Float32Array[] = []
  for (let first = 0; first < rows.length; ) {
    const fit = Math.floor((job.pool ? TASK_WORK : SLICE_WORK) / (2 * state.router.count * state.shape.dim))
    const count = Math.min(TASK_QUERIES, Math.max(1, fit))
    const parts: { readonly asked: Asked; readonly by: MeetTask['by'] }[] = []
    while (first < rows.length && parts.length < (job.pool?.threads ?? 1)) {
      const asked = askedOf(state, rows.subarray(first, first + count))
      if (isIn) asked.mates.fill(0)
      parts.push({ asked, by: 'k' in by ? by : by.slice(first, first + count) })
      first += count
    }
    const told = await onSnapshot(state, job, snapshot =>
      parts.map((part): MeetTask => ({ kind: 'meet', snapshot, ...part })),
    )
    for (const part of told) meetings.push(...part)
  }
  return meetings
}

/**
 * How many rows beyond the tenth have to get an exact distance, for a search to find the nearest among what it scans: 0 where those that
 * always do are enough, as they mostly are. Asked of the index, since what codes leave out of rows that lie close together, of buckets and
 * of bounds adds up in ways of its own.
 *
 * @param near - the nearest of each row, itself included, nearest first.
 * @param deep - a search that scans the buckets of nearly all of them.
 */
async function depthOf(
  state: IndexState,
  rows: Uint32Array,
  near: readonly Uint32Array[],
  deep: SearchWidth,
  job: Sliced,
): Promise<number> {
  if (state.store.vectors === undefined) return 0
  for (const depth of DEPTHS) {
    const width = { ...deep, rerank: rerankOf(deep.owed, depth) }
    const found = await foundOf(state, rows.subarray(0, LEAST_COMPARED), near, width, job)
    const wanted = deep.owed * found.length
    if (wanted - found.reduce((sum, count) => sum + count, 0) <= MOST_MISSED * wanted) return depth
  }
  return DEPTHS.at(-1)!
}

/**
 * Share of the rows in buckets that are worth scanning which a search leaves out all the same: by 1-bit entries, and as it chooses buckets by codes
 * of their centroids. Less SURE standard errors: samples must show it.
 *
 * @param near, deep - as `depthOf`.
 */
async function lossOf(
  state: IndexState,
  rows: Uint32Array,
  near: readonly Uint32Array[],
  deep: SearchWidth,
  own: OwnFloors,
  job: Sliced,
): Promise<number> {
  if (state.store.vectors === undefined) return 0
  const asked = rows.subarray(0, LOSS_ROWS)
  const nearest = near.slice(0, asked.length).map(of => of.subarray(0, deep.owed))
  const floor = own.floorOf(LOSS_RECALL, deep.owed - 1, deep.weights, priorFloor)
  const width = { ...deep, floor, rerank: rerankOf(deep.owed, own.depth) }
  const meetings = await meetingsBy(state, asked, nearest, job, true)
  const found = await foundOf(state, asked, near, width, job)
  const lost = found.map((count, q) => {
    const floors = floorsAt(meetings[q]!, deep.weights)
    // The row itself is met by whoever asks for it.
    const met = floors.filter(floor_ => floor_ >= Math.log(floor)).length + nearest[q]!.length - floors.length
    return (met - count) / deep.owed
  })
  const { mean, error } = meanAndError(lost)
  return Math.max(0, mean - SURE * error)
}

/** Of the `owed` nearest of each row, itself included, how many a search finds, by distance: any of the rows that are equally far will do. */
async function foundOf(
  state: IndexState,
  rows: Uint32Array,
  near: readonly Uint32Array[],
  width: SearchWidth,
  job: Sliced,
): Promise<number[]> {
  const { vectors, dim, metric } = state.store
  const counts: number[] = []
  const distances = new Float32Array(width.owed)
  for (let first = 0; first < rows.length; first += DEPTH_QUERIES) {
    await job.between?.()
    job.check()
    const some = rows.subarray(first, first + DEPTH_QUERIES)
    const { queries } = askedOf(state, some)
    const { snapshot, release } = state.pin()
    try {
      const found = await searchMany(snapshot, job.pool, queries, width, job.scratch, job.check, job.signal)
      for (let q = 0; q < some.length; q++) {
        const query = queries.subarray(q * dim, (q + 1) * dim)
        const nearest = near[first + q]!.subarray(0, width.owed)
        const [own, at] = [distances.subarray(0, nearest.length), q * width.k]
        kernels.distancesGather(kernelMetric(metric), query, vectors!, dim, nearest, nearest.length, own)
        const farthest = own.reduce((most, distance) => Math.max(most, distance))
        const told = found.distances.subarray(at, at + nearest.length)
        counts.push(told.reduce((count, distance) => count + (distance <= farthest ? 1 : 0), 0))
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
  { pool, signal, check, between, slices, scratch }: Sliced,
  tasksOf: (snapshot: Snapshot) => T[],
): Promise<TaskResult<T>[]> {
  await between?.()
  check()
  const { snapshot, release } = state.pin()
  try {
    // Rows in no bucket are met by every search, at the price of scanning them: they tell nothing of floors.
    const tasks = tasksOf({ ...snapshot, memtables: [], unassigned: { rows: new Uint32Array(0), count: 0 } })
    if (pool !== undefined) return await pool.runAll(tasks, signal)
    const told: TaskResult<T>[] = []
    for (const task of tasks) told.push(await slices.run(stepsOf(task, scratch)))
    return told
  } finally {
    release()
    check()
  }
}

/** The rows as tasks take them. A row that died since it was chosen is as good a query as it was. */
function askedOf({ store, directory }: IndexState, rows: Uint32Array): Asked {
  const { dim, vectors, home } = store
  const queries = new Float32Array(new SharedArrayBuffer(4 * rows.length * dim))
  const mates = new Uint32Array(rows.length)
  for (const [i, row] of rows.entries()) {
    queries.set(vectors?.subarray(row * dim, (row + 1) * dim) ?? store.decodedAt(row), i * dim)
    if (home[row] !== NONE) mates[i] = directory.homesIn(home[row]!)
  }
  return { rows: rows.slice(), queries, mates }
}

/**
 * Some rows in buckets, no two alike, in random order: a vector that most rows have (of an empty text) is found by whoever looks at all, and
 * would speak for those that are not.
 */
function chosen(
  { store, directory: { rowsAtHome } }: IndexState,
  most: number,
  random: () => number,
): Uint32Array {
  const picked = new Map<bigint, number>()
  for (let drawn = 0; drawn < MOST_DRAWN * most && picked.size < Math.min(most, rowsAtHome); ) {
    const row = Math.floor(random() * store.rows)
    if (!store.isAtHome(row)) continue
    drawn++
    const hash = hashOf(store, row)
    if (!picked.has(hash)) picked.set(hash, row)
  }
  return Uint32Array.from(picked.values())
}

/** Of the vector, or of its code where that is elsewhere. */
function hashOf(store: RowStore, row: number): bigint {
  const { vectors, dim } = store
  const { buffer, byteOffset, byteLength } =
    vectors?.subarray(row * dim, (row + 1) * dim) ?? store.decodedAt(row)
  return kernels.hash64(new Uint8Array(buffer, byteOffset, byteLength))
}

/** A search for the neighbours and the row itself that misses next to none of those that were met. */
function deepWidth(meetings: readonly Float32Array[], state: IndexState, neighbours: number): SearchWidth {
  const weights = state.recall.weightsOf(neighbours)
  const logs = joined(Float32Array, samplesOf(meetings, weights, neighbours)).sort()
  const floor = Math.exp(logs[Math.floor(DEEP_MISSES * logs.length)]!) / 2
  return {
    k: neighbours + 1,
    owed: neighbours + 1,
    probes: undefined,
    floor: Number.isFinite(floor) ? floor : Number.MIN_VALUE,
    weights,
    rerank: rerankOf(neighbours + 1),
    near: nearOf(neighbours),
    flat: NEVER_FLAT,
    paper: undefined,
    ef: undefined,
    allow: undefined,
  }
}
