/**
 * Options at the public door: parsed once into types that cannot be wrong. An unknown option is refused by name, with
 * the known one that was meant or all of them, because a misspelt durability option that is ignored costs data.
 */
import {
  HEAL_POLICIES,
  type HealPolicy,
  INDEX_QUANTIZERS,
  type IndexQuantizer,
  MAX_DIM,
  type Metric,
  notify,
  type PaperOptions,
  WAL_PAGE_BYTES,
  whyNoSync,
} from '@drift/core'
import type { DriftFs } from '@drift/fs'
import type { ToArrowOptions } from './arrow/export.js'
import type { FromArrowOptions } from './arrow/import.js'
import type { BackupOptions } from './backup/backup.js'
import { DriftError } from './errors.js'
import type { Filter } from './filter/filter.js'
import {
  booleanOption,
  functionOption,
  integerOption,
  knownKeys,
  show,
  signalOption,
  wrongOption,
} from './given.js'
import type { MaintenanceMode } from './healing.js'
import type { RecoveryMode } from './log-recovery.js'
import { type IndexDeclarations, parseIndexes } from './payload-index/payload-indexes.js'
import type { RepairOptions } from './repair/repair.js'
import type { ScanOptions } from './scan/rows.js'
import type { RecallBelow } from './shadow.js'

/** When a write is acknowledged. `always`: on stable storage. `intervalMs`: written, synced at least that often. `os`: written. */
export type SyncMode = 'always' | 'os' | { readonly intervalMs: number }

export interface OpenOptions {
  /** Default `always`. */
  readonly sync?: SyncMode
  /** Threads that scan and encode; default: one fewer than the cores, at most 4, and with `fs` none. 0 keeps everything on the calling thread. */
  readonly threads?: number
  /** Size of one write-ahead log file in bytes, preallocated: a multiple of 4 096 from 64 KiB to 1 GiB. Default 64 MiB. */
  readonly walFileBytes?: number
  /** Another disk, for tests and simulations: its files are read and written on the calling thread. Default: the real one. */
  readonly fs?: DriftFs
  /** Whether buckets are healed and segments compacted while nothing else is to do. Default `background`. */
  readonly maintenance?: MaintenanceMode
  /**
   * Milliseconds that one search in a hundred may wait for the event loop; while more do, maintenance rests for nine tenths of the time.
   * Default 5; Infinity: it never rests.
   */
  readonly maxSearchWaitMs?: number
  /** Share of the queries that are answered exactly too, in the background, to measure and to keep recall; false: none. Default 0.001. */
  readonly shadow?: number | false
  /** Told once when a collection is found to find less than was asked for, and again after it had recovered. */
  readonly onRecallBelow?: (event: RecallBelow) => void
  /** Bytes of vector pages kept in memory for the collections with `cold: 'disk'`, together. Default 64 MiB; 0 for none. */
  readonly pageCacheBytes?: number
  /** Low-water mark: with fewer bytes free on the disk, writes are refused with DRIFT_DISK_FULL. Default 256 MiB; 0 for none. */
  readonly minFreeBytes?: number
  /** What to do about a damaged log. Default `strict`: refuse, and change nothing. */
  readonly recovery?: RecoveryMode
  /** Told about rows and bytes read while opening. */
  readonly onProgress?: (progress: Progress) => void
  readonly signal?: AbortSignal
  /** Read beside a writer, in this process or another: takes no lock and writes nothing; the state is that of the moment of opening. */
  readonly readOnly?: boolean
}

/**
 * `done` of `total` units (rows, or bytes where `unit` says so); `total` may be an estimate until the last call. What an `onProgress` throws is
 * an uncaught exception of the process, and the work goes on: a signal is what stops it.
 */
export interface Progress {
  readonly stage: string
  readonly done: number
  readonly total: number
  /** Default `rows`. */
  readonly unit?: 'rows' | 'bytes'
}

