/**
 * The boundary of the index: what callers pass is checked here, once, and trusted inside.
 * Rule: a refusal is a CoreError that names the value and comes before anything changed.
 */
import { types } from 'node:util'
import { kernels } from '@drift/native'
import type { VectorSource } from './cold-vectors.js'
import { CoreError } from './errors.js'
import type { Id } from './id.js'
import type { IdTable } from './id-table.js'
import type { IndexShape } from './index-state.js'
import { MAX_SQUARED_LENGTH, type Metric, squaredLength, validateVectors } from './metric.js'
import type { IndexPool } from './pool/pool.js'
import { type RecallMap, rerankOf } from './recall/map.js'
import { unitEntries } from './recall/meeting.js'
import type { ShadowOptions } from './recall/monitor.js'
import type { PaperRule } from './search/paper.js'
import type { Abortable } from './search/queries.js'
import { NEVER_FAR, NEVER_FLAT, type SearchWidth, type Weights } from './search/view.js'

/** Every value of the option. */
export const INDEX_QUANTIZERS = ['auto', 'sign', 'sq8', 'pq'] as const
/** By what an index passes over rows of the buckets that it scans: see `VectorIndexOptions.quantizer`. */
export type IndexQuantizer = (typeof INDEX_QUANTIZERS)[number]

export interface VectorIndexOptions {
  /** Values of a vector, 1..4096. */
  readonly dim: number
  readonly metric: Metric
  /** Rows of a memtable's graph, after which it should be flushed. Default: 24 MiB of vectors, within 1 024..32 768. */
  readonly memtableRows?: number
  /** Target rows of a bucket, 4..4096. Default 25: two blocks of entries; 48 where vectors are not resident, as centroids take memory. */
  readonly bucketRows?: number
  /** Neighbours of a node in a memtable's graph, 2..256. Default 16. */
  readonly M?: number
  /** Beam width of linking a node, 1..65535. Default 200. */
  readonly efConstruction?: number
  /** Of graphs and partitions, a u32. Default 1. */
  readonly seed?: number
  /**
   * `none`: exact vectors are not kept, only their 8-bit codes, in a quarter of the memory. Distances are then those of the codes, also where
   * another index would compare exactly; new rows are scanned instead of linked into a graph. A source: exact vectors are kept until they
   * are handed over and read from there afterwards, for the best few rows of a search, so distances are exact. Default `resident`.
   */
  readonly vectors?: 'resident' | 'none' | VectorSource
  /**
   * What is read of a row in a scanned bucket first. `sign`: its entry of one bit a dimension, and its 8-bit codes only when the entry's bound
   * says that it may be among the nearest. `sq8`: its 8-bit codes, always. `pq`: as `sign`, but an entry is a product code of as many bits, by
   * codebooks that are learned once, of the first thousands of rows. `auto`: what docs/quantizers.md measures as the fastest, `sign`.
   * Default `auto`.
   */
  readonly quantizer?: IndexQuantizer
}

/** Not owned: both outlive the index. */
export interface IndexParts {
  readonly pool?: IndexPool
  readonly shadow?: ShadowOptions
}

/** The search of "Drift-Aware Vector Indexing", see search/paper.ts: instead of `recall`, `probes` and `floor`. */
export interface PaperOptions {
  readonly mode?: 'paper'
  /** Above 0, in units of 1 / distance. Default: 1 / distance of the nearest centroid that the query does not lie on. */
  readonly lambda?: number
  /** Above 0, in entries; a row has two. Default: a tenth of a bucket's target. */
  readonly tau?: number
  /** Buckets are taken until their P_eff sum up to this: above 0; it is no recall, and may be above 1 unless `normalised`. Default 1. */
  readonly confidence?: number
  /** The sum is told as a share of that over all buckets. Default false, as the paper has it. */
  readonly normalised?: boolean
  /** The paper's name of `ef`. */
  readonly efSearch?: number
}

export interface SearchOptions extends PaperOptions {
  /** Results wanted; fewer come back only when the index has fewer. */
  readonly k: number
  /**
   * Share of the k nearest that should be found, in the mean over queries: above 0, at most 1. Each query scans what it needs for it. 1
   * compares every live row exactly. Default 0.95.
   */
  readonly recall?: number
  /** Instead of `recall`, buckets to scan. Infinity compares every live row exactly. */
  readonly probes?: number
  /**
   * Instead of `recall`, for experts: a bucket is scanned when it is expected to hold at least so many of the nearest rows per row that
   * scanning it costs. The unit is that of the estimate (docs/adr/0011): 0.001 is about recall@10 of 0.95; less finds more.
   */
  readonly floor?: number
  /** Of the estimate, for experts. Default: those that the index has learned. */
  readonly weights?: Weights
  /** Beam width in the memtables' graphs. Default: max(64, 2 * k). */
  readonly ef?: number
  /** Only these rows count: bit r & 31 of word r >>> 5 for row r. Rows beyond the bits do not. Bits that are asked for again: `fixRows`. */
  readonly allow?: Uint32Array
}

