/**
 * The maintenance of one index: flushing, placing, assigning, refining, calibrating, healing. Rule: jobs run one after the other, in the order in
 * which they were asked for, each on the state of its time; one that fails fails its caller, not the next job. Calibrating only reads:
 * it waits for nothing but another calibration, and nothing waits for it.
 */
import { requireJob, requireRows } from '../arguments.js'
import { type TakenImage, takeImage } from '../index-image.js'
import type { IndexLife } from '../index-life.js'
import type { IndexState } from '../index-state.js'
import { type Memtable, noMemtable } from '../memtable.js'
import { notify } from '../notify.js'
import type { IndexPool } from '../pool/pool.js'
import { calibrate } from '../recall/calibrate.js'
import { CalibratedFloors } from '../recall/calibrated-floors.js'
import type { Calibration } from '../recall/learned.js'
import { tailOf } from '../search/search.js'
import { applyOperation, type Healed } from './apply.js'
import { assignRows, type Job, type MaintenanceOptions } from './assign.js'
import {
  HEAL_OPTIONS,
  type HealOptions,
  type HealReport,
  heal,
  requireBudget,
  requireOperation,
  requirePolicy,
} from './heal.js'
import { type Operation, type PlanOptions, planned, planSteps } from './plan.js'
import { refineChunk } from './refine.js'
import { type Paced, Slices } from './slices.js'

/** Buckets with many dead entries that a piece of refining rewrites, in about a millisecond. */
const TIDIED_AT_REST = 32
/** Share of the rows that came or went since, from which on the index is calibrated again. */
const RECALIBRATE = 0.5
/** So many times the rows in buckets, too: floors fall about as their cube root, and rows that waited in a memtable were not counted. */
const RECALIBRATE_GROWTH = 1.25
/** The same while rows stream in: floors follow the growth until then as far as a rule does (RecallMap), and what is learned soon is old. */
const OVERDUE = 2
const OVERDUE_GROWTH = 16

export interface RefineOptions extends MaintenanceOptions, Paced {
  /** False: whoever asks sees to calibrating. */
  readonly calibrates?: boolean
}

export type SlicedPlanOptions = PlanOptions & Pick<HealOptions, 'signal'>

export interface CalibrateOptions extends Pick<HealOptions, 'signal'>, Paced {
  /** Nothing is done when none is due any more at its turn: another may have ended meanwhile. */
  readonly onlyDue?: boolean
  /**
   * If it is overdue because rows were added: with fewer queries, half as exact, and another is due as soon as somebody asks. Where as many go as
   * come, which may go on for ever, it is as exact as ever.
   */
  readonly isRough?: boolean
}

const JOB_OPTIONS: Record<keyof MaintenanceOptions, true> = { signal: true, onProgress: true }
const REFINE_OPTIONS: Record<keyof RefineOptions, true> = { ...JOB_OPTIONS, between: true, calibrates: true }
const CALIBRATE_OPTIONS: Record<keyof CalibrateOptions, true> = {
  signal: true,
  between: true,
  onlyDue: true,
  isRough: true,
}
const PLAN_OPTIONS: Record<keyof PlanOptions, true> = { policy: true }
const SLICED_PLAN_OPTIONS: Record<keyof SlicedPlanOptions, true> = { ...PLAN_OPTIONS, signal: true }

export class Jobs {
  readonly #life: IndexLife
  readonly #pool: IndexPool | undefined
  /** Of the rows, `updates` at the last calibration. */
  #calibratedAt = 0
  /** Rows in buckets then, and refinements that had ended. */
  #calibratedRows = 0
  #calibratedRefinements = 0
  #calibratedRoughly = false
  #calibrations = 0
  #last: Promise<void> = Promise.resolve()
  #lastCalibration: Promise<void> = Promise.resolve()

  constructor(life: IndexLife, pool: IndexPool | undefined) {
    this.#life = life
    this.#pool = pool
  }

