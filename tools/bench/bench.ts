// The door of the benches: npm run bench [-- COMMAND] [OPTIONS]. Everything without a command.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { toolsFolder, workspaceFolder } from '../data/place.js'
import { ToolError } from '../data/tool-error.js'
import { bloom } from './bloom.js'
import { codecs } from './codecs.js'
import { type CompareOptions, compare } from './compare.js'
import { enginesOf } from './engines/catalogue.js'
import { filters } from './filters.js'
import { growth } from './growth.js'
import { http } from './http/http.js'
import { soak } from './http/soak.js'
import { insert } from './insert.js'
import { opening } from './opening.js'
import { installPeers } from './peers.js'
import { quantizers } from './quantizers.js'
import { writeReport } from './report.js'
import { loadResults } from './results.js'
import { smoke } from './smoke.js'
import { sustained } from './sustained.js'
import { upkeep } from './upkeep.js'
import { sourcesOf } from './vectors.js'
import { wal } from './wal.js'

const USAGE = `usage: npm run bench [-- COMMAND] [OPTIONS]

compare  every engine on every data set; the report goes to docs/bench. What is run when no command is named.
report   writes the report again from docs/bench/results.json.
growth   the same from 100 000 to 1 000 000 rows of one generator (--dim), Drift alone when no engine is named.
filters  recall and cost of filtered searches by selectivity, and of filters that go with the query.
http     a server over loopback beside the embedded call: searches, upserts, the event loop's delay, overload.
soak     a mixed load over HTTP at 0.8 of the capacity, --rows 40000 for --minutes 30: what the server's memory does.
insert   rows per second into and out of a filled index.
kernels  the native kernels alone.
codecs   pages of floats and their checksums, beside memcpy.
bloom    what id filters save a compaction over 50 segments; --passes rounds.
wal      durable upserts beside a bare loop that writes and syncs as many bytes; --passes rounds.
upkeep   how long searches wait beside a writer and full maintenance, and a close in the middle of it; --rows 100000.
sustained  --rows durable upserts (2 000 000) while flushes run, and one flush.
quantizers  the modes of an index's quantizer at equal recall, --dims 0,32,16,8,4 (0: as the rows are; else cast onto so many).
opening  an empty database, a log after a kill, a stored index: how long each takes to open.
smoke    this machine's figures in a few minutes, the durable ones too, on the first data set; kept in tools/bench/out.
peers    installs the engines of npm, and what draws the plots, in tools/bench/peers.

--data FOLDER      holds data sets, or is one: base.*.npy and query.*.npy (or DRIFT_DATA); without it the demo's vectors
--sets A,B         names of data sets, or mix:ROWSxDIM, which is generated; default: every one in the folder
--engines A,B      default: all
--python PATH      a python with hnswlib, faiss, scann or svs; without it those are left out
--rows N           the first rows of each data set; smoke: 100000
--dim N            of growth: 128
--dims A,B         of quantizers
--passes N         5
--minutes N        30
--build-threads N  1
--seed N           1
--quick            20 000 rows, fewer engines, short passes, one data set: under five minutes, in tools/bench/out/quick
--out FOLDER       instead of docs/bench`

/** What `--quick` compares when no engines are named. */
const QUICK_ENGINES = ['drift', 'brute-force', 'hnswlib-node', 'usearch', 'py-hnswlib-16']
const QUICK_ROWS = 20_000
/** Growth is a question about Drift; others are named. */
const GROWTH_ENGINES = ['drift']

