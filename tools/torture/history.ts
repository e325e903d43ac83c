// Random histories of a database against a model: writes, upkeep, searches, backups, power cuts in the middle, one after the other. A
// failure is shrunk to the fewest commands that show it, and told with the seed and path that find it again.
//   node tools/dist/torture/history.js [--runs 300] [--steps 100] [--seed 1] [--path P]
import * as core from '@drift/core'
import * as fs from '@drift/fs'
import * as server from '@drift/server'
import fc from 'fast-check'
import { commandLine } from './command-line.js'
import { histories, runHistory } from './history/commands.js'
import { World } from './power/world.js'

const values = commandLine(
  'usage: node tools/dist/torture/history.js [--runs 300] [--steps 100] [--seed 1] [--path P]',
  {
    runs: { type: 'string', default: '300' },
    steps: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    path: { type: 'string' },
  },
)
const [runs, steps, seed] = [values.runs, values.steps, values.seed].map(Number) as [number, number, number]
const start = performance.now()
let commands = 0
const property = fc.asyncProperty(histories(steps), async history => {
  const list = [...history]
  commands += list.length
  await runHistory(new World({ core, fs, server }, {}), list)
})
const path = values.path === undefined ? {} : { path: values.path }
const result = await fc.check(property, { numRuns: runs, seed, ...path })
if (result.failed) {
  console.log(fc.defaultReportMessage(result)!)
  console.log(result.errorInstance)
  console.log(
    `FAILED: node tools/dist/torture/history.js --steps ${steps} --seed ${seed} --path ${result.counterexamplePath}`,
  )
  process.exitCode = 1
} else {
  const seconds = ((performance.now() - start) / 1_000).toFixed(0)
  console.log(
    `${runs} histories of up to ${steps} commands, ${commands} in all, seed ${seed}, ${seconds} s: 0 failed`,
  )
}
