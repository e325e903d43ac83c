// Graphs over seeded rows, searches of them, and their recall against brute force.
import {
  allocateHnsw,
  hnswRows,
  type KernelMetric,
  type Kernels,
  type KernelVariant,
  kernelsOf,
} from '../lib/index.js'
import { random } from './random.js'

/** What a graph stands for: with codes it is built and walked by them. */
export interface GraphRows {
  readonly values: Float32Array
  readonly dim: number
  readonly metric: KernelMetric
  readonly codes?: Uint8Array
  readonly factors?: Float32Array
  /** Bytes of a row's codes. */
  readonly codeDim?: number
}

export interface Answer {
  readonly found: readonly number[]
  readonly distance: readonly number[]
}

/** @param coded - what the codes are made of: an image of the rows, perhaps of more dimensions. */
export function withCodes(rows: GraphRows, coded: Float32Array = rows.values): GraphRows {
  const count = rows.values.length / rows.dim
  const codeDim = coded.length / count
  const codes = new Uint8Array(coded.length)
  const factors = new Float32Array(2 * count)
  kernelsOf('reference').sq8Encode(coded, codeDim, 0, count, codes, factors)
  return { ...rows, codes, factors, codeDim }
}

/** A node for each row of `members`, all of them by default. */
export function build(
  rows: GraphRows,
  variant: KernelVariant,
  members: ArrayLike<number> = everyRow(rows),
): Uint32Array {
  const graph = allocateHnsw({ capacity: members.length, M: 16, efConstruction: 100, seed: 3 })
  hnswRows(graph).set(members)
  const { values, dim, metric, codes, factors, codeDim } = rows
  kernelsOf(variant).hnswInsert(graph, metric, values, dim, members.length, codes, factors, codeDim)
  return graph
}

/** @param coded - what the query's codes are made of. */
export function search(
  kernels: Kernels,
  graph: Uint32Array,
  rows: GraphRows,
  query: Float32Array,
  ef: number,
  live: Uint32Array,
  coded: Float32Array = query,
  room: number = ef,
): Answer {
  const { values, dim, metric, codes, factors, codeDim = dim } = rows
  const outRow = new Uint32Array(room)
  const outDistance = new Float32Array(room)
  const queryCodes = codes && new Int8Array(codeDim)
  const queryFactors = codes && new Float32Array(3)
  if (queryCodes && queryFactors) kernels.sq8Query(coded.slice(0, codeDim), queryCodes, queryFactors)
  const written = kernels.hnswSearch(
    graph,
    metric,
    values,
    dim,
    query,
    ef,
    live,
    outRow,
    outDistance,
    queryCodes,
    queryFactors,
    codes,
    factors,
  )
  return { found: [...outRow.subarray(0, written)], distance: [...outDistance.subarray(0, written)] }
}

export interface RecallOptions {
  readonly ef?: number
  /** What the walk's codes are made of: the rows' own space, or its image under the map that the rows' codes are of. */
  readonly codedBy?: (query: Float32Array) => Float32Array
}

/** Share of the ten nearest live rows that a search finds, over 50 queries near rows. Throws when it finds a dead row. */
export function recall(
  kernels: Kernels,
  graph: Uint32Array,
  rows: GraphRows,
  live: Uint32Array,
  { ef = 100, codedBy = query => query }: RecallOptions = {},
): number {
  const { values, dim, metric } = rows
  const count = values.length / dim
  const { normal, below } = random(19)
  const exact = new Float32Array(count)
  const queries = 50
  let hits = 0
  for (let q = 0; q < queries; q++) {
    const at = below(count) * dim
    const query = values.slice(at, at + dim).map(x => x + 0.1 * normal())
    kernels.distances(metric, query, values, dim, 0, count, exact)
    const truth = [...exact.keys()]
      .filter(row => isLive(live, row))
      .sort((a, b) => exact[a]! - exact[b]!)
      .slice(0, 10)
    const { found } = search(kernels, graph, rows, query, ef, live, codedBy(query), 10)
    const dead = found.find(row => !isLive(live, row))
    if (dead !== undefined) throw new Error(`row ${dead} is dead and was found`)
    hits += truth.filter(row => found.includes(row)).length
  }
  return hits / (10 * queries)
}

/** Rows around 40 centres; unit length when asked, because ip graphs are built over such rows. */
export function clustered(count: number, dim: number, unitLength: boolean, seed: number): Float32Array {
  const { normal, below } = random(seed)
  const centres = Float32Array.from({ length: 40 * dim }, normal)
  const rows = new Float32Array(count * dim)
  for (let row = 0; row < count; row++) {
    const centre = below(40) * dim
    const vector = rows.subarray(row * dim, (row + 1) * dim)
    for (let i = 0; i < dim; i++) vector[i] = centres[centre + i]! + 0.4 * normal()
    if (!unitLength) continue
    const length = Math.hypot(...vector)
    for (let i = 0; i < dim; i++) vector[i]! /= length
  }
  return rows
}

export function allLive(count: number): Uint32Array {
  return new Uint32Array(Math.ceil(count / 32)).fill(0xffff_ffff)
}

/** Each row dies with the given chance. */
export function someLive(count: number, deaths: number, seed: number): Uint32Array {
  const { unit } = random(seed)
  const live = allLive(count)
  for (let row = 0; row < count; row++) if (unit() < deaths) live[row >>> 5]! &= ~(1 << (row & 31))
  return live
}

export function isLive(live: Uint32Array, row: number): boolean {
  return ((live[row >>> 5]! >>> (row & 31)) & 1) === 1
}

function everyRow(rows: GraphRows): number[] {
  return Array.from({ length: rows.values.length / rows.dim }, (_, row) => row)
}