try {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      data: { type: 'string' },
      sets: { type: 'string' },
      engines: { type: 'string' },
      python: { type: 'string' },
      rows: { type: 'string' },
      dim: { type: 'string', default: '128' },
      dims: { type: 'string', default: '0,32,16,8,4' },
      passes: { type: 'string', default: '5' },
      minutes: { type: 'string', default: '30' },
      'build-threads': { type: 'string', default: '1' },
      seed: { type: 'string', default: '1' },
      quick: { type: 'boolean', default: false },
      out: { type: 'string' },
    },
  })
  if (values.help) {
    console.log(USAGE)
    process.exit(0)
  }
  const { quick } = values
  const command = positionals[0] ?? 'compare'
  const data = values.data ?? (process.env['DRIFT_DATA'] || undefined)
  const rows = values.rows === undefined ? undefined : wholeNumber('rows', values.rows)
  const seed = wholeNumber('seed', values.seed)
  const out =
    values.out ?? join(quick ? toolsFolder : workspaceFolder, quick ? 'bench/out/quick' : 'docs/bench')
  const names = values.engines?.split(',')
  const chosen = () => sourcesOf(values.sets?.split(','), data).slice(0, quick ? 1 : undefined)
  const options = (defaults: readonly string[] | undefined): CompareOptions => ({
    engines: enginesOf(names ?? (quick ? QUICK_ENGINES : defaults)),
    python: values.python,
    maxRows: rows ?? (quick ? QUICK_ROWS : Number.POSITIVE_INFINITY),
    seed,
    passes: wholeNumber('passes', values.passes),
    passMs: quick ? 100 : 200,
    buildThreads: wholeNumber('build-threads', values['build-threads']),
    ks: [10, 100],
    out,
  })
  const commands: Record<string, () => Promise<void> | void> = {
    compare: () => compare(chosen(), options(undefined)).then(format),
    report() {
      writeReport(out, loadResults(out))
      format()
    },
    growth: () => growth(wholeNumber('dim', values.dim), options(GROWTH_ENGINES)).then(format),
    filters: async () => {
      for (const source of chosen()) await filters(source, rows ?? Number.POSITIVE_INFINITY, seed)
    },
    http: () => http(chosen()[0]!, rows ?? 100_000),
    soak: () => soak(chosen()[0]!, rows ?? 40_000, wholeNumber('minutes', values.minutes)),
    insert: () => insert(chosen(), options(undefined)),
    kernels,
    codecs: () => codecs(chosen()),
    bloom: () => bloom(wholeNumber('passes', values.passes), seed),
    wal: () => wal(wholeNumber('passes', values.passes), seed),
    sustained: () => sustained(rows ?? 2_000_000, seed),
    quantizers: () => {
      const dims = values.dims.split(',').map(dim => (dim === '0' ? 0 : wholeNumber('dims', dim)))
      return quantizers(
        chosen(),
        rows ?? Number.POSITIVE_INFINITY,
        dims,
        wholeNumber('passes', values.passes),
        seed,
      )
    },
    opening: () => opening(seed),
    smoke: () => smoke(chosen()[0]!, rows ?? 100_000, seed),
    upkeep: () => upkeep(chosen()[0]!, rows ?? 100_000),
    peers: installPeers,
  }
  const run = Object.hasOwn(commands, command) ? commands[command] : undefined
  if (run) await run()
  else usage(`unknown bench: ${command}`)
} catch (error) {
  if (error instanceof ToolError) console.error(`${error.code}: ${error.message}`)
  else if ((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')) usage((error as Error).message)
  else throw error
  process.exitCode ||= 1
}

function usage(message: string): void {
  console.error(`${message}\n${USAGE}`)
  process.exitCode = 2
}

/** As the repository's check wants the files that are committed. */
function format(): void {
  const biome = join(workspaceFolder, 'node_modules', '@biomejs', 'biome', 'bin', 'biome')
  spawnSync(process.execPath, [biome, 'format', '--write', 'docs/bench'], { cwd: workspaceFolder })
}

function kernels(): void {
  const script = join(workspaceFolder, 'native', 'bench', 'kernels.mjs')
  process.exitCode = spawnSync(process.execPath, [script], { stdio: 'inherit' }).status ?? 1
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new ToolError('OPTION', `--${name} ${text}: expected a whole number of at least 1`)
  }
  return value
}
