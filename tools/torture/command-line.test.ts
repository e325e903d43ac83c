import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { toolsFolder } from '../data/place.js'

const PROGRAMS = ['torture', 'kill', 'soak', 'power-loss', 'fuzz', 'history', 'mutants']

test('every program of the proof says how it is used, and refuses an option that it does not have', () => {
  for (const program of PROGRAMS) {
    const file = join(toolsFolder, 'dist', 'torture', `${program}.js`)
    const run = (option: string) => spawnSync(process.execPath, [file, option], { encoding: 'utf8' })
    expect(run('--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('usage: ') })
    expect(run('--minuets')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("'--minuets'\nusage: "),
    })
  }
}, 60_000)
