// `npm run bench`: every engine on every data set. Each is filled in its own process, one after the other; then all are asked in
// turns; then each is changed. The report is written after each data set.
import { mkdirSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { ToolError } from '../data/tool-error.js'
import { type DataSet, prepare } from './data-set.js'
import { canPin, type EngineOptions, EngineProcess } from './engine-process.js'
import type { EngineKind } from './engines/engine-kind.js'
import { machine } from './machine.js'
import type { Churned, Filled } from './protocol.js'
import { writeReport } from './report.js'
import { commit, type EngineResult, keepResult, type Measurement, type SetResult } from './results.js'
import { sweep } from './sweep.js'
import type { Source } from './vectors.js'

export interface CompareOptions {
  readonly engines: readonly EngineKind[]
  readonly python: string | undefined
  /** The first rows of a data set. */
  readonly maxRows: number
  readonly seed: number
  readonly passes: number
  readonly passMs: number
  readonly buildThreads: number
  /** Results of a query, one sweep each. */
  readonly ks: readonly number[]
  /** Where results.json, README.md and the plots go. */
  readonly out: string
}

/** Rows of the living index that are taken out and put back. */
const CHURN_ROWS = 10_000
const CHURN_MS = 10_000

/** An index is the vectors and about half as much again. */
const INDEX_SHARE = 1.5

/** Of the machine's memory. */
const MEMORY_SHARE = 0.8

interface Participant {
  readonly process: EngineProcess
  readonly filled: Filled
  readonly sweeps: Record<string, readonly Measurement[]>
  churned: Churned
}

export async function compare(sources: readonly Source[], options: CompareOptions): Promise<void> {
  mkdirSync(options.out, { recursive: true })
  for (const source of sources) {
    console.log(`${source.name}: preparing`)
    const data = prepare(source, options.maxRows)
    console.log(`${source.name}: ${data.rows} rows of ${data.dim}, ${data.queries} queries, ${data.metric}`)
    requireMemory(data, options.engines.length)
    const result = await measureSet(data, options)
    writeReport(options.out, keepResult(options.out, result))
  }
  console.log(`report in ${options.out}`)
}

export async function measureSet(data: DataSet, options: CompareOptions): Promise<SetResult> {
  const { seed, passes, buildThreads } = options
  const core = canPin() ? `${cpus().length - 1}` : undefined
  const absent: Record<string, string> = {}
  const participants: Participant[] = []
  const fail = ({ kind }: { readonly kind: EngineKind }, why: string) => {
    absent[kind.name] = why
    console.log(`  ${kind.name}: ${why}`)
  }
  const present = () => participants.filter(({ process }) => !(process.kind.name in absent))
  try {
    for (const kind of options.engines) {
      const started = await participate(kind, data, { core, ...options })
      if (typeof started === 'string') fail({ kind }, started)
      else {
        participants.push(started)
        console.log(`  ${kind.name}: built in ${started.filled.buildSeconds.toFixed(1)} s`)
      }
    }
    for (const k of options.ks) {
      console.log(`  recall@${k}: ${passes} passes in turns`)
      const asked = present()
      const measured = await sweep(
        asked.map(({ process }) => process),
        data,
        { ...options, k },
        (engine, error) => fail(engine, problem(error)),
      )
      for (const [e, { sweeps }] of asked.entries()) sweeps[k] = measured[e]!
    }
    const rows = churnRows(data)
    for (const participant of present()) {
      const { process } = participant
      participant.churned = await process
        .ask({ do: 'churn', rows, budgetMs: CHURN_MS })
        .catch((error: Error) => {
          fail(process, problem(error))
          return {}
        })
    }
    for (const { process } of present()) await process.close()
  } finally {
    for (const { process } of participants) process.kill()
  }
  const engines = present().map(({ process, filled, churned, sweeps }): EngineResult => {
    const { kind, version } = process
    const { name, configuration, limits } = kind
    return { name, version, configuration, limits, filled, churned, sweeps }
  })
  const { name, rows, dim, queries } = data
  return {
    ...{ name, rows, dim, queries, metric: data.metric === 'ip' ? 'cosine' : 'l2' },
    ...{ machine: machine(), commit: commit(), date: new Date().toISOString(), seed, passes, buildThreads },
    ...(core === undefined ? {} : { core }),
    ...{ engines, absent },
  }
}

/** @returns why the engine does not take part, in a sentence. */
async function participate(
  kind: EngineKind,
  data: DataSet,
  options: CompareOptions & Pick<EngineOptions, 'core'>,
): Promise<Participant | string> {
  const { core, python, seed, buildThreads } = options
  const buildCores = core && buildThreads > 1 ? `0-${core}` : core
  const process = await EngineProcess.start(kind, { core, buildCores, python }).catch(problem)
  if (typeof process === 'string') return process
  const room = churnRows(data)
  try {
    const { folder, metric } = data
    const filled = await process.fill({ data: folder, metric, seed, threads: buildThreads, room })
    return { process, filled, sweeps: {}, churned: {} }
  } catch (error) {
    process.kill()
    return problem(error as Error)
  }
}

function churnRows(data: DataSet): number {
  return Math.min(CHURN_ROWS, Math.floor(data.rows / 10))
}

/** An engine that fails is a line of the report, not the end of the run. */
function problem(error: Error): string {
  console.error(error.message)
  return `failed: ${error.message.trim().split('\n').at(-1)}`
}

function requireMemory(data: DataSet, engines: number): void {
  const needed = data.rows * data.dim * 4 * (engines * INDEX_SHARE + 1)
  if (needed <= totalmem() * MEMORY_SHARE) return
  throw new ToolError(
    'MEMORY',
    `${data.name}: ${engines} engines at once need about ${Math.ceil(needed / 2 ** 30)} GiB; name fewer (--engines)`,
  )
}
