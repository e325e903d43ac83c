/**
 * At which floor a query just meets a row: what the estimate knows of the row's buckets, for any weights.
 * Rule: as native/src/estimate.h, but by the exact distances of all centroids, so that it does not depend on what was routed.
 */
import { FLAT_BUCKETS, type IndexSlabs, kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import { squaredLength } from '../metric.js'
import type { RowBuckets } from '../search/snapshot.js'
import type { Flat, SearchView, Weights } from '../search/view.js'

/** Of a bucket: the logarithms of 1 + L, of its d^2 over that of the nearest, of its live entries, and of what scanning it costs. */
const FACTS = 4
/** For as many neighbours as there are with this one: the logarithms of d_0^2 over that of the nearest bucket, and of how flat the query is. */
const NEAR_FACTS = 2
/** Per row; the facts of its home come first. A bucket that never meets it has no live entries. */
export const MEETING_FACTS: number = 2 * FACTS + NEAR_FACTS

/** Neighbours that are known of a row, at most; a larger k follows them as the prior of all data does. */
export const NEIGHBOURS = 100
/** The unit of distances is that of so many entries at least. */
const LEAST_NEIGHBOURS = 4

/** Nearest entries whose mean distance is the unit in a search for k rows. */
export function nearOf(k: number): number {
  return Math.min(NEIGHBOURS, Math.max(LEAST_NEIGHBOURS, k))
}

/** Of the cost of a bucket beside its entries, in rows: as src/estimate.h. */
const OPENING = 16

/**
 * MEETING_FACTS for each of the rows.
 *
 * @param query - prepared.
 * @param toBuckets - its distances to all of them, as `bucketDistances` tells them.
 */
export function meetingsOf(
  { slabs, meanLives }: SearchView,
  { home, second }: RowBuckets,
  query: Float32Array,
  toBuckets: Float32Array,
  rows: Uint32Array,
): Float32Array {
  const { bucketCount, lives, sizes } = slabs
  const distances = squaresOf(slabs, query, toBuckets)
  const nearest = Math.max(
    2 ** -126,
    distances.reduce((least, d) => Math.min(least, d), Number.POSITIVE_INFINITY),
  )
  const known = new Map<number, Float32Array>()
  for (const row of rows) {
    for (const bucket of [home[row]!, second[row]!]) if (bucket < bucketCount) known.set(bucket, NEVER)
  }
  const named = Uint32Array.from(known.keys()).sort((a, b) => distances[a]! - distances[b]!)
  const nearer = massNearer(distances, lives, named)
  for (const [i, bucket] of named.entries()) {
    const facts = Float32Array.of(
      Math.log1p(nearer[i]! / (meanLives || 1)),
      Math.log(Math.max(1, distances[bucket]! / nearest)),
      Math.log(lives[bucket]!),
      Math.log(OPENING + sizes[bucket]!),
    )
    known.set(bucket, facts)
  }
  const out = new Float32Array(rows.length * MEETING_FACTS)
  const nearFacts = nearFactsOf(distances, lives, nearest)
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!
    for (const [at, bucket] of [home[row]!, second[row]!].entries()) {
      out.set(
        known.get(bucket) ?? (at === 0 && bucket === NONE ? ALWAYS : NEVER),
        i * MEETING_FACTS + at * FACTS,
      )
    }
    out.set(nearFacts(nearOf(i + 1)), i * MEETING_FACTS + 2 * FACTS)
  }
  return out
}

/** NEAR_FACTS by entries, as near_square of src/estimate.h. @param nearest - the least of the distances. */
function nearFactsOf(
  distances: Float32Array,
  lives: Uint32Array,
  nearest: number,
): (near: number) => [number, number] {
  const buckets = new Uint32Array(FLAT_BUCKETS)
  const squares = new Float32Array(FLAT_BUCKETS)
  const found = kernels.topK(distances, distances.length, FLAT_BUCKETS, buckets, squares)
  const farthest = Math.max(nearest, squares[found - 1] ?? nearest)
  return near => {
    let [reached, sum] = [0, 0]
    for (let j = 0; j < found && reached < near; j++) {
      const n = Math.min(lives[buckets[j]!]!, near - reached)
      sum += n * squares[j]!
      reached += n
    }
    const unit = Math.max(nearest, reached > 0 ? sum / reached : farthest)
    return [Math.log(unit / nearest), Math.log(farthest / unit)]
  }
}

