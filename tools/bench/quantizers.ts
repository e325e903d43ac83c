// `npm run bench -- quantizers`: the modes of an index's quantizer at equal recall, in turns, on the rows as they are and cast at random onto
// few dimensions; the table of docs/quantizers.md.
import { gaussian, type IndexQuantizer, type SearchOptions, seededRandom, VectorIndex } from '@drift/core'
import { rateAt, valueAt } from './curve.js'
import { machine } from './machine.js'
import { eachRow } from './measure.js'
import { type Source, vectorsOf } from './vectors.js'

const MODES: readonly IndexQuantizer[] = ['sign', 'sq8', 'pq']
const K = 10
const RECALLS = [0.9, 0.95, 0.99]
/** What is asked for; the highest floor that finds nearly all is the last that is timed. */
const FLOORS = [2e-2, 1e-2, 6e-3, 4e-3, 2.5e-3, 1.6e-3, 1e-3, 6e-4, 4e-4, 2.5e-4, 1.6e-4, 1e-4, 6e-5, 3e-5]
const NEARLY_ALL = 0.994
/** Queries that are timed together: so few take less than the system gives a program at once, so in some pass nothing interrupts them. */
const CHUNK = 20

interface Setting {
  readonly floor: number
  readonly recall: number
  readonly entries: number
  /** Of each CHUNK queries, the least of all passes. */
  readonly ms: Float64Array
}

/** @param dims - 0: as the rows are. */
export async function quantizers(
  sources: readonly Source[],
  maxRows: number,
  dims: readonly number[],
  passes: number,
  seed: number,
): Promise<void> {
  const { cpu, cores, node, kernels } = machine()
  console.log(
    `${cpu}, ${cores} cores, Node ${node}, kernels ${kernels}; the least of ${passes} passes in turns, of each ${CHUNK} queries`,
  )
  for (const source of sources) {
    const vectors = vectorsOf(source, maxRows)
    // Images' descriptors are compared by l2, embeddings by cosine.
    const metric = vectors.base.every(Number.isInteger) ? 'l2' : 'cosine'
    for (const to of dims) {
      const dim = to === 0 ? vectors.dim : to
      const cast = to === 0 ? (rows: Float32Array) => rows : castOnto(vectors.dim, dim, seed)
      const base = cast(vectors.base)
      const queries = eachRow(cast(vectors.query), dim)
      await compareModes(`${source.name}, ${dim} dimensions`, { dim, metric }, base, queries, passes)
    }
  }
}

async function compareModes(
  title: string,
  options: { readonly dim: number; readonly metric: 'l2' | 'cosine' },
  base: Float32Array,
  queries: readonly Float32Array[],
  passes: number,
): Promise<void> {
  const contenders = []
  let limits: number[] | undefined
  for (const mode of MODES) {
    const start = performance.now()
    const index = await VectorIndex.build({ ...options, quantizer: mode }, base)
    const buildS = (performance.now() - start) / 1000
    const { vectors, ...derived } = index.stats().memory // before an exact search takes some
    const bytes = Object.values(derived).reduce((sum, of) => sum + of, 0) / index.count
    limits ??= queries.map(query => index.exactSync(query, K).distances.at(-1)!)
    const settings: Setting[] = []
    for (const floor of FLOORS) {
      const ms = new Float64Array(Math.ceil(queries.length / CHUNK)).fill(Number.POSITIVE_INFINITY)
      settings.push({ floor, ...found(index, queries, limits, { k: K, floor }), ms })
      if (settings.at(-1)!.recall > NEARLY_ALL) break
    }
    contenders.push({ mode, index, buildS, bytes, settings })
  }
  for (let pass = 0; pass < passes; pass++) {
    for (let at = 0; at < FLOORS.length; at++) {
      for (const { index, settings } of contenders) {
        const setting = settings[at]
        if (setting) time(index, queries, setting)
      }
    }
  }
  console.log(title)
  const rows = contenders.map(({ mode, buildS, bytes, settings }) => {
    const points = settings.map(setting => ({
      ...setting,
      queriesPerSecond: (1000 * queries.length) / sumOf(setting.ms),
    }))
    const figures = RECALLS.map(recall => {
      const rate = rateAt(points, recall)
      const entries = valueAt(points, recall, point => point.entries)
      return rate === undefined ? '-' : `${(1e6 / rate).toFixed(1)} (${entries!.toFixed(0)})`
    })
    return [mode, ...figures, bytes.toFixed(0), buildS.toFixed(1)]
  })
  console.log(
    `| mode | ${RECALLS.map(r => `us at ${r} (entries)`).join(' | ')} | bytes a row, vectors apart | build s |`,
  )
  for (const row of rows) console.log(`| ${row.join(' | ')} |`)
}

/** A row as near as the last of the true ones counts. */
function found(
  index: VectorIndex,
  queries: readonly Float32Array[],
  limits: readonly number[],
  options: SearchOptions,
): Pick<Setting, 'recall' | 'entries'> {
  let hits = 0
  let entries = 0
  for (const [q, query] of queries.entries()) {
    const { distances, scannedRows } = index.searchSync(query, options)
    hits += distances.filter(distance => distance <= limits[q]!).length
    entries += scannedRows
  }
  return { recall: hits / (K * queries.length), entries: entries / queries.length }
}

function time(index: VectorIndex, queries: readonly Float32Array[], { floor, ms }: Setting): void {
  for (let chunk = 0; chunk < ms.length; chunk++) {
    const some = queries.slice(chunk * CHUNK, (chunk + 1) * CHUNK)
    const start = performance.now()
    for (const query of some) index.searchSync(query, { k: K, floor })
    ms[chunk] = Math.min(ms[chunk]!, performance.now() - start)
  }
}

function sumOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0)
}

/** A fixed Gaussian projection, which keeps distances up to a factor and noise. */
function castOnto(from: number, to: number, seed: number): (rows: Float32Array) => Float32Array {
  const random = seededRandom(seed)
  const directions = Float32Array.from({ length: from * to }, () => gaussian(random) / Math.sqrt(from))
  return rows => {
    const count = rows.length / from
    const out = new Float32Array(count * to)
    for (let row = 0; row < count; row++) {
      for (let t = 0; t < to; t++) {
        let sum = 0
        for (let i = 0; i < from; i++) sum += rows[row * from + i]! * directions[t * from + i]!
        out[row * to + t] = sum
      }
    }
    return out
  }
}
