// Walks a runbook with several engines in step and measures them at every search. Rule: nothing is tuned on the way; what is asked for
// (recall, k) is the same at every step.

import { quantile } from '../bench/measure.js'
import type { Truth } from '../data/truth.js'
import { Curve, type CurvePoint } from './curve.js'
import { DriftEngine, hits, rebuilt } from './engines/drift.js'
import type { SimEngine } from './engines/sim-engine.js'
import { GroundTruth } from './ground-truth.js'
import { LiveSet } from './live-set.js'
import { partitionOf } from './partition.js'
import type { Runbook, Step } from './runbook.js'
import { stopCurves } from './stop-rules.js'

/** Recalls at which engines are asked, and at which costs are compared. */
export const TARGETS = [0.9, 0.95, 0.99] as const
export type Target = (typeof TARGETS)[number]

export interface RunOptions {
  readonly k: number
  /** The recall whose rows and times are shown. */
  readonly target: Target
  readonly seed: number
  /** Of exact answers; undefined: none are kept. */
  readonly truthFolder: string | undefined
  /** A fresh partition at every search step, the first and last only, or never. */
  readonly rebuild: 'every' | 'ends' | 'never'
  readonly baselines: boolean
  readonly onStep?: (engine: string, step: StepResult) => void
}

export interface StepResult {
  readonly phase: string
  readonly live: number
  /** By target: what was found when it was asked for. */
  readonly recalls: Readonly<Record<string, number>>
  /** Of the run's target; rows and buckets are means per query. */
  readonly rows: number
  readonly buckets: number
  readonly p50Us: number
  readonly p99Us: number
  /** Since the search step before. */
  readonly written: number
  readonly moves: number
  readonly secondMoves: number
  readonly bytes: number
  readonly maintenanceMs: number
  readonly writeMs: number
  /** Buckets of the partition. */
  readonly partition: number
  /** Rows scanned at a recall over those of a partition made afresh, both by their best single knob of this step. */
  readonly overFresh?: Readonly<Record<string, number>>
  /** Buckets of that partition. */
  readonly freshBuckets?: number
  /** The recall that the engine says it has, when it says. */
  readonly shadow?: number
}

export interface EngineRun {
  readonly name: string
  readonly steps: StepResult[]
  /** Rule to rows and buckets at each target, one knob for the run. */
  readonly costs: Readonly<Record<string, Readonly<Record<string, CurvePoint>>>>
}

export interface RunResult {
  readonly runbook: string
  readonly about: string
  readonly dim: number
  readonly k: number
  readonly target: number
  readonly seed: number
  readonly engines: EngineRun[]
}

/** @param engines - closed at the end. Drift's own, when it is there, comes first. */
export async function run(
  book: Runbook,
  engines: readonly SimEngine[],
  fresh: ConstructorParameters<typeof DriftEngine>[1],
  options: RunOptions,
): Promise<RunResult> {
  const live = new LiveSet(book.dim)
  const truth = new GroundTruth(live, book.metric, options.k, options.truthFolder)
  const runs = engines.map(engine => ({
    engine,
    steps: [] as StepResult[],
    curves: new Map<string, Curve>(),
  }))
  const freshCurves = new Map<string, Curve>()
  let written = 0
  try {
    let searches = 0
    for (const step of book.steps()) {
      live.apply(step)
      const exact = truth.step(step)
      if (step.do !== 'search') {
        written += step.ids.length
        for (const { engine } of runs) await engine.write(step)
        continue
      }
      searches++
      const isEnd = searches === 1 || searches >= book.searches
      const wanted = options.rebuild === 'every' || (options.rebuild === 'ends' && isEnd)
      const rebuild =
        wanted && exact!.k === options.k
          ? await freshCurve(runs[0]!.engine, fresh, live, step, exact!)
          : undefined
      if (rebuild) addTo(freshCurves, 'rebuild', rebuild.curve)
      for (const { engine, steps, curves } of runs) {
        await engine.settle()
        if (searches === 1) matchBeam(engine, step, exact!, options)
        const own =
          exact!.k === options.k ? curvesOf(engine, step, exact!, live, options.baselines) : new Map()
        for (const [name, curve] of own) addTo(curves, name, curve)
        const result = await measured(engine, step, exact!, written, steps, options)
        const overFresh = ratios(own.get('own'), rebuild?.curve)
        steps.push({
          ...result,
          live: live.count,
          ...(overFresh && { overFresh, freshBuckets: rebuild!.buckets }),
        })
        options.onStep?.(engine.name, steps.at(-1)!)
      }
      written = 0
    }
  } finally {
    for (const engine of engines) await engine.close()
  }
  const { name: runbook, about, dim } = book
  const { k, target, seed } = options
  return {
    runbook,
    about,
    dim,
    k,
    target,
    seed,
    engines: [
      ...runs.map(({ engine, steps, curves }) => ({ name: engine.name, steps, costs: costsOf(curves) })),
      ...(freshCurves.size > 0 ? [{ name: 'rebuild', steps: [], costs: costsOf(freshCurves) }] : []),
    ],
  }
}

