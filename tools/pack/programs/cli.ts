// What a user of @drift/cli writes: the command line from a program, and by its name in a shell.
import { strictEqual } from 'node:assert'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '@drift/cli'

const folder = mkdtempSync(join(tmpdir(), 'drift-cli-'))
const output = { out: console.error, err: console.error }
strictEqual(await run(['create', folder, 'docs', '--dim', '2'], output), 0)

const command = join('node_modules', '.bin', process.platform === 'win32' ? 'drift.cmd' : 'drift')
const shown = spawnSync(command, ['--json', 'stats', folder], {
  encoding: 'utf8',
  shell: process.platform === 'win32',
})
strictEqual(shown.status, 0, shown.stderr)
strictEqual(shown.stdout.includes('docs'), true)
rmSync(folder, { recursive: true })
console.log('cli works')
