// `npm run demo`: the main job of Drift on real vectors, with every claim checked.
// Exit code 0: every claim that was printed held. 1: one did not, or something failed. 2: an option or a file is bad.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Drift } from '@drift/server'
import { machine } from '../bench/machine.js'
import { ToolError } from '../data/tool-error.js'
import { crash } from './crash.js'
import { showHits } from './hits.js'
import { type DemoInput, loadInput } from './input.js'
import { reopen } from './reopen.js'
import { Screen, whole } from './screen.js'
import { searchRows } from './search.js'
import { serveDemo } from './serve.js'
import { writeRows } from './write.js'

const USAGE = `usage: npm run demo -- [serve] [--data FILE.npy] [--rows N] [--keep]
  serve    put the rows behind HTTP and print what to ask, instead of the demo
  --data   a .npy matrix of yours (float16, float32, uint8; one vector per row) instead of the bundled one
  --rows   use at most N rows of it
  --keep   leave the database folder in place`

const serves = process.argv[2] === 'serve'
if (serves) process.argv.splice(2, 1)
const options = readOptions()
const input = readInput(options)
if (serves) await serveDemo(input)
else process.exitCode = await demo(input, options.keep)

async function demo(input: DemoInput, keep: boolean): Promise<number> {
  const screen = new Screen()
  const { cpu, cores, node, kernels } = machine()
  const folder = mkdtempSync(join(tmpdir(), 'drift-demo-'))
  const path = join(folder, 'db')
  const open = (db: Drift) => db.collection('commits', { dim: input.dim, metric: 'cosine' })

  console.log('Drift demo')
  screen.line(`${cpu}, ${cores} cores, Node ${node}, kernels: ${kernels}`)
  screen.line(`${whole(input.facts.length)} rows of ${input.dim} dimensions: ${input.name}`)
  if (input.skipped > 0)
    screen.line(`${whole(input.skipped)} rows of zeros were left out: they have no direction`)

  let db = await Drift.open(path, { sync: 'always' })
  try {
    const collection = await open(db)
    screen.step('Write')
    await writeRows(screen, collection, input)
    screen.step('Search')
    await searchRows(screen, collection, input)
    screen.step('Look at hits')
    await showHits(screen, collection, input)
    screen.step('Close and open again')
    db = await reopen(screen, db, path, open, input)
    screen.step('Kill a writing process')
    await crash(screen, folder)
  } finally {
    await db.close()
    if (!keep) rmSync(folder, { recursive: true, force: true })
  }

  const { broken, checked, seconds } = screen
  console.log(
    broken.length === 0
      ? `\nAll ${checked} claims hold (${seconds.toFixed(0)} s).`
      : `\n${broken.length} of ${checked} claims do NOT hold:\n${broken.map(claim => `  - ${claim}`).join('\n')}`,
  )
  if (keep) console.log(`The database is in ${path}`)
  console.log(`Where to go next:
  README.md                           twenty lines of your own
  npm run demo -- --data FILE.npy     the same on your vectors
  npm run bench -- smoke              this machine's figures
  docs/ARCHITECTURE.md                how it works`)
  return broken.length === 0 ? 0 : 1
}

interface Options {
  readonly data: string | undefined
  readonly rows: number | undefined
  readonly keep: boolean
}

function readOptions(): Options {
  try {
    const { values } = parseArgs({
      options: {
        data: { type: 'string' },
        rows: { type: 'string' },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    if (values.help) {
      console.log(USAGE)
      process.exit(0)
    }
    const rows = values.rows === undefined ? undefined : Number(values.rows)
    if (rows !== undefined && (!Number.isSafeInteger(rows) || rows < 1)) {
      throw new ToolError('OPTION', `--rows ${values.rows}: expected a whole number of at least 1`)
    }
    return { data: values.data, rows, keep: values.keep }
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`)
    process.exit(2)
  }
}

function readInput({ data, rows }: Options): DemoInput {
  try {
    return loadInput(data, rows)
  } catch (error) {
    if (!(error instanceof ToolError)) throw error
    console.error(`${error.code}: ${error.message}`)
    process.exit(2)
  }
}
