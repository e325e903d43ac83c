// Step: a child process writes and is killed with SIGKILL in the middle; what it acknowledged has to be there.
import { join } from 'node:path'
import { seededRandom } from '@drift/core'
import { emptyLanes, type LaneProgress } from '../torture/crash-check.js'
import { type CrashOptions, crashRound } from '../torture/crash-round.js'
import { duration, type Screen, whole } from './screen.js'

const ROUNDS = 3
const SEED = 2026

export async function crash(screen: Screen, folder: string): Promise<void> {
  const options: CrashOptions = {
    folder: join(folder, 'crash'),
    collection: 'rows',
    workload: { seed: SEED, dim: 64, lanes: 3, batchRows: 100, laneIds: 2_000 },
    // Small, so that the kill also falls into flushes.
    memtableRows: 1_024,
    walFileBytes: 1 << 20,
  }
  const random = seededRandom(SEED)
  const bar = screen.progress('killing', ROUNDS)
  const lines: string[] = []
  let lanes: readonly LaneProgress[] = emptyLanes(options.workload)
  let [acknowledgedRows, wrong] = [0, 0]
  for (let round = 1; round <= ROUNDS; round++) {
    const moment = { acknowledgements: 20 + Math.floor(random() * 80), delayMs: random() * 5 }
    const result = await crashRound(options, lanes, moment)
    lanes = result.lanes
    acknowledgedRows += result.acknowledgedRows
    wrong += result.lost + result.strange + result.unfound
    lines.push(
      `kill ${round}: after ${result.acknowledged} acknowledged writes; open again in ${duration(result.openMs * 1000)}: ` +
        `${whole(result.rows)} rows, ${result.lost} lost, ${result.strange} that nobody wrote`,
    )
    bar.update(round)
  }
  bar.stop()
  for (const line of lines) screen.line(line)
  screen.claim(
    `after ${ROUNDS} SIGKILLs all ${whole(acknowledgedRows)} acknowledged row writes and all deletes are there`,
    wrong === 0,
  )
}