export const DEFAULT_RECALL = 0.95

export const MAX_DIM = 4096

/** Largest k of one query: 1 GiB of rows and distances where there are so many rows. */
const MAX_RESULTS = 2 ** 27
/** Largest k times queries of one batch, whose arrays are made in full: half a GiB, and some 0.2 s. */
const MAX_BATCH_RESULTS = 2 ** 25

/** Rounding to float32 moves the squared length of 4096 values by less than 1e-6. */
const UNIT_TOLERANCE = 1e-4

const BUCKET_ROWS = 25
const BUCKET_ROWS_OF_CODES = 48

const DEFAULT_MEMTABLE_BYTES = 24 * 1024 * 1024

const INDEX_OPTIONS: Record<keyof (VectorIndexOptions & IndexParts), true> = {
  dim: true,
  metric: true,
  memtableRows: true,
  bucketRows: true,
  M: true,
  efConstruction: true,
  seed: true,
  vectors: true,
  quantizer: true,
  pool: true,
  shadow: true,
}

const CALLBACKS = ['onProgress', 'onOperation', 'between'] as const

/** `requireKnown` for a job, which calls back. */
export function requireJob<T extends object>(options: T, known: Record<keyof T, true>, where: string): void {
  requireKnown(options, known, where)
  for (const name of CALLBACKS) {
    const callback = (options as Partial<Record<string, unknown>>)[name]
    if (callback !== undefined) requireFunction(name, callback)
  }
}

export function requireFunction(name: string, value: unknown): void {
  if (typeof value === 'function') return
  throw new CoreError('DRIFT_OPTION', `${name} is ${kindOf(value)}, expected a function`, { option: name })
}

/**
 * What a misspelt option is refused by: silently ignored, it would be another index or another answer than was asked for. A signal that is
 * none is refused here too.
 *
 * @param known - every name that the options have: a list that lacks one does not compile.
 */
export function requireKnown<T extends object>(
  options: T,
  known: Record<keyof T, true>,
  where: string,
): void {
  if (typeof options !== 'object' || options === null) {
    throw new CoreError('DRIFT_OPTION', `the options of ${where} are ${kindOf(options)}, expected an object`)
  }
  for (const key of Object.keys(options)) {
    if (Object.hasOwn(known, key)) continue
    const names = Object.keys(known).join(', ')
    throw new CoreError('DRIFT_UNKNOWN_OPTION', `${where} has no option '${key}', only ${names}`, {
      option: key,
    })
  }
  const { signal } = options as { signal?: unknown }
  if (signal !== undefined && typeof (signal as Partial<AbortSignal> | null)?.throwIfAborted !== 'function') {
    const message = `signal is ${kindOf(signal)}, expected an AbortSignal`
    throw new CoreError('DRIFT_OPTION', message, { option: 'signal' })
  }
}

export function requireShape(options: VectorIndexOptions & IndexParts): IndexShape {
  requireKnown(options, INDEX_OPTIONS, 'VectorIndex')
  const { dim, metric, M = 16, efConstruction = 200, seed = 1, vectors = 'resident' } = options
  const { quantizer = 'auto' } = options
  const { bucketRows = vectors === 'resident' ? BUCKET_ROWS : BUCKET_ROWS_OF_CODES } = options
  requireInteger('DRIFT_DIMENSION', 'dim', dim, 1, MAX_DIM)
  if (metric !== 'l2' && metric !== 'cosine' && metric !== 'ip') {
    throw new CoreError('DRIFT_METRIC', `metric is ${String(metric)}, expected 'l2', 'cosine' or 'ip'`, {
      metric,
    })
  }
  const memtableRows =
    options.memtableRows ?? Math.min(32_768, Math.max(1024, Math.floor(DEFAULT_MEMTABLE_BYTES / (4 * dim))))
  requireInteger('DRIFT_OPTION', 'memtableRows', memtableRows, 1, 2 ** 20)
  requireInteger('DRIFT_OPTION', 'bucketRows', bucketRows, 4, 4096)
  requireInteger('DRIFT_OPTION', 'M', M, 2, 256)
  requireInteger('DRIFT_OPTION', 'efConstruction', efConstruction, 1, 65_535)
  requireInteger('DRIFT_OPTION', 'seed', seed, 0, 0xffff_ffff)
  if (
    vectors !== 'resident' &&
    vectors !== 'none' &&
    typeof (vectors as VectorSource | null)?.read !== 'function'
  ) {
    const message = `vectors is ${String(vectors)}, expected 'resident', 'none' or an object that can read`
    throw new CoreError('DRIFT_OPTION', message, { option: 'vectors', vectors })
  }
  if (!INDEX_QUANTIZERS.includes(quantizer)) {
    const message = `quantizer is ${String(quantizer)}, expected one of ${INDEX_QUANTIZERS.join(', ')}`
    throw new CoreError('DRIFT_OPTION', message, { option: 'quantizer', quantizer })
  }
  const scan = quantizer === 'auto' ? 'sign' : quantizer
  return { dim, metric, memtableRows, bucketRows, M, efConstruction, seed, vectors, quantizer: scan }
}

