// Rounds of power losses over one database: the part that the test and the program share.
import { seededRandom } from '@drift/core'
import { SimFs } from '@drift/fs'
import { emptyLanes } from '../crash-check.js'
import type { CrashOptions } from '../crash-round.js'
import { VARIANTS } from '../power/cut.js'
import { losePower, type Run, traceRun } from './round.js'

export interface LossesOptions {
  /** Absolute, without symbolic links. */
  readonly folder: string
  readonly shim: string
  readonly rounds: number
  /** Moments at which the power fails, of each process. */
  readonly cuts: number
  readonly seed: number
}

export interface LossRound {
  readonly number: number
  readonly run: Run
  readonly records: number
  readonly acknowledged: number
  readonly losses: number
  readonly wrong: readonly string[]
}

/** The record before which the power fails is drawn from all of them, or from the last ones: there most is at stake. */
const LAST_RECORDS = 40

export async function* powerLosses(options: LossesOptions): AsyncGenerator<LossRound> {
  const { folder, shim, rounds, cuts, seed } = options
  const random = seededRandom(seed)
  const crash: Omit<CrashOptions, 'folder'> = {
    collection: 'rows',
    workload: { seed, dim: 8, lanes: 3, batchRows: 30, laneIds: 600 },
    memtableRows: 1_024,
    walFileBytes: 256 * 1024,
  }
  let from: Pick<Run, 'base' | 'lanes'> = { base: new SimFs(), lanes: emptyLanes(crash.workload) }
  for (let number = 1; number <= rounds; number++) {
    const moment =
      random() < 1 / 6
        ? { acknowledgements: 0, delayMs: 300 + random() * 500 }
        : { acknowledgements: 1 + Math.floor(random() * 120), delayMs: random() * 4 }
    const run = await traceRun(crash, { folder, shim, moment, ...from })
    const all = run.records.length
    const wrong: string[] = []
    let losses = 0
    let acknowledged = 0
    let next = from
    for (let i = 0; i < cuts; i++) {
      const near = random() < 0.5 ? Math.min(all, LAST_RECORDS) : all
      const cut = i === 0 ? all : all - Math.floor(random() * near)
      for (const variant of [0, 1 + Math.floor(random() * (VARIANTS - 1))]) {
        const verdict = await losePower(run, { cut, variant, seed: Math.floor(random() * 2 ** 31) })
        losses++
        if (i === 0) acknowledged = verdict.acknowledged
        if (verdict.wrong)
          wrong.push(`round ${number}, record ${cut} of ${all}, variant ${variant}: ${verdict.wrong}`)
        if (verdict.found && (i === 0 || random() < 0.1)) next = verdict.found
      }
    }
    yield { number, run, records: all, acknowledged, losses, wrong }
    if (wrong.length > 0) return
    from = next
  }
}
