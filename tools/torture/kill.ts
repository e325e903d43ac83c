// SIGKILL, again and again: a child writes, deletes and patches by id and by filter, flushes, compacts, heals, makes backups and indexes
// over a small memtable, asks about its rows in between, and dies at a random moment; after each crash every acknowledged row has to be
// there, bit for bit, nothing that nobody wrote, and `db.check()` finds no fault. Now and then it is told to close instead. One
// database through all rounds, so that recoveries pile up.
//   node tools/dist/torture/kill.js [--rounds 50] [--seed 1] [--cold resident|disk] [--folder FOLDER] [--keep]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom } from '@drift/core'
import { commandLine } from './command-line.js'
import { emptyLanes, type LaneProgress } from './crash-check.js'
import { type CrashOptions, crashRound, type Moment } from './crash-round.js'

const values = commandLine(
  'usage: node tools/dist/torture/kill.js [--rounds 50] [--seed 1] [--cold resident|disk] [--folder FOLDER] [--keep]',
  {
    rounds: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    folder: { type: 'string' },
    cold: { type: 'string', default: 'resident' },
    keep: { type: 'boolean', default: false },
  },
)
const [rounds, seed] = [values.rounds, values.seed].map(Number) as [number, number]
if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(seed)) {
  console.error(`--rounds ${values.rounds} --seed ${values.seed}: expected whole numbers, at least one round`)
  process.exit(2)
}
if (values.cold !== 'resident' && values.cold !== 'disk') {
  console.error(`--cold ${values.cold}: expected resident or disk`)
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
  searchers: 1,
  cold: values.cold,
  backupFolder: join(folder, 'backup'),
}
const random = seededRandom(seed)
let lanes: readonly LaneProgress[] = emptyLanes(options.workload)
let [done, killed, acknowledged, rows, bad] = [0, 0, 0, 0, 0]

for (let round = 1; round <= rounds; round++) {
  const moment = drawMoment(random)
  const result = await crashRound(options, lanes, moment)
  lanes = result.lanes
  done = round
  if (!moment.isGentle) killed++
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
  `${done} rounds, ${killed} SIGKILLs, seed ${seed}, cold: '${values.cold}': ${acknowledged} operations and ${rows} rows acknowledged, ` +
    (bad === 0 ? '0 lost' : `FAILED; the folder is ${folder}`),
)
if (bad === 0 && !values.keep && !values.folder) rmSync(folder, { recursive: true })
process.exitCode = bad === 0 ? 0 : 1

/** One in six falls into start-up and recovery; the others into writing, with a delay that is not tied to an acknowledgement. One in ten closes. */
function drawMoment(random: () => number): Moment {
  const isGentle = random() < 0.1
  if (random() < 1 / 6) return { acknowledgements: 0, delayMs: random() * 1_000, isGentle }
  return { acknowledgements: 1 + Math.floor(random() * 150), delayMs: random() * 8, isGentle }
}
