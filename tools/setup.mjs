// Set up a fresh clone, then run a command: node tools/setup.mjs [node|nx ARGUMENTS].
// Install from the lockfile, then build the addon and the packages. Each step says what it does, and that there was
// nothing to do. Uses nothing but Node, because it runs before anything is installed.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const stampPath = join(root, 'node_modules', '.drift-setup')
const nxPath = join(root, 'node_modules', 'nx', 'dist', 'bin', 'nx.js')
const env = { ...process.env, NX_DAEMON: 'false', NX_NO_CLOUD: 'true' }

const [major, minor] = process.versions.node.split('.').map(Number)
// What builds and tests need; the packages run on 20.3.
if (major < 20 || (major === 20 && minor < 19))
  fail(`Drift is built with Node 20.19 or newer; this is ${process.version}.`)

install()
build()
await checkAddon()
start(process.argv.slice(2))

function install() {
  const stamp = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .update(`${process.platform} ${process.arch}`)
    .digest('hex')
  step('dependencies of package-lock.json', () => {
    if (existsSync(stampPath) && readFileSync(stampPath, 'utf8') === stamp) return false
    // No package here needs its install script, so none is run.
    run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
    writeFileSync(stampPath, stamp)
    return true
  })
}

function build() {
  step('addon and packages', () => {
    const output = run(process.execPath, [nxPath, 'run-many', '-t', 'build', '--output-style=stream'])
    return !/cache instead of running the command for (\d+) out of \1 tasks/.test(output)
  })
}

/** Without an addon the package itself says here, once, how to get it; what is started then need not repeat it. */
async function checkAddon() {
  const { hasAddon } = await import('../native/dist/index.js')
  if (!hasAddon) env.DRIFT_KERNELS = 'reference'
}

function start([program, ...args]) {
  if (program === undefined) return
  if (program !== 'node' && program !== 'nx') fail(`${program}: expected node or nx`)
  // The warning of a missing addon is printed in the next turn of the event loop, before what follows.
  setImmediate(() => {
    const all = program === 'nx' ? [nxPath, ...args] : args
    const { status } = spawnSync(process.execPath, all, { cwd: root, stdio: 'inherit', env })
    process.exitCode = status ?? 1
  })
}

/** @param work - returns whether there was anything to do. */
function step(title, work) {
  process.stdout.write(`setup: ${title} ... `)
  const started = performance.now()
  const worked = work()
  console.log(worked ? `done in ${((performance.now() - started) / 1000).toFixed(0)} s` : 'up to date')
}

/** The output is shown only when the command fails. */
function run(command, args) {
  const child = spawnSync(command, args, {
    cwd: root,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024,
    // npm is a .cmd file there, which only a shell starts.
    shell: process.platform === 'win32' && command === 'npm',
  })
  if (child.status === 0) return child.stdout
  fail(`${command} ${args.join(' ')} failed\n${child.stdout ?? ''}${child.stderr ?? ''}${child.error ?? ''}`)
}

function fail(message) {
  console.error(`setup: ${message}`)
  process.exit(1)
}
