// The proof that nothing is lost, for as long as wanted: workloads over a simulated disk whose power is cut before each operation, seed
// after seed. Every failure is told with the command that finds it again; the exit code is 1 then.
import * as core from '@drift/core'
import * as fs from '@drift/fs'
import * as server from '@drift/server'
import { commandLine } from './command-line.js'
import { VARIANTS } from './power/cut.js'
import { explore, type Failure } from './power/explore.js'
import { WORKLOADS, type WorkloadName } from './power/workloads.js'

const values = commandLine(
  `usage: npm run torture -- [--minutes 1] [--seed 1] [--workload NAME]
       npm run torture -- --workload NAME --seed 1 --cut 100 --variant 0`,
  {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    workload: { type: 'string' },
    cut: { type: 'string' },
    variant: { type: 'string' },
  },
)
const modules = { core, fs, server }
const minutes = numberOf('minutes', 0)
const firstSeed = numberOf('seed', 0)
const names = Object.keys(WORKLOADS) as WorkloadName[]
if (values.workload !== undefined && !names.includes(values.workload as WorkloadName))
  usage(`--workload ${values.workload}: expected one of ${names.join(', ')}`)
const wanted = values.workload === undefined ? names : [values.workload as WorkloadName]

process.exitCode = values.cut === undefined ? await forAWhile() : await once()

/** @returns the exit code. */
async function forAWhile(): Promise<number> {
  const start = performance.now()
  const end = start + minutes * 60_000
  const seconds = (): number => (performance.now() - start) / 1_000
  const sum = { runs: 0, cuts: 0, states: 0, opened: 0, recuts: 0, failures: 0 }
  for (let seed = firstSeed; ; seed++) {
    for (const workload of wanted) {
      // Every workload once, however short the time.
      const isLate = (): boolean => seed > firstSeed && performance.now() >= end
      if (isLate()) {
        console.log(
          `${sum.runs} runs of ${wanted.length} workloads, seeds ${firstSeed} to ${seed}: ${sum.cuts} cuts, ${sum.states} states, ` +
            `${sum.opened} of them different, ${sum.recuts} cuts of recovery, ${seconds().toFixed(0)} s, ` +
            `${(sum.states / seconds()).toFixed(0)} states/s: ${sum.failures === 0 ? '0 lost' : `${sum.failures} FAILURES`}`,
        )
        return sum.failures === 0 ? 0 : 1
      }
      const began = performance.now()
      const { failures, ...counts } = await explore({ modules, workload, seed, goOn: () => !isLate() })
      const took = (performance.now() - began) / 1_000
      console.log(
        `${workload} ${seed}: ${counts.cuts} cuts, ${counts.states} states, ${counts.opened} different, ` +
          `${counts.recuts} cuts of recovery, ${(counts.states / took).toFixed(0)} states/s`,
      )
      failures.slice(0, 3).forEach(tell)
      sum.runs++
      sum.failures += failures.length
      for (const key of ['cuts', 'states', 'opened', 'recuts'] as const) sum[key] += counts[key]
    }
  }
}

async function once(): Promise<number> {
  const [workload] = wanted
  if (wanted.length !== 1) usage('--cut needs --workload')
  const only = { cut: numberOf('cut', 1), variant: numberOf('variant', 0) }
  if (only.variant >= VARIANTS) usage(`--variant ${only.variant}: expected 0 to ${VARIANTS - 1}`)
  const { cuts, opened, recuts, failures } = await explore({
    modules,
    workload: workload!,
    seed: firstSeed,
    only,
  })
  failures.forEach(tell)
  console.log(
    `${cuts} cuts passed, ${opened} disks opened, ${recuts} cuts of recovery, ${failures.length} failures`,
  )
  return failures.length === 0 ? 0 : 1
}

function tell({ workload, seed, cut, variant, message }: Failure): void {
  console.log(
    `FAILED: ${message}\n  npm run torture -- --workload ${workload} --seed ${seed} --cut ${cut} --variant ${variant}`,
  )
}

function numberOf(name: 'minutes' | 'seed' | 'cut' | 'variant', least: number): number {
  const value = Number(values[name] ?? 0)
  if (!(value >= least) || (name !== 'minutes' && !Number.isSafeInteger(value)))
    usage(
      `--${name} ${values[name]}: expected a ${name === 'minutes' ? '' : 'whole '}number from ${least} on`,
    )
  return value
}

function usage(message: string): never {
  console.error(message)
  process.exit(2)
}
