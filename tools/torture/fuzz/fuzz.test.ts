// Proves that no bytes make a decoder crash, hang, take memory beyond what they are or fail without a code: the same program as for
// longer runs, in a process of its own, because memory is watched by its constructors and because a crash would end it.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { toolsFolder } from '../../data/place.js'

test('every decoder answers changed bytes by content or by a code', () => {
  const program = join(toolsFolder, 'dist', 'torture', 'fuzz.js')
  const { stdout, stderr, status } = spawnSync(process.execPath, [program, '--cases', '100'], {
    encoding: 'utf8',
    timeout: 120_000,
  })
  const last = stderr.split('\r').at(-1)
  expect(stdout, `the last case was ${last}`).toMatch(/0 crashes, hangs, errors without a code/)
  expect(stdout).not.toMatch(/FAILED/)
  // The checks behind the checksums are reached, and both kinds of answers are met.
  for (const met of [
    /^manifest: .*DRIFT_CORRUPT_DECODE/m,
    /^log: .*DRIFT_WAL_CORRUPT\/chain/m,
    /^log: .*other content/m,
    /^segment: .*DRIFT_CORRUPT_(BOUNDS|DECODE)/m,
    /^tombstones: .*DRIFT_CORRUPT_DECODE/m,
    /^index: .*same/m,
    /^ids: .*content/m,
    /^floats: .*DRIFT_CORRUPT_DECODE/m,
    /^bloom: .*DRIFT_CORRUPT_DECODE/m,
    /^arrow: .*content/m,
  ])
    expect(stdout).toMatch(met)
  expect(status).toBe(0)
})
