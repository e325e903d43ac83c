// Proves: every code block of the READMEs and of docs/ runs as it stands when it is pasted into an empty folder in which the
// packages are installed, and passes the TypeScript compiler in strict mode, where it may be pasted as well.
// A block that is not meant to run says so in its fence: ```js no-run
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { workspaceFolder } from '../data/place.js'
import { type CodeBlock, codeBlocks } from './code-blocks.js'
import { packageFolders } from './files.js'

/** A README example that takes longer is no example; all of them are compiled at once, which a busy machine may take a minute for. */
const BLOCK_TIMEOUT_MS = 60_000
const COMPILE_TIMEOUT_MS = 200_000

const modules = join(workspaceFolder, 'node_modules')
const readmes = ['.', ...packageFolders].map(folder => join(folder, 'README.md'))
/** Those of docs/ that have code. */
const pages = readdirSync(join(workspaceFolder, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.md'))
  .map(name => join('docs', name))
  .filter(page => codeBlocks(readFileSync(join(workspaceFolder, page), 'utf8')).some(block => block.runs))
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'drift-readme-'))
  symlinkSync(modules, join(folder, 'node_modules'), 'junction')
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
})
afterAll(() => rmSync(folder, { recursive: true }))

describe('code blocks', () => {
  test('are found with their language, their line and their mark', () => {
    const text = '# A\n```js\nlet a\n```\n- item\n  ```ts no-run\n  let b: 1\n  ```\n```sh\nls\n```\n'
    expect(codeBlocks(text)).toEqual([
      { language: 'js', code: 'let a\n', line: 2, runs: true },
      { language: 'ts', code: 'let b: 1\n', line: 6, runs: false },
    ])
    expect(() => codeBlocks('```js\nlet a\n')).toThrow(/line 1 never ends/)
  })
})

describe.each([...readmes, ...pages])('%s', readme => {
  const path = join(workspaceFolder, readme)
  const blocks = existsSync(path) ? codeBlocks(readFileSync(path, 'utf8')) : []

  test('shows code that runs', () => {
    expect(blocks.filter(block => block.runs).length).toBeGreaterThan(0)
  })

  for (const block of blocks.filter(block => block.runs)) {
    test(`the block in line ${block.line} runs`, () => {
      expect(run(block, `${readme.replace(/\W+/g, '-')}-${block.line}`)).toEqual({
        status: 0,
        output: expect.any(String),
      })
    })
  }
})

test('every block is strict TypeScript, but for the type of what is caught', () => {
  const place = join(folder, 'strict')
  mkdirSync(place)
  const files = [...readmes, ...pages].flatMap(readme =>
    codeBlocks(readFileSync(join(workspaceFolder, readme), 'utf8'))
      .filter(block => block.runs)
      .map(block => {
        const file = `${readme.replace(/\W+/g, '-')}-${block.line}.mts`
        writeFileSync(join(place, file), block.code)
        return file
      }),
  )
  expect(files.length).toBeGreaterThan(10)
  const compile = [
    join(modules, 'typescript', 'bin', 'tsc'),
    ...['--strict', '--useUnknownInCatchVariables', 'false', '--noEmit', '--module', 'nodenext'],
    ...['--target', 'es2022', '--lib', 'es2023,esnext.disposable,dom', '--types', 'node'],
    ...['--typeRoots', join(modules, '@types'), ...files],
  ]
  expect(start(place, compile, COMPILE_TIMEOUT_MS)).toEqual({ status: 0, output: '' })
})

/** Runs a block in a folder of its own. On success the output is kept short; on failure it is all there is to see. */
function run(block: CodeBlock, name: string): { status: number | null; output: string } {
  const place = join(folder, name)
  mkdirSync(place)
  const file = `example.${block.language}`
  writeFileSync(join(place, file), block.code)
  if (block.language === 'ts') {
    const compiled = start(place, [
      join(modules, 'typescript', 'bin', 'tsc'),
      ...['--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,esnext.disposable'],
      ...['--types', 'node', '--typeRoots', join(modules, '@types'), file],
    ])
    if (compiled.status !== 0) return compiled
  }
  return start(place, ['example.js'])
}

function start(
  cwd: string,
  args: string[],
  timeout: number = BLOCK_TIMEOUT_MS,
): { status: number | null; output: string } {
  const child = spawnSync(process.execPath, args, { cwd, encoding: 'utf8', timeout })
  return { status: child.status, output: `${child.stdout}${child.stderr}` }
}
