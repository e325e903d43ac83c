// Reads a graph by the drawing in lib/hnsw.ts alone, so that a kernel and its reader cannot share a mistake.
export interface Block {
  readonly node: number
  readonly layer: number
  readonly ids: readonly number[]
  readonly room: number
}

/** Every block of the first `nodes` nodes. */
export function* neighbours(graph: Uint32Array, nodes: number = graph[16]!): Generator<Block> {
  const capacity = graph[1]!
  const M = graph[2]!
  const ids = (at: number): number[] => [...graph.subarray(at + 1, at + 1 + graph[at]!)]
  for (let node = 0; node < nodes; node++) {
    yield { node, layer: 0, ids: ids(32 + 2 * capacity + node * (1 + 2 * M)), room: 2 * M }
    const part = graph[32 + capacity + node]!
    const level = part === 0 ? 0 : graph[part]!
    for (let layer = 1; layer <= level; layer++) {
      yield { node, layer, ids: ids(part + 1 + (layer - 1) * (1 + M)), room: M }
    }
  }
}
