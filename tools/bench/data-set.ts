// The vectors of a comparison, prepared once and kept in tools/bench/out/data: float32, of unit length where the metric is
// cosine, with the exact answer. Every engine reads the same files.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { type KernelMetric, kernels } from '@drift/native'
import { mix } from '../data/mix.js'
import { NpyFile, readMatrix } from '../data/npy.js'
import { writeNpy } from '../data/npy-write.js'
import { bundledData, toolsFolder } from '../data/place.js'
import { ToolError } from '../data/tool-error.js'
import { recallByDistance, type Truth, truth } from '../data/truth.js'
import { normalise } from '../data/unit-length.js'

/** Where a data set comes from. */
export interface Source {
  readonly name: string
  /** Files of the same width, or what is generated. */
  readonly from:
    | { readonly base: string; readonly query: string }
    | { readonly rows: number; readonly dim: number }
}

export interface DataSet {
  readonly name: string
  /** Holds base.npy and query.npy. */
  readonly folder: string
  readonly metric: KernelMetric
  readonly rows: number
  readonly dim: number
  readonly queries: number
  /** For k results; by distance, so that ties count. */
  recall(answers: readonly ArrayLike<number>[], k: number): number
}

/** More queries than this make a run longer, not its figures better. */
const MAX_QUERIES = 1_000

/** True neighbours that are kept: more than the largest k, so that ties at its end need no arithmetic. */
const DEPTH = 128

/** The generator: topics of Zipf sizes, spread in a few directions each, as embeddings are. */
const MIX = { clusters: 1_000, latent: 16, spread: 0.7, seed: 1 }

const cache = join(toolsFolder, 'bench', 'out', 'data')

/**
 * @param names - of sub-folders of `folder`, or `mix:ROWSxDIM`; undefined: every sub-folder.
 * @param folder - of data sets, or one data set; undefined: the demo's vectors.
 * @throws ToolError DATA_FOLDER, DATA_SET.
 */
export function sourcesOf(names: readonly string[] | undefined, folder: string | undefined): Source[] {
  const found = folder === undefined ? [demo()] : sourcesIn(folder)
  return (
    names?.map(name => {
      const shape = /^mix:(\d+)x(\d+)$/.exec(name)
      if (shape) return { name, from: { rows: Number(shape[1]), dim: Number(shape[2]) } }
      const source = found.find(known => known.name === name)
      if (source) return source
      throw new ToolError(
        'DATA_SET',
        `${name}: there are ${found.map(known => known.name).join(', ')} and mix:ROWSxDIM`,
      )
    }) ?? found
  )
}

/** From the cache, or into it. @param maxRows - the first ones are taken. */
export function prepare(source: Source, maxRows: number): DataSet {
  const folder = join(cache, `${source.name.replace(':', '-')}-${keyOf(source, maxRows)}`)
  if (!existsSync(join(folder, 'truth.npy'))) {
    mkdirSync(folder, { recursive: true })
    write(source, maxRows, folder)
  }
  return open(source, folder)
}

function demo(): Source {
  const [base, query] = ['commits.f16.npy', 'queries.f16.npy'].map(name => join(bundledData, name))
  return { name: 'demo', from: { base: base!, query: query! } }
}

function sourcesIn(folder: string): Source[] {
  const here = sourceAt(folder)
  const names = existsSync(folder) ? readdirSync(folder).sort() : []
  const found = here ? [here] : names.flatMap(name => sourceAt(join(folder, name)) ?? [])
  if (found.length > 0) return found
  throw new ToolError(
    'DATA_FOLDER',
    `${folder}: neither it nor a folder in it holds base.*.npy and query.*.npy`,
    {
      folder,
    },
  )
}

function sourceAt(folder: string): Source | undefined {
  const names = existsSync(folder) && statSync(folder).isDirectory() ? readdirSync(folder) : []
  const file = (stem: string) => names.find(name => name.startsWith(`${stem}.`) && name.endsWith('.npy'))
  const [base, query] = [file('base'), file('query')]
  if (base === undefined || query === undefined) return undefined
  return { name: basename(folder), from: { base: join(folder, base), query: join(folder, query) } }
}

