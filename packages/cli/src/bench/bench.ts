/**
 * Recall and speed of a collection on its own rows: queries are answered exactly once, then at each target in turns, one
 * caller or several. Rule: every target meets the same queries in the same rounds, so that what disturbs one disturbs all.
 */
import type { Filter, Hit, Id } from '@drift/client'
import { CliError } from '../errors.js'
import { openSource } from '../source/source.js'
import type { Rows } from '../target.js'

export interface BenchOptions {
  readonly k: number
  /** How many. */
  readonly queries: number
  /** Queries of a file (.npy, .fvecs, .jsonl, ...); default: rows of the collection, each of which is then not counted as its own neighbour. */
  readonly file?: string
  readonly recalls: readonly number[]
  readonly filter?: Filter
  /** Searches that are under way at once. */
  readonly callers: number
  /** Of measuring, for each target. */
  readonly seconds: number
  readonly seed: number
  readonly onProgress: (done: number, total: number) => void
}

interface Measured {
  /** What was asked for; 1 is the exact answer. */
  readonly target: number
  /** Mean of the queries, with the half width of its 95 % interval. */
  readonly recall: number
  readonly plusMinus: number
  readonly qps: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly searches: number
}

export interface BenchResult {
  readonly rows: number
  readonly dim: number
  readonly k: number
  readonly queries: number
  readonly callers: number
  readonly targets: readonly Measured[]
}

interface Query {
  readonly vector: Float32Array | readonly number[]
  /** The row that it is. */
  readonly own?: Id
}

/** Below this two float32 distances are one. */
const TIE = 1e-5

/** @throws CliError DRIFT_BENCH when there is nothing to measure. */
export async function bench(rows: Rows, options: BenchOptions): Promise<BenchResult> {
  const { k, recalls, filter, seconds, callers, onProgress } = options
  const narrowed = filter === undefined ? {} : { filter }
  const queries = await (options.file === undefined
    ? ownRows(rows, options)
    : fileRows(options.file, options))
  if (queries.length === 0) throw new CliError('DRIFT_BENCH', 'there are no rows to take queries from')
  const search = async ({ vector, own }: Query, recall: number): Promise<readonly Hit[]> => {
    const hits = await rows.search(vector, { ...narrowed, k: own === undefined ? k : k + 1, recall })
    return own === undefined ? hits : hits.filter(({ id }) => id !== own).slice(0, k)
  }

  const targets = [...recalls, 1]
  const steps = queries.length * (1 + recalls.length)
  let done = 0
  const truth: (readonly Hit[])[] = []
  for (const query of queries) {
    truth.push(await search(query, 1))
    onProgress(++done, steps)
  }
  // The first pass is not timed: it warms up, and tells the recall.
  const found = recalls.map(() => [] as number[])
  for (const [t, target] of recalls.entries()) {
    for (const [q, query] of queries.entries()) {
      found[t]!.push(recallOf(await search(query, target), truth[q]!))
      onProgress(++done, steps)
    }
  }
  const times = await timed(targets, queries, { seconds, callers, search })
  return {
    rows: await rows.count(narrowed),
    dim: rows.dim,
    k,
    queries: queries.length,
    callers,
    targets: targets.map((target, t) => {
      const { mean, plusMinus } = t < recalls.length ? meanOf(found[t]!) : { mean: 1, plusMinus: 0 }
      return { target, recall: mean, plusMinus, ...times[t]! }
    }),
  }
}

type Timing = Pick<Measured, 'qps' | 'p50Ms' | 'p99Ms' | 'searches'>

/** Slices of every target in turns, until each has had its seconds. */
async function timed(
  targets: readonly number[],
  queries: readonly Query[],
  {
    seconds,
    callers,
    search,
  }: {
    readonly seconds: number
    readonly callers: number
    readonly search: (query: Query, recall: number) => Promise<unknown>
  },
): Promise<Timing[]> {
  const rounds = 5
  const sliceMs = (seconds * 1000) / rounds
  const latencies = targets.map(() => [] as number[])
  const spentMs = targets.map(() => 0)
  const next = targets.map(() => 0)
  for (let round = 0; round < rounds; round++) {
    for (const [t, target] of targets.entries()) {
      const began = performance.now()
      const caller = async (): Promise<void> => {
        do {
          const query = queries[next[t]!++ % queries.length]!
          const from = performance.now()
          await search(query, target)
          latencies[t]!.push(performance.now() - from)
        } while (performance.now() - began < sliceMs)
      }
      await Promise.all(Array.from({ length: callers }, caller))
      spentMs[t]! += performance.now() - began
    }
  }
  return targets.map((_, t) => {
    const sorted = Float64Array.from(latencies[t]!).sort()
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
    return {
      qps: (1000 * sorted.length) / spentMs[t]!,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      searches: sorted.length,
    }
  })
}

/** Of the true neighbours; one that is as near as the last of them is as good. */
function recallOf(found: readonly Hit[], truth: readonly Hit[]): number {
  if (truth.length === 0) return 1
  const last = truth.at(-1)!.distance
  const limit = last + TIE * Math.abs(last)
  return Math.min(1, found.filter(({ distance }) => distance <= limit).length / truth.length)
}

function meanOf(values: readonly number[]): { readonly mean: number; readonly plusMinus: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance =
    values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length - 1)
  return { mean, plusMinus: 1.96 * Math.sqrt(variance / values.length) }
}

/** A sample of the rows, each as likely as the other (Vitter's reservoir). */
async function ownRows(rows: Rows, { queries, filter, seed }: BenchOptions): Promise<Query[]> {
  const random = randomOf(seed)
  const sample: Query[] = []
  let seen = 0
  for await (const { id, vector } of rows.scan({
    payload: false,
    ...(filter === undefined ? {} : { filter }),
  })) {
    const place = seen++ < queries ? sample.length : Math.floor(random() * seen)
    if (place < queries) sample[place] = { vector: vector!, own: id }
  }
  return sample
}

async function fileRows(path: string, { queries }: BenchOptions): Promise<Query[]> {
  const source = await openSource(path)
  const found: Query[] = []
  try {
    for await (const row of source.rows(0)) {
      if (!('vector' in row))
        throw new CliError('DRIFT_IMPORT_FILE', `${path}, row ${row.number}: ${row.reason}`)
      found.push({ vector: row.vector })
      if (found.length === queries) break
    }
  } finally {
    await source.close()
  }
  return found
}

/** Mulberry32, in [0, 1). */
function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
