/**
 * What a search reads: the index itself in its own thread, or a pinned view of it in a worker.
 * Rule: a search never writes to it. In the index's own thread a search is synchronous, so it meets no half-done change;
 * a pinned view has its own copy of the live bits and of the chain heads (see snapshot.ts).
 */
import type { KernelMetric } from '@drift/native'
import type { Chains } from '../bucket/extent.js'
import type { MemtableViews } from '../memtable.js'
import type { RouterViews } from '../router/router.js'
import type { RowViews } from '../row-store.js'

export interface SearchView {
  readonly dim: number
  readonly metric: KernelMetric
  /** How near a centroid is: see `routingMetric`. */
  readonly routing: KernelMetric
  /** Entries of these rows per bucket, the target. */
  readonly bucketRows: number
  readonly rows: RowViews
  /** Row numbers from here on are newer than the view. */
  readonly rowLimit: number
  readonly liveRows: number
  /** The two buckets of every row. Undefined in a pinned view: see `rowsOfChain`. */
  readonly homes: { readonly home: Uint32Array; readonly second: Uint32Array } | undefined
  readonly router: RouterViews
  readonly chains: Chains
  readonly heads: Uint32Array
  readonly memtables: readonly MemtableViews[]
  /** Rows in no memtable and, but for those that got a home since, in no bucket. */
  readonly unassigned: { readonly rows: Uint32Array; readonly count: number }
}

/** How much to look at; every number is at least 1. */
export interface SearchWidth {
  readonly k: number
  /** Buckets to scan. Infinity: every live row is compared exactly. Undefined: the default for the view. */
  readonly probes: number | undefined
  /** Beam width in the graphs. Undefined: the default for k. */
  readonly ef: number | undefined
}
