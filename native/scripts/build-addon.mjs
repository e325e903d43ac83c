// Builds the addon for the Node that runs this script into prebuilds/<platform>-<arch>/drift-<abi>.node.
// Without a compiler it warns once and succeeds: the TypeScript kernels then do the work. A compiler that fails, or was stopped half
// way, is an error: a success without an addon would be kept by the cache of builds. DRIFT_NO_ADDON=1 asks for none.
// DRIFT_REQUIRE_ADDON=1, or CI=true on a machine with a compiler, makes a binary a must. Needs no network when Node's headers are found.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compilerVersion, toolchain } from './toolchain.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const prebuild = join(
  root,
  'prebuilds',
  `${process.platform}-${process.arch}`,
  `drift-${process.versions.modules}.node`,
)
const mustBuild =
  process.env.DRIFT_REQUIRE_ADDON === '1' || (process.env.CI === 'true' && compilerVersion() !== undefined)

if (process.env.DRIFT_NO_ADDON === '1') rmSync(prebuild, { force: true })
else build()

function build() {
  if (process.platform === 'win32') return withoutAddon('there is no build for Windows yet')
  const tools = toolchain()
  const missing = Object.keys(tools).filter(name => tools[name] === undefined)
  if (missing.length > 0) return withoutAddon(`no ${missing.join(' and no ')} was found`)
  const nodedir = findNodeDir()
  const gyp = spawnSync(
    process.execPath,
    [
      createRequire(import.meta.url).resolve('node-gyp/bin/node-gyp.js'),
      'rebuild',
      ...(nodedir ? [`--nodedir=${nodedir}`] : []),
    ],
    {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      // npm's own setting, of another Node perhaps, would win over the flag, and the addon would not load.
      env: { ...process.env, ...(nodedir && { npm_config_nodedir: nodedir }) },
    },
  )
  if (gyp.status !== 0) {
    process.stderr.write(`${gyp.stdout ?? ''}${gyp.stderr ?? ''}`)
    withoutAddon(gyp.error ? `node-gyp did not run: ${gyp.error.message}` : 'building it failed (above)')
    console.warn('  To do without it, set DRIFT_NO_ADDON=1.')
    process.exitCode = 1
    return
  }
  // Rename, not overwrite: a process that has the old binary mapped keeps it.
  mkdirSync(dirname(prebuild), { recursive: true })
  copyFileSync(join(root, 'build', 'Release', 'drift.node'), `${prebuild}.new`)
  renameSync(`${prebuild}.new`, prebuild)
}

/** The folder with include/node/node.h of this very Node, or undefined: node-gyp then downloads the headers. */
function findNodeDir() {
  const named = process.env.NODEDIR ?? process.env.npm_config_nodedir
  const beside = resolve(dirname(process.execPath), '..')
  const candidates = [process.env.NODEDIR, beside, process.env.npm_config_nodedir, '/usr', '/usr/local']
  const found = candidates.find(folder => folder !== undefined && headersVersion(folder) === process.version)
  // A folder that was named but holds a source tree is node-gyp's to judge.
  return found ?? named
}

function headersVersion(folder) {
  const header = join(folder, 'include', 'node', 'node_version.h')
  if (!existsSync(header)) return undefined
  const text = readFileSync(header, 'utf8')
  const part = name => text.match(new RegExp(`#define NODE_${name}_VERSION (\\d+)`))?.[1]
  return `v${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}`
}

/** A binary of an older build would answer for sources that it was not made from: it goes. */
function withoutAddon(reason) {
  rmSync(prebuild, { force: true })
  const lines = [
    `@drift/native: the addon was not built, because ${reason}.`,
    '  Everything works with the TypeScript kernels, several times slower.',
  ]
  if (process.platform !== 'win32') {
    lines.push(`  To build it, install ${advice()}, then run: npm run build -w @drift/native`)
  }
  console.warn(lines.join('\n'))
  if (mustBuild) process.exitCode = 1
}

function advice() {
  if (process.platform === 'darwin') return "Apple's command line tools (xcode-select --install) and Python 3"
  return 'g++, make and Python 3 (Debian, Ubuntu: apt-get install g++ make python3; Fedora: dnf install gcc-c++ make python3; Alpine: apk add g++ make python3)'
}
