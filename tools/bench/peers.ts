// Installs and finds the peers that Drift is compared with (tools/bench/peers, with its own lockfile).
// hnswlib chooses its SIMD when it is compiled, so it is built for this very machine: the comparison is with its best.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { toolsFolder, workspaceFolder } from '../data/place.js'
import { ToolError } from '../data/tool-error.js'

/** The part of hnswlib-node that is used. */
export interface Hnswlib {
  HierarchicalNSW: new (
    space: 'l2' | 'ip' | 'cosine',
    dim: number,
  ) => {
    initIndex(
      maxElements: number,
      m: number,
      efConstruction: number,
      randomSeed: number,
      allowReplaceDeleted?: boolean,
    ): void
    addPoint(point: number[], label: number, replaceDeleted?: boolean): void
    markDelete(label: number): void
    setEf(ef: number): void
    searchKnn(query: number[], k: number): { neighbors: number[]; distances: number[] }
  }
}

const folder = join(toolsFolder, 'bench', 'peers')
const hnswlibFolder = join(folder, 'node_modules', 'hnswlib-node')

/** hnswlib-node, or undefined when the peers are not installed. */
export function loadHnswlib(): Hnswlib | undefined {
  if (!existsSync(join(hnswlibFolder, 'build', 'Release', 'addon.node'))) return undefined
  return createRequire(join(folder, 'package.json'))('hnswlib-node') as Hnswlib
}

/** A peer's module, or undefined when it is not installed or does not load on this machine. */
export function requirePeer<T>(name: string): T | undefined {
  try {
    return createRequire(join(folder, 'package.json'))(name) as T
  } catch {
    return undefined // what is missing is said in the report, by name
  }
}

/** As the lockfile has it. */
export function peerVersion(name: string): string {
  const { dependencies } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  return `${name} ${dependencies[name]}`
}

/** `npm run bench -- peers` */
export function installPeers(): void {
  console.log(`installing the peers in ${folder}`)
  run(folder, 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'])
  const nodeGyp = join(workspaceFolder, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')
  const headers = join(process.execPath, '..', '..', 'include', 'node')
  const nodedir = existsSync(join(headers, 'node.h')) ? ['--nodedir', join(process.execPath, '..', '..')] : []
  for (const name of COMPILED) {
    console.log(`compiling ${name}`)
    run(join(folder, 'node_modules', name), process.execPath, [nodeGyp, 'rebuild', '--silent', ...nodedir])
  }
}

/** The others come with binaries. */
const COMPILED = ['hnswlib-node', 'better-sqlite3']

function run(cwd: string, command: string, args: readonly string[]): void {
  const flags = process.arch === 'x64' ? '-O3 -march=native' : '-O3'
  const child = spawnSync(command, args, {
    cwd,
    stdio: 'inherit',
    shell: process.platform === 'win32' && command === 'npm',
    env: { ...process.env, CXXFLAGS: `${process.env['CXXFLAGS'] ?? ''} ${flags}`.trim() },
  })
  if (child.status !== 0) throw new ToolError('PEERS', `${command} ${args[0]} ended with ${child.status}`)
}
