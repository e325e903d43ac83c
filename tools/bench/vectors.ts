// Where vectors come from: data folders, the demo's bundled input, or the generator, as they are stored.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { mix } from '../data/mix.js'
import { NpyFile } from '../data/npy.js'
import { bundledData } from '../data/place.js'
import { ToolError } from '../data/tool-error.js'

/** Where a data set comes from. */
export interface Source {
  readonly name: string
  /** Files of the same width, or what is generated. */
  readonly from:
    | { readonly base: string; readonly query: string }
    | { readonly rows: number; readonly dim: number }
}

export interface Vectors {
  readonly base: Float32Array
  readonly query: Float32Array
  readonly dim: number
}

/** More queries than this make a run longer, not its figures better. */
export const MAX_QUERIES = 1_000

/** The generator: topics of Zipf sizes, spread in a few directions each, as embeddings are. */
export const MIX = { clusters: 1_000, latent: 16, spread: 0.7, seed: 1 }

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

/** The first `maxRows` rows and the queries. @throws ToolError DATA_FOLDER, or what NpyFile throws. */
export function vectorsOf({ from }: Source, maxRows: number): Vectors {
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