export interface CollectionOptions {
  /** Values per vector, 1..4096. Needed to create; checked when given for an existing collection. */
  readonly dim?: number
  /** Default `cosine`. */
  readonly metric?: Metric
  /** Rows of one memtable before it is frozen and flushed; default: as many as 24 MiB of vectors, 1 024..32 768. */
  readonly memtableRows?: number
  /**
   * Where the exact vectors of flushed rows are: in memory, or in the segments alone, from which a search reads those of its best rows. Fixed
   * when the collection is created. Default `resident`.
   */
  readonly cold?: 'resident' | 'disk'
  /** What a search reads of a row first, see `VectorIndexOptions` of @drift/core. Fixed when the collection is created. Default `auto`. */
  readonly quantizer?: IndexQuantizer
  /** Payload indexes by dotted path. When given for an existing collection, each must be there; see `createIndex`. */
  readonly indexes?: IndexDeclarations
}

export interface SearchOptions extends PaperOptions {
  /** Neighbours wanted. Default 10; fewer come back only when the collection holds fewer. */
  readonly k?: number
  /** Share of the k nearest that should be found, in the mean over queries: above 0, at most 1, which is exact. Default 0.95. */
  readonly recall?: number
  /** Instead of `recall`, buckets to scan: more is slower and finds more. */
  readonly probes?: number
  /** Beam width of the memtable's graph. Default: 64, or twice `k` when that is more. */
  readonly ef?: number
  /** Only rows whose payload matches, see docs/filters.md. k rows come back whenever k match. */
  readonly filter?: Filter
  /** Only rows at most this far. Without `k`: every such row, each compared exactly; with `k`: the nearest of them, as any search finds them. */
  readonly radius?: number
  /** Return each hit's payload. Default false. */
  readonly payload?: boolean
  readonly signal?: AbortSignal
}

/** Payloads are not among the columns that a batch gives. */
export type BatchSearchOptions = Omit<SearchOptions, 'payload'>

export interface GetOptions {
  /** Give each row's vector. Default true. */
  readonly vectors?: boolean
  readonly signal?: AbortSignal
}

export interface WriteOptions {
  /** Cancels while the write waits for room; once it is in the log it runs to its end. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

export interface FlushOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

export interface MaintainOptions extends FlushOptions {
  /**
   * Rows that may move to other buckets in healing; what refining moves, when it is due, comes before. A bucket of more rows is not split by
   * any number of calls: some hundred let everything come to an end. Default: as many as it takes.
   */
  readonly budget?: number
  /** `paper`: only scatter merges by the paper's urgency, to three buckets, fifty rows at a time. Default `drift`: whatever pays. */
  readonly policy?: HealPolicy
}

const MODES: readonly MaintenanceMode[] = ['background', 'manual', 'off']
const METRICS: readonly Metric[] = ['l2', 'cosine', 'ip']
const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/
const DEFAULT_K = 10
const MAX_MEMTABLE_ROWS = 1 << 20
/** As the index has it. */
const MAX_PROBES = 0xffff_ffff
const MIN_WAL_FILE_BYTES = 64 * 1024
const MAX_WAL_FILE_BYTES = 1024 * 1024 * 1024
const MAX_THREADS = 64

