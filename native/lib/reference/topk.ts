/**
 * The k smallest of many: a bounded heap in the output arrays, worst entry on top, then sorted in place.
 * "Worse" is a larger distance, then a higher position: a total order, so the result is unique.
 */

export function topK(
  distances: Float32Array,
  count: number,
  k: number,
  outPosition: Uint32Array,
  outDistance: Float32Array,
): number {
  if (k === 0) return 0
  let size = 0
  for (let position = 0; position < count; position++) {
    const distance = distances[position]!
    if (size < k) {
      if (!Number.isNaN(distance)) {
        siftUp(outPosition, outDistance, size, position, distance)
        size++
      }
      // Positions rise, so an equal distance loses; a NaN is not less either.
    } else if (distance < outDistance[0]!) {
      siftDown(outPosition, outDistance, size, position, distance)
    }
  }
  for (let end = size - 1; end > 0; end--) {
    const position = outPosition[end]!
    const distance = outDistance[end]!
    outPosition[end] = outPosition[0]!
    outDistance[end] = outDistance[0]!
    siftDown(outPosition, outDistance, end, position, distance)
  }
  return size
}

/** Place an entry into a heap of `size` entries that gains one. */
function siftUp(
  positions: Uint32Array,
  distances: Float32Array,
  size: number,
  position: number,
  distance: number,
): void {
  let at = size
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (!isWorse(distance, position, distances[parent]!, positions[parent]!)) break
    positions[at] = positions[parent]!
    distances[at] = distances[parent]!
    at = parent
  }
  positions[at] = position
  distances[at] = distance
}

/** Replace the top of a heap of `size` entries. */
function siftDown(
  positions: Uint32Array,
  distances: Float32Array,
  size: number,
  position: number,
  distance: number,
): void {
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= size) break
    const right = child + 1
    if (right < size && isWorse(distances[right]!, positions[right]!, distances[child]!, positions[child]!)) {
      child = right
    }
    if (!isWorse(distances[child]!, positions[child]!, distance, position)) break
    positions[at] = positions[child]!
    distances[at] = distances[child]!
    at = child
  }
  positions[at] = position
  distances[at] = distance
}

function isWorse(distance: number, position: number, otherDistance: number, otherPosition: number): boolean {
  return distance > otherDistance || (distance === otherDistance && position > otherPosition)
}
