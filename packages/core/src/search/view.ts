/**
 * What a search reads: the index itself in its own thread, or a pinned view of it in a worker.
 * Rule: a search never writes to it. In the index's own thread a search is synchronous, so it meets no half-done change;
 * a pinned view has its own copy of the live bits and of the chain heads (see snapshot.ts).
 */
import type { IndexSlabs } from '@drift/native'
import type { MemtableViews } from '../memtable.js'
import type { PaperRule } from './paper.js'

export interface SearchView {
  /** The partition and the rows; dim, metric, live bits and the row limit are there. */
  readonly slabs: IndexSlabs
  /** Entries of these rows per bucket, the target. */
  readonly bucketRows: number
  readonly liveRows: number
  /** Live entries of a bucket, the mean over all buckets. */
  readonly meanLives: number
  readonly memtables: readonly MemtableViews[]
  /** Another number whenever a row or an entry came, went or moved. */
  readonly changes: number
  /** Rows in no memtable and, but for those that got a home since, in no bucket. */
  readonly unassigned: { readonly rows: Uint32Array; readonly count: number }
  /** The bucket of every row, so that a row is not met twice; undefined in a pinned view, where it does no harm. */
  readonly home: Uint32Array | undefined
}

/** Exponents of the estimate of a bucket's hits: see `IndexQuery.floor`. */
export interface Weights {
  readonly byRank: number
  readonly byRatio: number
  readonly bySize: number
}

/**
 * Queries around which the nearest buckets are all about equally far, so that their neighbours are spread over many: such a query takes
 * buckets by `times` the floor. Theirs are those of which the last of FLAT_BUCKETS is nearer than `below` times d_0^2.
 */
export interface Flat {
  readonly below: number
  /** At most 1. */
  readonly times: number
}

/**
 * Queries that are farther from the rows than any row is from the others, whose neighbours are more scattered than those of rows: such a
 * query takes buckets by `times` the floor. Theirs is a d_0^2 above `beyond`.
 */
export interface Far {
  readonly beyond: number
  /** At most 1. */
  readonly times: number
}

/** No query is. */
export const NEVER_FAR: Far = { beyond: Number.POSITIVE_INFINITY, times: 1 }

/** No query is. */
export const NEVER_FLAT: Flat = { below: 0, times: 1 }

/** How much to look at; every number is at least 1. */
export interface SearchWidth {
  /** Rows to give. */
  readonly k: number
  /** As many of them are owed, and asked for by who asked; those beyond are for a ranking by exact vectors that lie elsewhere. */
  readonly owed: number
  /** Rows beyond k whose exact distance may be computed. */
  readonly rerank: number
  /** Buckets to scan. Infinity: every live row is compared exactly. Undefined: by `floor`. */
  readonly probes: number | undefined
  /** Least expected hits per row of cost that a bucket is scanned for (`IndexQuery.floor`), in the unit of every live row. */
  readonly floor: number
  readonly weights: Weights
  /** Entries whose distance is the unit of all others: `IndexQuery.near`. Without effect beside `allow`. */
  readonly near: number
  readonly flat: Flat
  readonly far: Far
  /** Instead of both: the paper's choice. */
  readonly paper: PaperRule | undefined
  /** Beam width in the graphs. Undefined: the default for k. */
  readonly ef: number | undefined
  /** One bit a row: only these rows count. */
  readonly allow: Uint32Array | undefined
}