const OPEN_KEYS: Record<keyof OpenOptions, true> = {
  sync: true,
  threads: true,
  walFileBytes: true,
  maintenance: true,
  maxSearchWaitMs: true,
  shadow: true,
  onRecallBelow: true,
  fs: true,
  pageCacheBytes: true,
  minFreeBytes: true,
  recovery: true,
  onProgress: true,
  signal: true,
  readOnly: true,
}
const COLLECTION_KEYS: Record<keyof CollectionOptions, true> = {
  dim: true,
  metric: true,
  memtableRows: true,
  cold: true,
  quantizer: true,
  indexes: true,
}
/** Options that the index takes as they are. */
const WIDTH_KEYS: Record<Exclude<keyof Width, 'k'>, true> = {
  recall: true,
  probes: true,
  ef: true,
  signal: true,
  mode: true,
  lambda: true,
  tau: true,
  confidence: true,
  normalised: true,
  efSearch: true,
}
const SEARCH_KEYS: Record<keyof SearchOptions, true> = {
  k: true,
  ...WIDTH_KEYS,
  filter: true,
  radius: true,
  payload: true,
}
const SCAN_KEYS: Record<keyof ScanOptions, true> = {
  filter: true,
  cursor: true,
  limit: true,
  vectors: true,
  payload: true,
  signal: true,
}
const GET_KEYS: Record<keyof GetOptions, true> = { vectors: true, signal: true }
const WRITE_KEYS: Record<keyof WriteOptions, true> = { signal: true, onProgress: true }
const TO_ARROW_KEYS: Record<keyof ToArrowOptions, true> = {
  columns: true,
  filter: true,
  ordered: true,
  cursor: true,
  signal: true,
}
const FROM_ARROW_KEYS: Record<keyof FromArrowOptions, true> = { id: true, vector: true, ...WRITE_KEYS }

export function parseOpenOptions(options: unknown): OpenOptions {
  const given = knownKeys<OpenOptions>(options, OPEN_KEYS, 'Drift.open')
  const { sync, maintenance, shadow, maxSearchWaitMs } = given
  booleanOption('readOnly', given.readOnly)
  const wrongSync = sync === undefined ? undefined : whyNoSync(sync)
  if (wrongSync !== undefined) throw new DriftError('DRIFT_OPTION', wrongSync, { option: 'sync' })
  if (shadow !== undefined && shadow !== false && !isWithin(shadow, 0, 1)) {
    throw wrongOption('shadow', shadow, 'false or a number of 0..1')
  }
  functionOption('onRecallBelow', given.onRecallBelow)
  if (maintenance !== undefined && !MODES.includes(maintenance)) {
    throw wrongOption('maintenance', maintenance, `one of ${MODES.join(', ')}`)
  }
  if (maxSearchWaitMs !== undefined && !isWithin(maxSearchWaitMs, 0, Number.POSITIVE_INFINITY)) {
    throw wrongOption('maxSearchWaitMs', maxSearchWaitMs, 'milliseconds of at least 0')
  }
  integerOption('threads', given.threads, 0, MAX_THREADS)
  integerOption('walFileBytes', given.walFileBytes, MIN_WAL_FILE_BYTES, MAX_WAL_FILE_BYTES)
  if ((given.walFileBytes ?? 0) % WAL_PAGE_BYTES !== 0) {
    throw wrongOption('walFileBytes', given.walFileBytes, `a multiple of ${WAL_PAGE_BYTES}`)
  }
  recoveryOption(given.recovery)
  diskOption(given.fs)
  integerOption('minFreeBytes', given.minFreeBytes, 0, Number.MAX_SAFE_INTEGER)
  integerOption('pageCacheBytes', given.pageCacheBytes, 0, Number.MAX_SAFE_INTEGER)
  callbacks(given)
  return given
}

export function parseCollectionOptions(options: unknown): CollectionOptions {
  const given = knownKeys<CollectionOptions>(options, COLLECTION_KEYS, 'collection')
  const { dim, metric, memtableRows, cold, quantizer } = given
  if (dim !== undefined && !(Number.isInteger(dim) && dim >= 1 && dim <= MAX_DIM)) {
    throw new DriftError('DRIFT_DIMENSION', `dim is ${show(dim)}, expected an integer from 1 to ${MAX_DIM}`, {
      dim,
    })
  }
  if (metric !== undefined && !METRICS.includes(metric)) {
    throw new DriftError('DRIFT_METRIC', `metric is ${show(metric)}, expected one of ${METRICS.join(', ')}`, {
      metric,
    })
  }
  integerOption('memtableRows', memtableRows, 1, MAX_MEMTABLE_ROWS)
  if (cold !== undefined && cold !== 'resident' && cold !== 'disk') {
    throw wrongOption('cold', cold, "'resident' or 'disk'")
  }
  if (quantizer !== undefined && !INDEX_QUANTIZERS.includes(quantizer)) {
    throw wrongOption('quantizer', quantizer, `one of ${INDEX_QUANTIZERS.join(', ')}`)
  }
  const indexes = parseIndexes(given.indexes)
  return indexes ? { ...given, indexes } : given
}

