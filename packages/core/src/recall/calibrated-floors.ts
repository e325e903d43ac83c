/**
 * The floors that a calibration found (calibrate.ts): quantiles of those at which self-queries just meet their neighbours, pulled to the prior
 * of all data where they are above it, and bounded by it.
 */
import { joined } from '../joined.js'
import { atOnce } from '../maintenance/slices.js'
import type { Metric } from '../metric.js'
import { type Far, type Flat, NEVER_FAR, NEVER_FLAT, type Weights } from '../search/view.js'
import { flatnessOf, logFloorsOf, logUnitOf, MEETING_FACTS, NEIGHBOURS, unitEntries } from './meeting.js'

/** Self-queries whose floors are worked out in one step, and what a neighbour of one is worth in multiply-adds. */
const STEP_QUERIES = 128
const FLOOR_WORK = 2_000
/** Sets of samples that are kept: 4 bytes for each neighbour of each self-query. */
const MOST_SAMPLED = 8

/** A quantile with fewer misses below it is not known from samples. */
const LEAST_MISSES = 4
/** Added to the recall, in standard errors of the mean over samples: falling short is worse than reading more. */
const CAUTION = 0.5
/** What self-queries miss of what queries miss, which took no part in drawing the partition: docs/adr/0045-passes-over-near-buckets.md. */
const SELF_MISSES = 0.94
/** Share of the rows in scanned buckets that the 1-bit scan leaves out, at least. */
const LEAST_LOSS = 0.003
/** The measured share counts up to this, and up to a third of what may be missed, since lower floors do not find what scans leave out. */
const MOST_LOSS = 0.03
/** The prior of all data counts as so many samples against a floor above it. */
const PULL = 16
/** Floors lie within these times the prior of all data. What is asked for beyond a query's own topic lies in buckets that promise next to nothing. */
const HIGHEST = 8
/** Under ip queries may be unlike rows: what rows tell may cost more than the prior, and never finds less. */
const HIGHEST_OF_IP = 1
const LOWEST = 2 ** -20

/** Share of the self-queries that count as flat, the flattest; and what they may miss, in units of what all miss, asked for FLAT_RECALL. */
const FLAT_SHARE = 1 / 8
const FLAT_MISSES = 3
const FLAT_RECALL = 0.95
/** With fewer neighbours of flat self-queries, no query counts as flat. */
const LEAST_FLAT = 256
/** Of the floor, that of flat queries at least. */
const LEAST_FLAT_TIMES = 1 / 64

/**
 * Of the way from the middle self-query to the farthest one, in logarithms of d_0^2: so much beyond the farthest, queries are far. One row in a
 * thousand is farther than all that were asked for, and reads what is meant for far queries.
 */
const FAR_MARGIN = 0.1
/** With fewer far queries, none counts as far. */
const LEAST_FAR = 8
/** In standard errors, as CAUTION: far queries are few. */
const FAR_CAUTION = 1
/** Of the floor, that of far queries at least. */
const LEAST_FAR_TIMES = 1e-4

/** Rows beyond the tenth that may get an exact distance: what a calibration tries. */
export const DEPTHS: readonly number[] = [0, 32, 128, 512]
/** Share of the rows in scanned buckets that may be lost before more rows get an exact distance; and at most this of what may be missed. */
const DEPTH_LOSS = 0.005
const DEPTH_LOSS_OF_MISSES = 1 / 3

/** The logarithms of the floors at which neighbours are just met, for a number of neighbours and weights. */
interface Floors {
  /** Of each query that has so many neighbours. */
  readonly each: readonly Float32Array[]
  /** All of them, ascending. */
  readonly sorted: Float32Array
}

interface Samples extends Floors {
  readonly flat: Flat
  /** The logarithm of the d_0^2 from which on a query is far, and the floors of those that are. */
  readonly beyond: number
  readonly far: Floors
}

/** What a calibration found out. */
export interface Told {
  /** Of each self-query: MEETING_FACTS for each of its neighbours, nearest first. */
  readonly meetings: readonly Float32Array[]
  /** The same of queries that are unlike rows. */
  readonly far: readonly Float32Array[]
  /** Share of the rows in buckets worth scanning that searches leave out, by depth, in the order of DEPTHS, as far as these were tried. */
  readonly losses: readonly number[]
  /** What searches for far queries miss, over what they would by their floor alone: at least 1. */
  readonly farMisses: number
}