  async flush(memtable: Memtable, options: MaintenanceOptions): Promise<void> {
    requireJob(options, JOB_OPTIONS, 'flush')
    await this.#run(options, async (state, job) => {
      if (memtable?.dropped) return
      if (!state.frozen.includes(memtable)) {
        throw noMemtable('flush takes a frozen memtable of this index: call rotate() first')
      }
      await moveAll(state, memtable, job)
    })
  }

  /** What searches compare one by one goes to its buckets before its memtable is flushed. */
  async placeTails(options: MaintenanceOptions): Promise<void> {
    requireJob(options, JOB_OPTIONS, 'placeTails')
    await this.#run(options, async (state, job) => {
      if (state.router.count === 0) return
      for (const memtable of state.memtables) {
        const from = tailOf(memtable)
        const tail = memtable.rows.subarray(from, memtable.count)
        const settled = state.store.settledOf(tail)
        const rows = state.store.homelessOf(tail.subarray(0, settled))
        if (rows.length > 0) await assignRows(state, rows, job)
        memtable.placed = from + settled
      }
    })
  }

  async assign(rows: Uint32Array, options: MaintenanceOptions): Promise<void> {
    requireJob(options, JOB_OPTIONS, 'assign')
    requireRows(rows)
    await this.#run(options, async (state, job) => {
      for (const row of rows) this.#life.requireRow(row)
      await assignRows(state, rows, job)
      state.tidyUnassigned()
    })
  }

  /** @returns whether there is more. */
  async refine(options: RefineOptions): Promise<boolean> {
    requireJob(options, REFINE_OPTIONS, 'refine')
    let more = false
    await this.#run(options, async (state, job) => {
      more = state.directory.tidy(TIDIED_AT_REST) || (await refineChunk(state, job))
    })
    if (!more && options.calibrates !== false && this.isCalibrationDue) {
      const { signal, between } = options
      await this.calibrate({ signal, between, onlyDue: true }) // which may have been done when its turn comes
    }
    return more
  }

  async calibrate(options: CalibrateOptions): Promise<void> {
    requireJob(options, CALIBRATE_OPTIONS, 'calibrate')
    const { signal, between, onlyDue = false, isRough = false } = options
    const life = this.#life
    const check = life.checkOf(signal)
    const result = this.#lastCalibration.then(async () => {
      await life.vectorsPending
      check()
      if (onlyDue && !this.isCalibrationDue) return
      const { state } = life
      const { version } = state.store
      const { rowsAtHome } = state.directory
      const { refinements } = state
      const rough = isRough && rowsAtHome > OVERDUE_GROWTH * this.#calibratedRows
      const floors = await calibrate(state, { pool: this.#pool, signal, check, between }, rough)
      if (floors !== undefined) await new Slices(check).run(state.recall.prepare(floors))
      state.recall.setCalibrated(floors, rowsAtHome)
      this.#calibratedAt = version
      this.#calibratedRows = rowsAtHome
      this.#calibratedRefinements = refinements
      this.#calibratedRoughly = rough
      this.#calibrations++
    })
    this.#lastCalibration = result.catch(() => {}) // as in #run
    await result
  }

  get calibrations(): number {
    return this.#calibrations
  }

  get isCalibrationDue(): boolean {
    return this.#calibratedRoughly || this.#isDue(RECALIBRATE, RECALIBRATE_GROWTH)
  }

  get isCalibrationOverdue(): boolean {
    return this.#isDue(OVERDUE, OVERDUE_GROWTH)
  }

  /** @param growth - of the rows in buckets. */
  #isDue(changed: number, growth: number): boolean {
    const { store, directory, refinements } = this.#life.open()
    if (refinements > this.#calibratedRefinements) return true
    const updates = store.version - this.#calibratedAt
    const haveChanged = updates > 0 && updates >= changed * store.liveRows
    return haveChanged || directory.rowsAtHome > growth * this.#calibratedRows
  }

  get calibration(): Calibration {
    return {
      told: this.#life.open().recall.calibrated?.told,
      rows: this.#calibratedRows,
      isRough: this.#calibratedRoughly,
    }
  }

  restore({ told, rows, isRough }: Calibration): void {
    const { recall, refinements, shape } = this.#life.open()
    if (told !== undefined) recall.setCalibrated(new CalibratedFloors(shape.metric, told), rows)
    this.#calibratedRows = rows
    this.#calibratedRefinements = refinements
    this.#calibratedRoughly = isRough
  }

  plan(options: PlanOptions): Operation[] {
    requireJob(options, PLAN_OPTIONS, 'plan')
    requirePolicy(options.policy)
    const state = this.#life.open()
    // Plans look at exact vectors.
    if (this.#life.vectorsPending !== undefined) return []
    return planned(state, options)
  }

  async planInSlices(options: SlicedPlanOptions): Promise<Operation[]> {
    requireJob(options, SLICED_PLAN_OPTIONS, 'planInSlices')
    requirePolicy(options.policy)
    const life = this.#life
    const state = life.open()
    if (life.vectorsPending !== undefined) return []
    return new Slices(life.checkOf(options.signal)).run(planSteps(state, options))
  }

  /** @param moment - called in the step that decides what the image is of. */
  async image<T>(moment: () => T): Promise<TakenImage<T>> {
    let taken: TakenImage<T> | undefined
    await this.#run({}, async (state, { check }) => {
      const { snapshot, release } = state.pin()
      try {
        const told = moment()
        const image = await takeImage(state, new Slices(check))
        taken = { ...image, live: snapshot.live, moment: told, release }
      } finally {
        if (taken === undefined) release()
      }
    })
    return taken!
  }

  async apply(operation: Operation, options: HealOptions): Promise<Healed> {
    requireJob(options, HEAL_OPTIONS, 'apply')
    requireOperation(operation)
    const budget = requireBudget(options.budget)
    let healed: Healed | undefined
    await this.#run(options, async (state, job) => {
      healed = await applyOperation(state, operation, budget, { ...job, onProgress: () => {} })
    })
    return healed!
  }

  async heal(options: HealOptions): Promise<HealReport> {
    requireJob(options, HEAL_OPTIONS, 'maintain')
    this.#life.open()
    const { signal, policy } = options
    return heal({
      plan: () => this.planInSlices({ signal, policy }),
      apply: (operation, budget) => this.apply(operation, { signal, budget }),
      budget: requireBudget(options.budget),
      onProgress: (done, total) => notify(() => options.onProgress?.(done, total)),
      onOperation: healed => notify(() => options.onOperation?.(healed)),
      between: options.between ?? (async () => {}),
    })
  }

  /** Run the job after those before it. */
  #run(
    { signal, onProgress }: Pick<HealOptions, 'signal' | 'onProgress'>,
    run: (state: IndexState, job: Job) => Promise<void>,
  ): Promise<void> {
    const life = this.#life
    const check = life.checkOf(signal)
    const result = this.#last.then(async () => {
      await life.vectorsPending
      check()
      const tell = (done: number, total: number): void => notify(() => onProgress?.(done, total))
      return run(life.state, { pool: this.#pool, signal, onProgress: tell, check })
    })
    this.#last = result.catch(() => {}) // the caller of this job has the error; the next job runs anyway
    return result
  }
}

/**
 * Homes for all live rows of the memtable and for unassigned ones, also for rows that are published meanwhile. The memtable goes in the step
 * that found no more: what is published after it is unassigned.
 */
async function moveAll(state: IndexState, memtable: Memtable, job: Job): Promise<void> {
  for (;;) {
    const rows = state.homeless(memtable.list)
    const loose = state.homeless(state.unassigned)
    if (rows.length === 0 && loose.length === 0) break
    const all = new Uint32Array(rows.length + loose.length)
    all.set(rows)
    all.set(loose, rows.length)
    await assignRows(state, all, job)
  }
  state.tidyUnassigned()
  state.drop(memtable)
}
