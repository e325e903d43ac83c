/** The two halves of a bucket, as src/halve.c. */
import { BLOCK_ENTRIES, blockBytes, clearBlock, type IndexSlabs } from '../index-slabs.js'
import { writeEntry } from './signs.js'

const MOVES = 8

export function indexHalve(
  index: IndexSlabs,
  rows: Uint32Array,
  own: number,
  count: number,
  first: number,
  second: number,
  side: Uint32Array,
  centroids: Float32Array,
  blocks: Uint8Array,
): number {
  const { padded } = index
  const points = Array.from(rows.subarray(0, count), row => decode(index, row))
  const mine = points.slice(0, own)
  const drawn = own < 2 ? undefined : drawTwo(mine, first, second)
  if (drawn === undefined) return 0
  centroids.set(drawn[0]!)
  centroids.set(drawn[1]!, padded)
  const choose = () => points.map(x => Number(squared(x, centroids, padded) < squared(x, centroids, 0)))
  let sides = choose()
  for (let moves = 0; moves < MOVES; moves++) {
    const parts = [0, 1].map(half => mine.filter((_, i) => sides[i] === half))
    if (parts.some(part => part.length === 0)) return 0
    for (const [half, part] of parts.entries()) centroids.set(mean(part, padded), half * padded)
    const before = sides
    sides = choose()
    if (sides.slice(0, own).every((half, i) => half === before[i])) break
  }
  side.set(sides)
  const counts = [0, 1].map(half => sides.filter(other => other === half).length)
  if (counts.includes(0)) return 0
  const [stays, leaves] = counts.map(entries => Math.ceil(entries / BLOCK_ENTRIES)) as [number, number]
  const bytes = blockBytes(padded)
  for (let block = 0; block < stays + leaves; block++) {
    const words = new Uint32Array(blocks.buffer, blocks.byteOffset + block * bytes, bytes / 4)
    clearBlock(words, padded)
  }
  const filled = [0, 0]
  for (const [j, half] of sides.entries()) {
    const at = filled[half]!++
    const block = half * stays + Math.floor(at / BLOCK_ENTRIES)
    const slot = at % BLOCK_ENTRIES
    writeEntry(index, points[j]!, centroids, half * padded, blocks, block * bytes, slot, rows[j]!)
  }
  return stays
}

function drawTwo(
  points: readonly Float32Array[],
  first: number,
  second: number,
): readonly [Float32Array, Float32Array] | undefined {
  const from = points[Math.min(points.length - 1, Math.floor(first * points.length))]!
  const distances = points.map(x => squared(x, from, 0))
  const total = distances.reduce((sum, d) => sum + d, 0)
  let chosen: Float32Array | undefined
  for (let j = 0, reached = 0; j < points.length && !(reached > second * total); j++) {
    if (distances[j] === 0) continue
    reached += distances[j]!
    chosen = points[j]!
  }
  return chosen && [from, chosen]
}

function squared(x: Float32Array, centroids: Float32Array, at: number): number {
  let sum = 0
  for (let i = 0; i < x.length; i++) sum += (x[i]! - centroids[at + i]!) ** 2
  return sum
}

function mean(points: readonly Float32Array[], padded: number): Float64Array {
  const sums = new Float64Array(padded)
  for (const x of points) for (let i = 0; i < padded; i++) sums[i]! += x[i]!
  return sums.map(total => total / points.length)
}

function decode({ codes, factors, padded }: IndexSlabs, row: number): Float32Array {
  const scale = factors[2 * row]!
  return Float32Array.from(codes.subarray(row * padded, (row + 1) * padded), code => scale * (code - 128))
}