/** Live entries of the buckets that are nearer than each of those named, which are in order of distance. */
function massNearer(distances: Float32Array, lives: Uint32Array, named: Uint32Array): Float64Array {
  const limits = Float32Array.from(named, bucket => distances[bucket]!)
  const nearer = new Float64Array(named.length + 1)
  const farthest = limits.at(-1) ?? 0
  for (let b = 0; b < distances.length; b++) {
    if (distances[b]! >= farthest) continue
    let [low, high] = [0, limits.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (limits[middle]! <= distances[b]!) low = middle + 1
      else high = middle
    }
    nearer[low]! += lives[b]!
  }
  for (let i = 1; i < nearer.length; i++) nearer[i]! += nearer[i - 1]!
  return nearer
}

/** A row in no bucket is met by every search. */
const ALWAYS = Float32Array.of(0, 0, Number.POSITIVE_INFINITY, 0)
const NEVER = Float32Array.of(0, 0, Number.NEGATIVE_INFINITY, 0)

/** The logarithm of the floor at which each row is just met, by the better of its buckets; infinite for always and never. */
export function floorsAt(
  meetings: Float32Array,
  { byRank, byRatio, bySize }: Weights,
  rows: number = meetings.length / MEETING_FACTS,
): Float32Array {
  const out = new Float32Array(rows)
  const unit = rows > 0 ? meetings[(rows - 1) * MEETING_FACTS + 2 * FACTS]! : 0
  const of = (at: number) =>
    byRank * meetings[at]! +
    byRatio * Math.max(0, meetings[at + 1]! - unit) +
    bySize * meetings[at + 2]! -
    meetings[at + 3]!
  for (let i = 0; i < rows; i++) {
    out[i] = Math.max(of(i * MEETING_FACTS), of(i * MEETING_FACTS + FACTS))
  }
  return out
}

/** The logarithm of how much farther than d_0^2 the last of the nearest FLAT_BUCKETS is. */
export function flatnessOf(meetings: Float32Array, rows: number = meetings.length / MEETING_FACTS): number {
  return meetings[(rows - 1) * MEETING_FACTS + 2 * FACTS + 1]!
}

/** What `floorsAt` told, in units of the floor of all other queries. */
export function asIfNotFlat(
  floors: Float32Array,
  meetings: Float32Array,
  { below, times }: Flat,
): Float32Array {
  if (!(flatnessOf(meetings) < Math.log(below))) return floors
  return floors.map(floor => floor - Math.log(times))
}

/** Bytes of centroids that stay in a core's cache while all queries are compared with them. */
const TILE_BYTES = 256 * 1024

/** Distances of prepared queries to all centroids by the metric that routes, of query q from q * bucketCount on. */
export function bucketDistances({ slabs }: SearchView, queries: Float32Array): Float32Array {
  const { dim, bucketCount, padded, routing, centroids, flips } = slabs
  const count = queries.length / dim
  const rotated = new Float32Array(count * padded)
  kernels.rotate(queries, dim, padded, 0, count, flips, rotated)
  const distances = new Float32Array(count * bucketCount)
  const tile = Math.max(1, Math.floor(TILE_BYTES / (4 * padded)))
  for (let first = 0; first < bucketCount; first += tile) {
    const some = Math.min(tile, bucketCount - first)
    for (let q = 0; q < count; q++) {
      const query = rotated.subarray(q * padded, (q + 1) * padded)
      const into = distances.subarray(q * bucketCount + first)
      kernels.distances(routing, query, centroids, padded, first, some, into)
    }
  }
  return distances
}

/**
 * What `bucketDistances` would tell of a bucket if the query were no row of it.
 *
 * @param rows - of which its centroid is the mean, the query one of them: at least 2.
 */
export function distanceWithout(
  { slabs }: SearchView,
  query: Float32Array,
  distance: number,
  rows: number,
): number {
  if (slabs.routing === 'l2') return distance * (rows / (rows - 1)) ** 2
  return (rows * distance + squaredLength(query, 0, query.length)) / (rows - 1)
}

/** As squares_of of src/estimate.h. @param distances - of the query, as `bucketDistances` tells them. */
function squaresOf(
  { routing, centroidFactors }: IndexSlabs,
  query: Float32Array,
  distances: Float32Array,
): Float32Array {
  if (routing === 'l2') return distances
  const nearest = new Uint32Array(FLAT_BUCKETS)
  const found = kernels.topK(
    distances,
    distances.length,
    FLAT_BUCKETS,
    nearest,
    new Float32Array(FLAT_BUCKETS),
  )
  const longest = nearest
    .subarray(0, found)
    .reduce((most, bucket) => Math.max(most, centroidFactors[2 * bucket + 1]!), 0)
  const own = squaredLength(query, 0, query.length)
  const times = own > 0 ? 2 * Math.sqrt(longest / own) : 0
  return distances.map(distance => 2 * longest + times * distance)
}