/** How a search was asked, whatever door it came through. */
export interface Asked extends SearchOptions {
  readonly k: number
  /** Every row within the radius is wanted: no `k` was given. */
  readonly isEvery: boolean
}

/** Every option by its name, also those that were not given: none is forgotten where they are listed. */
type Whole<T> = { readonly [Name in keyof T]-?: unknown }

export function parseSearchOptions(options: unknown, where = 'search'): Asked {
  const given = knownKeys<SearchOptions>(options, SEARCH_KEYS, where)
  const k = given.k === undefined ? DEFAULT_K : given.k
  if (!Number.isInteger(k) || k < 1) {
    throw new DriftError('DRIFT_K', `k is ${show(k)}, expected an integer of at least 1`, { k })
  }
  integerOption('probes', given.probes, 1, MAX_PROBES)
  integerOption('ef', given.ef, 1, 65_536)
  integerOption('efSearch', given.efSearch, 1, 65_536)
  booleanOption('payload', given.payload)
  if (given.radius !== undefined && (typeof given.radius !== 'number' || Number.isNaN(given.radius))) {
    throw new DriftError('DRIFT_RADIUS', `radius is ${show(given.radius)}, expected a number`, {
      option: 'radius',
    })
  }
  callbacks(given)
  const { filter, radius, payload, signal, recall, probes, ef, efSearch } = given
  const { mode, lambda, tau, confidence, normalised } = given
  // One literal, so that every search reads an object of one shape: names beside a spread cost microseconds, which V8 adds one by one.
  return {
    k,
    isEvery: radius !== undefined && given.k === undefined,
    filter,
    radius,
    payload,
    signal,
    recall,
    probes,
    ef,
    efSearch,
    mode,
    lambda,
    tau,
    confidence,
    normalised,
  } satisfies Whole<Asked> as Asked
}

/** Hits of a batch are columns, which have no place for payloads. */
export function parseBatchOptions(options: unknown): Asked {
  const asked = parseSearchOptions(options, 'searchBatch')
  if (asked.payload !== true) return asked
  throw new DriftError('DRIFT_OPTION', 'payload is true, but searchBatch gives no payloads: get them by id', {
    option: 'payload',
  })
}

/** How many rows a search gives, how much it looks at, and its signal: the options that the index takes as they are. */
export type Width = Pick<Asked, 'k' | 'recall' | 'probes' | 'ef' | 'signal' | keyof PaperOptions>

export function widthOf(asked: Asked): Width {
  const { k, recall, probes, ef, signal, mode, lambda, tau, confidence, normalised, efSearch } = asked
  const width = { k, recall, probes, ef, signal, mode, lambda, tau, confidence, normalised, efSearch }
  return width satisfies Whole<Width> as Width
}

export function parseGetOptions(options: unknown): GetOptions {
  const given = knownKeys<GetOptions>(options, GET_KEYS, 'getMany')
  booleanOption('vectors', given.vectors)
  callbacks(given)
  return given
}

export function parseScanOptions(options: unknown): ScanOptions {
  const given = knownKeys<ScanOptions>(options, SCAN_KEYS, 'scan')
  integerOption('limit', given.limit, 1, Number.MAX_SAFE_INTEGER)
  booleanOption('vectors', given.vectors)
  booleanOption('payload', given.payload)
  callbacks(given)
  return given
}

/** `{ filter, ...options }` where only a filter may be given beside the common options. */
export function parseFilterOptions(
  options: unknown,
  where: string,
): { filter?: unknown; signal?: AbortSignal } {
  const given = knownKeys<{ filter?: unknown; signal?: AbortSignal }>(
    options,
    { filter: true, signal: true },
    where,
  )
  callbacks(given)
  return given
}

