// The NEON kernels on a machine that is not arm64: built by a cross compiler and run by an emulator, under the same
// random calls between forbidden pages as at home. node scripts/cross.mjs [--calls 2e4] [--seed 1]
// The AVX-512 kernels are built by every x64 build; no free emulator has VNNI, so they run only where the CPU has it.
import { spawnSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { kernelProgram, runs } from './kernel-program.mjs'

const COMPILER = process.env.DRIFT_ARM64_CC ?? 'aarch64-linux-gnu-gcc'
const EMULATORS = ['qemu-aarch64-static', 'qemu-aarch64']

/** What runs arm64 programs here: the emulator's command and the compiler, or why there is none. */
export function arm64Tools() {
  const emulator = EMULATORS.find(runs)
  const missing = [runs(COMPILER) ? [] : [COMPILER], emulator ? [] : [EMULATORS[0]]].flat()
  const advice = 'Debian, Ubuntu: apt-get install gcc-aarch64-linux-gnu qemu-user-static'
  return missing.length > 0 ? { missing: `${missing.join(' and ')} not found (${advice})` } : { emulator }
}

/** The harness for arm64; static, so that the emulator needs no libraries of the other system. */
export function arm64Harness() {
  return kernelProgram({ folder: 'test/c', compiler: COMPILER, arch: 'arm64', flags: ['-g1', '-static'] })
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main()

async function main() {
  const { values } = parseArgs({
    options: { calls: { type: 'string', default: '2e4' }, seed: { type: 'string', default: '1' } },
  })
  const { missing, emulator } = arm64Tools()
  if (missing) {
    console.error(missing)
    process.exitCode = 1
    return
  }
  const program = await arm64Harness()
  const { status } = spawnSync(emulator, [program, '--calls', values.calls, '--seed', values.seed], {
    stdio: 'inherit',
  })
  process.exitCode = status ?? 1
}
