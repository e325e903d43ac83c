// The kernels against the roofline of this machine: node bench/kernels.mjs [--only TEXT] [--json FILE]
// A plain C program (bench/c) with the addon's sources and flags does the timing; this prints its figures. It needs a C compiler.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { cCompiler, kernelProgram } from '../scripts/kernel-program.mjs'

/** What a hand-written variant has to gain over the plain loop that the compiler vectorises for the same CPU. */
const WORTH_WRITING = 1.5

const { values: options } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string', default: '' }, json: { type: 'string' } },
})
const compiler = cCompiler()
if (compiler) await main()
else {
  print('The kernels are timed by a C program, and no C compiler was found (Debian: apt-get install gcc).')
  process.exitCode = 1
}

async function main() {
  const program = await kernelProgram({ folder: 'bench/c', compiler, arch: process.arch })
  const { status, stdout, stderr } = spawnSync(program, ['--only', options.only], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program}: status ${status}\n${stderr}`)
  const figures = stdout.trim().split('\n').filter(Boolean).map(parse)
  print(`${cpus()[0]?.model.trim()}, one thread, ${compiler}\n`)
  printFigures(figures)
  printRule(figures)
  if (options.json)
    writeFileSync(options.json, `${JSON.stringify({ cpu: cpus()[0]?.model.trim(), figures }, null, 2)}\n`)
}

function parse(line) {
  const [kernel, variant, ...numbers] = line.split('\t')
  const place = numbers.splice(1, 1)[0]
  const [dim, nsPerRow, gbPerSecond, readNs, arithmeticNs, plainNs] = numbers.map(Number)
  const bound = readNs > arithmeticNs ? 'reading' : 'arithmetic'
  const share = Math.max(readNs, arithmeticNs) / nsPerRow
  return { kernel, variant, dim, place, nsPerRow, gbPerSecond, readNs, arithmeticNs, plainNs, bound, share }
}

function printFigures(figures) {
  print(
    'Row: one vector; for top_k one distance; for crc32c and hash64 512 bytes. Roof: the slower of reading the same',
  )
  print(
    'bytes in the same order and of the least arithmetic, both at the width of the variant and in the same run.\n',
  )
  print('kernel                dim  place   variant    ns/row     GB/s  roof of      share  x plain C')
  for (const f of figures) {
    const plainC = figures.find(
      g => g.kernel === f.kernel && g.dim === f.dim && g.place === f.place && g.variant === 'c',
    )
    const columns = [
      f.kernel.padEnd(20),
      String(f.dim || '-').padStart(4),
      ` ${f.place.padEnd(7)}`,
      f.variant.padEnd(7),
      f.nsPerRow.toFixed(f.nsPerRow < 10 ? 2 : 1).padStart(9),
      f.gbPerSecond.toFixed(1).padStart(8),
      ` ${f.bound.padEnd(10)}`,
      f.share.toFixed(2).padStart(6),
      plainC ? (plainC.nsPerRow / f.nsPerRow).toFixed(2).padStart(10) : '',
    ]
    print(columns.join(' ').trimEnd())
  }
}

/** Where code is written per instruction set: its gain over the plain loop at the same flags, geometric mean in cache. */
function printRule(figures) {
  const written = figures.filter(f => f.plainNs > 0 && f.place === 'cache')
  if (written.length === 0) return
  print(
    `\nWritten per instruction set; worth it from ${WORTH_WRITING}x over the plain loop with the same flags (data in cache):`,
  )
  for (const key of new Set(written.map(f => `${f.kernel}, ${f.variant}`))) {
    const gains = written.filter(f => `${f.kernel}, ${f.variant}` === key).map(f => f.plainNs / f.nsPerRow)
    const mean = Math.exp(gains.reduce((sum, gain) => sum + Math.log(gain), 0) / gains.length)
    print(`  ${key.padEnd(30)} ${mean.toFixed(2)}x  ${mean >= WORTH_WRITING ? 'kept' : 'not worth it'}`)
  }
}

function print(line) {
  process.stdout.write(`${line}\n`)
}
