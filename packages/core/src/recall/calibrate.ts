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
import { isRankable, prepare } from '../metric.js'
import type { IndexPool } from '../pool/pool.js'
import { type CompareTask, type MeetTask, stepsOf, type TaskResult } from '../pool/tasks.js'
import { seededRandom } from '../random.js'
import type { RowStore } from '../row-store.js'
import { emptyBatch } from '../search/batch.js'
import { searchMany } from '../search/fan-out.js'
import { measureOf } from '../search/measure.js'
import { Scratch } from '../search/scratch.js'
import { attach, type Snapshot } from '../search/snapshot.js'
import { NEVER_FAR, NEVER_FLAT, type SearchWidth } from '../search/view.js'
import {
  CalibratedFloors,
  DEPTHS,
  lossAllowed,
  meanAndError,
  samplesOf,
  type Told,
} from './calibrated-floors.js'
import { priorFloor, rerankOf } from './map.js'
import { logFloorsOf, MEETING_FACTS, NEIGHBOURS, unitEntries } from './meeting.js'
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
/** Multiply-adds of the deep searches of either kind, about 0.3 s, and self-queries that are searched for whatever they take: where searches read
 * much of the index, as among rows without clusters, one query is like another. */
const DEEP_WORK = 8e9
const LEAST_DEEP = 64
/** Rows drawn for each self-query, at most, where most rows are alike. */
const MOST_DRAWN = 8
/** Share of the neighbours found by comparing that a deep search may miss, before its floor is halved. */
const DEEP_MISSES = 1e-3
/** Below so many rows the prior of all data serves: what it reads too much of so few is little. */
const LEAST_ROWS = 2000
/** Self-queries by which the loss is measured, and the recall that they ask for. */
const LOSS_QUERIES = 128
const LOSS_RECALL = 0.95
/** Depths are tried until so little is lost as this recall may lose. */
const DEEPEST_RECALL = 0.99
/** Queries that are unlike rows: half as many as self-queries are compared, between these. */
const LEAST_FAR = 16
const MOST_FAR = 128
/** The recall at which it is measured what their searches miss, and how many times what their floor tells is made up for. */
const FAR_RECALL = 0.9
const MOST_FAR_MISSES = 4
/** Rows that they are made of. */
const FAR_SOURCES = 256
/** Multiply-adds that take as long as decoding one value of a row, or drawing one at random. */
const VALUE_WORK = 256
/** Standard errors by which the loss is taken lower than measured: with one, an index of sift-128 in three reads a tenth more than it has to. */
const LOSS_CAUTION = 2
/** Searches in one turn of the event loop: about a millisecond at 100 000 rows. */
const TURN_QUERIES = 4
/** Multiply-adds of a task: some ten milliseconds of a thread that others wait for, too. */
const TASK_WORK = 1.2e8
/** Queries of a task, at most: what is read of the index is read once for all of them. */
const TASK_QUERIES = 16

/** A rough calibration has one of so many self-queries: its floors are off by twice as much. */
const ROUGH_PART = 4

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

/**
 * @param isRough - with fewer self-queries, for what will be learned anew before long.
 * @returns undefined for an index that this says nothing about. Throws what `check` throws.
 */
