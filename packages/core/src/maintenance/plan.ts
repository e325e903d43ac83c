/**
 * What would make searches cheaper: each bucket's most useful operation, with the rows that a query would scan less for it, and the
 * moves it takes.
 * Rule: planning changes nothing and looks at counts; vectors are read only of buckets whose rows changed, some per call.
 * The cost of a query is modelled as in Quake (Mohoney et al., OSDI 2025): the entries of the buckets that it scans and what opening
 * them costs, by each bucket's temperature. Something pays when it saves the queries that scan the bucket 0.2 % of their mean cost.
 */
import type { IndexState } from '../index-state.js'
import { isStale } from './compact.js'
import { TOO_LARGE } from './heal-split.js'
import { TOO_SMALL } from './merge.js'
import { DRIFTED, driftOf } from './recentre.js'
import { homeRows, seenIn } from './region.js'
import { atOnce } from './slices.js'
import { emptinessOf, PAPER_MOVES, URGENT, urgencyOf, zombieRatioOf } from './urgency.js'

export type OperationKind = 'compact' | 'split' | 'merge' | 'recentre' | 'refine' | 'settle'

/** `drift`: by what a query saves. `paper`: scatter merges by urgency alone, to the three nearest buckets, fifty moves at a time. */
export const HEAL_POLICIES = ['drift', 'paper'] as const
export type HealPolicy = (typeof HEAL_POLICIES)[number]

export interface Operation {
  readonly kind: OperationKind
  readonly bucket: number
  /** Entries that the mean query scans less, expected. */
  readonly gain: number
  /** Rows that will move, expected. */
  readonly moves: number
  readonly policy: HealPolicy
  /** Which bucket the number stood for: an operation whose bucket has gone since does nothing. */
  readonly serial: number
}

export interface PlanOptions {
  /** Default `drift`. */
  readonly policy?: HealPolicy | undefined
}

/** Where the exact vectors of a bucket's rows are: all in memory, some, none (a source has them), or nowhere: a row is what its codes say. */
export type Tier = 'resident' | 'mixed' | 'cold' | 'codes'

/** A bucket as maintenance sees it. */
export interface BucketStats {
  readonly bucket: number
  /** Rows that call it home. */
  readonly rows: number
  /** Entries that count, and all of them. */
  readonly live: number
  readonly stored: number
  /** Of the queries that were looked at, relative to the mean bucket; 1 when none were. */
  readonly temperature: number
  readonly emptiness: number
  readonly zombieRatio: number
  readonly urgency: number
  /** ||mean - centroid||^2 over the mean squared distance of its rows; undefined where it was not measured since rows changed. */
  readonly drift: number | undefined
  readonly draining: boolean
  readonly tier: Tier
}

/** Opening a bucket costs a query as much as so many entries. */
const OPEN_ENTRIES = 16
/** Buckets that a query scans, when nothing is known. */
const PROBES = 24
/** Share of the mean query cost that an operation saves at least. */
const GATE = 0.002
/** Of a split bucket's queries, those that scan one child only save the other (Quake: 0.9; measured on retention streams: 0.86). */
const CHILD_HEAT = 0.86
/** A region is refined when so many of a bucket's rows, relative to all, came or went. */
const UNREST = 0.5
/** Share of its entries that refining saves where all rows changed, and rows that it moves: measured on a stream of sentence embeddings. */
const REFINE_SAVES = 0.1
const REFINE_MOVES = 8
/** A bucket is settled when so many rows, relative to all of the index, came or went anywhere: its own may want others' company by then. */
const UNSETTLED = 0.05
/** As of refining: a settled bucket loses its dead entries, and of 25 rows 1.5 get another second bucket and 0.15 another home. */
const SETTLE_SAVES = 0.05
const SETTLE_MOVES = 1
/** Buckets whose drift is measured in one call, and what each is worth in multiply-adds. The next call goes on behind them, so that none is left out. */
const MEASURED = 32
const MEASURE_WORK = 3e6
/** Buckets looked at between two looks at the clock of `Slices`. */
const LOOKED_AT = 128
const LOOK_WORK = 10_000

