// Power loss of the real process: it writes on a real disk under a shim that records what it asks of the kernel, and dies by SIGKILL; then
// the power fails at moments of that record, and what stable storage may hold there has to hold everything that had been acknowledged.
// Each round goes on from a disk that one of these power losses left.
//   node tools/dist/torture/power-loss.js [--rounds 20] [--cuts 10] [--seed 1]
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { commandLine } from './command-line.js'
import { powerLosses } from './power-trace/losses.js'
import { buildShim, obstacle } from './power-trace/round.js'

const values = commandLine(
  'usage: node tools/dist/torture/power-loss.js [--rounds 20] [--cuts 10] [--seed 1]',
  {
    rounds: { type: 'string', default: '20' },
    cuts: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
  },
)
const [rounds, cuts, seed] = [values.rounds, values.cuts, values.seed].map(Number) as [number, number, number]
if (![rounds, cuts, seed].every(Number.isSafeInteger) || rounds < 1 || cuts < 1) {
  console.error('--rounds, --cuts and --seed are whole numbers, at least one round and one cut')
  process.exit(2)
}
const reason = obstacle()
if (reason) {
  console.error(reason)
  process.exit(2)
}
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'drift-power-')))
const sum = { losses: 0, acknowledged: 0, bad: 0 }
for await (const round of powerLosses({ folder, shim: buildShim(folder), rounds, cuts, seed })) {
  sum.losses += round.losses
  sum.acknowledged += round.acknowledged
  sum.bad += round.wrong.length
  console.log(
    `round ${round.number}: ${round.records} records, ${round.acknowledged} operations acknowledged, ${round.losses} power losses`,
  )
  for (const complaint of round.wrong) console.log(`FAILED: ${complaint}`)
}
console.log(
  `${rounds} processes, seed ${seed}: ${sum.acknowledged} operations acknowledged, ${sum.losses} power losses, ` +
    (sum.bad === 0 ? '0 lost' : `${sum.bad} FAILED`),
)
rmSync(folder, { recursive: true })
process.exitCode = sum.bad === 0 ? 0 : 1
