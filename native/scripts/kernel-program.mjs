// Links a plain C program with the kernels: every source and flag of the addon, read from binding.gyp, without Node.
// Objects are kept in node_modules/.cache under a hash of what they were made from, so only what changed is compiled.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const output = join(root, 'node_modules', '.cache', 'kernel-programs')

/** The C compiler of this machine, or undefined. */
export function cCompiler() {
  const named = process.env.CC ? [process.env.CC] : ['cc', 'gcc', 'clang']
  return named.find(runs)
}

/** Does the command answer to --version? */
export function runs(command) {
  return spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0
}

/**
 * @param folder - below native/: its .c files are the program; a name that ends in .isa.c is built once per variant.
 * @param arch - 'x64' or 'arm64': whose variants are linked.
 * @param flags - of every compilation and of the link.
 * @returns the path of the executable.
 */
export async function kernelProgram({ folder, compiler, arch, flags = [] }) {
  mkdirSync(output, { recursive: true })
  const { kernels, variants, shared } = gypSources(arch)
  const own = readdirSync(join(root, folder)).filter(file => file.endsWith('.c'))
  const inFolder = file => join(folder, file)
  // Fused products would make the plain sums of a program differ from what they say.
  const plain = [...shared.flags, '-std=gnu11', '-O2', '-ffp-contract=off', '-Wall', '-Wextra']
  const units = [
    ...own.filter(file => !file.endsWith('.isa.c')).map(file => ({ source: inFolder(file), flags: plain })),
    ...shared.sources.map(source => ({ source, flags: [...shared.flags, '-std=gnu11', '-O3'] })),
    ...variants.flatMap(variant =>
      [...kernels, ...own.filter(file => file.endsWith('.isa.c')).map(inFolder)].map(source => ({
        source,
        flags: variant.flags,
      })),
    ),
  ]
  const headers = [...headersOf('src'), ...headersOf(folder)]
  const objects = await inParallel(units, unit =>
    compile(compiler, headers, [...unit.flags, ...flags], unit.source),
  )
  const program = join(output, `${folder.replaceAll('/', '-')}-${digest([compiler, ...flags, ...objects])}`)
  if (!existsSync(program)) {
    await run(compiler, [...flags, '-o', `${program}.new`, ...objects, '-lm'])
    renameSync(`${program}.new`, program)
  }
  return program
}

/** What binding.gyp builds for an architecture. It is a literal with # comments: JavaScript but for those. */
function gypSources(arch) {
  const text = readFileSync(join(root, 'binding.gyp'), 'utf8').replace(/^\s*#.*$/gm, '')
  const gyp = Function(`return ${text}`)()
  const chosen = list =>
    Object.assign({}, ...list.filter(([test]) => test.includes(`'${arch}'`)).map(([, then]) => then))
  const addon = gyp.targets[0]
  const targets = chosen(gyp.conditions).targets ?? []
  if (targets.length === 0) throw new Error(`binding.gyp has no kernels for ${arch}`)
  return {
    kernels: gyp.variables.kernel_sources,
    variants: targets.map(target => ({
      flags: target.cflags.flatMap(flag => {
        const name = /^<@\((\w+)\)$/.exec(flag)?.[1]
        return name ? (target.variables?.[name] ?? gyp.variables[name]) : [flag]
      }),
    })),
    shared: {
      sources: addon.sources.filter(source => source.endsWith('.c')),
      flags: chosen(addon.conditions).cflags_c ?? [],
    },
  }
}

async function compile(compiler, headers, flags, source) {
  const text = readFileSync(join(root, source))
  const name = source.replace(/^src\//, '').replaceAll('/', '-')
  const object = join(output, `${name}-${digest([compiler, ...flags, ...headers, text])}.o`)
  if (existsSync(object)) return object
  await run(compiler, [...flags, '-I', 'src', '-c', source, '-o', `${object}.new`])
  renameSync(`${object}.new`, object)
  return object
}

function headersOf(folder) {
  const names = readdirSync(join(root, folder)).filter(file => file.endsWith('.h'))
  return names.map(name => readFileSync(join(root, folder, name)))
}

function digest(parts) {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 16)
}

async function inParallel(items, work) {
  const results = new Array(items.length)
  const queue = items.entries()
  const worker = async () => {
    for (const [i, item] of queue) results[i] = await work(item)
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
  return results
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] })
    let errors = ''
    child.stderr.on('data', chunk => {
      errors += chunk
    })
    child.on('error', reject)
    child.on('close', status => {
      if (status === 0) return resolve()
      reject(new Error(`${command} ${args.join(' ')}\n${errors}`))
    })
  })
}