export class CalibratedFloors {
  readonly told: Told
  readonly #highest: number
  /** By neighbours and weights. */
  readonly #samples: Map<string, Samples> = new Map()

  constructor(metric: Metric, told: Told) {
    this.#highest = metric === 'ip' ? HIGHEST_OF_IP : HIGHEST
    this.told = told
  }

  /** Rows beyond the tenth that have to get an exact distance: see `rerankOf`. */
  depthOf(recall: number): number {
    return DEPTHS[this.#tried(recall)]!
  }

  /** Which of DEPTHS: the first that loses little of what may be missed, since lower floors do not find it, or the last that was tried. */
  #tried(recall: number): number {
    const { losses } = this.told
    const enough = losses.findIndex(loss => loss <= lossAllowed(recall))
    return enough < 0 ? Math.max(0, losses.length - 1) : enough
  }

  /** What `floorOf` and `flatOf` need first for this k, so that the search which asks does not wait. Yields multiply-adds. */
  *prepare(k: number, weights: Weights): Generator<number, void> {
    yield* this.#sample(sampledNeighbours(k), weights)
    yield* this.#sample(unitEntries(k), weights)
  }

  /** @param priorOf - of all data, by recall and k: for what the samples cannot tell. */
  floorOf(
    recall: number,
    k: number,
    weights: Weights,
    priorOf: (recall: number, k: number) => number,
  ): number {
    const prior = priorOf(recall, k)
    const floor = this.unboundedFloorOf(recall, k, weights, priorOf)
    return Math.min(prior * this.#highest, Math.max(prior * LOWEST, floor))
  }

  /** What the samples tell, whatever the prior of all data makes of it. */
  unboundedFloorOf(
    recall: number,
    k: number,
    weights: Weights,
    priorOf: (recall: number, k: number) => number,
  ): number {
    const prior = priorOf(recall, k)
    const neighbours = sampledNeighbours(k)
    const { each, sorted } = atOnce(this.#sample(neighbours, weights))
    const count = each.length
    if (sorted.length <= LEAST_MISSES) return prior
    const wanted = (1 - SELF_MISSES * (1 - recall)) / (1 - this.#lossAt(recall))
    const sampled = quantile({ each, sorted }, wanted, CAUTION)
    const floor = (sampled * prior) / priorOf(Math.min(recall, knowable(sorted)), neighbours)
    // A higher floor has to be earned, a lower one is taken at its word.
    return floor > prior ? prior * (floor / prior) ** (count / (count + PULL)) : floor
  }

  /**
   * Which queries are flat, and what part of the floor is theirs. Users may ask for such rows more often than there are any, and then most
   * of what they ask would have the low recall of these.
   */
  flatOf(k: number, weights: Weights): Flat {
    return atOnce(this.#sample(unitEntries(k), weights)).flat
  }

  /**
   * Which queries are far, and what part of the floor is theirs. Rows tell nothing of them: none is so far from the others, and those near
   * such a query are scattered over more buckets than those near a row.
   */
  farOf(recall: number, k: number, weights: Weights, priorOf: (recall: number, k: number) => number): Far {
    const neighbours = sampledNeighbours(k)
    const { far, beyond } = atOnce(this.#sample(neighbours, weights))
    if (far.each.length < LEAST_FAR) return NEVER_FAR
    const sampled = quantile(far, 1 - (1 - recall) / this.told.farMisses, FAR_CAUTION)
    const floor = (sampled * priorOf(recall, k)) / priorOf(Math.min(recall, knowable(far.sorted)), neighbours)
    const times = floor / this.floorOf(recall, k, weights, priorOf)
    return { beyond: Math.exp(beyond), times: Math.min(1, Math.max(LEAST_FAR_TIMES, times)) }
  }

  /** Of the rows in scanned buckets, the share that is made up for. */
  #lossAt(recall: number): number {
    const loss = this.told.losses[this.#tried(recall)] ?? 0
    return Math.max(LEAST_LOSS, Math.min(loss, MOST_LOSS, DEPTH_LOSS_OF_MISSES * (1 - recall)))
  }

  *#sample(neighbours: number, weights: Weights): Generator<number, Samples> {
    const key = `${neighbours} ${weights.byRank} ${weights.byRatio} ${weights.bySize}`
    const known = this.#samples.get(key)
    if (known !== undefined) return known
    const each: Float32Array[] = []
    const flatness: number[] = []
    const units: number[] = []
    const { meetings, far } = this.told
    for (let first = 0; first < meetings.length; first += STEP_QUERIES) {
      const some = meetings.slice(first, first + STEP_QUERIES)
      const part = withNeighbours(some, neighbours)
      each.push(...samplesOf(part, weights, neighbours))
      flatness.push(...part.map(ofQuery => flatnessOf(ofQuery, neighbours)))
      // Of a query with fewer neighbours it is at least that of these.
      units.push(
        ...some.map(ofQuery => logUnitOf(ofQuery, Math.min(neighbours, ofQuery.length / MEETING_FACTS))),
      )
      yield part.length * neighbours * FLOOR_WORK
    }
    const sorted = joined(Float32Array, each).sort()
    const beyond = farFrom(units)
    const farther = withNeighbours(far, neighbours).filter(of => logUnitOf(of, neighbours) > beyond)
    const ofFar = samplesOf(farther, weights, neighbours)
    const made = {
      each,
      sorted,
      flat: flattest(each, sorted, flatness),
      beyond,
      far: { each: ofFar, sorted: joined(Float32Array, ofFar).sort() },
    }
    if (this.#samples.size >= MOST_SAMPLED) this.#samples.clear()
    this.#samples.set(key, made)
    yield sorted.length * FLOOR_WORK
    return made
  }
}

/** Neighbours that tell a floor for k rows: just those k, as the first may be as hard to find as the tenth, or easier by far. */
function sampledNeighbours(k: number): number {
  return Math.min(NEIGHBOURS, k)
}

/** Of each self-query that has so many, the logarithms of the floors at which its nearest `neighbours` are just met. */
export function samplesOf(
  meetings: readonly Float32Array[],
  weights: Weights,
  neighbours: number,
): Float32Array[] {
  return withNeighbours(meetings, neighbours).map(ofQuery => logFloorsOf(ofQuery, weights, neighbours))
}

function withNeighbours(meetings: readonly Float32Array[], neighbours: number): Float32Array[] {
  return meetings.filter(({ length }) => length >= neighbours * MEETING_FACTS)
}

/** @param logUnits - of each self-query. */
function farFrom(logUnits: readonly number[]): number {
  const ascending = logUnits.toSorted((a, b) => a - b)
  const [middle, farthest] = [ascending[ascending.length >>> 1]!, ascending.at(-1)!]
  return farthest + FAR_MARGIN * (farthest - middle)
}

/** @param flatness - of each self-query. */
function flattest(each: readonly Float32Array[], sorted: Float32Array, flatness: readonly number[]): Flat {
  const limit = flatness.toSorted((a, b) => a - b)[Math.floor(FLAT_SHARE * each.length)]
  const flat = joined(
    Float32Array,
    each.filter((_, i) => flatness[i]! < limit!),
  ).sort()
  if (flat.length < LEAST_FLAT) return NEVER_FLAT
  const missed = FLAT_MISSES * (1 - FLAT_RECALL)
  const ofFlat = flat[Math.floor(missed * flat.length)]!
  const ofAll = sorted[Math.floor((1 - FLAT_RECALL) * sorted.length)]!
  return { below: Math.exp(limit!), times: Math.min(1, Math.max(LEAST_FLAT_TIMES, Math.exp(ofFlat - ofAll))) }
}

/** Share of the rows in scanned buckets that may be lost. */
export function lossAllowed(recall: number): number {
  return Math.min(DEPTH_LOSS, DEPTH_LOSS_OF_MISSES * (1 - recall))
}

/** The highest recall that so many samples know a floor of. */
function knowable({ length }: Float32Array): number {
  return 1 - LEAST_MISSES / length
}

/** The floor at which a share of the neighbours is met, and a number of standard errors more. */
function quantile({ each, sorted }: Floors, share: number, caution: number): number {
  const most = knowable(sorted)
  const logAt = (met: number) => sorted[Math.floor((1 - Math.min(met, most)) * sorted.length)]!
  return Math.exp(logAt(share + caution * errorAt(each, logAt(share))))
}

/** The standard error, over queries, of the share of neighbours that are met at a floor. */
function errorAt(each: readonly Float32Array[], log: number): number {
  const met = each.map(logs => logs.reduce((count, floor) => count + (floor >= log ? 1 : 0), 0) / logs.length)
  return meanAndError(met).error
}

/** The mean of values, and its standard error. */
export function meanAndError(values: readonly number[]): { readonly mean: number; readonly error: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, error: Math.sqrt(squares) / values.length }
}
