/**
 * HNSW (Malkov and Yashunin 2016) over the memory of `allocateHnsw`: the insert is their algorithm 1 with the neighbour
 * heuristic of algorithm 4, the search is algorithm 5. Distances compare smaller-is-nearer for both metrics, exact ones or, when
 * the rows have SQ8 codes, estimates. Publishing order: see lib/hnsw.ts.
 */

import { NativeError } from '../error.js'
import {
  HNSW_CAPACITY,
  HNSW_EF_CONSTRUCTION,
  HNSW_ENTRY,
  HNSW_LINKED,
  HNSW_M,
  HNSW_ROWS,
  HNSW_WORDS,
} from '../hnsw.js'
import type { KernelMetric } from '../kernels.js'
import { distanceOf } from './distance.js'
import { clear, makeHeap, pop, push, reserve } from './heap.js'
import { estimate } from './sq8.js'

/** With codes, this many more than asked for are measured: an estimate may misplace a row by so much. */
const SPARE_FINALISTS = 16

export function hnswInsert(
  graph: Uint32Array,
  metric: KernelMetric,
  rows: Float32Array,
  dim: number,
  count: number,
  codes?: Uint8Array,
  factors?: Float32Array,
  codeDim: number = dim,
): number {
  const targetOf =
    codes && factors ? estimatesOf(metric, codes, factors, codeDim) : exactDistancesOf(metric, rows, dim)
  const hnsw = attach(graph, rowsIn(rows, dim, codes, factors, codeDim), targetOf)
  const first = graph[HNSW_LINKED]!
  for (let node = first; node < first + count; node++) link(hnsw, node)
  return first + count
}

export function hnswSearch(
  graph: Uint32Array,
  metric: KernelMetric,
  rows: Float32Array,
  dim: number,
  query: Float32Array,
  ef: number,
  live: Uint32Array,
  outRow: Uint32Array,
  outDistance: Float32Array,
  queryCodes?: Int8Array,
  queryFactors?: Float32Array,
  codes?: Uint8Array,
  factors?: Float32Array,
): number {
  const codeDim = queryCodes?.length ?? 0
  const hnsw = attach(graph, rowsIn(rows, dim, codes, factors, codeDim), exactDistancesOf(metric, rows, dim))
  if (Atomics.load(graph, HNSW_LINKED) === 0) return 0
  const distance = distanceOf(metric)
  const exact: Target = row => distance(query, 0, rows, row * dim, dim)
  const target: Target =
    queryCodes && queryFactors && codes && factors
      ? row => estimate(metric, queryCodes, queryFactors, codes, factors, codeDim, row)
      : exact
  const entry = graph[HNSW_ENTRY]!
  const start = descend(hnsw, target, entry, levelOf(hnsw, entry), 0)
  let found: readonly Nearby[] = searchLayer(hnsw, target, start, ef, 0, live)
  if (target !== exact) {
    found = found
      .slice(0, outRow.length + SPARE_FINALISTS)
      .map(({ node }) => ({ node, distance: exact(rowOf(hnsw, node)) }))
      .sort((a, b) => a.distance - b.distance)
  }
  const written = Math.min(found.length, outRow.length)
  for (let j = 0; j < written; j++) {
    outDistance[j] = found[j]!.distance
    outRow[j] = rowOf(hnsw, found[j]!.node)
  }
  return written
}

interface Hnsw {
  readonly graph: Uint32Array
  readonly capacity: number
  readonly M: number
  readonly rowCount: number
  readonly targetOf: (row: number) => Target
}

/** Rows that every array holds. */
function rowsIn(
  rows: Float32Array,
  dim: number,
  codes: Uint8Array | undefined,
  factors: Float32Array | undefined,
  codeDim: number,
): number {
  const exact = Math.floor(rows.length / dim)
  return codes && factors ? Math.min(exact, Math.floor(codes.length / codeDim), factors.length >>> 1) : exact
}

/** Distance to a row. */
type Target = (row: number) => number

function exactDistancesOf(metric: KernelMetric, rows: Float32Array, dim: number): (row: number) => Target {
  const distance = distanceOf(metric)
  return row => other => distance(rows, row * dim, rows, other * dim, dim)
}

function estimatesOf(
  metric: KernelMetric,
  codes: Uint8Array,
  factors: Float32Array,
  dim: number,
): (row: number) => Target {
  return row => {
    const query = Int8Array.from(codes.subarray(row * dim, (row + 1) * dim), code => code - 128)
    const sum = query.reduce((total, code) => total + code, 0)
    const queryFactors = Float32Array.of(factors[2 * row]!, factors[2 * row + 1]!, sum)
    return other => estimate(metric, query, queryFactors, codes, factors, dim, other)
  }
}

