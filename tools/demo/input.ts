// What the demo runs on: the bundled commits with their facts, or the rows of any .npy file of the user's.
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { MAX_DIMENSION } from '@drift/native'
import { NpyFile, readMatrix } from '../data/npy.js'
import { bundledData } from '../data/place.js'
import { ToolError } from '../data/tool-error.js'
import { normalise } from '../data/unit-length.js'

/** What is known of a row; stored with it as its payload. */
export type Facts = Readonly<Record<string, string | number>>

export interface DemoInput {
  readonly name: string
  readonly dim: number
  /** rows * dim, unit length, in the file's order. */
  readonly rows: Float32Array
  readonly facts: readonly Facts[]
  /** Held out: none of them is among the rows. */
  readonly queries: Float32Array
  readonly queryFacts: readonly Facts[]
  /** Rows of the file that were left out because they are all zeros, which have no direction. */
  readonly skipped: number
}

/** A file of the user's is used up to this many rows unless --rows says more. */
const DEFAULT_ROWS = 100_000
const QUERIES = 200

/** @throws ToolError for a file that cannot be used; the message says why. */
export function loadInput(file: string | undefined, maxRows: number | undefined): DemoInput {
  return file === undefined
    ? bundled(maxRows ?? Number.POSITIVE_INFINITY)
    : fromFile(file, maxRows ?? DEFAULT_ROWS)
}

function bundled(maxRows: number): DemoInput {
  const rows = commits('commits', maxRows)
  const queries = commits('queries', QUERIES)
  return {
    name: 'commit messages of git, ansible and curl, 2000-2026, as sentence embeddings',
    dim: rows.dim,
    rows: rows.values,
    facts: rows.facts,
    queries: queries.values,
    queryFacts: queries.facts,
    skipped: 0,
  }
}

function commits(stem: string, maxRows: number): { values: Float32Array; dim: number; facts: Facts[] } {
  const path = join(bundledData, `${stem}.f16.npy`)
  const { values, rows, columns } = readMatrix(path)
  const facts = readFileSync(join(bundledData, `${stem}.tsv`), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1, maxRows + 1)
    .map(line => {
      const [time, repository, commit] = line.split('\t') as [string, string, string]
      return { repository, commit, date: new Date(Number(time) * 1000).toISOString().slice(0, 10) }
    })
  if (facts.length !== Math.min(rows, maxRows)) {
    throw new ToolError('DATA_FACTS', `${path} has ${rows} rows, its .tsv has ${facts.length}`)
  }
  const kept = values.slice(0, facts.length * columns)
  normalise(kept, columns, path)
  return { values: kept, dim: columns, facts }
}

/** Rows evenly strided through the file, so that its whole course is covered; spread over it are the queries. */
function fromFile(path: string, maxRows: number): DemoInput {
  const file = new NpyFile(path)
  try {
    const { rows: total, columns: dim } = file
    if (dim < 2 || dim > MAX_DIMENSION) {
      throw new ToolError('DATA_SHAPE', `${path}: rows of ${dim} values, expected 2 to ${MAX_DIMENSION}`)
    }
    const queryCount = Math.min(QUERIES, Math.floor(total / 10))
    if (queryCount === 0)
      throw new ToolError('DATA_SHAPE', `${path}: has ${total} rows, expected at least 10`)
    const taken = Math.min(total, maxRows + queryCount)
    const parts = { rows: [] as Picked[], queries: [] as Picked[] }
    let skipped = 0
    for (let i = 0; i < taken; i++) {
      const number = Math.floor((i * total) / taken)
      const values = file.readFloats(number, 1)
      if (values.every(value => value === 0)) {
        skipped++
        continue
      }
      const isQuery = Math.floor(((i + 1) * queryCount) / taken) > Math.floor((i * queryCount) / taken)
      normalise(values, dim, `${path} row ${number}`)
      parts[isQuery ? 'queries' : 'rows'].push({ values, facts: { row: number } })
    }
    if (parts.queries.length === 0 || parts.rows.length === 0) {
      throw new ToolError('DATA_VALUE', `${path}: ${skipped} of ${taken} rows are all zeros`)
    }
    return {
      name: basename(path),
      dim,
      rows: flat(parts.rows, dim),
      facts: parts.rows.map(row => row.facts),
      queries: flat(parts.queries, dim),
      queryFacts: parts.queries.map(row => row.facts),
      skipped,
    }
  } finally {
    file.close()
  }
}

interface Picked {
  readonly values: Float32Array
  readonly facts: Facts
}

function flat(rows: readonly Picked[], dim: number): Float32Array {
  const out = new Float32Array(rows.length * dim)
  for (const [i, { values }] of rows.entries()) out.set(values, i * dim)
  return out
}
