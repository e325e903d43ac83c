// What pages of floats cost beside memcpy: node bench/pages.mjs [FILE of float32 ...]
// A plain C program (bench/pages) with the addon's sources and flags does the timing; this prints its figures, and what the TypeScript
// that defines the pages makes. It needs a C compiler.
import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { basename } from 'node:path'
import { floatPageRoom, kernelsOf } from '../dist/index.js'
import { cCompiler, kernelProgram } from '../scripts/kernel-program.mjs'

/** Of the definition: 16 KiB a page, as in the C program. */
const PAGE_VALUES = 4096
const PASSES = 1000

const compiler = cCompiler()
if (compiler) await main()
else {
  print('The pages are timed by a C program, and no C compiler was found (Debian: apt-get install gcc).')
  process.exitCode = 1
}

async function main() {
  const program = await kernelProgram({ folder: 'bench/pages', compiler, arch: process.arch })
  const { status, stdout, stderr } = spawnSync(program, process.argv.slice(2), { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program}: status ${status}\n${stderr}`)
  print(`${cpus()[0]?.model.trim()}, one thread, ${compiler}; GB/s of values, the best of many rounds`)
  print('packed: by a given choice; checked: and decoded again for exceptions; encode: and the choice.\n')
  print(
    'values                          codec    bits   memcpy   decode  and CRC  of memcpy   packed  checked   encode  and CRC     CRC',
  )
  for (const line of stdout.trim().split('\n')) {
    const [values, codec, ...numbers] = line.split('\t')
    const [bits, copy, decode, read, pack, checked, encode, write, crc] = numbers.map(Number)
    const columns = [
      basename(values, '.f32').padEnd(31),
      codec.padEnd(7),
      bits.toFixed(2).padStart(5),
      ...[copy, decode, read].map(rate => rate.toFixed(1).padStart(8)),
      (decode / copy).toFixed(2).padStart(10),
      ...[pack, checked, encode, write].map(rate => rate.toFixed(2).padStart(8)),
      crc.toFixed(1).padStart(7),
    ]
    print(columns.join(' '))
  }
  const waves = Array.from({ length: PAGE_VALUES }, (_, i) => Math.sin(i * i) / 20)
  const decimals = waves.map(value => Math.round(value * 1e5) / 1e5)
  const rates = [
    ['normal', Float32Array.from(waves)],
    ['5 decimals', Float32Array.from(decimals)],
    ['float64 normal', Float64Array.from(waves)],
    ['float64 decimals', Float64Array.from(decimals)],
  ].map(([name, values]) => `${name} ${decodedBySource(values).toFixed(2)}`)
  print(`\nIn TypeScript: decodes GB/s of ${rates.join(', ')}.`)
}

function decodedBySource(values) {
  const reference = kernelsOf('reference')
  const room = new Uint8Array(floatPageRoom(values.length, values.BYTES_PER_ELEMENT))
  const page = room.subarray(0, reference.floatPageEncode(values, room))
  const out = values.slice()
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < PASSES; i++) {
    const start = performance.now()
    for (let j = 0; j < 10; j++) reference.floatPageDecode(page, PAGE_VALUES, 0, out)
    best = Math.min(best, performance.now() - start)
  }
  return (10 * values.byteLength) / best / 1e6
}

function print(line) {
  process.stdout.write(`${line}\n`)
}
