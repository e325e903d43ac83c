/**
 * What goes over the door, in the shapes of the embedded `Collection` (@drift/server): the same names and meanings, so
 * that code moves between the two. A test holds that the embedded types fit these.
 */

/** A string of 1 to 1 024 bytes, a safe integer, or a 64-bit bigint; `1`, `1n` and `'1'` are three ids. */
export type Id = string | number | bigint
export type Metric = 'l2' | 'cosine' | 'ip'
export type Payload = { readonly [key: string]: unknown }
type Scalar = string | number | boolean | null
/** Conditions on payloads, as in `@drift/server`: `{ lang: 'en', time: { $gte: 2020 } }`. */
export type Filter = Fields | Logical

interface Fields {
  /** Undefined is refused when it is met; the compiler has it in the inferred type of a list such as `[{ a: 1 }, { b: 2 }]`. */
  readonly [path: string]: Scalar | Operators | undefined
}

/** May stand beside fields, which the compiler then does not check. */
interface Logical {
  readonly $and?: readonly Filter[]
  readonly $or?: readonly Filter[]
  readonly $not?: Filter
}

/** What a value at a path has to meet: all of them. */
interface Operators {
  readonly $eq?: Scalar
  readonly $ne?: Scalar
  readonly $gt?: number | string
  readonly $gte?: number | string
  readonly $lt?: number | string
  readonly $lte?: number | string
  readonly $in?: readonly Scalar[]
  readonly $nin?: readonly Scalar[]
  readonly $exists?: boolean
  readonly $not?: Operators
}

export interface Row<P extends object = Payload> {
  readonly id: Id
  readonly vector: readonly number[] | Float32Array
  readonly payload?: P | undefined
}

/** vectors is row-major, ids.length * dim values. */
export interface Columns<P extends object = Payload> {
  readonly ids: readonly Id[]
  readonly vectors: Float32Array
  readonly payloads?: readonly (P | undefined)[]
}

export interface StoredRow<P extends object = Payload> {
  readonly id: Id
  readonly vector: Float32Array
  readonly payload?: P
}

export interface ScannedRow<P extends object = Payload> {
  readonly id: Id
  readonly vector?: Float32Array
  readonly payload?: P
}

/** Rows as they come, and where a later scan can go on. */
export interface Scan<Row> extends AsyncGenerator<Row, void, undefined> {
  /** Of a scan that its `limit` ended, once it has: what to give the next one. Undefined when there are no more rows. */
  readonly cursor: string | undefined
}

export interface UpsertResult {
  readonly lsn: number
  readonly durable: boolean
  readonly upserted: number
  readonly replaced: number
}

export interface DeleteResult {
  readonly lsn: number
  readonly durable: boolean
  readonly deleted: number
}

export interface Hit<P extends object = Payload> {
  readonly id: Id
  /** Smaller is nearer. */
  readonly distance: number
  /** Greater is nearer. */
  readonly score: number
  readonly payload?: P
}

export interface BatchHits {
  readonly ids: readonly (readonly Id[])[]
  readonly k: number
  /** n * k, row-major, padded with Infinity. */
  readonly distances: Float32Array
  readonly counts: Uint32Array
}

export type IndexQuantizer = 'auto' | 'sign' | 'sq8' | 'pq'

export interface CollectionOptions {
  readonly dim?: number
  readonly metric?: Metric
  readonly memtableRows?: number
  /** Where the exact vectors of flushed rows are. Default `resident`. */
  readonly cold?: 'resident' | 'disk'
  /** What a search reads of a row first. Default `auto`. */
  readonly quantizer?: IndexQuantizer
  /** Payload paths to index, where the server's engine has filters. */
  readonly indexes?: Readonly<Record<string, 'keyword' | 'number'>>
}

export interface CallOptions {
  readonly signal?: AbortSignal
}

export interface GetOptions extends CallOptions {
  readonly vectors?: boolean
}

export interface ScanOptions extends CallOptions {
  readonly filter?: Filter
  readonly limit?: number
  readonly cursor?: string
  readonly vectors?: boolean
  readonly payload?: boolean
}

/** What the server's engine does not have yet is refused with DRIFT_NOT_IMPLEMENTED. */
export interface SearchOptions extends CallOptions {
  readonly k?: number
  readonly probes?: number
  readonly ef?: number
  readonly payload?: boolean
  readonly recall?: number
  readonly filter?: Filter
  /** Finite: JSON has no Infinity, and every row is what `scan` gives. */
  readonly radius?: number
  readonly mode?: 'paper'
  readonly lambda?: number
  readonly tau?: number
  readonly confidence?: number
  readonly normalised?: boolean
  readonly efSearch?: number
}
/** Payloads are not among the columns that a batch gives. */
export type BatchSearchOptions = Omit<SearchOptions, 'payload'>

/** How a filter was or would be answered. */
export interface FilterPlan {
  /** `index`: from indexes alone. `index, then scan`: indexes leave rows whose payloads are read. `scan`: every payload is read. */
  readonly access: 'index' | 'index, then scan' | 'scan'
  /** Paths whose index was used. */
  readonly indexes: readonly string[]
  /** Paths that no index could answer. */
  readonly scanned: readonly string[]
}

export interface ExplainedBucket {
  readonly bucket: number
  /** Place by distance among all buckets, from 0. */
  readonly rank: number
  /** Of the centroid by its codes. */
  readonly distance: number
  /** Entries that count. */
  readonly live: number
  /** Of the k nearest, those that this bucket is expected to hold and no nearer one. */
  readonly expectedHits: number
}