// Scratch of this thread, grown and never shrunk; its contents mean nothing between calls.
let visited = new Uint32Array(0)
let visit = 0
const waiting = makeHeap()

function attach(graph: Uint32Array, rowCount: number, targetOf: (row: number) => Target): Hnsw {
  const capacity = graph[HNSW_CAPACITY]!
  if (visited.length < capacity) {
    visited = new Uint32Array(capacity)
    visit = 0
  }
  return { graph, capacity, M: graph[HNSW_M]!, rowCount, targetOf }
}

function link(hnsw: Hnsw, node: number): void {
  const { graph, M } = hnsw
  const level = levelOf(hnsw, node)
  if (node === 0) {
    graph[HNSW_ENTRY] = 0
    Atomics.store(graph, HNSW_LINKED, 1)
    return
  }
  const target = hnsw.targetOf(rowOf(hnsw, node))
  const entry = graph[HNSW_ENTRY]!
  const top = levelOf(hnsw, entry)
  let at = descend(hnsw, target, entry, top, level)
  for (let layer = Math.min(level, top); layer >= 0; layer--) {
    const nearestFirst = searchLayer(hnsw, target, at, graph[HNSW_EF_CONSTRUCTION]!, layer)
    at = nearestFirst[0]!.node
    writeBlock(hnsw, blockOf(hnsw, node, layer), spread(hnsw, node, nearestFirst, M, node * M))
  }
  Atomics.store(graph, HNSW_LINKED, node + 1)
  for (let layer = Math.min(level, top); layer >= 0; layer--) {
    const block = blockOf(hnsw, node, layer)
    for (let j = 1; j <= graph[block]!; j++) linkBack(hnsw, graph[block + j]!, node, layer)
  }
  if (level > top) Atomics.store(graph, HNSW_ENTRY, node)
}

/**
 * Add `node` to the neighbours of `neighbour`; when there is no room, the heuristic decides who stays. Among copies the
 * last loses, so the list is read from a place that moves: not always the oldest copy is forgotten.
 */
function linkBack(hnsw: Hnsw, neighbour: number, node: number, layer: number): void {
  const { graph, M } = hnsw
  const block = blockOf(hnsw, neighbour, layer)
  const count = graph[block]!
  const room = layer === 0 ? 2 * M : M
  if (count < room) {
    graph[block + 1 + count] = node
    Atomics.store(graph, block, count + 1)
    return
  }
  const target = hnsw.targetOf(rowOf(hnsw, neighbour))
  const nearestFirst = [{ node, distance: distanceTo(hnsw, target, node) }]
  for (let j = 1; j <= count; j++) {
    const other = neighbourAt(hnsw, block + 1 + ((j + node) % count))
    nearestFirst.push({ node: other, distance: distanceTo(hnsw, target, other) })
  }
  nearestFirst.sort((a, b) => a.distance - b.distance)
  writeBlock(hnsw, block, spread(hnsw, neighbour, nearestFirst, room, 0))
}

interface Nearby {
  readonly node: number
  readonly distance: number
}

/** An entry of the beam; its neighbours were looked at when it is expanded. */
interface Found extends Nearby {
  expanded: boolean
}

/**
 * Algorithm 4: a candidate stays when it is nearer to the node `of` than to every one that stays already. Copies of
 * that node only fill the room that is left, from a place that `turn` moves. Were they to stay like others, a crowd of
 * equal rows would fill its lists with itself and be cut off from the rest of the graph; were they taken from one end,
 * all would name the same few.
 */
function spread(
  hnsw: Hnsw,
  of: number,
  nearestFirst: readonly Nearby[],
  room: number,
  turn: number,
): readonly number[] {
  const kept: number[] = []
  const copies: number[] = []
  const row = rowOf(hnsw, of)
  const self = hnsw.targetOf(row)(row)
  for (const { node, distance } of nearestFirst) {
    if (kept.length === room) break
    if (distance === self) {
      copies.push(node)
      continue
    }
    const candidate = hnsw.targetOf(rowOf(hnsw, node))
    if (kept.every(other => distanceTo(hnsw, candidate, other) >= distance)) kept.push(node)
  }
  for (let j = 0; j < copies.length && kept.length < room; j++) kept.push(copies[(turn + j) % copies.length]!)
  return kept
}

/** Greedy walk on the layers `from` .. `to + 1`. */
function descend(hnsw: Hnsw, target: Target, entry: number, from: number, to: number): number {
  let at = entry
  let distance = distanceTo(hnsw, target, at)
  for (let layer = from; layer > to; layer--) {
    for (let moved = true; moved; ) {
      moved = false
      const block = blockOf(hnsw, at, layer)
      const count = countOf(hnsw, block, layer)
      for (let j = 1; j <= count; j++) {
        const next = neighbourAt(hnsw, block + j)
        const nextDistance = distanceTo(hnsw, target, next)
        if (nextDistance < distance) {
          distance = nextDistance
          at = next
          moved = true
        }
      }
    }
  }
  return at
}

