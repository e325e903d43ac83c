// What a runbook asks of an engine. One file for each engine.
// Rule: `write` does the step and the background work that the engine would do beside it; `settle` ends what must be ended before a search
// step, so that every engine is measured with nothing left to do.
import type { Step } from '../runbook.js'

/** Sums since the engine was made. */
export interface Work {
  /** Rows that maintenance gave another home; a row's first home does not count. */
  readonly moves: number
  /** Rows that kept their home and got another second bucket. */
  readonly secondMoves: number
  /** Of entries that maintenance wrote. */
  readonly bytes: number
  readonly maintenanceMs: number
  readonly writeMs: number
}

export const NO_WORK: Work = { moves: 0, secondMoves: 0, bytes: 0, maintenanceMs: 0, writeMs: 0 }

export interface Found {
  readonly ids: ArrayLike<number>
  /** As the metric of the runbook computes them, when the engine tells. */
  readonly distances?: ArrayLike<number>
  readonly rows: number
  readonly buckets: number
}

export interface SimEngine {
  readonly name: string
  readonly work: Work
  /** Buckets; 0 for an engine without. */
  readonly buckets: number
  write(step: Exclude<Step, { do: 'search' }>): Promise<void>
  settle(): Promise<void>
  /** @param target - the recall that is asked for; an engine with a fixed knob keeps it. */
  search(query: Float32Array, k: number, target: number): Found
  /** Of an engine with a fixed knob, its beam: chosen at the first search step for the recall in question, and kept. */
  setBeam?(beam: number): void
  /** What the engine does between queries. */
  rest?(): Promise<void>
  /** The recall that the engine says it has had lately, when it says. */
  shadow?(k: number, target: number): number | undefined
  close(): Promise<void>
}