/** What a search does for one query. */
export interface Explanation {
  readonly buckets: readonly ExplainedBucket[]
  readonly scannedBuckets: number
  /** Entries and rows whose codes or vectors were read. */
  readonly scannedRows: number
  /** Entries of the scanned buckets, dead ones included. */
  readonly entries: number
  /** What was asked for; not there when a number of buckets was. 1 when all rows were compared. */
  readonly expectedRecall?: number | undefined
  /** Why no more was scanned. */
  readonly stop: 'recall' | 'floor' | 'probes' | 'confidence' | 'exact' | 'all'
  readonly ms: { readonly memtables: number; readonly buckets: number; readonly total: number }
  /** Where a filter was given. */
  readonly filter?: FilterPlan
}

/** What `maintain` did. */
export interface HealReport {
  readonly operations: number
  /** Rows that got another bucket. */
  readonly moves: number
  readonly seconds: number
  /** Operations by kind. */
  readonly kinds: Readonly<
    Partial<Record<'compact' | 'split' | 'merge' | 'recentre' | 'refine' | 'settle', number>>
  >
}

export interface Finding {
  /** In the database's folder, or the folder itself. */
  readonly file: string
  /** Of the first byte of what is damaged. */
  readonly offset?: number
  readonly kind: string
  /** `error`: the database does not open, or not with everything. `warning`: masked so far. `info`: nothing is wrong. */
  readonly severity: 'error' | 'warning' | 'info'
  readonly message: string
  /** Whether what users wrote is concerned, and not only what can be made again from it. */
  readonly truth: boolean
}

export interface CheckReport {
  /** No error and no warning. */
  readonly ok: boolean
  readonly files: number
  readonly bytes: number
  readonly findings: readonly Finding[]
}

export interface DiskStats {
  /** `full`: writes are refused with DRIFT_DISK_FULL until there is room. */
  readonly state: 'open' | 'full' | 'failed'
  /** When last asked; Infinity for a disk without a limit. */
  readonly freeBytes: number
  /** The low-water mark. */
  readonly minFreeBytes: number
  readonly reserveBytes: number
  /** Why writes are refused. */
  readonly reason?: string | undefined
}

/** Writes that are gone, and where they were. */
export interface RecoveryLoss {
  readonly file: string
  readonly offset: number
  readonly kind: string
  readonly reason: string
  readonly firstLsn?: number
  readonly lastLsn?: number
  readonly collection?: string
  readonly ids?: readonly Id[]
  readonly unknownIds?: number
}

/** What the server's opening of its database found and did. */
export interface RecoveryReport {
  readonly mode: 'strict' | 'salvage' | { readonly pointInTime: number }
  readonly clean: boolean
  readonly replayedRecords: number
  readonly replayedBytes: number
  /** Where a write had been cut off, which was not acknowledged. */
  readonly torn?: { readonly file: number; readonly offset: number } | undefined
  readonly losses: readonly RecoveryLoss[]
  readonly quarantined: readonly string[]
}

/** Of one k and one target; see `stats().recall` of the embedded collection. */
export interface MeasuredRecall {
  readonly k: number
  readonly target: number
  readonly measured: number
  readonly low95: number
  readonly high95: number
  readonly samples: number
}

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
  /** Not there where it was not measured since rows changed. */
  readonly drift?: number | undefined
  readonly draining: boolean
  readonly tier: 'resident' | 'mixed' | 'cold' | 'codes'
}

export interface CollectionStats {
  readonly name: string
  readonly dim: number
  readonly metric: Metric
  readonly cold: 'resident' | 'disk'
  readonly quantizer: IndexQuantizer
  readonly rows: number
  readonly buckets: number
  /** How each bucket is filled; with `{ buckets: true }` only. */
  readonly bucketStats?: readonly BucketStats[]
  readonly segments: number
  readonly unflushedRows: number
  readonly diskBytes: number
  readonly diskRows: number
  readonly memory: Readonly<Record<string, number>>
  readonly recall: readonly MeasuredRecall[]
  readonly indexes: Readonly<Record<string, 'keyword' | 'number'>>
}

export interface DriftStats {
  /** `full`: writes are refused until the disk has room. `failed`: writing needs a restart of the server. */
  readonly state: 'open' | 'full' | 'read-only' | 'failed'
  readonly disk: DiskStats
  /** A server tells it to admins of all collections, as `lastError`. */
  readonly recovery?: RecoveryReport
  /** Flushes or compactions fail and are tried again. Of a server only: the embedded engine has `lastError` in its place. */
  readonly failing?: boolean
  /** Why they do. */
  readonly lastError?: string | undefined
  readonly collections: readonly CollectionStats[]
  /** Maintenance rests while more than one search in a hundred waits longer than `maxSearchWaitMs` for the server's event loop. */
  readonly maintenance: {
    readonly paused: boolean
    readonly pausedMs: number
    /** Share of the searches of late that waited longer. */
    readonly lateSearches: number
    readonly maxSearchWaitMs: number
  }
  readonly wal: {
    readonly files: number
    readonly bytes: number
    readonly pendingBytes: number
    readonly durableLsn: number
  }
  readonly manifest: number
  /** Vector pages in the server's memory, of the collections with `cold: 'disk'`. */
  readonly pageCache: {
    readonly maxBytes: number
    readonly bytes: number
    readonly hits: number
    readonly misses: number
  }
}
