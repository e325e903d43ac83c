// The door of the benches: npm run bench -- smoke [--data FOLDER] [--rows N] [--seed N]   |   peers   |   kernels
import { parseArgs } from 'node:util'
import { ToolError } from '../data/tool-error.js'
import { installPeers } from './peers.js'
import { smoke } from './smoke.js'

const USAGE = `usage: npm run bench -- smoke [--data FOLDER] [--rows N] [--seed N]
       npm run bench -- peers
       npm run bench -- kernels

smoke   prints this machine's figures and keeps them in tools/bench/out/. FOLDER (or DRIFT_DATA) holds
        base.*.npy and query.*.npy; without it the demo's bundled vectors are used.
peers   installs hnswlib-node in tools/bench/peers, so that smoke and the demo can compare with it.
kernels prints the speed of every kernel and the share of what this machine can do; it needs a C compiler.`

/** From tools/dist/bench. */
const KERNEL_BENCH = '../../../native/bench/kernels.mjs'

try {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      data: { type: 'string' },
      rows: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
    },
  })
  const [rows, seed] = [wholeNumber('rows', values.rows), wholeNumber('seed', values.seed)]
  if (positionals[0] === 'smoke') await smoke(values.data ?? process.env['DRIFT_DATA'], rows, seed)
  else if (positionals[0] === 'peers') installPeers()
  else if (positionals[0] === 'kernels') await import(new URL(KERNEL_BENCH, import.meta.url).href)
  else usage(`unknown bench: ${positionals[0] ?? '(none)'}`)
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

function wholeNumber(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new ToolError('OPTION', `--${name} ${text}: expected a whole number of at least 1`)
  }
  return value
}
