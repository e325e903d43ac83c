// What the bench asks of the process of the server, and what it is answered.

export type Ask =
  | { readonly do: 'start'; readonly folder: string; readonly dim: number; readonly metric: 'l2' | 'cosine' }
  | { readonly do: 'settle' }
  | { readonly do: 'count' }
  | { readonly do: 'held' }
  | { readonly do: 'embedded'; readonly queries: Float32Array; readonly k: number; readonly ms: number }
  | { readonly do: 'watch' }
  | { readonly do: 'peer'; readonly rows: Float32Array; readonly dim: number }
  | { readonly do: 'stop' }

export interface Answers {
  /** `bare`: a node:http server that reads a body and answers, and does nothing else. */
  readonly start: { readonly url: string; readonly bare: string }
  readonly settle: { readonly rows: number }
  readonly count: { readonly rows: number }
  readonly held: Held
  readonly embedded: Embedded
  readonly watch: Watched
  /** `url` is missing when the peer is not installed. */
  readonly peer: { readonly url?: string }
  readonly stop: object
}

/** The same searches without the network, in the server's process. */
export interface Embedded {
  readonly p50Us: number
  readonly p99Us: number
  readonly queriesPerSecond: number
  /** With `searchBatch`, in the caller's thread and those of the pool. */
  readonly batchQueriesPerSecond: number
}

/** Since it was asked last. */
export interface Watched {
  /** Milliseconds by which a timer of 10 ms came late. */
  readonly delayP50: number
  readonly delayP99: number
  readonly delayMax: number
  /** Of one core, all threads together. */
  readonly cpuShare: number
  readonly rssMiB: number
}

/** Now, after nothing in particular. */
export interface Held {
  readonly rssMiB: number
  readonly heapMiB: number
  readonly externalMiB: number
  /** What the collection says that it holds. */
  readonly slabsMiB: number
  readonly rows: number
  readonly segments: number
  readonly segmentsMiB: number
  readonly openFiles: number
}