/** By gain per move, the best first. */
export function planned(state: IndexState, options: PlanOptions): Operation[] {
  return atOnce(planSteps(state, options)).sort(byGainPerMove)
}

/** In no order. Yields multiply-adds: buckets that change or go between two steps are what they were, or planned for the next time. */
export function* planSteps(
  state: IndexState,
  { policy = 'drift' }: PlanOptions,
): Generator<number, Operation[]> {
  const { directory, health } = state
  const probes = Math.min(PROBES, directory.count)
  const gate = gateOf(state)
  const heatOf = heat(state)
  const found: Operation[] = []
  if (policy === 'drift') yield* measureSome(state)
  for (let bucket = 0; bucket < directory.count; bucket++) {
    if (bucket % LOOKED_AT === LOOKED_AT - 1) yield LOOKED_AT * LOOK_WORK
    const temperature = heatOf(bucket)
    const due = dueAt(state, bucket, policy, gate, temperature)
    if (due === undefined) continue
    const { kind, saved, moves } = due
    const gain = (saved * temperature * probes) / directory.count
    found.push({ kind, bucket, gain, moves, policy, serial: health.serialOf(bucket) })
  }
  return found
}

/** The drift of some buckets whose rows changed since it was last known. */
function* measureSome(state: IndexState): Generator<number> {
  const { directory, health } = state
  const { count } = directory
  const start = health.measuredTo
  for (let i = 0, left = MEASURED; i < count && left > 0; i++) {
    const bucket = (start + i) % count
    if (health.driftOf(bucket, directory.changes[bucket]!) !== undefined || restOf(state, bucket) === 0)
      continue
    driftOf(state, bucket)
    health.measuredTo = bucket + 1
    left--
    yield MEASURE_WORK
  }
}

/** Most gain for a move first; of equal ones the higher bucket, because one that goes gives its number to the last. */
export function byGainPerMove(a: Operation, b: Operation): number {
  return worth(b) - worth(a) || b.bucket - a.bucket
}

/** A move costs two entries; what needs none costs about one. */
function worth({ gain, moves }: Operation): number {
  return gain / (1 + moves)
}

/** Whether the bucket is still in need of what was planned for it. */
export function isDue(state: IndexState, { kind, bucket, policy }: Operation): boolean {
  // Only the paper's urgency asks for the temperature, which takes a look at every bucket.
  const temperature = policy === 'paper' ? heat(state)(bucket) : 1
  return dueAt(state, bucket, policy, gateOf(state), temperature)?.kind === kind
}

/** Entries that a query which scans the bucket must save. */
function gateOf({ directory }: IndexState): number {
  const probes = Math.min(PROBES, directory.count)
  // A row at home has two entries.
  const entries = (2 * directory.rowsAtHome) / Math.max(1, directory.count)
  return GATE * probes * (entries + OPEN_ENTRIES)
}

interface Due {
  readonly kind: OperationKind
  /** Entries that a query which scans the bucket saves. */
  readonly saved: number
  readonly moves: number
}

