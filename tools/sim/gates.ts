// What issue and docs promise of a run, each promise a cell with its value and its bound. Rule: every cell is told, also one that misses, and
// a cell that could not be measured is no pass.
import type { EngineRun, RunResult, StepResult } from './run.js'
import { TARGETS } from './run.js'

export interface Cell {
  readonly gate: string
  readonly value: number | undefined
  readonly bound: number
  /** The value must not be below, or not above, the bound. */
  readonly side: 'at least' | 'at most'
}

/** Points of recall under the target that the mean and the worst step may have. */
const MEAN_SLACK = 0.005
const STEP_SLACK = 0.02
const SHADOW_SLACK = 0.01

/** Runbooks on which adapting has to pay; elsewhere it must not cost. */
const PAYS = /^(R2|R5|R6)(-|$)|-(window|expiry|topics|images)$/
const PAY = { 'fixed probes': 0.75, APS: 0.8 }
const NEVER = 1.05

export function passes({ value, bound, side }: Cell): boolean {
  if (value === undefined || Number.isNaN(value)) return false
  return side === 'at least' ? value >= bound : value <= bound
}

export function gates(result: RunResult): Cell[] {
  const drift = result.engines.find(engine => engine.name === 'drift')
  if (!drift) return []
  return [
    ...recallGates(drift),
    ...shadowGates(drift, result.target),
    ...costGates(result.runbook, drift),
    ...freshGates(result.runbook, drift),
    ...workGates(result.runbook, drift),
  ]
}

function recallGates({ steps }: EngineRun): Cell[] {
  return TARGETS.flatMap((target): Cell[] => {
    const recalls = steps.map(step => step.recalls[target]!)
    return [
      {
        gate: `mean recall at ${target}`,
        value: mean(recalls),
        bound: target - MEAN_SLACK,
        side: 'at least',
      },
      {
        gate: `worst step at ${target}`,
        value: Math.min(...recalls),
        bound: target - STEP_SLACK,
        side: 'at least',
      },
    ]
  })
}

function shadowGates({ steps }: EngineRun, target: number): Cell[] {
  // The first step is warming up.
  const off = steps
    .slice(1)
    .flatMap(step => (step.shadow === undefined ? [] : Math.abs(step.shadow - step.recalls[target]!)))
  return off.length === 0
    ? []
    : [{ gate: 'shadow recall, off by', value: Math.max(...off), bound: SHADOW_SLACK, side: 'at most' }]
}

/** Rows at recall 0.95, each rule by its best single knob of the run. */
function costGates(runbook: string, { costs }: EngineRun): Cell[] {
  const own = costs['own']?.['0.95']?.rows
  return Object.entries(PAY).flatMap(([rule, bound]): Cell[] => {
    const other = costs[rule]?.['0.95']?.rows
    if (own === undefined || !(rule in costs)) return []
    const limit = PAYS.test(runbook) ? bound : NEVER
    const value = other === undefined ? undefined : own / other
    return [{ gate: `rows over ${rule} at 0.95`, value, bound: limit, side: 'at most' }]
  })
}

function freshGates(runbook: string, { steps }: EngineRun): Cell[] {
  const measured = steps.filter(step => step.overFresh)
  const at = (step: StepResult | undefined, target: number) => step?.overFresh?.[target]
  if (measured.length === 0) return []
  if (!/-window$/.test(runbook)) {
    const bound = runbook.endsWith('-hard') ? 1.25 : 1.15
    return [
      { gate: 'rows over a rebuild at 0.95, end', value: at(measured.at(-1), 0.95), bound, side: 'at most' },
    ]
  }
  // The step before anything moved is no step of the stream.
  const moving = measured.slice(1)
  return TARGETS.flatMap((target): Cell[] => {
    const values = moving.flatMap(step => at(step, target) ?? [])
    return [
      {
        gate: `rows over a rebuild at ${target}, median`,
        value: median(values),
        bound: 1.1,
        side: 'at most',
      },
      {
        gate: `rows over a rebuild at ${target}, worst`,
        value: Math.max(...values),
        bound: 1.25,
        side: 'at most',
      },
    ]
  })
}

function workGates(runbook: string, { steps }: EngineRun): Cell[] {
  const bound = /^R2(-|$)/.test(runbook) ? 1 : /-window$/.test(runbook) ? 1.2 : undefined
  if (bound === undefined) return []
  // What came before the first search is filling, not living.
  const living = steps.slice(1)
  const [moves, written] = [sum(living.map(step => step.moves)), sum(living.map(step => step.written))]
  return [{ gate: 'moves per update', value: moves / written, bound, side: 'at most' }]
}

export function mean(values: readonly number[]): number {
  return sum(values) / values.length
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
