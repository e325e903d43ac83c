/**
 * A query meets a row when it scans a bucket of the row. Here is what the estimate of hits knows of such a meeting, whatever the weights, and
 * from it the highest floor at which the query still meets the row.
 * Rule: as native/src/estimate.h, but by the exact distances of all centroids, so that it does not depend on what was routed.
 */
import { FLAT_BUCKETS, type IndexSlabs, kernels } from '@drift/native'
import { NONE } from '../bucket/extent.js'
import { squaredLength } from '../metric.js'
import type { RowBuckets } from '../search/snapshot.js'
import type { Far, Flat, SearchView, Weights } from '../search/view.js'

/** Of a bucket: the logarithms of 1 + L, of its d^2 over that of the nearest, of its live entries, and of what scanning it costs. */
const BUCKET_FACTS = 4
/** When k is the rank of this neighbour: the logarithms of d_0^2 over the d^2 of the nearest bucket, of the query's flatness, and of d_0^2. */
const UNIT_FACTS = 3
/** Of a neighbour: its home, its second bucket, then UNIT_FACTS. Where there is no second bucket, it is one without live entries. */
export const MEETING_FACTS: number = 2 * BUCKET_FACTS + UNIT_FACTS

/** Neighbours of a self-query, at most; floors for a larger k follow those for this as the prior of all data does. */
export const NEIGHBOURS = 100
const LEAST_UNIT_ENTRIES = 4

/** Nearest entries whose mean squared distance is d_0^2, the unit of distances in a search for k rows (`IndexQuery.near`). */
export function unitEntries(k: number): number {
  return Math.min(NEIGHBOURS, Math.max(LEAST_UNIT_ENTRIES, k))
}

/** What a bucket costs beside its entries, in rows: as src/estimate.h. */
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
  const facts = new Map<number, Float32Array>()
  for (const row of rows) {
    for (const bucket of [home[row]!, second[row]!]) if (bucket < bucketCount) facts.set(bucket, NEVER)
  }
  const buckets = Uint32Array.from(facts.keys()).sort((a, b) => distances[a]! - distances[b]!)
  const nearer = livesNearer(distances, lives, buckets)
  for (const [i, bucket] of buckets.entries()) {
    const ofBucket = Float32Array.of(
      Math.log1p(nearer[i]! / (meanLives || 1)),
      Math.log(Math.max(1, distances[bucket]! / nearest)),
      Math.log(lives[bucket]!),
      Math.log(OPENING + sizes[bucket]!),
    )
    facts.set(bucket, ofBucket)
  }
  const out = new Float32Array(rows.length * MEETING_FACTS)
  const unitFacts = unitFactsOf(distances, lives, nearest)
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!
    for (const [at, bucket] of [home[row]!, second[row]!].entries()) {
      out.set(
        facts.get(bucket) ?? (at === 0 && bucket === NONE ? ALWAYS : NEVER),
        i * MEETING_FACTS + at * BUCKET_FACTS,
      )
    }
    out.set(unitFacts(unitEntries(i + 1)), i * MEETING_FACTS + 2 * BUCKET_FACTS)
  }
  return out
}

/** UNIT_FACTS by entries, as near_square of src/estimate.h. @param nearest - the least of the distances. */
function unitFactsOf(
  distances: Float32Array,
  lives: Uint32Array,
  nearest: number,
): (entries: number) => [number, number, number] {
  const buckets = new Uint32Array(FLAT_BUCKETS)
  const squares = new Float32Array(FLAT_BUCKETS)
  const found = kernels.topK(distances, distances.length, FLAT_BUCKETS, buckets, squares)
  const farthest = Math.max(nearest, squares[found - 1] ?? nearest)
  return entries => {
    let [reached, sum] = [0, 0]
    for (let j = 0; j < found && reached < entries; j++) {
      const n = Math.min(lives[buckets[j]!]!, entries - reached)
      sum += n * squares[j]!
      reached += n
    }
    const unit = Math.max(nearest, reached > 0 ? sum / reached : farthest)
    return [Math.log(unit / nearest), Math.log(farthest / unit), Math.log(unit)]
  }
}

/** For each of `buckets`, which are in order of distance: the live entries of all buckets that are nearer. */
function livesNearer(distances: Float32Array, lives: Uint32Array, buckets: Uint32Array): Float64Array {
  const limits = Float32Array.from(buckets, bucket => distances[bucket]!)
  const nearer = new Float64Array(buckets.length + 1)
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

/**
 * Of each neighbour the logarithm of the floor at which it is just met, by the better of its buckets; infinite for always and never.
 *
 * @param neighbours - the nearest so many; they are the k of the search.
 */
export function logFloorsOf(
  meetings: Float32Array,
  { byRank, byRatio, bySize }: Weights,
  neighbours: number = meetings.length / MEETING_FACTS,
): Float32Array {
  const out = new Float32Array(neighbours)
  const unit = neighbours > 0 ? meetings[(neighbours - 1) * MEETING_FACTS + 2 * BUCKET_FACTS]! : 0
  const logFloor = (at: number) =>
    byRank * meetings[at]! +
    byRatio * Math.max(0, meetings[at + 1]! - unit) +
    bySize * meetings[at + 2]! -
    meetings[at + 3]!
  for (let i = 0; i < neighbours; i++) {
    out[i] = Math.max(logFloor(i * MEETING_FACTS), logFloor(i * MEETING_FACTS + BUCKET_FACTS))
  }
  return out
}

/** Of the query: the logarithm of the squared distance of the last of the nearest FLAT_BUCKETS over d_0^2. The less, the flatter. */
export function flatnessOf(
  meetings: Float32Array,
  neighbours: number = meetings.length / MEETING_FACTS,
): number {
  return meetings[(neighbours - 1) * MEETING_FACTS + 2 * BUCKET_FACTS + 1]!
}

/** Of the query: the logarithm of d_0^2. */
export function logUnitOf(
  meetings: Float32Array,
  neighbours: number = meetings.length / MEETING_FACTS,
): number {
  return meetings[(neighbours - 1) * MEETING_FACTS + 2 * BUCKET_FACTS + 2]!
}

/** What `logFloorsOf` gave for a query, as it would be if the query, when it is flat or far, took buckets by the floor of all others. */
export function asIfOrdinary(
  logFloors: Float32Array,
  meetings: Float32Array,
  flat: Flat,
  far: Far,
): Float32Array {
  const ofFlat = flatnessOf(meetings) < Math.log(flat.below) ? flat.times : 1
  const ofFar = logUnitOf(meetings) > Math.log(far.beyond) ? far.times : 1
  const times = Math.min(ofFlat, ofFar)
  return times === 1 ? logFloors : logFloors.map(log => log - Math.log(times))
}

/** Bytes of centroids that stay in a core's cache while all queries are compared with them. */
const TILE_BYTES = 256 * 1024

/** Distances of prepared queries to all centroids, by the metric that ranks buckets; those of query q begin at q * bucketCount. */
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
 * What the distance to a bucket would be if the query, which is one of its rows, were left out of its centroid.
 *
 * @param rows - of which the centroid is the mean: at least 2.
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
