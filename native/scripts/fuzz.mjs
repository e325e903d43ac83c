// What reads bytes of files, under any bytes: libFuzzer looks for inputs that reach new code, the address and undefined-behaviour
// sanitizers for what they break (test/fuzz/fuzz.c). node scripts/fuzz.mjs [--seconds 30] [--target NAME] [--seed 1]
// Seconds are of each target. Needs clang; a failure leaves the input in a file and names the command that runs it again.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { kernelProgram, runs } from './kernel-program.mjs'

const FLAGS = [
  '-g1',
  '-O1',
  '-fno-omit-frame-pointer',
  '-fsanitize=fuzzer,address,undefined,float-cast-overflow',
  '-fno-sanitize-recover=all',
]
const COMPILERS = ['clang', 'clang-19', 'clang-18', 'clang-17', 'clang-16', 'clang-15', 'clang-14']
const source = join(dirname(fileURLToPath(import.meta.url)), '..', 'test', 'fuzz', 'fuzz.c')

/** A compiler that links libFuzzer, or why there is none. */
export function fuzzTools() {
  const compiler = [process.env.DRIFT_CLANG ?? [], COMPILERS].flat().find(runs)
  const advice = 'Debian: apt-get install clang libclang-rt-14-dev'
  if (!compiler) return { missing: `no clang (${advice})` }
  const program = 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n ? 0 : 0; }'
  const { status } = spawnSync(compiler, ['-x', 'c', '-', '-o', '/dev/null', ...FLAGS], {
    input: program,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  return status === 0 ? { compiler } : { missing: `${compiler} does not link libFuzzer (${advice})` }
}

/** As the source lists them. */
export function fuzzTargets() {
  const list = /TARGETS\[\] = \{(.*?)\};/s.exec(readFileSync(source, 'utf8'))[1]
  return [...list.matchAll(/"(\w+)"/g)].map(([, name]) => name)
}

/** @param amount - `-max_total_time=S` or `-runs=N`. @returns what libFuzzer said. */
export async function fuzz(compiler, target, seed, amount) {
  const program = await kernelProgram({ folder: 'test/fuzz', compiler, arch: process.arch, flags: FLAGS })
  const folder = mkdtempSync(join(tmpdir(), 'drift-fuzz-'))
  const limits = ['-max_len=8192', '-timeout=5', '-rss_limit_mb=1024', `-artifact_prefix=${folder}/`]
  const { status, stderr } = spawnSync(
    program,
    [amount, `-seed=${seed}`, '-print_final_stats=1', ...limits],
    {
      encoding: 'utf8',
      env: { ...process.env, DRIFT_FUZZ_TARGET: target },
      maxBuffer: 256 * 1024 * 1024,
    },
  )
  const input = /Test unit written to (\S+)/.exec(stderr)?.[1]
  const number = name => Number(new RegExp(`stat::${name}:\\s+(\\d+)`).exec(stderr)?.[1])
  const covered = Number([...stderr.matchAll(/cov: (\d+)/g)].at(-1)?.[1])
  const again = input ? `DRIFT_FUZZ_TARGET=${target} ${program} ${input}` : undefined
  return { status, stderr, again, executed: number('number_of_executed_units'), covered }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main()

async function main() {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '30' },
      seed: { type: 'string', default: '1' },
      target: { type: 'string' },
    },
  })
  const { compiler, missing } = fuzzTools()
  if (missing) {
    console.error(missing)
    process.exitCode = 1
    return
  }
  for (const target of values.target ? [values.target] : fuzzTargets()) {
    const { status, stderr, again, executed, covered } = await fuzz(
      compiler,
      target,
      values.seed,
      `-max_total_time=${values.seconds}`,
    )
    if (status !== 0) {
      console.error(`${target} failed\n${stderr.slice(-4000)}\n${again ?? ''}`)
      process.exitCode = 1
      return
    }
    console.log(`${target}: ${executed} inputs, ${covered} edges`)
  }
}