export function parseWriteOptions(options: unknown, where: string): WriteOptions {
  const given = knownKeys<WriteOptions>(options, WRITE_KEYS, where)
  callbacks(given)
  return given
}

export function parseStatsOptions(options: unknown): { readonly buckets?: boolean } {
  const given = knownKeys<{ readonly buckets?: boolean }>(options, { buckets: true }, 'stats')
  booleanOption('buckets', given.buckets)
  return given
}

export function parseMaintainOptions(options: unknown): MaintainOptions {
  const given = knownKeys<MaintainOptions>(options, { budget: true, policy: true, ...WRITE_KEYS }, 'maintain')
  integerOption('budget', given.budget, 0, Number.MAX_SAFE_INTEGER)
  if (given.policy !== undefined && !HEAL_POLICIES.includes(given.policy)) {
    throw wrongOption('policy', given.policy, `one of ${HEAL_POLICIES.join(', ')}`)
  }
  callbacks(given)
  return given
}

export function parseToArrowOptions(options: unknown): ToArrowOptions {
  const given = knownKeys<ToArrowOptions>(options, TO_ARROW_KEYS, 'toArrow')
  callbacks(given)
  booleanOption('ordered', given.ordered)
  const { columns } = given
  if (columns !== undefined && !(Array.isArray(columns) && columns.every(name => typeof name === 'string'))) {
    throw wrongOption('columns', columns, 'an array of names')
  }
  return given
}

export function parseFromArrowOptions(options: unknown): FromArrowOptions {
  const given = knownKeys<FromArrowOptions>(options, FROM_ARROW_KEYS, 'fromArrow')
  callbacks(given)
  for (const name of ['id', 'vector'] as const) {
    if (given[name] === undefined || typeof given[name] === 'string') continue
    throw wrongOption(name, given[name], "a column's name")
  }
  return given
}

type FolderOptions = RepairOptions & BackupOptions & Pick<OpenOptions, 'fs'>

/** Of calls on whole folders. */
export function parseFolderOptions(
  options: unknown,
  where: string,
  flag?: 'acceptLoss' | 'copy',
): FolderOptions {
  const more = flag === 'copy' ? { copy: true } : { fs: true, ...(flag && { [flag]: true }) }
  const given = knownKeys<FolderOptions>(
    options,
    { ...WRITE_KEYS, ...more } as Record<keyof FolderOptions, true>,
    where,
  )
  callbacks(given)
  diskOption(given.fs)
  if (flag) booleanOption(flag, given[flag])
  return given
}

/** Collection names are letters, digits, `_` and `-`, and never become part of a path. */
export function parseName(name: unknown): string {
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new DriftError(
      'DRIFT_NAME',
      `collection name ${show(name)} must be 1 to 64 letters, digits, '_' or '-', starting with a letter or digit`,
      { name },
    )
  }
  return name
}

function recoveryOption(recovery: unknown): void {
  if (recovery === undefined || recovery === 'strict' || recovery === 'salvage') return
  const lsn = (recovery as { pointInTime?: unknown } | null)?.pointInTime
  if (Number.isSafeInteger(lsn) && (lsn as number) >= 0) return
  throw wrongOption('recovery', recovery, "'strict', 'salvage' or { pointInTime: an LSN }")
}

function diskOption(fs: unknown): void {
  if (fs === undefined || typeof (fs as { stat?: unknown } | null)?.stat === 'function') return
  throw wrongOption('fs', fs, 'a disk as @drift/fs has them')
}

/** @param given - a copy of the caller's: its `onProgress` becomes one that throws nothing. */
function callbacks(given: { onProgress?: unknown; signal?: unknown }): void {
  const { onProgress, signal } = given
  functionOption('onProgress', onProgress)
  signalOption(signal)
  if (typeof onProgress === 'function')
    given.onProgress = (progress: Progress) => notify(() => onProgress(progress))
}

function isWithin(value: unknown, low: number, high: number): boolean {
  return typeof value === 'number' && value >= low && value <= high
}
