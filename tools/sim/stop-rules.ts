// Other ways to choose the buckets of a query and when to stop, over the same partition: fixed probes, SPANN's distance ratio, Quake's
// cap volumes (APS) and the same weighted by live rows (APSN), the paper's saturating density (P_eff), and rank-ratio as the engine has it.
// Rule: each rule orders the buckets and gives every place an effort that never falls; a knob T scans the places whose effort is below it.
import { effectiveProbability } from '@drift/core'
import { kernels } from '@drift/native'
import type { Truth } from '../data/truth.js'
import { capShare } from './cap.js'
import { Curve } from './curve.js'
import type { Partition } from './partition.js'

/** Of one query: all non-empty buckets, nearest first. */
interface Routed {
  readonly dim: number
  readonly order: Uint32Array
  /** Squared distances of the query, in order. */
  readonly squares: Float64Array
  /** Live entries, in order. */
  readonly lives: Float64Array
  readonly meanLives: number
  /** Squared distances to the nearest centroid, in order. */
  readonly apart: () => Float64Array
  /** Distance of the k-th neighbour: the exact one, known before the first bucket is read, which flatters APS. */
  readonly rho: number
  readonly cap: (height: number) => number
}

/** Places in the order of scanning, and the effort before each. */
interface Plan {
  readonly places: Uint32Array
  readonly efforts: Float64Array
}

export interface StopRule {
  readonly name: string
  readonly knobs: readonly number[]
  plan(query: Routed): Plan
}

/** Shares of a sum that nears 1. */
const SHARES = Array.from({ length: 110 }, (_, i) => 1 - Math.exp(-0.1 * (i + 1)))
const COUNTS = [...new Set(Array.from({ length: 100 }, (_, i) => Math.round(1.1 ** i)))]
const RATIOS = Array.from({ length: 90 }, (_, i) => 1 + 0.004 * 1.09 ** i)

/** The paper's lambda has the unit of 1 / distance; the best of these multiples of 1 / spread is reported, in hindsight. */
const PAPER_SCALES = [1, 3, 10]
/** The paper's tau is a tenth of the target size. */
const PAPER_TAU_SHARE = 0.1
/** spread = distance of this place minus that of the nearest. */
const SPREAD_PLACE = 19

/** Weights of rank, ratio and live rows, and the cost of opening a bucket in rows. */
const RANK_RATIO = { rank: -1.1, ratio: -3.5, lives: 0.6, open: 16 }

export const stopRules: readonly StopRule[] = [
  {
    name: 'fixed probes',
    knobs: COUNTS,
    plan: ({ order }) => ({ places: upTo(order.length), efforts: Float64Array.from(order, (_, j) => j) }),
  },
  {
    name: 'SPANN ratio',
    knobs: RATIOS,
    plan: ({ order, squares }) => ({
      places: upTo(order.length),
      efforts: squares.map(square =>
        square === squares[0] ? 0 : Math.sqrt(square / Math.max(squares[0]!, 1e-12)),
      ),
    }),
  },
  { name: 'APS', knobs: SHARES, plan: query => byShare(caps(query, () => 1)) },
  {
    name: 'APSN',
    knobs: SHARES,
    plan: query => byShare(caps(query, j => query.lives[j]! / query.meanLives)),
  },
  ...PAPER_SCALES.map(
    (times): StopRule => ({
      name: `P_eff, lambda ${times}/spread`,
      knobs: SHARES,
      plan({ squares, lives, meanLives }) {
        const distances = squares.map(Math.sqrt)
        const spread = distances[Math.min(SPREAD_PLACE, distances.length - 1)]! - distances[0]!
        const lambda = times / Math.max(spread, 1e-9)
        const tau = PAPER_TAU_SHARE * meanLives
        return byShare(
          distances.map((d, j) => effectiveProbability(d - distances[0]!, lives[j]!, lambda, tau)),
        )
      },
    }),
  ),
  {
    name: 'rank-ratio',
    knobs: SHARES,
    plan({ squares, lives, meanLives }) {
      const nearest = Math.max(squares[0]!, 1e-12)
      let before = 0
      const hits = squares.map((square, j) => {
        const rank = before / meanLives
        before += lives[j]!
        return (
          (1 + rank) ** RANK_RATIO.rank *
          Math.max(square / nearest, 1) ** RANK_RATIO.ratio *
          lives[j]! ** RANK_RATIO.lives
        )
      })
      return byShare(
        hits,
        hits.map((hit, j) => hit / (RANK_RATIO.open + lives[j]!)),
      )
    },
  },
]

/**
 * What every rule pays on the partition, over its knobs.
 *
 * @param exact - ids of the true neighbours of each query.
 */
