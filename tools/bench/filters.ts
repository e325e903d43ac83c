// `npm run bench -- filters`: what a filter costs and finds, at four selectivities and under filters that go with the query, in turns with
// the search without a filter and a comparison of every matching row. One thread, processor time; the filter's bitmap is made beforehand,
// and asked for again and again, as a collection does with its recent filters.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fixRows, seededRandom, VectorIndex } from '@drift/core'
import { readMatrix } from '../data/npy.js'
import { prepare } from './data-set.js'
import type { Source } from './vectors.js'

const K = 10
const QUERIES = 500
/** Queries of a comparison of every row, which is slow and steady. */
const BRUTE_QUERIES = 50
/** In turns, filtered and not; the best of each counts: what the machine does beside takes caches away. */
const PASSES = 7

interface Case {
  readonly title: string
  readonly matches: (row: number) => boolean
}

export async function filters(source: Source, maxRows: number, seed: number): Promise<void> {
  const set = prepare(source, maxRows)
  const base = readMatrix(join(set.folder, 'base.npy'))
  const query = readMatrix(join(set.folder, 'query.npy'))
  const { dim } = set
  const metric = set.metric === 'l2' ? 'l2' : 'cosine'
  const index = await VectorIndex.build({ dim, metric, seed }, base.values)
  const queries = Array.from({ length: Math.min(QUERIES, set.queries) }, (_, q) =>
    query.values.subarray(q * dim, (q + 1) * dim),
  )
  console.log(`${set.name}: ${set.rows} rows of ${dim}, ${queries.length} queries, k ${K}\n`)
  console.log('| filter | rows | recall | worst tenth | us | of unfiltered | of brute force |')
  console.log('| --- | --- | --- | --- | --- | --- | --- |')
  for (const { title, matches } of casesOf(source, set.rows, seed)) {
    const allow = title === 'none' ? undefined : fixRows(new Uint32Array(Math.ceil(set.rows / 32)))
    let rows = allow ? 0 : set.rows
    for (let row = 0; allow && row < set.rows; row++) {
      if (!matches(row)) continue
      allow[row >>> 5]! |= 1 << (row & 31)
      rows++
    }
    const options = allow ? { k: K, allow } : { k: K }
    const recalls = queries.map(q => {
      const truth = new Set(index.searchSync(q, { ...options, probes: Number.POSITIVE_INFINITY }).rows)
      const found = index.searchSync(q, options).rows.filter(row => truth.has(row)).length
      return truth.size === 0 ? 1 : found / truth.size
    })
    const times = { us: Number.POSITIVE_INFINITY, unfiltered: Number.POSITIVE_INFINITY }
    for (let pass = 0; pass < PASSES; pass++) {
      times.us = Math.min(
        times.us,
        microseconds(queries, q => index.searchSync(q, options)),
      )
      times.unfiltered = Math.min(
        times.unfiltered,
        microseconds(queries, q => index.searchSync(q, { k: K })),
      )
    }
    const brute = microseconds(queries.slice(0, BRUTE_QUERIES), q =>
      index.searchSync(q, { ...options, probes: Number.POSITIVE_INFINITY }),
    )
    const sorted = [...recalls].sort((a, b) => a - b)
    const worst = mean(sorted.slice(0, Math.ceil(sorted.length / 10)))
    const ratio = (times.us / times.unfiltered).toFixed(2)
    const cells = [mean(recalls).toFixed(3), worst.toFixed(2), times.us.toFixed(0), ratio]
    console.log(`| ${title} | ${rows} | ${cells.join(' | ')} | ${(times.us / brute).toFixed(3)} |`)
  }
  index.close()
}

/** Of processor time, a query. */
function microseconds(queries: readonly Float32Array[], run: (query: Float32Array) => void): number {
  const start = process.cpuUsage()
  for (const query of queries) run(query)
  const { user, system } = process.cpuUsage(start)
  return (user + system) / queries.length
}

function casesOf(source: Source, rows: number, seed: number): Case[] {
  const random = seededRandom(seed)
  const chance = Float64Array.from({ length: rows }, () => random())
  const cases: Case[] = [{ title: 'none', matches: () => true }]
  for (const share of [0.5, 0.1, 0.01, 0.001]) {
    cases.push({ title: `any ${share}`, matches: row => chance[row]! < share })
  }
  // Rows come in the order of time, and so do topics.
  for (const share of [0.5, 0.1, 0.02]) {
    cases.push({ title: `oldest ${share}`, matches: row => row < share * rows })
    cases.push({ title: `newest ${share}`, matches: row => row >= (1 - share) * rows })
  }
  const labels = labelsOf(source)
  for (const label of new Set(labels)) cases.push({ title: label, matches: row => labels[row] === label })
  return cases
}

/** The second column of base.tsv beside the vectors, when there is one: what a row belongs to. */
function labelsOf({ from }: Source): string[] {
  const path = 'base' in from ? join(dirname(from.base), 'base.tsv') : ''
  if (!path || !existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  return lines.slice(1).map(line => line.split('\t')[1] ?? '')
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
