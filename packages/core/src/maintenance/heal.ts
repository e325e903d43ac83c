/** Healing by hand: plan, apply the best for its moves, plan again, until nothing pays or the budget of moves is spent. */
import { requireInteger } from '../arguments.js'
import { CoreError } from '../errors.js'
import type { Healed } from './apply.js'
import type { MaintenanceOptions } from './assign.js'
import { BestFirst } from './best-first.js'
import {
  HEAL_POLICIES,
  type HealPolicy,
  type Operation,
  type OperationKind,
  type PlanOptions,
} from './plan.js'
import { ownTurn, type Paced } from './slices.js'

export interface HealOptions extends Pick<MaintenanceOptions, 'onProgress'>, PlanOptions, Paced {
  readonly signal?: AbortSignal | undefined
  /** Rows that may move to another home. What is left undone is in the next plan. Default: as many as it takes. */
  readonly budget?: number
  /** Told of each operation that was tried, as `onProgress` is. */
  readonly onOperation?: (healed: Healed) => void
}

export const HEAL_OPTIONS: Record<keyof HealOptions, true> = {
  signal: true,
  budget: true,
  policy: true,
  between: true,
  onProgress: true,
  onOperation: true,
}

export interface HealReport {
  readonly operations: number
  /** Rows that got another home, and rows of which only the second bucket changed. */
  readonly moves: number
  readonly seconds: number
  readonly kinds: Readonly<Partial<Record<OperationKind, number>>>
}

/** Plans of one call: what operations move asks for a little more each time, and that may wait for the next call. */
const ROUNDS = 3

export async function heal(on: {
  /** In any order. */
  readonly plan: () => Promise<Operation[]>
  readonly apply: (operation: Operation, budget: number) => Promise<Healed>
  readonly budget: number
  readonly onProgress: (done: number, total: number) => void
  readonly onOperation: (healed: Healed) => void
  readonly between: () => Promise<void>
}): Promise<HealReport> {
  const kinds: Partial<Record<OperationKind, number>> = {}
  let operations = 0
  let moves = 0
  let seconds = 0
  let tried = 0
  for (let round = 0; round < ROUNDS; round++) {
    const planned = new BestFirst(await on.plan())
    await on.between()
    let applied = 0
    for (let operation = planned.take(); operation !== undefined; operation = planned.take()) {
      const left = on.budget - moves
      if (left <= 0) break
      const healed = await on.apply(operation, left)
      on.onOperation(healed)
      tried++
      on.onProgress(tried, tried + planned.size)
      // Operations are about a slice long: writes and searches come between any two.
      await ownTurn()
      await on.between()
      moves += healed.moves
      seconds += healed.seconds
      if (!healed.applied) continue
      applied++
      kinds[operation.kind] = (kinds[operation.kind] ?? 0) + 1
    }
    operations += applied
    if (applied === 0 || moves >= on.budget) break
  }
  return { operations, moves, seconds, kinds }
}

export function requireBudget(budget: number = Number.POSITIVE_INFINITY): number {
  if (budget !== Number.POSITIVE_INFINITY)
    requireInteger('DRIFT_OPTION', 'budget', budget, 0, Number.MAX_SAFE_INTEGER)
  return budget
}

export function requireOperation(operation: Operation): void {
  if (!Number.isInteger(operation?.bucket) || !Number.isInteger(operation.serial)) {
    throw new CoreError('DRIFT_OPTION', 'apply takes an operation of a plan', { option: 'operation' })
  }
  requirePolicy(operation.policy)
}

export function requirePolicy(policy: HealPolicy | undefined): void {
  if (policy === undefined || HEAL_POLICIES.includes(policy)) return
  const message = `policy is ${String(policy)}, expected ${HEAL_POLICIES.map(name => `'${name}'`).join(' or ')}`
  throw new CoreError('DRIFT_OPTION', message, { option: 'policy', policy })
}