export function stopCurves(partition: Partition, queries: Float32Array, exact: Truth): Map<string, Curve> {
  const curves = new Map(stopRules.map(rule => [rule.name, new Curve(rule.knobs)]))
  const count = queries.length / partition.dim
  const cap = capShare(partition.dim)
  for (let q = 0; q < count; q++) {
    const query = queries.subarray(q * partition.dim, (q + 1) * partition.dim)
    const routed = route(partition, query, exact, q, cap)
    for (const rule of stopRules) {
      const { places, efforts } = rule.plan(routed)
      scanAll(partition, routed, places, efforts, exact, q, curves.get(rule.name)!)
    }
  }
  return curves
}

function route(
  { dim, buckets, centroids, lives }: Partition,
  query: Float32Array,
  exact: Truth,
  q: number,
  cap: Routed['cap'],
): Routed {
  const distances = new Float32Array(buckets)
  kernels.distances('l2', query, centroids, dim, 0, buckets, distances)
  const order = upTo(buckets).filter(bucket => lives[bucket]! > 0)
  order.sort((a, b) => distances[a]! - distances[b]! || a - b)
  const ordered = Float64Array.from(order, bucket => lives[bucket]!)
  return {
    dim,
    order,
    squares: Float64Array.from(order, bucket => distances[bucket]!),
    lives: ordered,
    meanLives: ordered.reduce((sum, n) => sum + n, 0) / order.length,
    apart() {
      const nearest = centroids.slice(order[0]! * dim, (order[0]! + 1) * dim)
      kernels.distances('l2', nearest, centroids, dim, 0, buckets, distances)
      return Float64Array.from(order, bucket => distances[bucket]!)
    },
    rho: Math.sqrt(squareOf(exact.distances[(q + 1) * exact.k - 1]!)),
    cap,
  }
}

/** Truth over unit vectors is by inner product, told as its negative; as a squared distance it is 2 + 2 times that. */
function squareOf(distance: number): number {
  return Math.max(distance < 0 ? 2 + 2 * distance : distance, 1e-12)
}

/** Probability that a true neighbour lies in each bucket, by the cap of the query's ball beyond the bisecting plane. */
function caps({ squares, apart, rho, cap }: Routed, weight: (j: number) => number): Float64Array {
  const between = apart()
  const volumes = squares.map((square, j) => {
    if (j === 0) return 0
    const height = (square - squares[0]!) / (2 * Math.sqrt(Math.max(between[j]!, 1e-12)))
    return weight(j) * cap(height / rho)
  })
  const total = volumes.reduce((sum, volume) => sum + volume, 0)
  if (total === 0) volumes[0] = 1
  else {
    let nearest = 1
    for (let j = 1; j < volumes.length; j++) nearest *= 1 - volumes[j]! / total
    for (let j = 1; j < volumes.length; j++) volumes[j] = ((1 - nearest) * volumes[j]!) / total
    volumes[0] = nearest
  }
  return volumes
}

/** By falling score; the effort is the share of the sum of `hits` that lies before. */
function byShare(hits: Float64Array, score: Float64Array = hits): Plan {
  const places = upTo(hits.length)
  // The nearest bucket is always read first: APS seeds its radius there, and the others agree but for ties.
  places.subarray(1).sort((a, b) => score[b]! - score[a]! || a - b)
  const total = hits.reduce((sum, hit) => sum + hit, 0)
  let before = 0
  const efforts = Float64Array.from(places, place => {
    const effort = before / total
    before += hits[place]!
    return effort
  })
  return { places, efforts }
}

function scanAll(
  { bucketsOf }: Partition,
  { order, lives }: Routed,
  places: Uint32Array,
  efforts: Float64Array,
  exact: Truth,
  q: number,
  into: Curve,
): void {
  const rows = new Float64Array(places.length + 1)
  const turn = new Map<number, number>()
  for (let j = 0; j < places.length; j++) {
    rows[j + 1] = rows[j]! + lives[places[j]!]!
    turn.set(order[places[j]!]!, j)
  }
  const found = Array.from(exact.rows.subarray(q * exact.k, (q + 1) * exact.k), id => {
    const [home, second] = bucketsOf(id)
    return Math.min(turn.get(home) ?? Infinity, turn.get(second) ?? Infinity)
  }).sort((a, b) => a - b)
  let scanned = 0
  let hits = 0
  into.knobs.forEach((knob, i) => {
    while (scanned < places.length && (scanned === 0 || efforts[scanned]! < knob)) scanned++
    while (hits < found.length && found[hits]! < scanned) hits++
    into.add(i, hits, exact.k, rows[scanned]!, scanned)
  })
}

function upTo(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => i)
}
