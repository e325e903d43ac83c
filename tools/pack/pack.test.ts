// Proves: the packed packages, installed into an empty folder that knows nothing of the workspace, work: each door
// alone, in JavaScript and for the strict TypeScript compiler; publint and attw find nothing to say about them.
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kernels } from '@drift/native'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toolsFolder, workspaceFolder } from '../data/place.js'

const folders = {
  native: 'native',
  fs: 'packages/fs',
  core: 'packages/core',
  storage: 'packages/storage',
  server: 'packages/server',
  client: 'packages/client',
  http: 'packages/http',
  cli: 'packages/cli',
} as const
type Package = keyof typeof folders

/** What has to be installed so that a package finds its dependencies. */
const needs: Readonly<Record<'core' | 'storage' | 'server' | 'client' | 'http' | 'cli', readonly Package[]>> =
  {
    core: ['native', 'fs', 'core'],
    storage: ['native', 'fs', 'storage'],
    server: ['native', 'fs', 'core', 'storage', 'server'],
    client: ['client'],
    http: ['native', 'fs', 'core', 'storage', 'server', 'client', 'http'],
    cli: ['native', 'fs', 'core', 'storage', 'server', 'client', 'http', 'cli'],
  }

const modules = join(workspaceFolder, 'node_modules')
const tarballs = new Map<Package, string>()
const contents = new Map<Package, string[]>()
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'drift-pack-'))
  for (const [name, place] of Object.entries(folders) as [Package, string][]) {
    const { stdout } = run(
      'npm',
      ['pack', '--json', '--pack-destination', folder],
      join(workspaceFolder, place),
    )
    const { filename, files } = packReport(stdout)
    tarballs.set(name, join(folder, filename))
    contents.set(
      name,
      files.map(file => file.path),
    )
  }
})
afterAll(() => rmSync(folder, { recursive: true }))

describe.each(Object.keys(folders) as Package[])('the tarball of %s', name => {
  test('holds the built package, its README and no tests', () => {
    const paths = contents.get(name)!
    const expected = ['package.json', 'README.md', 'dist/index.js', 'dist/index.d.ts']
    expect(expected.filter(path => !paths.includes(path))).toEqual([])
    expect(paths.filter(path => /\.test\.|(^|\/)test\/|tsbuildinfo|node_modules/.test(path))).toEqual([])
  })

  test('calls its classes and functions as it exports them', async () => {
    const exported = Object.entries<unknown>(
      await import(join(workspaceFolder, folders[name], 'dist/index.js')),
    )
    const called = exported.filter(([, value]) => typeof value === 'function') as [string, { name: string }][]
    expect(called.map(([, { name }]) => name)).toEqual(called.map(([name]) => name))
  })

  test('is clean for publint', async () => {
    const bytes = readFileSync(tarballs.get(name)!)
    const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer
    const { messages, pkg } = await publint({ pack: { tarball }, strict: true })
    expect(messages.map(message => formatMessage(message, pkg, { color: false }))).toEqual([])
  })

  test('is clean for attw', () => {
    const attw = join(modules, '@arethetypeswrong', 'cli', 'dist', 'index.js')
    run(process.execPath, [
      attw,
      tarballs.get(name)!,
      ...['--profile', 'esm-only', '--no-definitely-typed', '--format', 'ascii', '--no-color', '--no-emoji'],
    ])
  })
})

describe.each(Object.keys(needs) as (keyof typeof needs)[])('@drift/%s alone, in an empty folder', name => {
  let place: string
  const program = join(toolsFolder, 'pack', 'programs', `${name}.ts`)

  beforeAll(() => {
    place = join(folder, `use-${name}`)
    mkdirSync(place)
    writeFileSync(join(place, 'package.json'), '{ "name": "use", "private": true }')
    run(
      'npm',
      [
        // A dependency that asks for a newer Node than this fails.
        ...[
          'install',
          '--engine-strict',
          '--ignore-scripts',
          '--no-audit',
          '--no-fund',
          '--prefer-offline',
          '--loglevel=error',
        ],
        ...needs[name].map(need => tarballs.get(need)!),
      ],
      place,
    )
  })

  test('runs a small program', () => {
    copyFileSync(program, join(place, 'program.mjs'))
    expect(run(process.execPath, ['program.mjs'], place).stdout).toBe(`${name} works\n`)
  })

  test('type-checks the same program', () => {
    copyFileSync(program, join(place, 'program.mts'))
    writeFileSync(join(place, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['program.mts'] }))
    run(process.execPath, [join(modules, 'typescript', 'bin', 'tsc'), '-p', place])
  })

  test.runIf(needs[name].includes('native'))('runs the kernels that the workspace runs', () => {
    const code = "import('@drift/native').then(({ kernels }) => console.log(kernels.variant))"
    expect(run(process.execPath, ['-e', code], place).stdout.trim()).toBe(kernels.variant)
  })
})

/** A strict consumer that also looks into the packages' own declarations. */
const compilerOptions = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  noEmit: true,
  target: 'es2022',
  lib: ['es2023', 'esnext.disposable'],
  module: 'nodenext',
  moduleResolution: 'nodenext',
  types: ['node'],
  typeRoots: [join(modules, '@types')],
}

/** npm reports a list, newer ones an object by name. */
function packReport(stdout: string): { filename: string; files: { path: string }[] } {
  return Object.values(JSON.parse(stdout))[0] as { filename: string; files: { path: string }[] }
}

/** Fails the test with all that the command printed when it does not end with 0. */
function run(command: string, args: readonly string[], cwd: string = folder): { stdout: string } {
  // npm under npm hands down which workspace it runs in; the empty folder must not see that.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(package_|config_(local_prefix|workspaces?)$)/i.test(name),
    ),
  )
  const child = spawnSync(command, args, {
    cwd,
    env,
    encoding: 'utf8',
    shell: process.platform === 'win32' && command === 'npm',
  })
  if (child.status !== 0) {
    throw new Error(
      `${command} ${args.join(' ')} ended with ${child.status}\n${child.stdout}${child.stderr}${child.error ?? ''}`,
    )
  }
  return child
}