/**
 * Beam search of one layer (algorithm 2). @returns up to `ef` nodes, nearest first, only those with a live row when `live` is
 * given. The beam is result and queue at once; dead nodes, which lead on but are no result, wait in a heap of their own.
 */
function searchLayer(
  hnsw: Hnsw,
  target: Target,
  entry: number,
  ef: number,
  layer: number,
  live?: Uint32Array,
): Found[] {
  const beam: Found[] = []
  // Every entry before it was expanded.
  let next = 0
  nextVisit()
  reserve(waiting, hnsw.capacity)
  clear(waiting)
  const meet = (node: number): void => {
    visited[node] = visit
    const distance = distanceTo(hnsw, target, node)
    if (beam.length === ef && !(distance < beam[ef - 1]!.distance)) return
    if (!isLive(hnsw, live, node)) {
      push(waiting, distance, node)
      return
    }
    if (beam.length === ef) beam.pop()
    const at = placeIn(beam, distance)
    beam.splice(at, 0, { node, distance, expanded: false })
    next = Math.min(next, at)
  }
  meet(entry)
  for (;;) {
    while (next < beam.length && beam[next]!.expanded) next++
    let from: number
    if (waiting.size > 0 && !(next < beam.length && beam[next]!.distance <= waiting.key[0]!)) {
      if (beam.length === ef && waiting.key[0]! > beam[ef - 1]!.distance) return beam
      from = pop(waiting)
    } else if (next < beam.length) {
      beam[next]!.expanded = true
      from = beam[next]!.node
    } else {
      return beam
    }
    const block = blockOf(hnsw, from, layer)
    const count = countOf(hnsw, block, layer)
    for (let j = 1; j <= count; j++) {
      const node = neighbourAt(hnsw, block + j)
      if (visited[node] !== visit) meet(node)
    }
  }
}

/** Behind all that are as near. */
function placeIn(beam: readonly Found[], distance: number): number {
  let at = 0
  for (let end = beam.length; at < end; ) {
    const middle = (at + end) >>> 1
    if (distance < beam[middle]!.distance) end = middle
    else at = middle + 1
  }
  return at
}

function nextVisit(): void {
  if (visit === 0xffff_ffff) {
    visited.fill(0)
    visit = 0
  }
  visit++
}

function distanceTo(hnsw: Hnsw, target: Target, node: number): number {
  return target(rowOf(hnsw, node))
}

function isLive(hnsw: Hnsw, live: Uint32Array | undefined, node: number): boolean {
  if (live === undefined) return true
  const row = rowOf(hnsw, node)
  return ((live[row >>> 5]! >>> (row & 31)) & 1) === 1
}

function rowOf(hnsw: Hnsw, node: number): number {
  const row = hnsw.graph[HNSW_ROWS + node]!
  if (row >= hnsw.rowCount) damaged('row', row)
  return row
}

function levelOf(hnsw: Hnsw, node: number): number {
  const part = hnsw.graph[HNSW_ROWS + hnsw.capacity + node]!
  return part === 0 ? 0 : hnsw.graph[part]!
}

/** Where the block of a node on a layer starts. */
function blockOf(hnsw: Hnsw, node: number, layer: number): number {
  const { graph, capacity, M } = hnsw
  if (layer === 0) return HNSW_ROWS + 2 * capacity + node * (1 + 2 * M)
  const part = graph[HNSW_ROWS + capacity + node]!
  const block = part + 1 + (layer - 1) * (1 + M)
  if (part === 0 || layer > graph[part]! || block + 1 + M > graph[HNSW_WORDS]!) damaged('layer', layer)
  return block
}

function countOf(hnsw: Hnsw, block: number, layer: number): number {
  const count = Atomics.load(hnsw.graph, block)
  if (count > (layer === 0 ? 2 * hnsw.M : hnsw.M)) damaged('count', count)
  return count
}

function neighbourAt(hnsw: Hnsw, at: number): number {
  const node = hnsw.graph[at]!
  if (node >= hnsw.capacity) damaged('neighbour', node)
  return node
}

function writeBlock(hnsw: Hnsw, block: number, nodes: readonly number[]): void {
  for (let j = 0; j < nodes.length; j++) hnsw.graph[block + 1 + j] = nodes[j]!
  Atomics.store(hnsw.graph, block, nodes.length)
}

function damaged(what: string, value: number): never {
  throw new NativeError('DRIFT_HNSW_LAYOUT', `the graph is damaged: ${what} ${value} is out of range`, {
    [what]: value,
  })
}
