// Every checksum, length, chain and identity between damaged bytes and a wrong answer is missed when it is taken away, and a mutant that
// loses rows is found to lose them. In a process of its own, because modules are changed as they are loaded.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { toolsFolder, workspaceFolder } from '../../data/place.js'
import { CANARY, MUTANTS } from './list.js'

test('every mutant is noticed, the canary by another state, and nothing is unsafe without one', () => {
  const program = join(toolsFolder, 'dist', 'torture', 'mutants.js')
  const { stdout, stderr, status } = spawnSync(process.execPath, [program], { encoding: 'utf8' })
  expect(stdout + stderr).not.toMatch(/SURVIVED|UNSAFE/)
  for (const { name } of [...MUTANTS, CANARY]) expect(stdout).toContain(`noticed ${name}: `)
  expect(stdout).toMatch(/noticed canary: .*ANOTHER STATE/)
  expect(status).toBe(0)
})

test('nothing of it is in what is shipped', () => {
  for (const name of ['fs', 'core', 'storage', 'server']) {
    const dist = join(workspaceFolder, 'packages', name, 'dist')
    const sources = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter(path =>
      path.endsWith('.js'),
    )
    expect(sources).toContain('index.js')
    for (const path of sources) expect(readFileSync(join(dist, path), 'utf8')).not.toMatch(/mutant/i)
  }
})
