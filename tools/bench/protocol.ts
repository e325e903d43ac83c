// What the bench and the process of an engine say to each other, one answer for each request. JSON over Node's channel:
// a process of another language reads and writes the same lines at NODE_CHANNEL_FD.
import type { Setting } from './engines/engine-kind.js'

export type Request =
  | { readonly do: 'load'; readonly engine: string }
  | {
      readonly do: 'fill'
      /** Holds base.npy and query.npy, float32. */
      readonly data: string
      readonly metric: 'l2' | 'ip'
      readonly seed: number
      readonly threads: number
      readonly room: number
      readonly folder: string
    }
  /** The first queries, in order, until `queries` are answered or the time is up. */
  | {
      readonly do: 'answer'
      readonly setting: Setting
      readonly k: number
      readonly queries: number
      readonly budgetMs: number
    }
  /** One call for each of the first `queries`. */
  | { readonly do: 'time'; readonly setting: Setting; readonly k: number; readonly queries: number }
  /** All of the first `queries` in one call. */
  | { readonly do: 'timeAll'; readonly setting: Setting; readonly k: number; readonly queries: number }
  /** Take `rows` rows out, put them back under new numbers, each for at most the time. */
  | { readonly do: 'churn'; readonly rows: number; readonly budgetMs: number }
  | { readonly do: 'end' }

export interface Loaded {
  /** Why the engine is not there. */
  readonly missing?: string
  /** Of its library, with the name. */
  readonly version?: string
}

export interface Filled {
  readonly buildSeconds: number
  /** Growth of the resident memory by the index, the input let go. */
  readonly memoryBytes: number
  readonly diskBytes?: number
}

export interface Answered {
  readonly answers: number[][]
  readonly seconds: number
  /** Mean per query. */
  readonly scannedRows?: number
}

export interface Timed {
  readonly seconds: number
  readonly p50Us: number
  readonly p99Us: number
}

export interface TimedAll {
  /** Absent: the engine has no such call. */
  readonly seconds?: number
}

/** Rows a second; absent: the engine cannot. */
export interface Churned {
  readonly removesPerSecond?: number
  /** What the writes left behind is done, and counted. */
  readonly insertsPerSecond?: number
}

export interface Replies {
  readonly load: Loaded
  readonly fill: Filled
  readonly answer: Answered
  readonly time: Timed
  readonly timeAll: TimedAll
  readonly churn: Churned
  readonly end: Record<string, never>
}

/** Instead of an answer. */
export interface Failed {
  readonly error: string
}
