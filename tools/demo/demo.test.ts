// Proves: the demo and the smoke bench run to their end as a user starts them, and say what is wrong with what they are
// given. Runs the built tools, as the commands do.
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { bundledData, toolsFolder } from '../data/place.js'

function start(tool: string, ...args: string[]) {
  const child = spawnSync(process.execPath, [join(toolsFolder, 'dist', tool), ...args], { encoding: 'utf8' })
  return { status: child.status, output: child.stdout + child.stderr }
}

describe('the demo', () => {
  test('checks every claim that it prints and ends with 0', () => {
    const { status, output } = start('demo/demo.js', '--rows', '1500')
    expect(output).toContain('All 6 claims hold')
    expect(output.match(/\[ok\]/g)).toHaveLength(6)
    expect(output).not.toContain('[FAIL]')
    expect(output.match(/https:\/\/github\.com\/\w+\/\w+\/commit\/[0-9a-f]{10}/g)).toHaveLength(4)
    expect(status).toBe(0)
  })

  test("runs on a file of the user's", () => {
    const { status, output } = start('demo/demo.js', '--data', join(bundledData, 'queries.f16.npy'))
    expect(output).toContain('180 rows of 384 dimensions: queries.f16.npy')
    expect(status).toBe(0)
  })

  test.each([
    [['--data', 'absent.npy'], 'NPY_OPEN: absent.npy'],
    [['--data', join(bundledData, 'README.md')], 'NPY_MAGIC'],
    [['--rows', '0'], '--rows 0'],
    [['--speed'], "'--speed'"],
  ])('ends with 2 on %j', (args, message) => {
    const { status, output } = start('demo/demo.js', ...args)
    expect(output).toContain(message)
    expect(output).not.toContain('    at ')
    expect(status).toBe(2)
  })
})

describe('the bench', () => {
  test('smoke prints its figures and keeps them as JSON', () => {
    const { status, output } = start('bench/bench.js', 'smoke', '--rows', '600')
    expect(status, output).toBe(0)
    const kept = /kept in (.*\.json)/.exec(output)![1]!
    const report = JSON.parse(readFileSync(kept, 'utf8'))
    rmSync(kept)
    expect(report.data).toMatchObject({ rows: 600, dim: 384, k: 10 })
    expect(report.upserts.map((rate: { batchRows: number }) => rate.batchRows)).toEqual([1, 100, 1_000])
    const searches = report.searches as { engine: string; recall: number }[]
    const recalls = (engine: string) => searches.filter(row => row.engine === engine).map(row => row.recall)
    expect(recalls('brute force')).toEqual([1])
    expect(recalls('drift')).toHaveLength(6)
    expect(Math.max(...recalls('drift'))).toBeGreaterThan(0.95)
  })

  test('ends with 2 and its usage on an unknown bench', () => {
    const { status, output } = start('bench/bench.js', 'fast')
    expect(output).toContain('unknown bench: fast\nusage:')
    expect(status).toBe(2)
  })
})
