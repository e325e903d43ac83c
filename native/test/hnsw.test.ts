// HNSW: recall against brute force, deletes, small and degenerate graphs, and the structure itself, for graphs that
// any variant built and any variant searches.
import { describe, expect, it } from 'vitest'
import {
  allocateHnsw,
  hnswCapacity,
  hnswLinked,
  hnswRows,
  type KernelMetric,
  kernelsOf,
  NativeError,
  supportedVariants,
} from '../lib/index.js'
import { neighbours } from './hnsw-blocks.js'
import { random } from './random.js'

const METRICS: readonly KernelMetric[] = ['l2', 'ip']
const VARIANTS = supportedVariants()

describe.each(VARIANTS)('%s', variant => {
  const kernels = kernelsOf(variant)

  describe.each(METRICS)('%s', metric => {
    const count = 2000
    const dim = 32
    const rows = clustered(count, dim, metric === 'ip', 12)
    const graph = build(rows, dim, metric)

    it('finds at least 95 of 100 true neighbours, also when another variant built the graph', () => {
      const other = build(rows, dim, metric, VARIANTS.at(-1) === variant ? 'reference' : VARIANTS.at(-1)!)
      expect(recall(graph, rows, dim, metric, allLive(count))).toBeGreaterThanOrEqual(0.95)
      expect(recall(other, rows, dim, metric, allLive(count))).toBeGreaterThanOrEqual(0.95)
    })

    it('never returns a dead row, and keeps its recall among the living', () => {
      const { unit } = random(13)
      const live = allLive(count)
      for (let row = 0; row < count; row++) if (unit() < 0.6) live[row >>> 5]! &= ~(1 << (row & 31))
      expect(recall(graph, rows, dim, metric, live)).toBeGreaterThanOrEqual(0.95)
      const { found } = search(
        graph,
        rows,
        dim,
        metric,
        rows.subarray(0, dim),
        200,
        new Uint32Array(live.length),
      )
      expect(found).toEqual([])
    })

    it('names only linked nodes, never a node itself or one twice', () => {
      for (const { node, layer, ids, room } of neighbours(graph)) {
        expect(ids.length, `node ${node} on layer ${layer}`).toBeLessThanOrEqual(room)
        expect(ids.every(id => id < count && id !== node)).toBe(true)
        expect(new Set(ids).size).toBe(ids.length)
      }
    })

    it('reports distances as distances computes them, nearest first', () => {
      const query = rows.subarray(7 * dim, 8 * dim)
      const { found, distance } = search(graph, rows, dim, metric, query, 50, allLive(count))
      const exact = new Float32Array(found.length)
      kernels.distancesGather(metric, query, rows, dim, Uint32Array.from(found), found.length, exact)
      expect(distance).toEqual([...exact])
      expect(distance).toEqual(distance.toSorted((a, b) => a - b))
    })
  })

  it('reaches every node from the entry', () => {
    const count = 2000
    const dim = 32
    const rows = clustered(count, dim, false, 14)
    const graph = build(rows, dim, 'l2')
    const lost = Array.from({ length: count }, (_, row) => row).filter(row => {
      const query = rows.subarray(row * dim, (row + 1) * dim)
      return !search(graph, rows, dim, 'l2', query, 200, allLive(count)).found.includes(row)
    })
    expect(lost).toEqual([])
  })

  it('stands nodes for the rows it is told, not for its own numbers', () => {
    const dim = 8
    const rows = clustered(300, dim, false, 15)
    const graph = allocateHnsw({ capacity: 100, M: 8, efConstruction: 50, seed: 1 })
    for (let node = 0; node < 100; node++) hnswRows(graph)[node] = 299 - 2 * node
    expect(kernels.hnswInsert(graph, 'l2', rows, dim, 60)).toBe(60)
    expect(kernels.hnswInsert(graph, 'l2', rows, dim, 40)).toBe(100)
    for (const row of [299, 201, 101]) {
      expect(
        search(graph, rows, dim, 'l2', rows.subarray(row * dim, (row + 1) * dim), 50, allLive(300)).found[0],
      ).toBe(row)
    }
  })

  it('works with no, one and two nodes, and counts them', () => {
    const rows = Float32Array.of(0, 0, 3, 4)
    const graph = allocateHnsw({ capacity: 2, M: 2, efConstruction: 1, seed: 5 })
    hnswRows(graph).set([0, 1])
    expect([hnswLinked(graph), hnswCapacity(graph)]).toEqual([0, 2])
    expect(search(graph, rows, 2, 'l2', rows.subarray(2), 10, allLive(2)).found).toEqual([])
    expect(kernels.hnswInsert(graph, 'l2', rows, 2, 0)).toBe(0)
    expect(kernels.hnswInsert(graph, 'l2', rows, 2, 1)).toBe(1)
    expect(search(graph, rows, 2, 'l2', rows.subarray(2), 10, allLive(2))).toEqual({
      found: [0],
      distance: [25],
    })
    expect(kernels.hnswInsert(graph, 'l2', rows, 2, 1)).toBe(2)
    expect(search(graph, rows, 2, 'l2', rows.subarray(2), 10, allLive(2))).toEqual({
      found: [1, 0],
      distance: [0, 25],
    })
    expect(hnswLinked(graph)).toBe(2)
    const none = allocateHnsw({ capacity: 0, seed: 5 })
    expect(search(none, rows, 2, 'l2', rows.subarray(2), 10, allLive(2)).found).toEqual([])
  })

  it('finds ef different rows when all rows are equal', () => {
    const count = 500
    const rows = new Float32Array(count * 4).fill(0.5)
    for (const metric of METRICS) {
      const graph = build(rows, 4, metric)
      const { found } = search(graph, rows, 4, metric, rows.subarray(0, 4), 300, allLive(count))
      expect(new Set(found).size).toBe(300)
    }
  })

  it('finds 95 of 100 rows past a crowd of equal rows that is larger than the beam', () => {
    const count = 1200
    const dim = 16
    const rows = clustered(count, dim, false, 22)
    // Two thirds are copies of row 0, in among the others.
    for (let row = 0; row < count; row++) if (row % 3 !== 1) rows.copyWithin(row * dim, 0, dim)
    const graph = build(rows, dim, 'l2')
    const lost = Array.from({ length: count / 3 }, (_, j) => 3 * j + 1).filter(row => {
      const query = rows.subarray(row * dim, (row + 1) * dim)
      return !search(graph, rows, dim, 'l2', query, 64, allLive(count)).found.includes(row)
    })
    expect(lost.length).toBeLessThan(0.05 * (count / 3))
  })

  it('returns at most ef rows, at most those that have room, and none beyond the live bits', () => {
    const rows = clustered(100, 4, false, 16)
    const graph = build(rows, 4, 'l2')
    const query = rows.subarray(0, 4)
    expect(search(graph, rows, 4, 'l2', query, 7, allLive(100)).found.length).toBe(7)
    const outRow = new Uint32Array(3)
    expect(
      kernels.hnswSearch(graph, 'l2', rows, 4, query, 20, allLive(100), outRow, new Float32Array(3)),
    ).toBe(3)
    const { found } = search(graph, rows, 4, 'l2', query, 100, new Uint32Array(1).fill(-1))
    expect(found.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 32 }, (_, row) => row))
  })

  it('reports a damaged graph and leaves memory alone', () => {
    const { below } = random(17)
    const rows = clustered(200, 8, false, 18)
    const sound = build(rows, 8, 'l2')
    let refused = 0
    for (let round = 0; round < 300; round++) {
      const graph = sound.slice()
      for (let i = 0; i < 20; i++)
        graph[32 + below(graph.length - 32)] = below(2) ? 0xffff_ffff - below(9) : below(9999)
      try {
        const { found } = search(graph, rows, 8, 'l2', rows.subarray(0, 8), 150, allLive(200))
        expect(found.every(row => row < 200)).toBe(true)
      } catch (error) {
        expect(error).toBeInstanceOf(NativeError)
        expect((error as NativeError).code).toBe('DRIFT_HNSW_LAYOUT')
        refused++
      }
    }
    expect(refused).toBeGreaterThan(30)
  })

  function build(rows: Float32Array, dim: number, metric: KernelMetric, by = variant): Uint32Array {
    const count = rows.length / dim
    const graph = allocateHnsw({ capacity: count, M: 16, efConstruction: 100, seed: 3 })
    hnswRows(graph).set(Array.from({ length: count }, (_, row) => row))
    kernelsOf(by).hnswInsert(graph, metric, rows, dim, count)
    return graph
  }

  function search(
    graph: Uint32Array,
    rows: Float32Array,
    dim: number,
    metric: KernelMetric,
    query: Float32Array,
    ef: number,
    live: Uint32Array,
  ): { found: number[]; distance: number[] } {
    const outRow = new Uint32Array(ef)
    const outDistance = new Float32Array(ef)
    const written = kernels.hnswSearch(graph, metric, rows, dim, query, ef, live, outRow, outDistance)
    return { found: [...outRow.subarray(0, written)], distance: [...outDistance.subarray(0, written)] }
  }

  function recall(
    graph: Uint32Array,
    rows: Float32Array,
    dim: number,
    metric: KernelMetric,
    live: Uint32Array,
  ): number {
    const count = rows.length / dim
    const { normal, below } = random(19)
    const isLive = (row: number): boolean => ((live[row >>> 5]! >>> (row & 31)) & 1) === 1
    const exact = new Float32Array(count)
    const queries = 50
    let hits = 0
    for (let q = 0; q < queries; q++) {
      const query = rows
        .slice(below(count) * dim)
        .subarray(0, dim)
        .map(x => x + 0.1 * normal())
      kernels.distances(metric, query, rows, dim, 0, count, exact)
      const truth = [...exact.keys()]
        .filter(isLive)
        .sort((a, b) => exact[a]! - exact[b]!)
        .slice(0, 10)
      const { found } = search(graph, rows, dim, metric, query, 100, live)
      expect(found.every(isLive)).toBe(true)
      const nearest = new Set(found.slice(0, 10))
      hits += truth.filter(row => nearest.has(row)).length
    }
    return hits / (10 * queries)
  }
})

describe('the levels', () => {
  it('thin out by M and depend on the seed alone', () => {
    const graph = allocateHnsw({ capacity: 16_000, M: 16, seed: 7 })
    const upper = [...neighbours(graph, 16_000)].filter(block => block.layer === 1).length
    expect(upper).toBeGreaterThan(850)
    expect(upper).toBeLessThan(1150)
    expect(allocateHnsw({ capacity: 16_000, M: 16, seed: 7 })).toEqual(graph)
    expect(allocateHnsw({ capacity: 16_000, M: 16, seed: 8 })).not.toEqual(graph)
  })
})

/** Rows around 40 centres; unit length when asked, because ip graphs are built over such rows. */
function clustered(count: number, dim: number, unitLength: boolean, seed: number): Float32Array {
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

function allLive(count: number): Uint32Array {
  return new Uint32Array(Math.ceil(count / 32)).fill(0xffff_ffff)
}
