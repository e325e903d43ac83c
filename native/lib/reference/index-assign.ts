/** Rows into the partition, as src/assign.c: which two buckets, and their entries there. */
import { BLOCK_ENTRIES, blockBytes, type IndexSlabs } from '../index-slabs.js'
import { distancesGather } from './distance.js'
import { type PreparedQuery, prepareRotated, type Routed, rank, route } from './route.js'
import { admitUnknown, copySigns, rowsOfBlock, writeEntry, writeSigns } from './signs.js'
import { sq8DistancesGather } from './sq8.js'

const CANDIDATES = 16
const FINALISTS = 4
const LAMBDA = 1.5
const NO_ROW = 0xffff_ffff

export function indexAssign(
  index: IndexSlabs,
  rows: Uint32Array,
  first: number,
  count: number,
  home: Uint32Array,
  second: Uint32Array | undefined,
  near: Uint32Array = new Uint32Array(0),
  width = 1,
  weights?: Float32Array,
): void {
  for (let j = first; j < first + count; j++) {
    const x = decode(index, rows[j]!)
    const query = prepareRotated(x)
    const list = near.subarray(j * width, (j + 1) * width).filter(bucket => bucket < index.bucketCount)
    const found =
      list.length > 0 ? rankListed(index, query, list, weights) : route(index, 'l2', query, 2 * CANDIDATES)
    if (second === undefined) {
      home[j] = found[nearestExactly(index, x, found, weights)]!.bucket
      continue
    }
    const chosen = chooseTwo(index, x, found.slice(0, CANDIDATES))
    home[j] = chosen.home
    second[j] = chosen.second
  }
}

export function indexNear(
  index: IndexSlabs,
  rows: Uint32Array,
  first: number,
  count: number,
  width: number,
  out: Uint32Array,
): void {
  for (let j = first; j < first + count; j++) {
    const x = decode(index, rows[j]!)
    const near = route(index, 'l2', prepareRotated(x), 2 * Math.max(width, CANDIDATES))
    near.unshift(...near.splice(nearestExactly(index, x, near), 1))
    for (let i = 0; i < width; i++) out[j * width + i] = near[i]?.bucket ?? NO_ROW
  }
}

export function indexNeighbours(
  index: IndexSlabs,
  first: number,
  count: number,
  width: number,
  out: Uint32Array,
): void {
  const { centroids, padded } = index
  for (let j = 0; j < count; j++) {
    const at = (first + j) * padded
    const near = route(index, 'l2', prepareRotated(centroids.slice(at, at + padded)), 2 * width)
    for (let i = 0; i < width; i++) out[j * width + i] = near[i]?.bucket ?? NO_ROW
  }
}

/** The buckets of a list, nearest first, by their distance times their weight. */
function rankListed(
  index: IndexSlabs,
  query: PreparedQuery,
  list: Uint32Array,
  weights?: Float32Array,
): Routed[] {
  const ranked = rank(index, 'l2', query, list)
  if (weights === undefined) return ranked
  return ranked
    .map(({ bucket, distance }) => ({ bucket, distance: distance * weights[bucket]! }))
    .sort((a, b) => a.distance - b.distance)
}

/** Place of the home: which of the FINALISTS is nearest by exact distance, times its weight. */
function nearestExactly(
  { centroids, padded }: IndexSlabs,
  x: Float32Array,
  near: readonly Routed[],
  weights?: Float32Array,
): number {
  const finalists = Uint32Array.from(near.slice(0, FINALISTS), ({ bucket }) => bucket)
  const distances = new Float32Array(finalists.length)
  distancesGather('l2', x, centroids, padded, finalists, finalists.length, distances)
  for (const [i, bucket] of finalists.entries()) distances[i]! *= weights?.[bucket] ?? 1
  let best = 0
  for (let i = 1; i < distances.length; i++) if (distances[i]! < distances[best]!) best = i
  return best
}

