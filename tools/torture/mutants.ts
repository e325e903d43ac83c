// Would the tests of damage notice? Each check that stands between damaged bytes and a wrong answer is taken away by itself, and single
// damages of a small database are opened until one of them ends otherwise than with the sound engine. All have to be noticed; with nothing
// taken away every outcome is the state as it was or a coded refusal; and a mutant that loses rows has to be found to lose them.
// Without --all only as many damages are opened as it takes.
//   node tools/dist/torture/mutants.js [--all] [--mutant NAME]
import { register } from 'node:module'
import * as core from '@drift/core'
import * as fs from '@drift/fs'
import * as server from '@drift/server'
import { commandLine } from './command-line.js'
import { isSafe, KINDS, makeSamples, outcomeOf, type Trial, trials } from './mutants/damage.js'
import { CANARY, MUTANTS, type Mutant } from './mutants/list.js'
import type { Modules } from './power/world.js'

const values = commandLine('usage: node tools/dist/torture/mutants.js [--all] [--mutant NAME]', {
  mutant: { type: 'string' },
  all: { type: 'boolean', default: false },
})
register('./mutants/hooks.js', import.meta.url)

const sound: Modules = { core, fs, server }
const samples = await makeSamples(sound)
const wanted = [...MUTANTS, CANARY].filter(
  ({ name }) => values.mutant === undefined || name === values.mutant,
)
/** What the sound engine does, as far as it was asked. */
const known = new Map<string, string>()
let [unsafe, survived] = [0, 0]

if (values.all) for (const kind of KINDS) for (const trial of trials(samples, kind)) await soundOutcome(trial)
for (const mutant of wanted) {
  const noticed = await noticeOf(mutant)
  if (noticed === undefined) survived++
  console.log(noticed ? `noticed ${mutant.name}: ${noticed}` : `SURVIVED ${mutant.name}`)
}
console.log(
  `${known.size} damages, ${unsafe} answered otherwise than with the state or a code; ` +
    `${wanted.length - survived} of ${wanted.length} mutants noticed`,
)
process.exitCode = unsafe + survived === 0 ? 0 : 1

async function soundOutcome(trial: Trial): Promise<string> {
  const before = known.get(trial.title)
  if (before !== undefined) return before
  const outcome = await outcomeOf(sound, trial.disk, samples.state)
  known.set(trial.title, outcome)
  if (!isSafe(outcome, trial.isLie)) {
    unsafe++
    console.log(`UNSAFE ${trial.title}: ${outcome}`)
  }
  return outcome
}

/** @returns the first damage that ends otherwise. The canary is only noticed by a state that is another. */
async function noticeOf(mutant: Mutant): Promise<string | undefined> {
  const modules = await load(mutant.name)
  for (const trial of trials(samples, mutant.kind)) {
    const outcome = await soundOutcome(trial)
    const found = await outcomeOf(modules, trial.disk, samples.state)
    if (mutant === CANARY ? !isSafe(found) : found !== outcome)
      return `${trial.title}: ${found}, not ${outcome}`
  }
  return undefined
}

/** The packages with one thing taken away, beside the sound ones. */
async function load(name: string): Promise<Modules> {
  const of = (specifier: string): Promise<unknown> =>
    import(`${import.meta.resolve(specifier)}?mutant=${name}`)
  const [core, fs, server] = await Promise.all([of('@drift/core'), of('@drift/fs'), of('@drift/server')])
  return { core, fs, server } as Modules
}