/** The least beam that gives the recall now. */
const BEAMS = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384]

function matchBeam(
  engine: SimEngine,
  { queries }: Step & { do: 'search' },
  exact: Truth,
  { k, target }: RunOptions,
): void {
  if (engine.setBeam === undefined || exact.k === 0) return
  const count = exact.rows.length / exact.k
  const dim = queries.length / count
  for (const beam of BEAMS) {
    engine.setBeam(beam)
    let found = 0
    for (let q = 0; q < count; q++) {
      found += hits(exact, q, engine.search(queries.subarray(q * dim, (q + 1) * dim), k, target))
    }
    if (found >= target * count * exact.k) break
  }
}

async function measured(
  engine: SimEngine,
  { queries, phase }: Step & { do: 'search' },
  exact: Truth,
  written: number,
  before: readonly StepResult[],
  { k, target }: RunOptions,
): Promise<Omit<StepResult, 'live'>> {
  const dim = exact.k === 0 ? 0 : queries.length / (exact.rows.length / exact.k)
  const count = exact.k === 0 ? 0 : queries.length / dim
  const recalls: Record<string, number> = {}
  const us: number[] = []
  let [rows, buckets] = [0, 0]
  for (const asked of TARGETS) {
    let found = 0
    for (let q = 0; q < count; q++) {
      const query = queries.subarray(q * dim, (q + 1) * dim)
      const start = performance.now()
      const answer = engine.search(query, k, asked)
      const end = performance.now()
      found += hits(exact, q, answer)
      await engine.rest?.()
      if (asked !== target) continue
      us.push((end - start) * 1000)
      rows += answer.rows
      buckets += answer.buckets
    }
    recalls[asked] = count === 0 ? 1 : found / (count * exact.k)
  }
  const sum = (of: (step: StepResult) => number) => before.reduce((total, step) => total + of(step), 0)
  const { work } = engine
  const shadow = engine.shadow?.(k, target)
  return {
    ...(shadow === undefined ? {} : { shadow }),
    phase,
    recalls,
    rows: count === 0 ? 0 : rows / count,
    buckets: count === 0 ? 0 : buckets / count,
    p50Us: quantile(us, 0.5),
    p99Us: quantile(us, 0.99),
    written,
    moves: work.moves - sum(step => step.moves),
    secondMoves: work.secondMoves - sum(step => step.secondMoves),
    bytes: work.bytes - sum(step => step.bytes),
    maintenanceMs: work.maintenanceMs - sum(step => step.maintenanceMs),
    writeMs: work.writeMs - sum(step => step.writeMs),
    partition: engine.buckets,
  }
}

/** The engine's own knobs, and the other stop rules over its partition. */
function curvesOf(
  engine: SimEngine,
  { queries }: Step & { do: 'search' },
  exact: Truth,
  live: LiveSet,
  baselines: boolean,
): Map<string, Curve> {
  if (!(engine instanceof DriftEngine)) return new Map()
  const curves = new Map([['own', engine.curve('own', queries, exact)]])
  if (!baselines) return curves
  curves.set('probes', engine.curve('probes', queries, exact))
  for (const [name, curve] of stopCurves(partitionOf(engine.index, live.ids), queries, exact))
    curves.set(name, curve)
  return curves
}

async function freshCurve(
  engine: SimEngine,
  options: ConstructorParameters<typeof DriftEngine>[1],
  live: LiveSet,
  { queries }: Step & { do: 'search' },
  exact: Truth,
): Promise<{ curve: Curve; buckets: number }> {
  await engine.settle()
  const made = await rebuilt(options, live.ids, live.vectors, engine.buckets)
  const fresh = { curve: made.curve('own', queries, exact), buckets: made.buckets }
  await made.close()
  return fresh
}

function addTo(curves: Map<string, Curve>, name: string, curve: Curve): void {
  const sum = curves.get(name) ?? new Curve(curve.knobs)
  sum.addCurve(curve)
  curves.set(name, sum)
}

function ratios(own: Curve | undefined, fresh: Curve | undefined): Record<string, number> | undefined {
  if (!own || !fresh) return undefined
  const found: Record<string, number> = {}
  for (const target of TARGETS) {
    const [mine, best] = [own.at(target), fresh.at(target)]
    if (mine && best) found[target] = mine.rows / best.rows
  }
  return found
}

function costsOf(curves: Map<string, Curve>): Record<string, Record<string, CurvePoint>> {
  const costs: Record<string, Record<string, CurvePoint>> = {}
  for (const [name, curve] of curves) {
    costs[name] = {}
    for (const target of TARGETS) {
      const point = curve.at(target)
      if (point) costs[name][target] = point
    }
  }
  return costs
}
