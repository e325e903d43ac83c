/**
 * What one query does, bucket by bucket, and how long each stage takes.
 * Rule: the same search as `searchSync`, with a trace; the time of a stage is the difference of two runs, one without it, so nothing is
 * measured in searches that nobody explains. Every number of hits is in rows: of the k asked for.
 */
import { PROBE_WORDS } from '@drift/native'
import type { IndexState } from '../index-state.js'
import { isAllElsewhere, searchAll, widened } from './elsewhere.js'
import type { Scratch } from './scratch.js'
import { searchView } from './search.js'
import type { SearchWidth } from './view.js'

export interface ExplainedBucket {
  readonly bucket: number
  /** Place by distance among all buckets, from 0. */
  readonly rank: number
  /** Of the centroid by its codes: squared Euclidean, or minus the inner product under ip; with the paper's rule exact and squared Euclidean. */
  readonly distance: number
  /** Entries that count. */
  readonly live: number
  /** Of the k nearest, those that this bucket is expected to hold and no nearer one; of what the listed buckets hold together. By the paper's rule: k times its share of P_eff. */
  readonly expectedHits: number
}

export interface Explanation {
  readonly buckets: readonly ExplainedBucket[]
  readonly scannedBuckets: number
  /** Entries and rows whose codes or vectors were read. */
  readonly scannedRows: number
  /** Entries of the scanned buckets, dead ones included. */
  readonly entries: number
  /** What was asked for; undefined when a number of buckets or a floor was. 1 when all rows were compared. */
  readonly expectedRecall: number | undefined
  /** Why no more was scanned: `all` says that every row's codes were, as there are few rows or k could not be filled otherwise. */
  readonly stop: 'recall' | 'floor' | 'probes' | 'confidence' | 'exact' | 'all'
  readonly ms: { readonly memtables: number; readonly buckets: number; readonly total: number }
}

/** The query lies prepared in the scratch. @param now - milliseconds. */
export function explainQuery(
  state: IndexState,
  width: SearchWidth,
  recall: number | undefined,
  scratch: Scratch,
  now: () => number,
): Explanation {
  const { view } = state
  const wide = widened(state, width)
  const room = Math.min(wide.k, view.liveRows)
  const { outRows, outDistances } = scratch.reserveResult(room)
  const trace = new Uint32Array(PROBE_WORDS * Math.max(1, view.slabs.bucketCount))
  const run = (asked: SearchWidth, isWhole: boolean) => {
    const start = now()
    if (isAllElsewhere(state, asked)) searchAll(state, asked, scratch)
    else {
      const found = searchView(view, asked, scratch, outRows, outDistances)
      if (isWhole) state.exact?.rerank(scratch.query, asked.owed, outRows, outDistances, 0, found)
    }
    return now() - start
  }
  let total: number
  scratch.ask.trace = trace
  try {
    total = run(wide, true)
  } finally {
    // A batch refuses one that was left behind.
    scratch.ask.trace = undefined
  }
  const { scannedBuckets, scannedRows, scannedAll } = scratch
  const exact = width.probes === Number.POSITIVE_INFINITY
  const traced = exact ? 0 : scannedBuckets
  const buckets = bucketsIn(trace, traced, width.k, state)
  // One bucket, so what is left is what lies outside of buckets, and routing.
  const memtables =
    exact || scannedAll ? 0 : Math.min(total, run({ ...wide, probes: 1, paper: undefined }, false))
  return {
    buckets,
    scannedBuckets,
    scannedRows,
    entries: buckets.reduce((sum, { bucket }) => sum + state.directory.sizes[bucket]!, 0),
    expectedRecall: exact ? 1 : width.probes === undefined ? recall : undefined,
    stop: exact ? 'exact' : scannedAll ? 'all' : stopOf(width, recall),
    ms: { memtables, buckets: total - memtables, total },
  }
}

function stopOf(
  width: SearchWidth,
  recall: number | undefined,
): 'recall' | 'floor' | 'probes' | 'confidence' {
  if (width.paper !== undefined) return 'confidence'
  if (width.probes !== undefined) return 'probes'
  return recall === undefined ? 'floor' : 'recall'
}

function bucketsIn(trace: Uint32Array, count: number, k: number, state: IndexState): ExplainedBucket[] {
  const floats = new Float32Array(trace.buffer)
  const buckets = Array.from({ length: count }, (_, i) => {
    const bucket = trace[PROBE_WORDS * i]!
    return {
      bucket,
      rank: trace[PROBE_WORDS * i + 1]!,
      distance: floats[PROBE_WORDS * i + 2]!,
      live: state.directory.lives[bucket]!,
      expectedHits: floats[PROBE_WORDS * i + 3]!,
    }
  })
  const sum = buckets.reduce((total, { expectedHits }) => total + expectedHits, 0)
  return buckets.map(bucket => ({ ...bucket, expectedHits: sum > 0 ? (k * bucket.expectedHits) / sum : 0 }))
}