export async function calibrate(
  state: IndexState,
  { pool, signal, check, between }: CalibrateJob,
  isRough: boolean,
): Promise<CalibratedFloors | undefined> {
  const { store, directory, shape } = state
  if (directory.rowsAtHome < LEAST_ROWS) return undefined
  const job = { pool, signal, check, between, slices: new Slices(check), scratch: new Scratch(shape.dim) }
  const part = isRough ? ROUGH_PART : 1
  const wideQueries = WIDE_QUERIES / part
  const random = seededRandom(shape.seed ^ store.version)
  const rows = chooseRows(state, (WIDE_QUERIES + NARROW_QUERIES) / part, random)
  const affordable = Math.max(LEAST_COMPARED, Math.floor(COMPARE_WORK / (directory.rowsAtHome * shape.dim)))
  const compared = rows.subarray(0, Math.min(wideQueries, affordable))
  const asked = await job.slices.run(selfQueriesOf(state, compared))
  const nearest = await nearestOf(state, asked, job)
  const meetings = await meetingsBy(state, asked, nearest, job)
  const wide = deepWidth(meetings, state, NEIGHBOURS)
  const narrow = deepWidth(meetings, state, NARROW_NEIGHBOURS)
  const deep = async (from: number, to: number | undefined, width: SearchWidth) =>
    meetingsBy(
      state,
      await job.slices.run(selfQueriesOf(state, rows.subarray(from, to))),
      width,
      job,
      DEEP_WORK / part,
    )
  meetings.push(...(await deep(compared.length, wideQueries, wide)))
  meetings.push(...(await deep(wideQueries, undefined, narrow)))
  const farCount = Math.max(LEAST_FAR, Math.min(MOST_FAR, compared.length >>> 1))
  const farQueries = await job.slices.run(farQueriesOf(state, rows, farCount, random))
  const around = await nearestOf(state, farQueries, job)
  const far = await meetingsBy(
    state,
    farQueries,
    around.map(nearest => nearest.subarray(0, NEIGHBOURS)),
    job,
  )
  // One that met nothing, as rows were deleted meanwhile, tells nothing.
  const met: Told = { meetings: meetings.filter(isMet), far, losses: [], farMisses: 1 }
  const told = { ...met, losses: await lossesOf(state, asked, nearest, narrow, met, job) }
  const farMisses = await farMissesOf(state, farQueries, around, narrow, told, job)
  return new CalibratedFloors(shape.metric, { ...told, far: far.filter(isMet), farMisses })
}

