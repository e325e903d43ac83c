/**
 * The memory of an HNSW graph: one shared Uint32Array that any thread attaches to. The C kernels use the same
 * offsets (src/hnsw.h). All positions are in words.
 *
 *   0        magic            the header: constant after allocateHnsw
 *   1        capacity         nodes
 *   2        M                neighbours kept per node above the ground level, 2M on it
 *   3        efConstruction   beam width of an insert
 *   4        seed             of the levels
 *   5        words            length of the graph
 *   16       linked           nodes 0 .. linked - 1 are in the graph      a cache line of its own: it changes
 *   17       entry            node where every search starts; its level is the highest
 *   32       rows             capacity words: the row of the matrix that node n stands for
 *   ...      upper            capacity words: where node n's upper part starts, 0 when its level is 0
 *   ...      ground           capacity blocks of 1 + 2M words: count, neighbours
 *   ...      upper parts      level L, then L blocks of 1 + M words, level 1 first: count, neighbours
 *
 * Levels are drawn here for the whole capacity, so every part has its exact place and no kernel draws a number.
 * One writer, many readers: a block is written before `linked` is raised over its node, `linked` before any other
 * block names the node, `entry` last. A reader therefore meets only ids below `linked`.
 */
import { NativeError } from './error.js'
import { adviseHugePages, MAX_SLAB_BYTES } from './slab.js'

export interface HnswOptions {
  /** Nodes the graph can hold. */
  readonly capacity: number
  /** Neighbours per node, 2..256; more find better and cost more. */
  readonly M?: number
  /** Beam width of an insert, 1..65535. */
  readonly efConstruction?: number
  /** Of the levels; a u32. The same seed and the same rows give the same graph. */
  readonly seed: number
}

const HNSW_MAGIC = 0x57_4e_48_44 // "DHNW"
export const HNSW_CAPACITY = 1
export const HNSW_M = 2
export const HNSW_EF_CONSTRUCTION = 3
const HNSW_SEED = 4
export const HNSW_WORDS = 5
export const HNSW_LINKED = 16
export const HNSW_ENTRY = 17
export const HNSW_ROWS = 32

/** With M = 2 a level above 24 has a chance of 2^-24 per node: nothing is lost by stopping there. */
const HNSW_MAX_LEVEL = 24

const MAX_M = 256
const MAX_EF_CONSTRUCTION = 65_535

/** An empty graph. Fill `hnswRows` before the nodes are inserted. */
export function allocateHnsw(options: HnswOptions): Uint32Array {
  // Without options the capacity is what is missing first.
  const { capacity, M = 16, efConstruction = 200, seed } = options ?? ({} as HnswOptions)
  requireWithin('capacity', capacity, 0, MAX_SLAB_BYTES / 4)
  requireWithin('M', M, 2, MAX_M)
  requireWithin('efConstruction', efConstruction, 1, MAX_EF_CONSTRUCTION)
  requireWithin('seed', seed, 0, 0xffff_ffff)

  const fixedWords = HNSW_ROWS + capacity * (3 + 2 * M)
  let words = fixedWords
  const ladder = levelLadder(M)
  for (let node = 0; node < capacity; node++) words += upperWords(drawLevel(ladder, seed, node), M)
  if (words * 4 > MAX_SLAB_BYTES) {
    throw new NativeError(
      'DRIFT_SLAB_SIZE',
      `a graph of ${capacity} nodes with M ${M} needs ${words * 4} bytes`,
      {
        capacity,
        M,
      },
    )
  }

  const memory = new SharedArrayBuffer(words * 4)
  adviseHugePages(memory)
  const graph = new Uint32Array(memory)
  graph[HNSW_CAPACITY] = capacity
  graph[HNSW_M] = M
  graph[HNSW_EF_CONSTRUCTION] = efConstruction
  graph[HNSW_SEED] = seed
  graph[HNSW_WORDS] = words
  graph[0] = HNSW_MAGIC
  let part = fixedWords
  for (let node = 0; node < capacity; node++) {
    const level = drawLevel(ladder, seed, node)
    if (level === 0) continue
    graph[HNSW_ROWS + capacity + node] = part
    graph[part] = level
    part += upperWords(level, M)
  }
  return graph
}

/** The view to fill: node n stands for row `hnswRows(graph)[n]`. */
export function hnswRows(graph: Uint32Array): Uint32Array {
  requireHnsw(graph)
  return graph.subarray(HNSW_ROWS, HNSW_ROWS + graph[HNSW_CAPACITY]!)
}

/** How many nodes are in the graph. */
export function hnswLinked(graph: Uint32Array): number {
  requireHnsw(graph)
  return Atomics.load(graph, HNSW_LINKED)
}

/** Bytes of it that are in memory: of nodes that are not linked yet, the ground blocks, which are most of it, were never touched. */
export function hnswBytes(graph: Uint32Array): number {
  const unlinked = hnswCapacity(graph) - hnswLinked(graph)
  return graph.byteLength - 4 * unlinked * (1 + 2 * graph[HNSW_M]!)
}

export function hnswCapacity(graph: Uint32Array): number {
  requireHnsw(graph)
  return graph[HNSW_CAPACITY]!
}

/** Constant time: the header is one that allocateHnsw writes and all fixed parts lie inside the array. */
export function requireHnsw(graph: Uint32Array): void {
  if (graph.length >= HNSW_ROWS && graph[0] === HNSW_MAGIC && isHeader(graph)) return
  throw new NativeError('DRIFT_HNSW_LAYOUT', 'the array is not a graph made by allocateHnsw', {
    length: graph.length,
    capacity: graph[HNSW_CAPACITY],
    M: graph[HNSW_M],
    words: graph[HNSW_WORDS],
  })
}

function isHeader(graph: Uint32Array): boolean {
  const capacity = graph[HNSW_CAPACITY]!
  const M = graph[HNSW_M]!
  const efConstruction = graph[HNSW_EF_CONSTRUCTION]!
  const words = graph[HNSW_WORDS]!
  // The writer raises `linked` before `entry`, so a reader beside it loads them the other way round.
  const entry = Atomics.load(graph, HNSW_ENTRY)
  const linked = Atomics.load(graph, HNSW_LINKED)
  return (
    M >= 2 &&
    M <= MAX_M &&
    efConstruction >= 1 &&
    efConstruction <= MAX_EF_CONSTRUCTION &&
    words <= graph.length &&
    HNSW_ROWS + capacity * (3 + 2 * M) <= words &&
    linked <= capacity &&
    (linked === 0 || entry < linked)
  )
}

/** Chance of level >= l is M^-l (the paper's mult = 1 / ln M), as thresholds of a 32-bit draw. */
function levelLadder(M: number): number[] {
  const ladder: number[] = []
  for (let below = 2 ** 32 / M; below >= 1 && ladder.length < HNSW_MAX_LEVEL; below /= M) ladder.push(below)
  return ladder
}

function drawLevel(ladder: readonly number[], seed: number, node: number): number {
  const draw = mix(mix(node ^ 0x9e3779b9) ^ seed)
  let level = 0
  while (level < ladder.length && draw < ladder[level]!) level++
  return level
}

function upperWords(level: number, M: number): number {
  return level === 0 ? 0 : 1 + level * (1 + M)
}

/** MurmurHash3's 32-bit finalizer. */
function mix(word: number): number {
  let h = word
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function requireWithin(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  throw new NativeError('DRIFT_KERNEL_ARGUMENT', `${name} is ${value}, expected ${least}..${most}`, {
    [name]: value,
  })
}
