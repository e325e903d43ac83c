// Proves: lint fails for an import that goes up the line (native, fs <- core | storage <- server <- tools), sideways or around
// it by a path, and for nothing else. Runs the linter as `nx lint` does, on a file that lies in the package for that moment.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import { workspaceFolder } from '../data/place.js'

const biome = join(workspaceFolder, 'node_modules', '@biomejs', 'biome', 'bin', 'biome')

describe('lint', () => {
  test.each([
    ['native/lib', '@drift/fs'],
    ['packages/fs/src', '@drift/native'],
    ['packages/core/src', '@drift/server'],
    ['packages/core/src', '@drift/storage'],
    ['packages/storage/src', '@drift/core'],
    ['packages/server/src', '@drift/tools'],
    ['packages/core/src', '../../../server/src/drift.js'],
  ])('refuses that a file of %s imports %s', (folder, imported) => {
    const { status, output } = lint(folder, imported)
    expect(output).toContain('lint/style/noRestrictedImports')
    expect(status).toBe(1)
  })

  test.each([
    ['packages/core/src', '@drift/native'],
    ['packages/storage/src', '@drift/fs'],
    ['packages/server/src', '@drift/core'],
    ['packages/core/src', '../pool/pool.js'],
  ])('accepts that a file of %s imports %s', (folder, imported) => {
    expect(lint(folder, imported)).toEqual({ status: 0, output: expect.any(String) })
  })
})

function lint(folder: string, imported: string): { status: number | null; output: string } {
  const place = mkdtempSync(join(workspaceFolder, folder, 'import-'))
  try {
    const file = join(place, 'import.ts')
    writeFileSync(file, `import { x } from '${imported}'\n\nexport const y: number = x\n`)
    const child = spawnSync(process.execPath, [biome, 'lint', relative(workspaceFolder, file)], {
      cwd: workspaceFolder,
      encoding: 'utf8',
    })
    return { status: child.status, output: `${child.stdout}${child.stderr}` }
  } finally {
    rmSync(place, { recursive: true })
  }
}