/** The distinct ids of a batch, the last of equal ones winning, and where each one's vector is. */
export interface Batch {
  readonly ids: readonly Id[]
  readonly sources: Uint32Array
}

export function requireBatch(
  shape: IndexShape,
  table: IdTable,
  ids: readonly Id[],
  vectors: Float32Array,
): Batch {
  requireIds(ids)
  if (ids.length === 0) throw new CoreError('DRIFT_EMPTY_BATCH', 'the batch has no ids')
  requireVectors(shape, vectors, ids.length)
  for (const id of ids) table.check(id)
  return distinct(ids)
}

/** An array; what is in it is checked where it is looked up. @throws CoreError DRIFT_ID. */
export function requireIds(ids: unknown): void {
  if (!Array.isArray(ids)) throw new CoreError('DRIFT_ID', `ids are ${kindOf(ids)}, expected an array`)
}

/** @throws CoreError DRIFT_ROW. */
export function requireRows(rows: unknown): void {
  if (!types.isUint32Array(rows)) {
    throw new CoreError('DRIFT_ROW', `rows are ${kindOf(rows)}, expected a Uint32Array`)
  }
}

/** Vectors whose squared lengths are taken in one call. */
const LENGTHS = 128
const lengths = new Float64Array(LENGTHS)

/** `count` vectors that the metric can rank. @returns the `squaredLength` of the last. */
export function requireVectors(shape: IndexShape, vectors: Float32Array, count: number): number {
  const { dim, metric } = shape
  if (!types.isFloat32Array(vectors)) {
    throw new CoreError('DRIFT_VECTOR_VALUE', `vectors are ${kindOf(vectors)}, expected a Float32Array`)
  }
  if (vectors.length !== count * dim) {
    const given = count === 1 ? 'the vector has' : `${count} vectors have`
    throw new CoreError('DRIFT_DIMENSION', `${given} ${vectors.length} values, expected ${count * dim}`, {
      values: vectors.length,
      vectors: count,
      dim,
    })
  }
  let squares = 0
  for (let first = 0; first < count; first += LENGTHS) {
    const some = Math.min(LENGTHS, count - first)
    const part = some === count ? vectors : vectors.subarray(first * dim, (first + some) * dim)
    kernels.squaredLengths(part, dim, some, lengths)
    for (let row = first; row < first + some; row++) {
      squares = lengths[row - first]!
      // The sum of squares of float32 values is finite in doubles unless one of them is not, and 0 only when all are.
      if (!(squares < Number.POSITIVE_INFINITY)) validateVectors(vectors, dim)
      if (metric !== 'cosine') requireLength(squares, row)
      else if (squares === 0) throw noDirection(row)
    }
  }
  return squares
}

/** Vectors that passed `requireVectors` and come from an index: under cosine of unit length, or distances would be wrong unseen. */
export function requirePrepared(shape: IndexShape, vectors: Float32Array): void {
  const { dim, metric } = shape
  if (metric !== 'cosine') return
  for (let row = 0; row < vectors.length / dim; row++) {
    const squares = squaredLength(vectors, row * dim, dim)
    if (Math.abs(squares - 1) <= UNIT_TOLERANCE) continue
    throw new CoreError(
      'DRIFT_VECTOR_VALUE',
      `vector ${row} has the length ${Math.sqrt(squares)}, expected 1: load takes vectors as vectorAt gives them`,
      { row },
    )
  }
}

