// usearch through its own npm package: float32, the graph as wide as hnswlib's.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { requirePeer } from '../peers.js'
import { type NodeEngine, sweepOf } from './engine-kind.js'

const CONNECTIVITY = 16
const EXPANSION_ADD = 200
const EXPANSION_SEARCH = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 400, 600]
const ADD_ROWS = 10_000

interface Usearch {
  Index: new (
    options: Record<string, unknown>,
  ) => {
    add(keys: BigUint64Array, vectors: Float32Array, threads: number): void
    search(
      queries: Float32Array | Float32Array[],
      k: number,
      threads: number,
    ): { readonly keys: BigUint64Array }
    remove(keys: BigUint64Array): unknown
    save(path: string): void
    load(path: string): void
  }
}

let library: Usearch | undefined

export const usearch: NodeEngine = {
  name: 'usearch',
  configuration: `float32, connectivity ${CONNECTIVITY}, expansion_add ${EXPANSION_ADD}`,
  limits:
    'Its search width cannot be changed on a living index from Node: for each setting the saved index is loaded anew, off the clock.',
  settings: k =>
    sweepOf(
      'expansion_search',
      EXPANSION_SEARCH.filter(width => width >= k),
    ),
  peer: 'usearch',
  load() {
    library = requirePeer('usearch')
    return library !== undefined
  },
  async fill({ rows, dim, metric, threads, folder }) {
    const make = (expansionSearch: number) =>
      new library!.Index({
        metric: metric === 'ip' ? 'ip' : 'l2sq',
        dimensions: dim,
        connectivity: CONNECTIVITY,
        expansion_add: EXPANSION_ADD,
        expansion_search: expansionSearch,
        multi: false,
      })
    let width = 64
    let index = make(width)
    const path = join(folder, 'index.usearch')
    for (let first = 0; first < rows.length / dim; first += ADD_ROWS) {
      const values = rows.subarray(first * dim, (first + ADD_ROWS) * dim)
      index.add(
        BigUint64Array.from({ length: values.length / dim }, (_, i) => BigInt(first + i)),
        values,
        threads,
      )
    }
    index.save(path)
    return {
      configure(setting) {
        if (setting['expansion_search'] === width) return
        width = setting['expansion_search']!
        index = make(width)
        globalThis.gc?.() // the index before is only let go with its handle
        index.load(path)
      },
      search: (query, k) => index.search(query, k, 1).keys,
      searchAll: (queries, k) => index.search(queries, k, 1),
      insert: (numbers, values) => index.add(keysOf(numbers), values, 1),
      remove(numbers) {
        index.remove(keysOf(numbers))
      },
      diskBytes: statSync(path).size,
      close() {},
    }
  },
}

function keysOf(numbers: readonly number[]): BigUint64Array {
  return BigUint64Array.from(numbers, BigInt)
}