/** Changes when the files, the generator or what is made of them change. */
function keyOf({ from }: Source, maxRows: number): string {
  const facts =
    'base' in from
      ? [from.base, from.query].map(path => [path, statSync(path).size, statSync(path).mtimeMs])
      : [from, MIX]
  return createHash('sha256')
    .update(JSON.stringify([facts, maxRows, MAX_QUERIES, DEPTH, 1]))
    .digest('hex')
    .slice(0, 8)
}

/** Bytes are image descriptors, which are compared by l2; everything else is compared by cosine. */
function metricOf({ from }: Source): KernelMetric {
  if (!('base' in from)) return 'ip'
  const file = new NpyFile(from.base)
  file.close()
  return file.header.type === 'u8' ? 'l2' : 'ip'
}

function write(source: Source, maxRows: number, folder: string): void {
  const metric = metricOf(source)
  const { base, query, dim } = vectorsOf(source, maxRows)
  if (metric === 'ip') {
    normalise(base, dim, `${source.name}, base`)
    normalise(query, dim, `${source.name}, query`)
  }
  writeNpy(join(folder, 'base.npy'), base, dim)
  writeNpy(join(folder, 'query.npy'), query, dim)
  const exact = truth(base, query, dim, metric, DEPTH)
  writeNpy(join(folder, 'distance.npy'), exact.distances, exact.k)
  writeNpy(join(folder, 'truth.npy'), Int32Array.from(exact.rows), exact.k)
}

function vectorsOf(
  { from }: Source,
  maxRows: number,
): { base: Float32Array; query: Float32Array; dim: number } {
  if (!('base' in from)) {
    const rows = Math.min(from.rows, maxRows)
    // The queries come first, so that the data sets of one seed and of other sizes share them, and their rows.
    const { vectors } = mix({ ...MIX, rows: MAX_QUERIES + rows, dim: from.dim })
    const end = MAX_QUERIES * from.dim
    return { query: vectors.subarray(0, end), base: vectors.subarray(end), dim: from.dim }
  }
  const [base, query] = [firstRows(from.base, maxRows), firstRows(from.query, MAX_QUERIES)]
  if (base.dim === query.dim) return { base: base.values, query: query.values, dim: base.dim }
  throw new ToolError('DATA_FOLDER', `${from.base} has ${base.dim} columns, ${from.query} has ${query.dim}`)
}

function firstRows(path: string, count: number): { values: Float32Array; dim: number } {
  const file = new NpyFile(path)
  const values = file.readFloats(0, Math.min(count, file.rows))
  file.close()
  return { values, dim: file.columns }
}

function open(source: Source, folder: string): DataSet {
  const metric = metricOf(source)
  const query = readMatrix(join(folder, 'query.npy'))
  const distance = readMatrix(join(folder, 'distance.npy'))
  const rows = new NpyFile(join(folder, 'truth.npy'))
  const exact: Truth = {
    rows: Uint32Array.from(rows.readInts(0, rows.rows)),
    distances: distance.values,
    k: distance.columns,
  }
  rows.close()
  const base = new NpyFile(join(folder, 'base.npy'))
  base.close()
  const dim = query.columns
  return {
    name: source.name,
    folder,
    metric,
    rows: base.rows,
    dim,
    queries: query.rows,
    recall(answers, k) {
      const file = new NpyFile(join(folder, 'base.npy'))
      const out = new Float32Array(1)
      try {
        return recallByDistance(exact, answers, k, (q, row) => {
          const values = query.values.subarray(q * dim, (q + 1) * dim)
          kernels.distances(metric, values, file.readFloats(row, 1), dim, 0, 1, out)
          return out[0]!
        })
      } finally {
        file.close()
      }
    },
  }
}
