// The door of the simulator: npm run sim -- RUNBOOK... [OPTIONS]. Walks runbooks, says whether recall held, and what it cost.
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { toolsFolder } from '../data/place.js'
import { ToolError } from '../data/tool-error.js'
import { booksOf } from './books.js'
import { DriftEngine, type DriftOptions } from './engines/drift.js'
import { peers } from './engines/peers.js'
import { passes } from './gates.js'
import { mutantTable } from './mutant-table.js'
import { paperTables } from './paper.js'
import { plotRun } from './plot.js'
import { gateTable, liveHead, liveLine, markdown, medianCells, summary } from './report.js'
import { type RunResult, run, TARGETS, type Target } from './run.js'
import type { Runbook } from './runbook.js'

const USAGE = `usage: npm run sim -- RUNBOOK... [OPTIONS]

R1 .. R10       synthetic runbooks; R2-hard, R2-iso: in another world than the clustered one
SET-window      over real rows in their order, with --data; also SET-expiry, SET-topics, SET-images
FILE            a runbook of big-ann-benchmarks (.yaml) or of our own (.json), over the first set of --data
all             R1 .. R10, and with --data every runbook over real rows that has enough of them
mutants         the index with a part of its healing taken out, each of which a gate has to tell
paper           the experiments of the paper that Drift started from

--size SIZE     small (seconds), 100k (minutes; default) or 1m; --small is --size small
--target R      the recall whose rows and times are shown: 0.9, 0.95 (default) or 0.99
--seed N        1; --seeds N: that many seeds, gates by their medians
--data FOLDER   holds data sets, or is one: base.*.npy and query.*.npy (or DRIFT_DATA)
--peers         hnswlib and usearch beside it (npm run bench -- peers installs them)
--rebuild WHEN  a fresh partition to compare with: every (search step; default), ends, never
--k N           10
--bucket-rows N the index's target size of a bucket; default: its own
--no-baselines  no other stop rules
--out FOLDER    instead of tools/sim/out`

try {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      size: { type: 'string', default: '100k' },
      small: { type: 'boolean', default: false },
      target: { type: 'string', default: '0.95' },
      seed: { type: 'string', default: '1' },
      seeds: { type: 'string', default: '1' },
      data: { type: 'string' },
      peers: { type: 'boolean', default: false },
      rebuild: { type: 'string', default: 'every' },
      k: { type: 'string', default: '10' },
      'bucket-rows': { type: 'string' },
      'no-baselines': { type: 'boolean', default: false },
      out: { type: 'string', default: join(toolsFolder, 'sim', 'out') },
    },
  })
  if (values.help) {
    console.log(USAGE)
    process.exit(0)
  }
  if (positionals.length === 0) throw new ToolError('OPTION', `name a runbook\n${USAGE}`)
  const size = oneOf('size', values.small ? 'small' : values.size, ['small', '100k', '1m'] as const)
  const target = oneOf('target', String(Number(values.target)), TARGETS.map(String))
  const rebuild = oneOf('rebuild', values.rebuild, ['every', 'ends', 'never'] as const)
  const first = wholeNumber('seed', values.seed)
  const seeds = Array.from({ length: wholeNumber('seeds', values.seeds) }, (_, i) => first + i)
  const bucketRows = values['bucket-rows'] && wholeNumber('bucket-rows', values['bucket-rows'])
  const data = values.data ?? (process.env['DRIFT_DATA'] || undefined)
  mkdirSync(values.out, { recursive: true })
  const books = positionals.filter(name => name !== 'paper' && name !== 'mutants')
  if (positionals.includes('mutants')) {
    const { table, survivors } = await mutantTable(first)
    console.log(table)
    writeFileSync(join(values.out, 'mutants.md'), `${table}\n`)
    if (survivors > 0) process.exitCode = 1
  }
  if (positionals.includes('paper')) {
    const tables = paperTables(seeds)
    console.log(tables)
    writeFileSync(join(values.out, 'paper.md'), `${tables}\n`)
  }
  const results: RunResult[] = []
  const plots: string[] = []
  const save = () => {
    const command = `npm run sim -- ${process.argv.slice(2).filter(withoutPlaces).join(' ')}`
    writeFileSync(join(values.out, 'results.json'), `${JSON.stringify(results, null, 1)}\n`)
    writeFileSync(join(values.out, 'report.md'), markdown(results, command, plots))
  }
  for (const seed of seeds) {
    const skip = (name: string, why: string) => console.log(`\n${name}, seed ${seed}: skipped: ${why}`)
    for (const book of booksOf(books, size, seed, data, skip)) {
      console.log(`\n${book.name}, seed ${seed}: ${book.about}\n${liveHead()}`)
      const shape = shapeOf(book, seed, bucketRows || undefined)
      const drift = new DriftEngine('drift', { ...shape, heal: true })
      const unhealed = new DriftEngine('unhealed', { ...shape, heal: false })
      const engines = [drift, unhealed, ...(values.peers ? peers(book) : [])]
      const result = await run(
        book,
        engines,
        { ...shape, heal: false },
        {
          k: wholeNumber('k', values.k),
          target: Number(target) as Target,
          seed,
          truthFolder: join(values.out, 'truth'),
          rebuild,
          baselines: !values['no-baselines'],
          onStep: (engine, step) => console.log(liveLine(engine, step)),
        },
      )
      results.push(result)
      plots.push(...plotRun(values.out, result))
      for (const line of summary(result)) console.log(line)
      save()
    }
  }
  if (results.length > plots.length)
    console.log('\nno plots: echarts is not installed; npm run bench -- peers installs it')
  if (results.length > 0) console.log(`\n${gateTable(results)}\n\n${join(values.out, 'report.md')}`)
  if (medianCells(results).some(({ cell }) => !passes(cell))) process.exitCode = 1
} catch (error) {
  if (error instanceof ToolError) console.error(`${error.code}: ${error.message}`)
  else if ((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS'))
    console.error(`${(error as Error).message}\n${USAGE}`)
  else throw error
  process.exitCode = 2
}

/** Memtables of a fiftieth of what is alive: small enough that a step of any runbook fills one. */
function shapeOf(
  { dim, metric, liveRows }: Runbook,
  seed: number,
  bucketRows: number | undefined,
): Omit<DriftOptions, 'heal'> {
  const memtableRows = Math.max(256, Math.round(liveRows / 50))
  return { dim, metric, seed, memtableRows, ...(bucketRows === undefined ? {} : { bucketRows }) }
}

/** What a command says about this machine's folders is nobody else's. */
function withoutPlaces(argument: string, at: number, all: readonly string[]): boolean {
  return !/^--(out|data)(=|$)/.test(argument) && !/^--(out|data)$/.test(all[at - 1] ?? '')
}

function oneOf<T extends string>(name: string, text: string, known: readonly T[]): T {
  const found = known.find(value => value === text)
  if (found !== undefined) return found
  throw new ToolError('OPTION', `--${name} ${basename(text)}: expected ${known.join(', ')}`)
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new ToolError('OPTION', `--${name} ${text}: expected a whole number of at least 1`)
}
