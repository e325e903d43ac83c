// Cuts the demo's bundled input (tools/demo/data) out of the full data set: evenly strided rows, in time order, bytes as
// they are stored. Run by hand when the data set changes:
//   node tools/dist/demo/cut-data.js --data FOLDER        (or DRIFT_DATA=FOLDER), FOLDER holding base.* and query.*
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { NpyFile } from '../data/npy.js'
import { encodeHeader } from '../data/npy-header.js'
import { bundledData } from '../data/place.js'

const ROWS = 10_000
const QUERIES = 200

const { values } = parseArgs({ options: { data: { type: 'string' } } })
const source = values.data ?? process.env['DRIFT_DATA']
if (!source) {
  console.error(
    'usage: cut-data --data FOLDER, with base.f16.npy, base.tsv, query.f16.npy and query.tsv in it',
  )
  process.exit(2)
}
mkdirSync(bundledData, { recursive: true })
cut(join(source, 'base'), join(bundledData, 'commits'), ROWS)
cut(join(source, 'query'), join(bundledData, 'queries'), QUERIES)

/** Every (total / rows)-th row of a matrix and the same lines of its facts. */
function cut(from: string, to: string, rows: number): void {
  const matrix = new NpyFile(`${from}.f16.npy`)
  const [names, ...facts] = readFileSync(`${from}.tsv`, 'utf8').trimEnd().split('\n')
  if (facts.length !== matrix.rows) {
    throw new Error(`${from}.tsv tells of ${facts.length} rows, ${matrix.path} has ${matrix.rows}`)
  }
  const chosen = Array.from({ length: rows }, (_, i) => Math.floor((i * matrix.rows) / rows))
  writeFileSync(
    `${to}.f16.npy`,
    Buffer.concat([
      encodeHeader(matrix.header.type, rows, matrix.columns),
      ...chosen.map(row => matrix.readBytes(row, 1)),
    ]),
  )
  writeFileSync(`${to}.tsv`, `${[names, ...chosen.map(row => facts[row])].join('\n')}\n`)
  matrix.close()
  console.log(`${to}: ${rows} of ${facts.length} rows`)
}
