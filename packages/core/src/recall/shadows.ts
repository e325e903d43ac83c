/**
 * The door of an index to its recall monitor: which of its queries may be measured, and when. Without options nothing is.
 * Measurements have a scratch of their own, as they wait while searches go on.
 */
import { DEFAULT_RECALL, requireKnown, type SearchOptions } from '../arguments.js'
import { CoreError } from '../errors.js'
import type { IndexState } from '../index-state.js'
import type { IndexPool } from '../pool/pool.js'
import { Scratch } from '../search/scratch.js'
import type { ShadowLearned } from './learned.js'
import { type MeasuredRecall, RecallMonitor, type ShadowOptions } from './monitor.js'

export class Shadows {
  readonly #options: ShadowOptions | undefined
  readonly #scratch: Scratch
  #monitor: RecallMonitor | undefined

  /** @throws CoreError DRIFT_NO_VECTORS, DRIFT_UNKNOWN_OPTION, DRIFT_OPTION. */
  constructor(state: IndexState, options: ShadowOptions | undefined) {
    if (options !== undefined && state.shape.vectors === 'none') {
      throw new CoreError('DRIFT_NO_VECTORS', "recall is measured by exact vectors, and vectors is 'none'")
    }
    if (options !== undefined) requireShadow(options)
    this.#options = options
    this.#scratch = new Scratch(state.shape.dim)
    this.watch(state)
  }

  /** From now on queries are those of this state; what was measured of another is forgotten. */
  watch(state: IndexState): void {
    this.#monitor = this.#options && new RecallMonitor(state, this.#options)
  }

  /** Prepared queries may be measured, one after the other: when they asked for a recall of all rows. */
  offer(
    queries: Float32Array,
    { k, recall = DEFAULT_RECALL, probes, floor, mode, allow }: SearchOptions,
  ): void {
    if (this.#monitor === undefined || allow !== undefined) return
    if (probes !== undefined || floor !== undefined || mode !== undefined) return
    if (recall < 1) this.#monitor.offer(queries, k, recall)
  }

  /** @returns false when nothing was sampled yet. */
  async measure(pool: IndexPool | undefined, check: () => void): Promise<boolean> {
    return (await this.#monitor?.measure(this.#scratch, pool, check)) ?? false
  }

  get waiting(): number {
    return this.#monitor?.waiting ?? 0
  }

  get measured(): MeasuredRecall[] {
    return this.#monitor?.measured ?? []
  }

  get learned(): ShadowLearned {
    return this.#monitor?.learned ?? { loss: 0, byK: [], tallies: [] }
  }

  restore(learned: ShadowLearned): void {
    this.#monitor?.restore(learned)
  }

  get bytes(): number {
    return this.#scratch.bytes
  }
}

const SHADOW_OPTIONS: Record<keyof ShadowOptions, true> = { share: true, random: true, learn: true }

function requireShadow(options: ShadowOptions): void {
  requireKnown(options, SHADOW_OPTIONS, 'shadow')
  const { share, random } = options
  if (!(share >= 0 && share <= 1)) {
    throw new CoreError('DRIFT_OPTION', `share is ${String(share)}, expected 0..1`, { option: 'share' })
  }
  if (typeof random !== 'function') {
    throw new CoreError('DRIFT_OPTION', 'random is no function', { option: 'random' })
  }
}
