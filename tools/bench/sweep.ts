// Times engines over their settings, in turns: A B C, A B C, because the same machine gives other figures a minute later.
import type { DataSet } from './data-set.js'
import type { EngineProcess } from './engine-process.js'
import type { Setting } from './engines/engine-kind.js'
import { quantile } from './measure.js'
import type { Answered, Timed } from './protocol.js'
import type { Measurement } from './results.js'

export interface SweepOptions {
  readonly k: number
  readonly passes: number
  /** Time of one pass of one setting; slow engines answer fewer queries. */
  readonly passMs: number
}

/** Below this recall and above that one a setting says nothing that anybody asks; the first of either side is kept. */
const LOWEST_RECALL = 0.85
const HIGHEST_RECALL = 0.995

/** Fewer queries than this are no pass. */
const MIN_QUERIES = 30

/** Recall is measured over all queries that are answered in this time. */
const RECALL_MS = 5_000

/** A setting that took this much longer than another one of no less recall will not be on the front: it is not timed. */
const HOPELESS = 1.3

interface Plan {
  readonly setting: Setting
  readonly answered: Omit<Answered, 'answers'>
  readonly recall: number
  /** When its recall was measured. */
  readonly queryMs: number
  /** Of one pass. */
  readonly queries: number
  readonly times: Timed[]
  readonly all: number[]
}

/**
 * @param onFailure - an engine that fails is asked no more.
 * @returns the measurements of each engine, in the order of the sweep; none of one that failed.
 */
export async function sweep(
  engines: readonly EngineProcess[],
  data: DataSet,
  options: SweepOptions,
  onFailure: (engine: EngineProcess, error: Error) => void,
): Promise<Measurement[][]> {
  const plans: Plan[][] = []
  const drop = (e: number) => (error: Error) => {
    onFailure(engines[e]!, error)
    plans[e] = []
    return []
  }
  for (const [e, engine] of engines.entries()) {
    plans[e] = await planOf(engine, data, options).catch(drop(e))
  }
  const longest = Math.max(...plans.map(plan => plan.length))
  for (let pass = 0; pass < options.passes; pass++) {
    for (let at = 0; at < longest; at++) {
      for (const [e, engine] of engines.entries()) {
        const plan = plans[e]![at]
        if (plan) await passOf(engine, plan, options.k).catch(drop(e))
      }
    }
  }
  return plans.map(plan => plan.map(measurement))
}

/** The settings worth timing, with their recall. Asks for it from the lowest setting up. */
async function planOf(engine: EngineProcess, data: DataSet, options: SweepOptions): Promise<Plan[]> {
  const { k, passMs } = options
  const plans: Plan[] = []
  for (const setting of engine.kind.settings(k)) {
    const ask = { do: 'answer', setting, k, queries: data.queries, budgetMs: RECALL_MS } as const
    const { answers, ...answered } = await engine.ask(ask)
    const queryMs = (answered.seconds * 1000) / answers.length
    const queries = Math.min(answers.length, Math.max(MIN_QUERIES, Math.round(passMs / queryMs)))
    const recall = data.recall(answers, k)
    if (recall < LOWEST_RECALL && (plans.at(-1)?.recall ?? 1) < recall) plans.pop()
    const plan = { setting, answered, recall, queryMs, queries, times: [], all: [] }
    plans.push(plan)
    // Behind one knob more only costs; behind two the next setting may be a cheaper way to the same recall.
    if (recall >= HIGHEST_RECALL && Object.keys(setting).length < 2) break
  }
  return plans.filter(
    plan => !plans.some(other => beyond(other) >= beyond(plan) && other.queryMs * HOPELESS < plan.queryMs),
  )
}

/** Recall as far as anybody asks for it. */
function beyond({ recall }: Plan): number {
  return Math.min(recall, HIGHEST_RECALL)
}

async function passOf(engine: EngineProcess, plan: Plan, k: number): Promise<void> {
  const { setting, queries } = plan
  plan.times.push(await engine.ask({ do: 'time', setting, k, queries }))
  const { seconds } = await engine.ask({ do: 'timeAll', setting, k, queries })
  if (seconds !== undefined) plan.all.push(seconds)
}

function measurement({ setting, answered, recall, queries, times, all }: Plan): Measurement {
  const { scannedRows } = answered
  return {
    setting,
    recall,
    calls: times.map(({ seconds }) => queries / seconds),
    oneCall: all.map(seconds => queries / seconds),
    p50Us: quantile(
      times.map(pass => pass.p50Us),
      0.5,
    ),
    p99Us: quantile(
      times.map(pass => pass.p99Us),
      0.5,
    ),
    ...(scannedRows === undefined ? {} : { scannedRows }),
  }
}