function dueAt(
  state: IndexState,
  bucket: number,
  policy: HealPolicy,
  gate: number,
  temperature: number,
): Due | undefined {
  const { directory, health, shape } = state
  const rows = directory.homesIn(bucket)
  const live = directory.lives[bucket]!
  const dead = directory.sizes[bucket]! - live
  const isAlone = directory.count === 1
  if (policy === 'paper') {
    const { urgency } = statsOf(state, bucket, temperature)
    const isMerged = !isAlone && (urgency >= URGENT || health.draining.has(bucket))
    return isMerged ? { kind: 'merge', saved: urgency, moves: Math.min(PAPER_MOVES, rows) } : undefined
  }
  if (rows > TOO_LARGE * shape.bucketRows && !health.isSingular(bucket, directory.changes[bucket]!)) {
    const saved = (1 - CHILD_HEAT) * live + OPEN_ENTRIES * (1 - 2 * CHILD_HEAT)
    return { kind: 'split', saved: Math.max(saved, gate), moves: rows }
  }
  if (!isAlone && (rows < TOO_SMALL * shape.bucketRows || health.draining.has(bucket))) {
    return { kind: 'merge', saved: OPEN_ENTRIES, moves: rows }
  }
  const unrest = restOf(state, bucket)
  if (unrest > UNREST && !isAlone) {
    const saved = REFINE_SAVES * Math.min(1, unrest) * (live + OPEN_ENTRIES)
    return { kind: 'refine', saved: Math.max(gate, saved), moves: REFINE_MOVES }
  }
  const age = health.age(bucket, state.store.version) / Math.max(1, directory.rowsAtHome)
  if (age >= UNSETTLED && rows > 0 && rows <= TOO_LARGE * shape.bucketRows && !isAlone) {
    return { kind: 'settle', saved: Math.max(gate, SETTLE_SAVES * live), moves: SETTLE_MOVES }
  }
  if (isStale(state, bucket) && dead > gate) return { kind: 'compact', saved: dead, moves: 0 }
  const drift = health.driftOf(bucket, directory.changes[bucket]!) ?? 0
  return drift > DRIFTED ? { kind: 'recentre', saved: Math.max(gate, drift * live), moves: 0 } : undefined
}

/** Of its rows, those that came or went since it was refined. */
function restOf({ directory, health }: IndexState, bucket: number): number {
  return health.unrest(bucket, directory.changes[bucket]!) / Math.max(1, directory.homesIn(bucket))
}

export function bucketStats(state: IndexState): BucketStats[] {
  const heatOf = heat(state)
  return Array.from({ length: state.directory.count }, (_, bucket) => ({
    ...statsOf(state, bucket, heatOf(bucket)),
    tier: tierOf(state, bucket),
  }))
}

function tierOf(state: IndexState, bucket: number): Tier {
  const { vectors, cold } = state.store
  if (vectors !== undefined) return 'resident'
  if (cold === undefined) return 'codes'
  const rows = homeRows(seenIn(state), bucket)
  const here = rows.reduce((count, row) => count + (cold.has(row) ? 1 : 0), 0)
  if (here === 0) return 'cold'
  return here === rows.length ? 'resident' : 'mixed'
}

function statsOf(state: IndexState, bucket: number, temperature: number): Omit<BucketStats, 'tier'> {
  const { directory, health, shape } = state
  const rows = directory.homesIn(bucket)
  const live = directory.lives[bucket]!
  const stored = directory.sizes[bucket]!
  const emptiness = emptinessOf(rows, shape.bucketRows)
  const zombieRatio = zombieRatioOf(stored, live)
  return {
    bucket,
    rows,
    live,
    stored,
    temperature,
    emptiness,
    zombieRatio,
    urgency: urgencyOf(emptiness, zombieRatio, temperature),
    drift: health.driftOf(bucket, directory.changes[bucket]!),
    draining: health.draining.has(bucket),
  }
}

/** Queries that make a temperature worth believing. */
const KNOWN_QUERIES = 64

/** Relative to the mean bucket. */
function heat({ temperature, directory }: IndexState): (bucket: number) => number {
  let sum = 0
  for (let bucket = 0; bucket < directory.count; bucket++) sum += temperature.of(bucket)
  const mean = sum / directory.count
  if (temperature.queries < KNOWN_QUERIES || !(mean > 0)) return () => 1
  // A bucket that no query met lately is worth a little all the same: queries move.
  return bucket => 0.1 + (0.9 * temperature.of(bucket)) / mean
}