/** @returns how many queries `queries` holds, at least 1. */
export function requireQueries(shape: IndexShape, queries: Float32Array): number {
  if (!types.isFloat32Array(queries)) requireVectors(shape, queries, 1)
  const count = Math.ceil(queries.length / shape.dim)
  if (count === 0) throw new CoreError('DRIFT_EMPTY_BATCH', 'the batch has no queries')
  requireVectors(shape, queries, count)
  return count
}

/** What a search needs to know of an index to see how much to look at. */
export interface WidthContext {
  readonly recall: RecallMap
  /** Codes tell rows apart; where they do not, only comparing all of them finds a share of the nearest. */
  readonly tellsApart: boolean
  /** Live rows for each of those that a bitmap allows; 1 when it allows none. */
  rowsPerAllowed(allow: Uint32Array): number
}

const PAPER_OPTIONS: Record<keyof Omit<PaperOptions, 'mode'>, true> = {
  lambda: true,
  tau: true,
  confidence: true,
  normalised: true,
  efSearch: true,
}

const SEARCH_OPTIONS: Record<keyof (SearchOptions & Abortable), true> = {
  k: true,
  recall: true,
  probes: true,
  floor: true,
  weights: true,
  ef: true,
  allow: true,
  signal: true,
  mode: true,
  ...PAPER_OPTIONS,
}

/** @param queries - of a batch. */
export function requireWidth(options: SearchOptions, context: WidthContext, queries?: number): SearchWidth {
  requireKnown(options, SEARCH_OPTIONS, 'a search')
  const { k, recall, probes, floor, weights, allow } = options
  const paper = requirePaper(options)
  const ef = options.ef ?? options.efSearch
  const mostK = queries === undefined ? MAX_RESULTS : Math.floor(MAX_BATCH_RESULTS / queries)
  requireInteger('DRIFT_K', 'k', k, 1, mostK)
  const ways =
    +(recall !== undefined) + +(probes !== undefined) + +(floor !== undefined) + +(paper !== undefined)
  if (ways > 1) {
    const given = WAYS.filter(name => options[name] !== undefined)
    const message = `${given.join(' and ')} are two ways to say how much to scan: give one`
    throw new CoreError('DRIFT_RECALL', message, { recall, probes, floor })
  }
  if (recall !== undefined) requireRecall(recall)
  if (probes !== undefined && probes !== Number.POSITIVE_INFINITY) {
    requireInteger('DRIFT_PROBES', 'probes', probes, 1, 0xffff_ffff)
  }
  if (floor !== undefined && !isPositive(floor)) {
    throw new CoreError('DRIFT_FLOOR', `floor is ${String(floor)}, expected a number above 0`, { floor })
  }
  if (weights !== undefined) requireWeights(weights)
  if (ef !== undefined) requireInteger('DRIFT_EF', 'ef', ef, 1, 2 ** 20)
  if (allow !== undefined && !types.isUint32Array(allow)) {
    throw new CoreError('DRIFT_ALLOW', 'allow is no Uint32Array', {})
  }
  const { recall: map } = context
  const isByRecall = probes === undefined && floor === undefined && paper === undefined
  const isExact = isByRecall && (recall === 1 || !context.tellsApart)
  // An exact search goes by no estimate, so nothing is counted for it.
  const shrunk = isByRecall && !isExact ? map.shrunk : 1
  const times = isExact ? 1 : shrunk * (allow === undefined ? 1 : context.rowsPerAllowed(allow))
  const reach = (allow === undefined && times === 1) || isExact ? k : reachOf(k * times)
  const by = weights ?? map.weightsOf(reach)
  return {
    k,
    owed: k,
    rerank: rerankOf(k, isExact ? 0 : map.depthOf(recall ?? DEFAULT_RECALL, reach)),
    probes: isExact ? Number.POSITIVE_INFINITY : probes,
    floor:
      floor ??
      (isByRecall && !isExact ? map.floorOf(recall ?? DEFAULT_RECALL, reach) * shrunk ** -by.bySize : 0),
    weights: by,
    near: unitEntries(k),
    flat: floor === undefined && allow === undefined ? map.flatOf(reach) : NEVER_FLAT,
    // What is left of the rows lies farther apart than they did.
    far:
      isByRecall && !isExact && times === 1 && allow === undefined
        ? map.farOf(recall ?? DEFAULT_RECALL, reach)
        : NEVER_FAR,
    paper,
    ef,
    allow,
  }
}

/** To say how much to scan: one of them is enough. */
const WAYS = ['recall', 'probes', 'floor', 'mode'] as const

