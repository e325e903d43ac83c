// Random calls of every kernel, twice: with forbidden pages around each argument, and under the address and
// undefined-behaviour sanitizers. node scripts/sanitize.mjs [--calls 1e7] [--seed 1] [--mode guard|sanitizers]
// A failure names the case and how to run it again. Calls are split into runs of a million, each with a seed of its own.
import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { cCompiler, kernelProgram } from './kernel-program.mjs'

// Reports name lines (-g1): tracking variables too takes longer than the rest of the compilation.
const MODES = {
  // The kernels as they are shipped: no instrumentation, so what the optimiser made of them is what is tested.
  guard: ['-g1'],
  // -O1 keeps every load that the source names.
  sanitizers: [
    '-g1',
    '-O1',
    '-fno-omit-frame-pointer',
    '-fsanitize=address,undefined,float-cast-overflow',
    '-fno-sanitize-recover=all',
  ],
}
const RUN_CALLS = 1e6

/** The harness, built for this machine in one of the modes. */
export function harness(mode) {
  return kernelProgram({ folder: 'test/c', compiler: cCompiler(), arch: process.arch, flags: MODES[mode] })
}

/** Why the harness cannot be built in a mode, or undefined: a compiler may come without the libraries of its sanitizers. */
export function obstacle(mode) {
  const compiler = cCompiler()
  if (!compiler) return 'no C compiler (Debian: apt-get install gcc)'
  const args = ['-x', 'c', '-', '-o', '/dev/null', ...MODES[mode]]
  const { status } = spawnSync(compiler, args, {
    input: 'int main(void) { return 0; }',
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  return status === 0 ? undefined : `${compiler} does not link ${MODES[mode].join(' ')}`
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main()

async function main() {
  const { values } = parseArgs({
    options: {
      calls: { type: 'string', default: '1e5' },
      seed: { type: 'string', default: '1' },
      mode: { type: 'string' },
    },
  })
  for (const mode of values.mode ? [values.mode] : Object.keys(MODES)) {
    const reason = obstacle(mode)
    if (reason) {
      console.error(`${mode}: ${reason}`)
      process.exitCode = 1
      return
    }
    const program = await harness(mode)
    console.log(`${mode}: ${program}`)
    for (let done = 0, seed = Number(values.seed); done < Number(values.calls); done += RUN_CALLS, seed++) {
      const calls = Math.min(RUN_CALLS, Number(values.calls) - done)
      const start = performance.now()
      const { status, signal } = spawnSync(program, ['--calls', String(calls), '--seed', String(seed)], {
        stdio: 'inherit',
      })
      if (status !== 0) {
        console.error(`${mode} failed: ${signal ?? `status ${status}`}`)
        process.exitCode = 1
        return
      }
      console.log(`  ${((performance.now() - start) / 1000).toFixed(1)} s`)
    }
  }
}