/** The nearest rows of each query, exactly and nearest first, of a self-query itself included: every row in a bucket is compared. */
async function nearestOf(
  state: IndexState,
  { rows, queries: all }: SelfQueries,
  job: SlicedJob,
): Promise<Uint32Array[]> {
  const { dim } = state.shape
  const k = NEIGHBOURS + 1
  const nearest = Array.from(rows, () => new NearestRows(k))
  for (let at = 0; at < rows.length; at += TASK_QUERIES) {
    const part = nearest.slice(at, at + TASK_QUERIES)
    const queries = all.subarray(at * dim, (at + TASK_QUERIES) * dim)
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
 * @param work - multiply-adds of these searches after which those beyond LEAST_DEEP are left out.
 */
async function meetingsBy(
  state: IndexState,
  asked: SelfQueries,
  by: readonly Uint32Array[] | SearchWidth,
  job: SlicedJob,
  work: number = Number.POSITIVE_INFINITY,
): Promise<Float32Array[]> {
  const meetings: Float32Array[] = []
  const { rows } = asked
  let left = work
  for (let first = 0; first < rows.length && (left > 0 || first < LEAST_DEEP); ) {
    const fit = Math.floor((job.pool ? TASK_WORK : SLICE_WORK) / (2 * state.router.count * state.shape.dim))
    const count = Math.min(TASK_QUERIES, Math.max(1, fit))
    const parts: Pick<MeetTask, 'selfQueries' | 'by'>[] = []
    while (first < rows.length && parts.length < (job.pool?.threads ?? 1)) {
      const selfQueries = partOf(asked, first, first + count)
      parts.push({ selfQueries, by: 'k' in by ? by : by.slice(first, first + count) })
      first += count
    }
    const results = await onSnapshot(state, job, snapshot =>
      parts.map((part): MeetTask => ({ kind: 'meet', snapshot, ...part })),
    )
    for (const result of results) {
      meetings.push(...result.meetings)
      left -= result.scanned * state.shape.dim
    }
  }
  return meetings
}

/**
 * Share of the rows in buckets worth scanning that a search leaves out all the same, by DEPTHS: by 1-bit entries, by 8-bit codes of rows that
 * lie close together, and as it chooses buckets by codes of their centroids. Less LOSS_CAUTION standard errors, so that chance alone shows no
 * loss. Found by searching, since all this adds up in ways of its own.
 *
 * @param nearest - of each row, as `nearestOf` found them.
 * @param deep - a search for their neighbours.
 */
async function lossesOf(
  state: IndexState,
  asked: SelfQueries,
  nearest: readonly Uint32Array[],
  deep: SearchWidth,
  told: Told,
  job: SlicedJob,
): Promise<number[]> {
  const some = partOf(asked, 0, LOSS_QUERIES)
  // As a search meets them, the row counts in the centroid of its home.
  some.homeRows.fill(0)
  const wanted = nearest.slice(0, some.rows.length).map(ofRow => ofRow.subarray(0, deep.owed))
  const floor = new CalibratedFloors(state.shape.metric, told).floorOf(
    LOSS_RECALL,
    deep.owed - 1,
    deep.weights,
    priorFloor,
  )
  const meetings = await meetingsBy(state, some, wanted, job)
  const met = meetings.map((ofRow, q) => {
    const logs = logFloorsOf(ofRow, deep.weights)
    // The row itself is among those wanted and none of its neighbours: whoever asks for it meets it.
    return logs.filter(log => log >= Math.log(floor)).length + wanted[q]!.length - logs.length
  })
  const losses: number[] = []
  for (const depth of DEPTHS) {
    const found = await countFound(
      state,
      some,
      nearest,
      { ...deep, floor, rerank: rerankOf(deep.owed, depth) },
      job,
    )
    const { mean, error } = meanAndError(found.map((count, q) => (met[q]! - count) / deep.owed))
    losses.push(Math.max(0, mean - LOSS_CAUTION * error))
    if (losses.at(-1)! <= lossAllowed(DEEPEST_RECALL)) break
  }
  return losses
}

/**
 * What searches for far queries miss, over what they would by their floor alone. Their buckets are all about equally far, and chosen by codes of
 * centroids, which then say little.
 *
 * @param nearest - of each, as `nearestOf` found them.
 * @param deep - any search by the same weights.
 */
async function farMissesOf(
  state: IndexState,
  farQueries: SelfQueries,
  nearest: readonly Uint32Array[],
  deep: SearchWidth,
  told: Told,
  job: SlicedJob,
): Promise<number> {
  const k = NARROW_NEIGHBOURS
  const { weights } = deep
  const floors = new CalibratedFloors(state.shape.metric, told)
  const { times } = floors.farOf(FAR_RECALL, k, weights, priorFloor)
  if (times === 1) return 1
  const floor = times * floors.floorOf(FAR_RECALL, k, weights, priorFloor)
  const rerank = rerankOf(k, floors.depthOf(FAR_RECALL))
  const width = { ...deep, k, owed: k, near: unitEntries(k), floor, rerank }
  const wanted = nearest.map(rows => rows.subarray(0, k))
  const found = await countFound(state, farQueries, wanted, width, job)
  const expected = told.far.map(ofQuery =>
    logFloorsOf(ofQuery, weights, Math.min(k, ofQuery.length / MEETING_FACTS)).filter(
      log => log >= Math.log(floor),
    ),
  )
  const missed = (counts: readonly number[]) =>
    counts.reduce((sum, count, q) => sum + Math.max(0, wanted[q]!.length - count), 0)
  const byFloor = Math.max(1, missed(expected.map(({ length }) => length)))
  return Math.min(MOST_FAR_MISSES, Math.max(1, missed(found) / byFloor))
}

function isMet({ length }: Float32Array): boolean {
  return length > 0
}

/** Of the `owed` nearest of each row, itself included, how many a search finds, by distance: any of the rows that are equally far will do. */
async function countFound(
  state: IndexState,
  { rows, queries: all }: SelfQueries,
  nearest: readonly Uint32Array[],
  width: SearchWidth,
  job: SlicedJob,
): Promise<number[]> {
  const { dim } = state.store
  const counts: number[] = []
  const distances = new Float32Array(width.owed)
  for (let first = 0; first < rows.length; first += TURN_QUERIES) {
    await job.between?.()
    job.check()
    const some = rows.subarray(first, first + TURN_QUERIES)
    const batch = emptyBatch(dim, some.length, width.k)
    const { queries } = batch
    queries.set(all.subarray(first * dim, (first + some.length) * dim))
    const { snapshot, release } = state.pin()
    try {
      const { slabs } = attach(snapshot)
      const { pool, scratch, check, signal } = job
      const place = { state, snapshot: inBuckets(snapshot), pool, scratch, check, signal }
      const found = await searchMany(place, batch, width)
      for (let q = 0; q < some.length; q++) {
        const query = queries.subarray(q * dim, (q + 1) * dim)
        const wanted = nearest[first + q]!.subarray(0, width.owed)
        const toWanted = distances.subarray(0, wanted.length)
        measureOf(slabs, query)(wanted, wanted.length, toWanted)
        const farthest = toWanted.reduce(
          (most, distance) => Math.max(most, distance),
          Number.NEGATIVE_INFINITY,
        )
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
    const tasks = tasksOf(inBuckets(snapshot))
    if (pool !== undefined) return await pool.runAll(tasks, signal)
    const results: TaskResult<T>[] = []
    for (const task of tasks) results.push(await slices.run(stepsOf(task, scratch)))
    return results
  } finally {
    release()
    check()
  }
}

/** Every search scans the rows that are in no bucket: they tell nothing of floors, and would stand in for rows that are lost. */
function inBuckets(snapshot: Snapshot): Snapshot {
  return { ...snapshot, memtables: [], unassigned: { rows: new Uint32Array(0), count: 0 } }
}

/** For tasks, in shared memory. A row that died since it was chosen is as good a query as it was. Yields multiply-adds. */
function* selfQueriesOf({ store, directory }: IndexState, rows: Uint32Array): Generator<number, SelfQueries> {
  const { dim, vectors, home } = store
  const queries = new Float32Array(new SharedArrayBuffer(4 * rows.length * dim))
  const homeRows = new Uint32Array(rows.length)
  for (const [i, row] of rows.entries()) {
    queries.set(vectors?.subarray(row * dim, (row + 1) * dim) ?? store.decodedAt(row), i * dim)
    if (home[row] !== NONE) homeRows[i] = directory.homesIn(home[row]!)
    yield dim * (vectors === undefined ? VALUE_WORK : 1)
  }
  return { rows: rows.slice(), queries, homeRows }
}

function partOf({ rows, queries, homeRows }: SelfQueries, first: number, end: number): SelfQueries {
  const dim = queries.length / rows.length
  return {
    rows: rows.slice(first, end),
    queries: queries.subarray(first * dim, end * dim),
    homeRows: homeRows.slice(first, end),
  }
}

/**
 * Queries that are unlike rows: each value is that of another row. Rows that are moved by the difference of two others are unlike them, too, but
 * find their nearest in fewer buckets. What the metric cannot rank is a row instead.
 */
function* farQueriesOf(
  state: IndexState,
  rows: Uint32Array,
  count: number,
  random: () => number,
): Generator<number, SelfQueries> {
  const { dim, metric } = state.shape
  const { queries: values, rows: sources } = yield* selfQueriesOf(state, rows.subarray(0, FAR_SOURCES))
  const one = () => dim * Math.floor(random() * sources.length)
  const queries = new Float32Array(new SharedArrayBuffer(4 * count * dim))
  for (let q = 0; q < count; q++) {
    const query = queries.subarray(q * dim, (q + 1) * dim)
    for (let d = 0; d < dim; d++) query[d] = values[one() + d]!
    yield dim * VALUE_WORK
    if (isRankable(metric, query)) continue
    const row = one()
    query.set(values.subarray(row, row + dim))
  }
  prepare(metric, queries, dim, 0, count)
  return { rows: new Uint32Array(count).fill(NONE), queries, homeRows: new Uint32Array(count) }
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
function hashOf({ vectors, dim, codes, factors, rotation: { padded } }: RowStore, row: number): bigint {
  if (vectors !== undefined) return kernels.hash64(bytesOf(vectors.subarray(row * dim, (row + 1) * dim)))
  const ofFactors = kernels.hash64(bytesOf(factors.subarray(2 * row, 2 * row + 2)))
  return kernels.hash64(codes.subarray(row * padded, (row + 1) * padded), ofFactors)
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
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
    floor: Number.isFinite(floor) ? floor : 2 ** -126,
    weights,
    rerank: rerankOf(neighbours + 1),
    near: unitEntries(neighbours),
    flat: NEVER_FLAT,
    far: NEVER_FAR,
    paper: undefined,
    ef: undefined,
    allow: undefined,
  }
}
