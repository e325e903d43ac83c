// Decoders under bytes that nobody wrote: fields of every file changed with their checksums made to agree, and bytes from outside. What
// comes of it is a coded error or some content, in bounded time and memory. A case is its target, its seed and its number.
//   node tools/dist/torture/fuzz.js [--seconds 10 | --cases N] [--seed 1] [--target NAME] [--case N]
import * as core from '@drift/core'
import * as fs from '@drift/fs'
import * as server from '@drift/server'
import { tableToIPC } from 'apache-arrow'
import { commandLine } from './command-line.js'
import { largestAllocation, watchAllocations } from './fuzz/allocation.js'
import { type Case, type Draw, targetsOf } from './fuzz/targets.js'
import { codesOf, makeSamples } from './mutants/damage.js'
import { mixed } from './power/cut.js'
import { DIM, readState } from './power/model.js'
import { FOLDER } from './power/world.js'

const values = commandLine(
  'usage: node tools/dist/torture/fuzz.js [--seconds 10 | --cases N] [--seed 1] [--target NAME] [--case N]',
  {
    seconds: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    target: { type: 'string' },
    cases: { type: 'string' },
    case: { type: 'string' },
  },
)
const [seconds, seed] = [Number(values.seconds), Number(values.seed)]
/** Beyond this a case hangs, for what it reads. */
const SLOW_MS = 2_000
/** What opening takes whatever the files say: blocks of rows, buffers to read into. Measured on the sound files. */
let fixedBytes = 0

const OPTIONS = { threads: 0, maintenance: 'off', shadow: false, minFreeBytes: 0 } as const
const samples = await makeSamples({ core, fs, server })
const arrow = await arrowSample()
const targets = targetsOf(samples, arrow)
const wanted = Object.keys(targets).filter(name => values.target === undefined || name === values.target)
if (wanted.length === 0) {
  console.error(`--target ${values.target}: expected one of ${Object.keys(targets).join(', ')}`)
  process.exit(2)
}
watchAllocations()
await outcomeOf({ disk: samples.killed.processKill(), bytes: 0 })
await outcomeOf({ arrow, bytes: 0 })
fixedBytes = largestAllocation()

let failures = 0
for (const name of wanted) {
  const outcomes = new Map<string, number>()
  const end = performance.now() + (seconds * 1_000) / wanted.length
  const [first, count] =
    values.case === undefined
      ? [0, Number(values.cases ?? Number.POSITIVE_INFINITY)]
      : [Number(values.case), 1]
  const isLate = (): boolean => values.cases === undefined && performance.now() >= end
  for (let number = first; number < first + count && (number === first || !isLate()); number++) {
    const input = targets[name]!(drawFor(name, number))
    const again = `node tools/dist/torture/fuzz.js --seed ${seed} --target ${name} --case ${number}`
    // Written before it is tried: a process that dies says nothing any more.
    process.stderr.write(`\r${again} `)
    const start = performance.now()
    largestAllocation()
    const outcome = await outcomeOf(input, number % 4 === 0)
    const took = performance.now() - start
    const most = largestAllocation()
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    const bound = fixedBytes + 4 * input.bytes
    const wrong = [
      /^(same|other content|content|DRIFT_.*)$/.test(outcome) ? '' : outcome,
      took > SLOW_MS ? `took ${took.toFixed(0)} ms` : '',
      most > bound ? `asked for ${most} bytes at once, of files of ${input.bytes}` : '',
    ].filter(Boolean)
    if (wrong.length === 0) continue
    failures++
    console.log(`FAILED: ${wrong.join('; ')}\n  ${again}`)
    if (failures >= 20) process.exit(1)
  }
  const sorted = [...outcomes].sort((a, b) => b[1] - a[1]).map(([outcome, count]) => `${outcome} ${count}`)
  console.log(`${name}: ${[...outcomes.values()].reduce((a, b) => a + b, 0)} cases: ${sorted.join(', ')}`)
}
console.log(failures === 0 ? '0 crashes, hangs, errors without a code' : `${failures} FAILED`)
process.exitCode = failures === 0 ? 0 : 1

async function outcomeOf({ disk, decode, arrow }: Case, isChecked = true): Promise<string> {
  try {
    if (decode) decode()
    else if (arrow) await importArrow(arrow)
    else return await openAndRead(disk!, isChecked)
    return 'content'
  } catch (error) {
    return codesOf(error).split(' < ')[0]!
  }
}

/** @returns what the database holds in one word, after everything was read and a check has said what it thinks. */
async function openAndRead(disk: fs.SimFs, isChecked: boolean): Promise<string> {
  const db = await server.Drift.open(FOLDER, { ...OPTIONS, fs: disk })
  try {
    if (isChecked) await db.check()
    // Lies with whole checksums may make search and scan disagree.
    const state = await readState(db).catch(error => {
      if (error.name !== 'Error') throw error
      return 'none'
    })
    return state === samples.state ? 'same' : 'other content'
  } finally {
    await db.close()
  }
}

async function importArrow(bytes: Uint8Array): Promise<void> {
  const db = await server.Drift.open(FOLDER, { ...OPTIONS, fs: new fs.SimFs() })
  try {
    await (await db.collection('docs', { dim: DIM, metric: 'l2' })).fromArrow(bytes)
  } finally {
    await db.close()
  }
}

async function arrowSample(): Promise<Uint8Array> {
  const db = await server.Drift.open(FOLDER, { ...OPTIONS, fs: samples.killed.processKill() })
  const { Table } = await import('apache-arrow')
  const batches = []
  for await (const batch of (await db.collection('docs')).toArrow()) batches.push(batch)
  await db.close()
  return tableToIPC(new Table(batches), 'stream')
}

function drawFor(name: string, number: number): Draw {
  const random = core.seededRandom(mixed(seed, number, ...Buffer.from(name)))
  return below => Math.floor(random() * below)
}