/** The home by exact distance; the second by the distances of the codes. */
function chooseTwo(
  index: IndexSlabs,
  x: Float32Array,
  near: readonly Routed[],
): { home: number; second: number } {
  const { centroidCodes, centroidFactors, padded } = index
  const best = nearestExactly(index, x, near)
  const { bucket: home, distance: toHome } = near[best]!
  const codes = Int8Array.from(centroidCodes.subarray(home * padded, (home + 1) * padded), code => code - 128)
  const factors = Float32Array.of(
    centroidFactors[2 * home]!,
    centroidFactors[2 * home + 1]!,
    codes.reduce((sum, code) => sum + code, 0),
  )
  const buckets = Uint32Array.from(near, ({ bucket }) => bucket)
  const between = new Float32Array(buckets.length)
  // biome-ignore format: one call
  sq8DistancesGather('l2', codes, factors, centroidCodes, centroidFactors, padded, buckets, buckets.length, between)
  let second = NO_ROW
  let least = Number.POSITIVE_INFINITY
  for (const [i, { bucket, distance }] of near.entries()) {
    if (i === best) continue
    const along = (toHome + distance - between[i]!) / 2
    const loss = toHome > 0 ? distance + (LAMBDA * along * along) / toHome : distance
    if (loss >= least) continue
    least = loss
    second = bucket
  }
  return { home, second }
}

export function indexAppend(
  index: IndexSlabs,
  rows: Uint32Array,
  buckets: Uint32Array,
  slots: Uint32Array,
  count: number,
): void {
  const { centroids, padded, blocks } = index
  for (let j = 0; j < count; j++) {
    const slot = slots[j]!
    const start = Math.floor(slot / BLOCK_ENTRIES) * blockBytes(padded)
    const x = decode(index, rows[j]!)
    writeEntry(index, x, centroids, buckets[j]! * padded, blocks, start, slot % BLOCK_ENTRIES, rows[j]!)
  }
}

export function indexAppendTail(
  index: IndexSlabs,
  reference: Float32Array,
  rows: Uint32Array,
  slots: Uint32Array,
  count: number,
): void {
  const { padded, blocks } = index
  for (let j = 0; j < count; j++) {
    const place = slots[j]! % BLOCK_ENTRIES
    const start = Math.floor(slots[j]! / BLOCK_ENTRIES) * blockBytes(padded)
    writeEntry(index, decode(index, rows[j]!), reference, 0, blocks, start, place, rows[j]!)
    admitUnknown(blocks, start, place, padded)
  }
}

export function indexCopy(
  { padded, blocks }: IndexSlabs,
  from: Uint32Array,
  to: Uint32Array,
  count: number,
): void {
  const start = (slot: number) => Math.floor(slot / BLOCK_ENTRIES) * blockBytes(padded)
  for (let j = 0; j < count; j++) {
    const [source, target] = [from[j]!, to[j]!]
    copySigns(padded, blocks, start(source), source % BLOCK_ENTRIES, start(target), target % BLOCK_ENTRIES)
  }
}

export function indexCompact(
  index: IndexSlabs,
  home: Uint32Array,
  second: Uint32Array,
  bucket: number,
  from: number,
  entries: number,
  to: number,
  room: number,
): number {
  const { padded, blocks, next } = index
  const slots: number[] = []
  const rowAt = (slot: number): number =>
    rowsOfBlock(blocks, Math.floor(slot / BLOCK_ENTRIES), padded)[slot % BLOCK_ENTRIES]!
  let block = from
  for (let i = 0; i < entries && block < next.length; i++) {
    const slot = block * BLOCK_ENTRIES + (i % BLOCK_ENTRIES)
    const row = rowAt(slot)
    if (home[row] === bucket || second[row] === bucket) slots.push(slot)
    if (i % BLOCK_ENTRIES === BLOCK_ENTRIES - 1) block = next[block]!
  }
  const seen = new Set<number>()
  let target = to
  let count = 0
  for (const slot of slots.reverse()) {
    if (count === room || target >= next.length) break
    if (seen.has(rowAt(slot))) continue
    seen.add(rowAt(slot))
    const place = target * BLOCK_ENTRIES + (count % BLOCK_ENTRIES)
    indexCopy(index, Uint32Array.of(slot), Uint32Array.of(place), 1)
    if (++count % BLOCK_ENTRIES === 0) target = next[target]!
  }
  return count
}

export function indexRouteEntries(index: IndexSlabs, first: number, count: number): void {
  const { centroids, center, router, padded } = index
  for (let bucket = first; bucket < first + count; bucket++) {
    const x = centroids.subarray(bucket * padded, (bucket + 1) * padded)
    const start = Math.floor(bucket / BLOCK_ENTRIES) * blockBytes(padded)
    writeSigns('l2', x, center, 0, router, start, bucket % BLOCK_ENTRIES, bucket)
  }
}

/** What the codes of the row say: the rotated row, but for half a step. */
function decode({ codes, factors, padded }: IndexSlabs, row: number): Float32Array {
  const scale = factors[2 * row]!
  return Float32Array.from(codes.subarray(row * padded, (row + 1) * padded), code => scale * (code - 128))
}
