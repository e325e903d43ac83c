// Proves: docs/errors.md lists exactly the error codes that the sources can give; no code is undocumented, none is invented.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { workspaceFolder } from '../data/place.js'
import { codesInDocument, codesInSource, environmentNames, missing } from './error-codes.js'
import { sourceFiles } from './files.js'

describe('the search for codes', () => {
  test('finds literals and families and leaves environment names out', () => {
    const source = `throw new E('DRIFT_K'); fail(\`DRIFT_FS_\${errno}\`); process.env['DRIFT_KERNELS']; x = 'DRIFT_KERNELS'`
    expect([...codesInSource(source)]).toEqual(['DRIFT_K', 'DRIFT_FS_*'])
  })

  test('reads code spans of a document, families too', () => {
    expect([...codesInDocument('| `DRIFT_K` | `DRIFT_FS_<ERRNO>` | `DRIFT_X_*` | DRIFT_PROSE |')]).toEqual([
      'DRIFT_K',
      'DRIFT_FS_*',
      'DRIFT_X_*',
    ])
  })

  test('a family stands for its members, in both directions', () => {
    expect(missing(new Set(['DRIFT_FS_EIO', 'DRIFT_A']), new Set(['DRIFT_FS_*']))).toEqual(['DRIFT_A'])
    expect(missing(new Set(['DRIFT_FS_*']), new Set(['DRIFT_FS_EIO']))).toEqual([])
  })
})

describe('docs/errors.md', () => {
  const sources = sourceFiles().map(path => readFileSync(path, 'utf8'))
  const thrown = new Set(sources.flatMap(source => [...codesInSource(source)]))
  const variables = new Set(sources.flatMap(source => [...environmentNames(source)]))
  const catalogue = join(workspaceFolder, 'docs', 'errors.md')
  // A missing catalogue lists nothing, so the test names all that it lacks.
  const named = codesInDocument(existsSync(catalogue) ? readFileSync(catalogue, 'utf8') : '')
  const documented = new Set([...named].filter(code => !variables.has(code)))

  test('lists every code that the sources name', () => {
    expect(thrown.size).toBeGreaterThan(0)
    expect(missing(thrown, documented)).toEqual([])
  })

  test('lists no code that the sources do not name', () => {
    expect(missing(documented, thrown)).toEqual([])
  })
})
