/**
 * The floors that a calibration found (calibrate.ts): quantiles of those at which self-queries just meet their neighbours, pulled to the prior
 * of all data where they are above it, and bounded by it.
 */
import { joined } from '../joined.js'
import { atOnce } from '../maintenance/slices.js'
import type { Metric } from '../metric.js'
import { type Flat, NEVER_FLAT, type Weights } from '../search/view.js'
import { flatnessOf, logFloorsOf, MEETING_FACTS, NEIGHBOURS, unitEntries } from './meeting.js'

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
/** Floors lie within these times the prior of all data. */
const HIGHEST = 8
/** Under ip queries may be unlike rows: what rows tell may cost more than the prior, and never finds less. */
const HIGHEST_OF_IP = 1
const LOWEST = 1 / 64

/** Share of the self-queries that count as flat, the flattest; and what they may miss, in units of what all miss, asked for FLAT_RECALL. */
const FLAT_SHARE = 1 / 8
const FLAT_MISSES = 3
const FLAT_RECALL = 0.95
/** With fewer neighbours of flat self-queries, no query counts as flat. */
const LEAST_FLAT = 256

/** The logarithms of the floors at which neighbours are just met, for a number of neighbours and weights. */
interface Samples {
  /** Of each self-query that has so many neighbours. */
  readonly each: readonly Float32Array[]
  /** All of them, ascending. */
  readonly sorted: Float32Array
  readonly flat: Flat
}

export class CalibratedFloors {
  /** Of each self-query: MEETING_FACTS for each of its neighbours, nearest first. */
  readonly meetings: readonly Float32Array[]
  /** Rows beyond the tenth that have to get an exact distance: see `rerankOf`. */
  readonly depth: number
  /** Share of the rows in buckets worth scanning that searches leave out. */
  readonly loss: number
  readonly #highest: number
  /** By neighbours and weights. */
  readonly #samples: Map<string, Samples> = new Map()

  constructor(metric: Metric, meetings: readonly Float32Array[], depth = 0, loss = 0) {
    this.#highest = metric === 'ip' ? HIGHEST_OF_IP : HIGHEST
    this.meetings = meetings
    this.depth = depth
    this.loss = loss
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
    const neighbours = sampledNeighbours(k)
    const { each, sorted } = atOnce(this.#sample(neighbours, weights))
    const count = each.length
    if (count === 0) return prior
    const knowable = 1 - LEAST_MISSES / sorted.length
    const logAt = (share: number) => sorted[Math.floor((1 - Math.min(share, knowable)) * sorted.length)]!
    const loss = Math.max(LEAST_LOSS, Math.min(this.loss, MOST_LOSS, (1 - recall) / 3))
    const wanted = (1 - SELF_MISSES * (1 - recall)) / (1 - loss)
    const error = errorAt(each, logAt(wanted))
    const sampled = Math.exp(logAt(wanted + CAUTION * error))
    const floor = (sampled * prior) / priorOf(Math.min(recall, knowable), neighbours)
    // A higher floor has to be earned, a lower one is taken at its word.
    const pulled = floor > prior ? prior * (floor / prior) ** (count / (count + PULL)) : floor
    return Math.min(prior * this.#highest, Math.max(prior * LOWEST, pulled))
  }

  /**
   * Which queries are flat, and what part of the floor is theirs. Users may ask for such rows more often than there are any, and then most
   * of what they ask would have the low recall of these.
   */
  flatOf(k: number, weights: Weights): Flat {
    return atOnce(this.#sample(unitEntries(k), weights)).flat
  }

  *#sample(neighbours: number, weights: Weights): Generator<number, Samples> {
    const key = `${neighbours} ${weights.byRank} ${weights.byRatio} ${weights.bySize}`
    const known = this.#samples.get(key)
    if (known !== undefined) return known
    const each: Float32Array[] = []
    const flatness: number[] = []
    for (let first = 0; first < this.meetings.length; first += STEP_QUERIES) {
      const part = this.meetings.slice(first, first + STEP_QUERIES)
      const samples = samplesOf(part, weights, neighbours)
      each.push(...samples)
      flatness.push(...withNeighbours(part, neighbours).map(meetings => flatnessOf(meetings, neighbours)))
      yield samples.length * neighbours * FLOOR_WORK
    }
    const sorted = joined(Float32Array, each).sort()
    const made = { each, sorted, flat: flattest(each, sorted, flatness) }
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
  return { below: Math.exp(limit!), times: Math.min(1, Math.max(LOWEST, Math.exp(ofFlat - ofAll))) }
}

/** The standard error, over self-queries, of the share of neighbours that are met at a floor. */
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
