// Proves: each example is short and runs as it stands: retrieval finds, filters, replaces and forgets; a real index file of hnswlib becomes a
// database with every vector that was not deleted, and what is no such file is refused. (custom-server is run by the tests of @drift/http.)
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Drift } from '@drift/server'
import { afterAll, expect, test } from 'vitest'
import { workspaceFolder } from '../data/place.js'

const examples = join(workspaceFolder, 'examples')
const folder = mkdtempSync(join(tmpdir(), 'drift-examples-'))
afterAll(() => rmSync(folder, { recursive: true }))

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const [program, ...rest] = args
  // A runner of tasks may ask for colours.
  const env = { ...process.env, FORCE_COLOR: '0' }
  return spawnSync(process.execPath, [join(examples, program!), ...rest], { encoding: 'utf8', env })
}

test('examples have fewer than 80 lines', () => {
  const programs = readdirSync(examples, { recursive: true, encoding: 'utf8' }).filter(name =>
    name.endsWith('.mjs'),
  )
  expect(programs.length).toBeGreaterThan(2)
  for (const name of programs) {
    const lines = readFileSync(join(examples, name), 'utf8').split('\n').length
    expect([name, lines < 80]).toEqual([name, true])
  }
})

test('embedded-rag answers from what it stored, and again when it is started again', () => {
  const place = join(folder, 'rag')
  for (const [question, wanted] of [
    ['how is a torn page found?', /^0\.\d+ storage A torn page is found when it is read\.\n/],
    ['where does the cat sleep?', /^0\.\d+ cats The cat sleeps\.\n/],
    ['?!', /^from the diary: 0\n/],
    ['Где спит кошка?', /^0\S* /],
  ] as const) {
    const { status, stdout, stderr } = run('embedded-rag/rag.mjs', place, question)
    expect([status, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(wanted)
    expect(stdout).toMatch(/from the diary: [01]\nparts that are left: 3\n$/)
  }
})

test('migrate-from-hnswlib gives every row of an index that hnswlib-node 3.0.0 wrote', async () => {
  const sample = join(examples, 'migrate-from-hnswlib', 'sample.dat')
  const place = join(folder, 'migrated')
  const { status, stdout, stderr } = run('migrate-from-hnswlib/migrate.mjs', sample, 'l2', place)
  expect([status, stderr, stdout]).toEqual([0, '', '38 rows of 3 dimensions written, 2 had been deleted\n'])
  await using db = await Drift.open(place, { readOnly: true })
  const docs = await db.collection('docs')
  // What was added: label 100 + 3 i for i below 40; 103 and 160 were marked as deleted.
  for (let i = 0; i < 40; i++) {
    const label = 100 + 3 * i
    const row = await docs.get(label)
    if (label === 103 || label === 160) expect(row).toBe(undefined)
    else {
      const vector = Float32Array.from([i, Math.round(20 * Math.sin(i)), -i / 2])
      expect(row).toEqual({ id: label, vector, payload: { label } })
    }
  }
  const cut = join(folder, 'cut.dat')
  writeFileSync(cut, readFileSync(sample).subarray(0, 1_000))
  const refused = run('migrate-from-hnswlib/migrate.mjs', cut, 'l2', join(folder, 'nothing'))
  expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('was cut')])
})
