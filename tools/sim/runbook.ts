// A runbook: what happens to a collection over its life, as a stream of steps, and where it is searched.
// Rule: a runbook is the same every time it is walked, so every engine gets the same vectors in the same order.
import type { KernelMetric } from '@drift/native'

/** Ids are numbers of at most 2^32 - 1; vectors are ids.length * dim values, of the step's own. */
export type Step =
  | { readonly do: 'insert'; readonly ids: Uint32Array; readonly vectors: Float32Array }
  /** Living ids get other vectors. */
  | { readonly do: 'replace'; readonly ids: Uint32Array; readonly vectors: Float32Array }
  | { readonly do: 'delete'; readonly ids: Uint32Array }
  /** `phase` names what happened since the search before it, for the report. */
  | { readonly do: 'search'; readonly queries: Float32Array; readonly phase: string }

export type Size = 'small' | '100k' | '1m'

export interface Runbook {
  readonly name: string
  /** What it does, in a sentence. */
  readonly about: string
  readonly dim: number
  /** `ip`: the vectors have unit length, so its order is that of cosine and of l2. */
  readonly metric: KernelMetric
  /** How many search steps there will be, as far as known. */
  readonly searches: number
  /** Rows alive at the most, about: sizes memtables and the peers' room. */
  readonly liveRows: number
  /** Inserts in all, about. */
  readonly insertedRows: number
  steps(): Iterable<Step>
}
