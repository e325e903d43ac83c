// hnswlib-node behind the engine interface, with the settings that its own documentation starts from.
import type { Engine } from './engine.js'
import type { Hnswlib } from './peers.js'

const M = 16
const EF_CONSTRUCTION = 200

/** @param rows - unit length, so that `ip` gives the order of cosine at the lower cost. */
export function buildHnswlib(
  hnswlib: Hnswlib,
  rows: Float32Array,
  dim: number,
  seed: number,
): { engine: Engine; buildMs: number } {
  const start = performance.now()
  const count = rows.length / dim
  const index = new hnswlib.HierarchicalNSW('ip', dim)
  index.initIndex(count, M, EF_CONSTRUCTION, seed)
  for (let row = 0; row < count; row++) {
    index.addPoint(Array.from(rows.subarray(row * dim, (row + 1) * dim)), row)
  }
  let ef: number | undefined
  const engine: Engine = {
    name: 'hnswlib-node',
    knob: 'ef',
    search(query, k, setting) {
      if (setting !== undefined && setting !== ef) index.setEf(setting)
      ef = setting
      return index.searchKnn(plain(query), k).neighbors
    },
    close() {},
  }
  return { engine, buildMs: performance.now() - start }
}

/** hnswlib-node takes arrays only. They are made once for each query, so that the copy is not charged to it. */
const plainQueries = new WeakMap<Float32Array, number[]>()

export function plain(query: Float32Array): number[] {
  const known = plainQueries.get(query)
  if (known) return known
  const values = Array.from(query)
  plainQueries.set(query, values)
  return values
}
