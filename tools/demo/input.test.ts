// Proves: the bundled input is what its README says, rows keep their own facts, queries are held out, and a file that
// cannot be used is refused with a message that names it.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { encodeHeader } from '../data/npy-header.js'
import { bundledData } from '../data/place.js'
import { truth } from '../data/truth.js'
import { loadInput } from './input.js'

const folder = mkdtempSync(join(tmpdir(), 'drift-input-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A float32 file whose row r is (r + 1, 1), so that a row's number can be read off its direction. */
function countingFile(rows: number, change: (values: Float32Array) => void = () => {}): string {
  const values = Float32Array.from({ length: rows * 2 }, (_, i) => (i % 2 === 0 ? i / 2 + 1 : 1))
  change(values)
  const path = join(folder, `${rows}-${Math.abs(change.toString().length)}.npy`)
  writeFileSync(path, Buffer.concat([encodeHeader('f32', rows, 2), new Uint8Array(values.buffer)]))
  return path
}

describe('the bundled input', () => {
  const input = loadInput(undefined, undefined)

  test('has 10 000 commits of three projects in time order and 200 queries that are not among them', () => {
    expect([input.dim, input.facts.length, input.queryFacts.length]).toEqual([384, 10_000, 200])
    expect(input.rows.length).toBe(10_000 * 384)
    expect(new Set(input.facts.map(fact => fact['repository']))).toEqual(new Set(['git', 'ansible', 'curl']))
    const dates = input.facts.map(fact => String(fact['date']))
    expect(dates).toEqual(dates.toSorted())
    const commits = new Set(input.facts.map(fact => fact['commit']))
    expect(commits.size).toBe(10_000)
    expect(input.queryFacts.filter(fact => commits.has(fact['commit']!))).toEqual([])
  })

  test('puts most commits nearest to a commit of their own project, so rows and facts belong together', () => {
    const nearest = truth(input.rows, input.queries, 384, 'ip', 1)
    const own = input.queryFacts.filter(
      (fact, q) => fact['repository'] === input.facts[nearest.rows[q]!]!['repository'],
    )
    // Facts that are shifted against the rows would give about 70.
    expect(own.length).toBeGreaterThan(150)
  })

  test('has the sizes that its README states and stays under 9 MB', () => {
    const readme = readFileSync(join(bundledData, 'README.md'), 'utf8')
    const files = ['commits.f16.npy', 'commits.tsv', 'queries.f16.npy', 'queries.tsv']
    const sizes = files.map(name => statSync(join(bundledData, name)).size)
    files.forEach((name, i) => {
      const stated = new RegExp(`\\| \`${name}\` \\|[^|]*\\| ([\\d ]+) \\|`).exec(readme)?.[1]
      expect(Number(stated?.replaceAll(' ', ''))).toBe(sizes[i])
    })
    expect(sizes.reduce((a, b) => a + b)).toBeLessThan(9_000_000)
  })

  test('is cut to the rows that are asked for', () => {
    expect(loadInput(undefined, 7)).toMatchObject({ facts: input.facts.slice(0, 7) })
  })
})

describe("a file of the user's", () => {
  test('gives rows of unit length with their numbers, and holds queries out', () => {
    const input = loadInput(countingFile(100), undefined)
    expect([input.facts.length, input.queryFacts.length]).toEqual([90, 10])
    const numbers = [...input.facts, ...input.queryFacts].map(fact => fact['row'] as number)
    expect(numbers.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    input.facts.forEach((fact, i) => {
      const [x, y] = input.rows.subarray(i * 2, i * 2 + 2)
      expect(x! / y!).toBeCloseTo((fact['row'] as number) + 1, 2)
      expect(Math.hypot(x!, y!)).toBeCloseTo(1, 6)
    })
  })

  test('is covered evenly when fewer rows are asked for', () => {
    const { facts } = loadInput(countingFile(1_000), 50)
    expect(facts.length).toBe(50)
    expect(facts[0]!['row']).toBeLessThan(50)
    expect(facts.at(-1)!['row']).toBeGreaterThan(950)
  })

  test('may have rows of zeros, which are left out and counted', () => {
    const path = countingFile(100, values => values.fill(0, 0, 6))
    expect(loadInput(path, undefined)).toMatchObject({ skipped: 3 })
  })

  test.each([
    ['NPY_OPEN', () => join(folder, 'absent.npy')],
    ['DATA_SHAPE', () => countingFile(9)],
    ['DATA_VALUE', () => countingFile(20, values => values.fill(Number.NaN, 4, 5))],
    ['DATA_VALUE', () => countingFile(30, values => values.fill(0))],
  ])('is refused with %s', (code, make) => {
    const path = make()
    expect(() => loadInput(path, undefined)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(path) }),
    )
  })
})