/** @throws CoreError DRIFT_OPTION. */
function requirePaper(options: SearchOptions): PaperRule | undefined {
  const { mode, lambda, tau, confidence = 1, normalised = false, ef, efSearch } = options
  if (mode === undefined) {
    // Looked through by name only where there is one: every search passes here.
    const isNone = lambda === undefined && tau === undefined && efSearch === undefined
    if (isNone && options.confidence === undefined && options.normalised === undefined) return undefined
    for (const name of Object.keys(PAPER_OPTIONS) as (keyof typeof PAPER_OPTIONS)[]) {
      if (options[name] !== undefined) refuse(name, options[name], "nothing without mode: 'paper'")
    }
    return undefined
  }
  if (mode !== 'paper') refuse('mode', mode, "'paper'")
  for (const [name, value] of Object.entries({ lambda, tau, confidence })) {
    if (value !== undefined && !isPositive(value)) refuse(name, value, 'a number above 0')
  }
  if (typeof normalised !== 'boolean') refuse('normalised', normalised, 'true or false')
  if (normalised && confidence > 1) refuse('confidence', confidence, 'at most 1 of a normalised sum')
  if (ef !== undefined && efSearch !== undefined) refuse('efSearch', efSearch, 'nothing beside ef')
  return { lambda, tau, confidence, normalised }
}

function isPositive(value: unknown): boolean {
  return typeof value === 'number' && value > 0 && value < Number.POSITIVE_INFINITY
}

function refuse(name: string, value: unknown, expected: string): never {
  const message = `${name} is ${String(value)}, expected ${expected}`
  throw new CoreError('DRIFT_OPTION', message, { option: name, [name]: value })
}

function requireWeights(weights: Weights): void {
  for (const name of ['byRank', 'byRatio', 'bySize'] as const) {
    if (!Number.isFinite(weights?.[name])) refuse(`weights.${name}`, weights?.[name], 'a finite number')
  }
}

/** Steps a decade: few enough that what is known of each is remembered. */
const REACH_STEPS = 8

/** The k nearest of one row in `times` lie as far as the k * times nearest of all. */
function reachOf(rows: number): number {
  return Math.ceil(10 ** (Math.round(REACH_STEPS * Math.log10(rows)) / REACH_STEPS))
}

/** @throws CoreError DRIFT_RECALL. */
function requireRecall(recall: number): void {
  if (typeof recall === 'number' && recall > 0 && recall <= 1) return
  throw new CoreError(
    'DRIFT_RECALL',
    `recall is ${String(recall)}, expected a number above 0 and at most 1`,
    { recall },
  )
}

export function requireInteger(
  code: `DRIFT_${string}`,
  name: string,
  value: number,
  least: number,
  most: number,
): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  throw new CoreError(code, `${name} is ${String(value)}, expected an integer of ${least}..${most}`, {
    ...(code === 'DRIFT_OPTION' && { option: name }),
    [name]: value,
  })
}

function noDirection(row: number): CoreError {
  return new CoreError('DRIFT_ZERO_VECTOR', `vector ${row} is all zeros and has no direction for cosine`, {
    row,
  })
}

function requireLength(squares: number, row: number): void {
  if (squares <= MAX_SQUARED_LENGTH) return
  throw new CoreError(
    'DRIFT_VECTOR_VALUE',
    `vector ${row} has the length ${Math.sqrt(squares)}, expected at most ${Math.sqrt(MAX_SQUARED_LENGTH)}`,
    { row },
  )
}

function distinct(ids: readonly Id[]): Batch {
  if (areAscending(ids)) {
    const sources = new Uint32Array(ids.length)
    for (let i = 0; i < sources.length; i++) sources[i] = i
    return { ids: ids.slice(), sources }
  }
  const last = new Map<Id, number>()
  for (let i = 0; i < ids.length; i++) last.set(ids[i]!, i)
  if (last.size === ids.length) return { ids: [...ids], sources: Uint32Array.from(last.values()) }
  const sources = Uint32Array.from(last.values()).sort()
  return { ids: Array.from(sources, i => ids[i]!), sources }
}

/** Numbers, each above the one before, as counters give them: nothing to look up. */
function areAscending(ids: readonly Id[]): boolean {
  for (let i = 0; i < ids.length; i++) {
    if (typeof ids[i] !== 'number' || (i > 0 && ids[i]! <= ids[i - 1]!)) return false
  }
  return true
}

export function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return typeof value === 'object' ? (value.constructor?.name ?? 'an object') : typeof value
}
