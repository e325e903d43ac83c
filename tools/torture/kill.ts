// SIGKILL, again and again: a child writes, flushes and rotates over a small memtable and dies at a random moment; after
// each crash every acknowledged row has to be there, bit for bit, nothing that nobody wrote, and `db.check()` finds no
// fault. One database through all rounds, so that recoveries pile up.
//   node tools/dist/torture/kill.js [--rounds 50] [--seed 1] [--folder FOLDER] [--keep]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { seededRandom } from '@drift/core'
import { emptyLanes, type LaneProgress } from './crash-check.js'
import { type CrashOptions, crashRound, type Moment } from './crash-round.js'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})
const [rounds, seed] = [values.rounds, values.seed].map(Number) as [number, number]
if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) {
  console.error(`--rounds ${values.rounds} --seed ${values.seed}: expected whole numbers, at least one round`)
  process.exit(2)
}
const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'drift-kill-'))
const options: CrashOptions = {
  folder: join(folder, 'db'),
  collection: 'rows',
  workload: { seed, dim: 32, lanes: 4, batchRows: 50, laneIds: 2_000 },
  // The smallest memtable there is: a flush about every 30 upserts.
  memtableRows: 1_024,
  walFileBytes: 1 << 20,
}
const random = seededRandom(seed)
let lanes: readonly LaneProgress[] = emptyLanes(options.workload)
let [done, acknowledged, rows, bad] = [0, 0, 0, 0]

for (let round = 1; round <= rounds; round++) {
  const result = await crashRound(options, lanes, drawMoment(random))
  lanes = result.lanes
  done = round
  acknowledged += result.acknowledged
  rows += result.acknowledgedRows
  const wrong = result.lost + result.strange + result.unfound + result.findings.length
  if (wrong > 0) bad++
  console.log(
    `round ${round}: ${result.acknowledged} operations acknowledged, ${result.rows} rows there, lost ${result.lost}, ` +
      `strange ${result.strange}, not found ${result.unfound}, opened in ${result.openMs.toFixed(0)} ms`,
  )
  for (const { message } of result.findings) console.log(`db.check(): ${message}`)
  // What comes after a failure proves nothing, and the folder as it is tells most.
  if (wrong > 0) break
}

console.log(
  `${done} SIGKILLs, seed ${seed}: ${acknowledged} operations and ${rows} rows acknowledged, ` +
    (bad === 0 ? '0 lost' : `FAILED; the folder is ${folder}`),
)
if (bad === 0 && !values.keep && !values.folder) rmSync(folder, { recursive: true })
process.exitCode = bad === 0 ? 0 : 1

/** One in six falls into start-up and recovery; the others into writing, with a delay that is not tied to an acknowledgement. */
function drawMoment(random: () => number): Moment {
  if (random() < 1 / 6) return { acknowledgements: 0, delayMs: random() * 1_000 }
  return { acknowledgements: 1 + Math.floor(random() * 150), delayMs: random() * 8 }
}
