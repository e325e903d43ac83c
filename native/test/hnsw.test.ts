// HNSW: recall against brute force, deletes, small and degenerate graphs, and the structure itself, for graphs that
// any variant built and any variant searches, by exact distances and by SQ8 codes.
import { describe, expect, it } from 'vitest'
import {
  allocateHnsw,
  hnswBytes,
  hnswCapacity,
  hnswLinked,
  hnswRows,
  type KernelMetric,
  kernelsOf,
  NativeError,
  supportedVariants,
} from '../lib/index.js'
import { neighbours } from './hnsw-blocks.js'
import {
  allLive,
  build,
  clustered,
  type GraphRows,
  isLive,
  recall,
  search,
  someLive,
  withCodes,
} from './hnsw-graphs.js'
import { random } from './random.js'

const VARIANTS = supportedVariants()

interface Walk {
  readonly metric: KernelMetric
  readonly by: 'rows' | 'codes'
}

const WALKS: readonly Walk[] = [
  { metric: 'l2', by: 'rows' },
  { metric: 'ip', by: 'rows' },
  { metric: 'l2', by: 'codes' },
  { metric: 'ip', by: 'codes' },
]

describe.each(VARIANTS)('%s', variant => {
  const kernels = kernelsOf(variant)

  describe.each(WALKS)('$metric by $by', walk => {
    const count = 2000
    const dim = 32
    const rows = rowsOf(clustered(count, dim, walk.metric === 'ip', 12), dim, walk)
    const graph = build(rows, variant)

    it('finds at least 95 of 100 true neighbours, also when another variant built the graph', () => {
      const other = build(rows, VARIANTS.at(-1) === variant ? 'reference' : VARIANTS.at(-1)!)
      expect(recall(kernels, graph, rows, allLive(count))).toBeGreaterThanOrEqual(0.95)
      expect(recall(kernels, other, rows, allLive(count))).toBeGreaterThanOrEqual(0.95)
    })

    it('never returns a dead row, and after half were deleted is within a point of a fresh graph', () => {
      const live = someLive(count, 0.5, 13)
      const members = Array.from({ length: count }, (_, row) => row).filter(row => isLive(live, row))
      const fresh = build(rows, variant, members)
      for (const ef of [16, 32, 64]) {
        const before = recall(kernels, fresh, rows, live, { ef })
        expect(recall(kernels, graph, rows, live, { ef })).toBeGreaterThanOrEqual(before - 0.01)
      }
    })

    it('finds the last living rows among the dead, and nothing when all are dead', () => {
      const live = new Uint32Array(allLive(count).length)
      const query = rows.values.subarray(0, dim)
      expect(search(kernels, graph, rows, query, 200, live).found).toEqual([])
      for (const row of [3, 1000, 1999]) live[row >>> 5]! |= 1 << (row & 31)
      const { found } = search(kernels, graph, rows, query, 200, live)
      expect(found.toSorted((a, b) => a - b)).toEqual([3, 1000, 1999])
    })

    it('names only linked nodes, never a node itself or one twice', () => {
      for (const { node, layer, ids, room } of neighbours(graph)) {
        expect(ids.length, `node ${node} on layer ${layer}`).toBeLessThanOrEqual(room)
        expect(ids.every(id => id < count && id !== node)).toBe(true)
        expect(new Set(ids).size).toBe(ids.length)
      }
    })

    it('reports distances as distances computes them, nearest first', () => {
      const query = rows.values.subarray(7 * dim, 8 * dim)
      const { found, distance } = search(kernels, graph, rows, query, 50, allLive(count))
      const exact = new Float32Array(found.length)
      kernels.distancesGather(
        walk.metric,
        query,
        rows.values,
        dim,
        Uint32Array.from(found),
        found.length,
        exact,
      )
      expect(distance).toEqual([...exact])
      expect(distance).toEqual(distance.toSorted((a, b) => a - b))
    })
  })

  describe.each(['rows', 'codes'] as const)('by %s', by => {
    it('reaches every node from the entry', () => {
      const count = 2000
      const dim = 32
      const rows = rowsOf(clustered(count, dim, false, 14), dim, { metric: 'l2', by })
      const graph = build(rows, variant)
      const lost = Array.from({ length: count }, (_, row) => row).filter(row => {
        const query = rows.values.subarray(row * dim, (row + 1) * dim)
        return !search(kernels, graph, rows, query, 200, allLive(count)).found.includes(row)
      })
      expect(lost).toEqual([])
    })

    it('finds ef different rows when all rows are equal', () => {
      const count = 500
      for (const metric of ['l2', 'ip'] as const) {
        const rows = rowsOf(new Float32Array(count * 4).fill(0.5), 4, { metric, by })
        const graph = build(rows, variant)
        const { found } = search(kernels, graph, rows, rows.values.subarray(0, 4), 300, allLive(count))
        expect(new Set(found).size).toBe(300)
      }
    })

    it('finds 95 of 100 rows past a crowd of equal rows that is larger than the beam', () => {
      const count = 1200
      const dim = 16
      const values = clustered(count, dim, false, 22)
      // Two thirds are copies of row 0, in among the others.
      for (let row = 0; row < count; row++) if (row % 3 !== 1) values.copyWithin(row * dim, 0, dim)
      const rows = rowsOf(values, dim, { metric: 'l2', by })
      const graph = build(rows, variant)
      const lost = Array.from({ length: count / 3 }, (_, j) => 3 * j + 1).filter(row => {
        const query = values.subarray(row * dim, (row + 1) * dim)
        return !search(kernels, graph, rows, query, 64, allLive(count)).found.includes(row)
      })
      expect(lost.length).toBeLessThan(0.05 * (count / 3))
    })

    it('returns at most ef rows, at most those that have room, and none beyond the live bits', () => {
      const rows = rowsOf(clustered(100, 4, false, 16), 4, { metric: 'l2', by })
      const graph = build(rows, variant)
      const query = rows.values.subarray(0, 4)
      expect(search(kernels, graph, rows, query, 7, allLive(100)).found.length).toBe(7)
      expect(search(kernels, graph, rows, query, 20, allLive(100), query, 3).found.length).toBe(3)
      const { found } = search(kernels, graph, rows, query, 100, new Uint32Array(1).fill(-1))
      expect(found.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 32 }, (_, row) => row))
    })

    it('reports a damaged graph and leaves memory alone', () => {
      const { below } = random(17)
      const rows = rowsOf(clustered(200, 8, false, 18), 8, { metric: 'l2', by })
      const sound = build(rows, variant)
      let refused = 0
      for (let round = 0; round < 300; round++) {
        const graph = sound.slice()
        for (let i = 0; i < 20; i++)
          graph[32 + below(graph.length - 32)] = below(2) ? 0xffff_ffff - below(9) : below(9999)
        try {
          const { found } = search(kernels, graph, rows, rows.values.subarray(0, 8), 150, allLive(200))
          expect(found.every(row => row < 200)).toBe(true)
        } catch (error) {
          expectDamage(error)
          refused++
        }
      }
      expect(refused).toBeGreaterThan(30)
    })
  })

  it('walks by the codes of rotated and padded rows as well as by their own', () => {
    const count = 1000
    const dim = 24
    const padded = 64
    const values = clustered(count, dim, false, 23)
    const reflect = reflection(padded, 24)
    const turn = (x: Float32Array): Float32Array => {
      const wide = new Float32Array(padded)
      wide.set(x)
      return reflect(wide).reverse()
    }
    const turned = new Float32Array(count * padded)
    for (let row = 0; row < count; row++)
      turned.set(turn(values.subarray(row * dim, (row + 1) * dim)), row * padded)
    const rows = withCodes({ values, dim, metric: 'l2' }, turned)
    const graph = build(rows, variant)
    expect(recall(kernels, graph, rows, allLive(count), { codedBy: turn })).toBeGreaterThanOrEqual(0.95)
    // That the walk goes by the codes at all: those of the query as it is lead elsewhere.
    const asItIs = (x: Float32Array): Float32Array => turn(x).reverse()
    expect(recall(kernels, graph, rows, allLive(count), { ef: 10, codedBy: asItIs })).toBeLessThan(0.5)
  })

  it('searches by rows what was built by codes, and the other way round', () => {
    const count = 1000
    const exact = rowsOf(clustered(count, 16, false, 25), 16, { metric: 'l2', by: 'rows' })
    const coded = withCodes(exact)
    expect(recall(kernels, build(coded, variant), exact, allLive(count))).toBeGreaterThanOrEqual(0.95)
    expect(recall(kernels, build(exact, variant), coded, allLive(count))).toBeGreaterThanOrEqual(0.95)
  })

  it('refuses to walk to rows that have no codes', () => {
    const rows = withCodes({ values: clustered(200, 8, false, 26), dim: 8, metric: 'l2' })
    const graph = build(rows, variant)
    const short = { ...rows, codes: rows.codes!.subarray(0, 8 * 100) }
    let thrown: unknown
    try {
      search(kernels, graph, short, rows.values.subarray(0, 8), 200, allLive(200))
    } catch (error) {
      thrown = error
    }
    expectDamage(thrown)
  })

  it('stands nodes for the rows it is told, not for its own numbers', () => {
    const dim = 8
    const values = clustered(300, dim, false, 15)
    const rows = { values, dim, metric: 'l2' } as const
    const graph = allocateHnsw({ capacity: 100, M: 8, efConstruction: 50, seed: 1 })
    for (let node = 0; node < 100; node++) hnswRows(graph)[node] = 299 - 2 * node
    expect(kernels.hnswInsert(graph, 'l2', values, dim, 60)).toBe(60)
    expect(kernels.hnswInsert(graph, 'l2', values, dim, 40)).toBe(100)
    for (const row of [299, 201, 101]) {
      const query = values.subarray(row * dim, (row + 1) * dim)
      expect(search(kernels, graph, rows, query, 50, allLive(300)).found[0]).toBe(row)
    }
  })

  it('tells as its memory what linked nodes have touched', () => {
    const graph = allocateHnsw({ capacity: 1000, M: 8, efConstruction: 50, seed: 1 })
    const none = hnswBytes(graph)
    expect(none).toBeLessThan(graph.byteLength / 4)
    hnswRows(graph).fill(0)
    kernels.hnswInsert(graph, 'l2', new Float32Array(4), 4, 10)
    expect(hnswBytes(graph)).toBe(none + 10 * 4 * 17) // a count and 2 M neighbours each
    kernels.hnswInsert(graph, 'l2', new Float32Array(4), 4, 990)
    expect(hnswBytes(graph)).toBe(graph.byteLength)
  })

  it('works with no, one and two nodes, and counts them', () => {
    const values = Float32Array.of(0, 0, 3, 4)
    const rows = { values, dim: 2, metric: 'l2' } as const
    const query = values.subarray(2)
    const graph = allocateHnsw({ capacity: 2, M: 2, efConstruction: 1, seed: 5 })
    hnswRows(graph).set([0, 1])
    expect([hnswLinked(graph), hnswCapacity(graph)]).toEqual([0, 2])
    expect(search(kernels, graph, rows, query, 10, allLive(2)).found).toEqual([])
    expect(kernels.hnswInsert(graph, 'l2', values, 2, 0)).toBe(0)
    expect(kernels.hnswInsert(graph, 'l2', values, 2, 1)).toBe(1)
    expect(search(kernels, graph, rows, query, 10, allLive(2))).toEqual({ found: [0], distance: [25] })
    expect(kernels.hnswInsert(graph, 'l2', values, 2, 1)).toBe(2)
    expect(search(kernels, graph, rows, query, 10, allLive(2))).toEqual({ found: [1, 0], distance: [0, 25] })
    expect(hnswLinked(graph)).toBe(2)
    const none = allocateHnsw({ capacity: 0, seed: 5 })
    expect(search(kernels, none, rows, query, 10, allLive(2)).found).toEqual([])
  })
})

describe('the links', () => {
  it('made by codes are the same words in every variant', () => {
    for (const metric of ['l2', 'ip'] as const) {
      const rows = withCodes({ values: clustered(600, 40, metric === 'ip', 27), dim: 40, metric })
      const graphs = VARIANTS.map(variant => build(rows, variant))
      for (const graph of graphs) expect(graph).toEqual(graphs[0])
    }
  })
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

function rowsOf(values: Float32Array, dim: number, walk: Walk): GraphRows {
  const rows = { values, dim, metric: walk.metric }
  return walk.by === 'codes' ? withCodes(rows) : rows
}

/** x - 2 <x, u> u: keeps every distance and moves every axis. */
function reflection(dim: number, seed: number): (x: Float32Array) => Float32Array {
  const { normal } = random(seed)
  const u = Float32Array.from({ length: dim }, normal)
  const length = Math.hypot(...u)
  return x => {
    const along = x.reduce((total, value, i) => total + (value * u[i]!) / length, 0)
    return x.map((value, i) => value - (2 * along * u[i]!) / length)
  }
}

function expectDamage(error: unknown): void {
  expect(error).toBeInstanceOf(NativeError)
  expect((error as NativeError).code).toBe('DRIFT_HNSW_LAYOUT')
}
