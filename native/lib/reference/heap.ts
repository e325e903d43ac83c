/**
 * A binary heap of (key, node), smallest key on top. A max-heap holds negated keys.
 */

export interface Heap {
  key: Float64Array
  node: Uint32Array
  size: number
}

export function makeHeap(): Heap {
  return { key: new Float64Array(0), node: new Uint32Array(0), size: 0 }
}

/** Make room for `entries`. What the heap holds is lost when it has to grow. */
export function reserve(heap: Heap, entries: number): void {
  if (heap.key.length >= entries) return
  heap.key = new Float64Array(entries)
  heap.node = new Uint32Array(entries)
}

export function clear(heap: Heap): void {
  heap.size = 0
}

export function push(heap: Heap, key: number, node: number): void {
  const { key: keys, node: nodes } = heap
  let at = heap.size++
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (!(key < keys[parent]!)) break
    keys[at] = keys[parent]!
    nodes[at] = nodes[parent]!
    at = parent
  }
  keys[at] = key
  nodes[at] = node
}

/** @returns the node on top. The heap must not be empty. */
export function pop(heap: Heap): number {
  const { key: keys, node: nodes } = heap
  const top = nodes[0]!
  const size = --heap.size
  const key = keys[size]!
  const node = nodes[size]!
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= size) break
    if (child + 1 < size && keys[child + 1]! < keys[child]!) child++
    if (!(keys[child]! < key)) break
    keys[at] = keys[child]!
    nodes[at] = nodes[child]!
    at = child
  }
  keys[at] = key
  nodes[at] = node
  return top
}
