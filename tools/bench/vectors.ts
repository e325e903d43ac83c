// The vectors that a bench runs on: a data folder (base.*.npy, query.*.npy) or the demo's bundled input, at unit length.
import { existsSync, readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { NpyFile } from '../data/npy.js'
import { bundledData } from '../data/place.js'
import { ToolError } from '../data/tool-error.js'
import { normalise } from '../data/unit-length.js'

export interface Vectors {
  readonly name: string
  readonly dim: number
  readonly rows: Float32Array
  readonly queries: Float32Array
}

/** More queries than this make a run longer, not its figures better. */
const MAX_QUERIES = 1_000

/** The first `maxRows` rows. @throws ToolError DATA_FOLDER, DATA_VALUE, or what NpyFile throws. */
export function loadVectors(folder: string | undefined, maxRows: number): Vectors {
  const [base, query] = folder
    ? [npyIn(folder, 'base'), npyIn(folder, 'query')]
    : [join(bundledData, 'commits.f16.npy'), join(bundledData, 'queries.f16.npy')]
  const [rows, queries] = [firstRows(base, maxRows), firstRows(query, MAX_QUERIES)]
  if (rows.dim !== queries.dim) {
    throw new ToolError('DATA_FOLDER', `${base} has ${rows.dim} columns, ${query} has ${queries.dim}`)
  }
  return {
    name: folder ? basename(folder) : 'demo',
    dim: rows.dim,
    rows: rows.values,
    queries: queries.values,
  }
}

function npyIn(folder: string, stem: string): string {
  const names = existsSync(folder) ? readdirSync(folder) : []
  const found = names.find(name => name.startsWith(`${stem}.`) && name.endsWith('.npy'))
  if (!found) throw new ToolError('DATA_FOLDER', `${folder}: holds no ${stem}.*.npy`, { folder })
  return join(folder, found)
}

function firstRows(path: string, count: number): { values: Float32Array; dim: number } {
  const file = new NpyFile(path)
  try {
    const values = file.readFloats(0, Math.min(count, file.rows))
    normalise(values, file.columns, path)
    return { values, dim: file.columns }
  } finally {
    file.close()
  }
}
