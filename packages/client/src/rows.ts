/**
 * What goes over the door, in the shapes of the embedded `Collection` (@drift/server): the same names and meanings, so
 * that code moves between the two. A test holds that the embedded types fit these.
 */

/** A string of 1 to 1 024 bytes, a safe integer, or a 64-bit bigint; `1`, `1n` and `'1'` are three ids. */
export type Id = string | number | bigint
export type Metric = 'l2' | 'cosine' | 'ip'
export type Payload = { readonly [key: string]: unknown }
/** Conditions on payloads, as in `@drift/server`: `{ lang: 'en', time: { $gte: 2020 } }`. */
export type Filter = { readonly [key: string]: unknown }

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

export interface CollectionOptions {
  readonly dim?: number
  readonly metric?: Metric
  readonly memtableRows?: number
  /** Where the exact vectors of flushed rows are. Default `resident`. */
  readonly cold?: 'resident' | 'disk'
  /** Payload paths to index, where the server's engine has filters. */
  readonly indexes?: Readonly<Record<string, 'keyword' | 'number'>>
}

export interface CallOptions {
  readonly signal?: AbortSignal
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

/** What `maintain` did. */
export interface HealReport {
  readonly operations: number
  /** Rows that got another bucket. */
  readonly moves: number
  readonly seconds: number
  /** Operations by kind. */
  readonly kinds: Readonly<Record<string, number>>
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
  readonly tier: string
}

export interface CollectionStats {
  readonly name: string
  readonly dim: number
  readonly metric: Metric
  readonly cold: 'resident' | 'disk'
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
  /** Flushes or compactions fail and are tried again. Of a server only: the embedded engine has `lastError` in its place. */
  readonly failing?: boolean
  /** Why they do. A server tells it to admins of all collections. */
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
