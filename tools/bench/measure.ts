// Times engines against each other. Rule: what is compared runs interleaved, in the same process and minute, because the
// same machine gives other figures a minute later.
import { recall, type Truth } from '../data/truth.js'
import type { Engine } from './engine.js'

export interface Contender {
  readonly engine: Engine
  /** undefined: the engine's default. */
  readonly setting: number | undefined
}

export interface Measured {
  readonly recall: number
  /** One query at a time, on one thread; the median of the passes. */
  readonly queriesPerSecond: number
  readonly p50Us: number
  readonly p99Us: number
}

/**
 * One pass that warms up and measures recall, then `passes` timed ones in turns.
 *
 * @param queries - one array for each query.
 */
export async function measure(
  contenders: readonly Contender[],
  queries: readonly Float32Array[],
  exact: Truth,
  passes: number,
): Promise<Measured[]> {
  const recalls: number[] = []
  for (const contender of contenders) {
    const found: number[][] = []
    await pass(contender, queries, exact.k, rows => found.push(Array.from(rows)))
    recalls.push(recall(exact, found))
  }
  const latencies = contenders.map((): number[] => [])
  const totals = contenders.map((): number[] => [])
  for (let i = 0; i < passes; i++) {
    for (const [c, contender] of contenders.entries()) {
      const before = latencies[c]!.length
      await pass(contender, queries, exact.k, (_, us) => latencies[c]!.push(us))
      totals[c]!.push(latencies[c]!.slice(before).reduce((sum, us) => sum + us, 0))
    }
  }
  return contenders.map((_, c) => ({
    recall: recalls[c]!,
    queriesPerSecond: (queries.length * 1e6) / quantile(totals[c]!, 0.5),
    p50Us: quantile(latencies[c]!, 0.5),
    p99Us: quantile(latencies[c]!, 0.99),
  }))
}

/** The q-quantile of the values (nearest rank). */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

/** The rows of a matrix as arrays of their own. */
export function eachRow(values: Float32Array, dim: number): Float32Array[] {
  return Array.from({ length: values.length / dim }, (_, i) => values.slice(i * dim, (i + 1) * dim))
}

async function pass(
  { engine, setting }: Contender,
  queries: readonly Float32Array[],
  k: number,
  onQuery: (rows: ArrayLike<number>, us: number) => void,
): Promise<void> {
  for (const query of queries) {
    const start = performance.now()
    const answer = engine.search(query, k, setting)
    const rows = answer instanceof Promise ? await answer : answer
    onQuery(rows, (performance.now() - start) * 1000)
  }
}
