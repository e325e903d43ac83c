// The vectors of a comparison, prepared once and kept in tools/bench/out/data: float32, of unit length where the metric is
// cosine, with the exact answer. Every engine reads the same files.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type KernelMetric, kernels } from '@drift/native'
import { NpyFile, readMatrix } from '../data/npy.js'
import { writeNpy } from '../data/npy-write.js'
import { toolsFolder } from '../data/place.js'
import { recallByDistance, type Truth, truth } from '../data/truth.js'
import { normalise } from '../data/unit-length.js'
import { MAX_QUERIES, MIX, type Source, vectorsOf } from './vectors.js'

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

/** True neighbours that are kept: more than the largest k, so that ties at its end need no arithmetic. */
const DEPTH = 128

const cache = join(toolsFolder, 'bench', 'out', 'data')

/** From the cache, or into it. @param maxRows - the first ones are taken. */
export function prepare(source: Source, maxRows: number): DataSet {
  const folder = join(cache, keyOf(source, maxRows))
  if (!existsSync(join(folder, 'truth.npy'))) {
    mkdirSync(folder, { recursive: true })
    write(source, maxRows, folder)
  }
  return open(source, folder)
}

/** Another one when the files, the generator or what is made of them change. */
function keyOf({ name, from }: Source, maxRows: number): string {
  const files = 'base' in from
  const title = files ? name : 'mix'
  const facts = files
    ? [from.base, from.query].map(path => [path, statSync(path).size, statSync(path).mtimeMs])
    : [from.dim, MIX]
  const rows = files ? maxRows : Math.min(maxRows, from.rows)
  const hash = createHash('sha256').update(JSON.stringify([facts, `${rows}`, MAX_QUERIES, DEPTH]))
  return `${title}-${hash.digest('hex').slice(0, 12)}`
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
