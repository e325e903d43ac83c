// Proves: the comparison runs to its end as a user starts it, each engine in its own process, on generated vectors; what it
// keeps says that the exact engine is exact and that Drift's recall rises with its knob; and the report is made of it alone.
// Nothing is said about speed.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toolsFolder } from '../data/place.js'
import { front, rateAt, valueAt } from './curve.js'
import type { SetResult } from './results.js'

const out = mkdtempSync(join(tmpdir(), 'drift-compare-'))
afterAll(() => rmSync(out, { recursive: true }))

function bench(...args: string[]): { status: number | null; output: string } {
  const script = join(toolsFolder, 'dist', 'bench', 'bench.js')
  const env = { ...process.env, DRIFT_DATA: '' }
  const child = spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env })
  return { status: child.status, output: `${child.stdout}${child.stderr}` }
}

describe('npm run bench', () => {
  const small = ['--sets', 'mix:3000x16', '--passes', '2', '--quick', '--out', out]
  let result: SetResult

  beforeAll(() => {
    const { status, output } = bench('compare', '--engines', 'drift,brute-force,py-svs', ...small)
    expect(status, output).toBe(0)
    const kept = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as SetResult[]
    expect(kept).toHaveLength(1)
    result = kept[0]!
  })

  test('an exact engine has recall 1 at every k', () => {
    const { sweeps } = result.engines.find(engine => engine.name === 'brute-force')!
    expect(sweeps['10']!.map(point => point.recall)).toEqual([1])
    expect(sweeps['100']!.map(point => point.recall)).toEqual([1])
  })

  test("Drift's recall and the rows that it scans rise with its knob, to almost all of either", () => {
    const points = result.engines.find(engine => engine.name === 'drift')!.sweeps['10']!
    expect(points.length).toBeGreaterThan(1)
    for (const [i, point] of points.entries()) {
      if (i === 0) continue
      expect(point.recall).toBeGreaterThanOrEqual(points[i - 1]!.recall)
      expect(point.scannedRows).toBeGreaterThan(points[i - 1]!.scannedRows!)
    }
    expect(points.at(-1)!.recall).toBeGreaterThan(0.99)
    expect(points.map(point => [point.calls.length, point.oneCall.length])).toEqual(points.map(() => [2, 2]))
  })

  test('what was built, changed and left out is kept', () => {
    expect(result).toMatchObject({ rows: 3_000, dim: 16, queries: 1_000, metric: 'cosine', passes: 2 })
    expect(result.absent).toEqual({ 'py-svs': 'needs python (--python PATH)' })
    const { filled, churned } = result.engines[0]!
    expect(filled.buildSeconds).toBeGreaterThan(0)
    expect(churned.insertsPerSecond).toBeGreaterThan(0)
    expect(churned.removesPerSecond).toBeGreaterThan(0)
    expect(result.engines[1]!.churned).toEqual({})
  })

  test('the report is written again from what was kept, the same', () => {
    const path = join(out, 'README.md')
    const report = readFileSync(path, 'utf8')
    expect(report).toContain('## mix:3000x16')
    expect(report).toContain(result.machine.cpu)
    expect(report).toContain('**py-svs** did not take part')
    for (const [, plot] of report.matchAll(/\]\((.*\.svg)\)/g))
      expect(existsSync(join(out, plot!))).toBe(true)
    writeFileSync(path, '')
    expect(bench('report', '--out', out)).toEqual({ status: 0, output: '' })
    expect(readFileSync(path, 'utf8')).toBe(report)
  })

  test.each(['bench/bench.js', 'sim/sim.js'])('%s --help says how it is called, and is no error', script => {
    const path = join(toolsFolder, 'dist', script)
    const { status, stdout, stderr } = spawnSync(process.execPath, [path, '--help'], { encoding: 'utf8' })
    expect([status, stdout.slice(0, 14), stderr]).toEqual([0, 'usage: npm run', ''])
  })

  test.each([
    [['compare', '--engines', 'drift,fast'], 'ENGINE_NAME: fast'],
    [['compare', '--sets', 'nowhere'], 'DATA_SET: nowhere: there are demo'],
    [['compare', '--data', join(out, 'absent')], 'DATA_FOLDER'],
    [['compare', '--passes', '0'], 'OPTION: --passes 0'],
    [['compare', '--sets', 'mix:900000000x4096', '--rows', '1', '--fast'], "Unknown option '--fast'"],
  ])('%j is refused with a sentence', (args, message) => {
    const { status, output } = bench(...args)
    expect(output).toContain(message)
    expect(output).not.toContain('    at ')
    expect(status).toBeGreaterThan(0)
  })
})

describe('curve', () => {
  const points = [
    { recall: 0.8, queriesPerSecond: 1_000 },
    { recall: 0.7, queriesPerSecond: 900 },
    { recall: 0.9, queriesPerSecond: 10 },
    { recall: 0.9, queriesPerSecond: 100 },
  ]

  test('the front leaves out what another point beats', () => {
    expect(front(points)).toEqual([points[0], points[3]])
  })

  test('between two points the logarithm of speed is linear, other figures are', () => {
    expect(rateAt(points, 0.85)).toBeCloseTo(Math.sqrt(1_000 * 100), 6)
    expect(rateAt(points, 0.9)).toBeCloseTo(100, 6)
    expect(valueAt(points, 0.85, point => point.queriesPerSecond)).toBeCloseTo(550, 6)
  })

  test('below the lowest recall it is the speed there, above the highest there is none', () => {
    expect(rateAt(points, 0.5)).toBeCloseTo(1_000, 6)
    expect(rateAt(points, 0.91)).toBeUndefined()
    expect(rateAt([], 0.5)).toBeUndefined()
  })
})
