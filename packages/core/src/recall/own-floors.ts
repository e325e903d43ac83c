/**
 * Floors from what an index's own rows told when they were asked for as if they were queries (calibrate.ts): quantiles of those at which their
 * neighbours are just met, pulled to the prior of all data where they are above it, and bounded by it.
 */
import { joined } from '../joined.js'
import { atOnce } from '../maintenance/slices.js'
import type { Metric } from '../metric.js'
import { type Flat, NEVER_FLAT, type Weights } from '../search/view.js'
import { flatnessOf, floorsAt, MEETING_FACTS, NEIGHBOURS, nearOf } from './meeting.js'

/** The logarithms of the floors at which neighbours are just met: of each row asked for, and all of them ascending. */
interface Told {
  readonly samples: readonly Float32Array[]
  readonly logs: Float32Array
  readonly flat: Flat
}

/** Rows asked for whose floors are worked out in one step, and what a neighbour of one is worth in multiply-adds. */
const STEP_SAMPLES = 128
const FLOOR_WORK = 2_000

export class OwnFloors {
  readonly meetings: readonly Float32Array[]
  readonly #most: number
  /** By neighbours and weights. */
  readonly #told: Map<string, Told> = new Map()

  /** Rows beyond the tenth that have to get an exact distance: see `rerankOf`. */
  readonly depth: number
  /** Of the rows that searches should meet, the share that they leave out. */
  readonly loss: number

  /** @param meetings - of each row asked for: of its neighbours, nearest first. */
  constructor(metric: Metric, meetings: readonly Float32Array[], depth = 0, loss = 0) {
    this.#most = metric === 'ip' ? MOST_OF_OTHERS : MOST
    this.meetings = meetings
    this.depth = depth
    this.loss = loss
  }

  /** What `floorOf` needs first for this k, so that the search which asks for it does not wait. Yields multiply-adds. */
  *prepare(k: number, weights: Weights): Generator<number, void> {
    yield* this.#tell(toldBy(k), weights)
    yield* this.#tell(nearOf(k), weights)
  }

  /** @param priorOf - of all data, by recall and k: for what the samples cannot tell. */
  floorOf(
    recall: number,
    k: number,
    weights: Weights,
    priorOf: (recall: number, k: number) => number,
  ): number {
    const prior = priorOf(recall, k)
    const rows = toldBy(k)
    const { samples, logs } = atOnce(this.#tell(rows, weights))
    const count = samples.length
    if (count === 0) return prior
    const told = 1 - LEAST_MISSES / logs.length
    const logAt = (share: number) => logs[Math.floor((1 - Math.min(share, told)) * logs.length)]!
    const loss = Math.max(LOSS, Math.min(this.loss, MOST_LOSS, (1 - recall) / 3))
    const asked = (1 - OWN_MISSES * (1 - recall)) / (1 - loss)
    const error = errorAt(samples, logAt(asked))
    const own = Math.exp(logAt(asked + CAUTION * error))
    const scaled = (own * prior) / priorOf(Math.min(recall, told), rows)
    // A higher floor has to be earned, a lower one is taken at its word.
    const pulled = scaled > prior ? prior * (scaled / prior) ** (count / (count + PULL)) : scaled
    return Math.min(prior * this.#most, Math.max(prior * LEAST, pulled))
  }

  /**
   * Which queries are flat, and what of the floor is theirs, as far as the rows asked for tell: users may ask for such rows more often than
   * there are any, and then the recall of all would be theirs.
   */
  flatOf(k: number, weights: Weights): Flat {
    return atOnce(this.#tell(nearOf(k), weights)).flat
  }

  *#tell(rows: number, weights: Weights): Generator<number, Told> {
    const key = `${rows} ${weights.byRank} ${weights.byRatio} ${weights.bySize}`
    const known = this.#told.get(key)
    if (known !== undefined) return known
    const samples: Float32Array[] = []
    const flatness: number[] = []
    for (let first = 0; first < this.meetings.length; first += STEP_SAMPLES) {
      const known = this.meetings.slice(first, first + STEP_SAMPLES)
      const some = samplesOf(known, weights, rows)
      samples.push(...some)
      flatness.push(...thoseOf(known, rows).map(of => flatnessOf(of, rows)))
      yield some.length * rows * FLOOR_WORK
    }
    const logs = joined(Float32Array, samples).sort()
    const told = { samples, logs, flat: flatOf(samples, logs, flatness) }
    if (this.#told.size >= MOST_TOLD) this.#told.clear()
    this.#told.set(key, told)
    yield told.logs.length * FLOOR_WORK
    return told
  }
}

/** Neighbours that tell a floor for k rows: those that are asked for, as the first may be as hard to find as the tenth, or easier by far. */
function toldBy(k: number): number {
  return Math.min(NEIGHBOURS, k)
}

/** Sorted logarithms that are kept: 4 bytes for each neighbour of each row asked for. */
const MOST_TOLD = 8

/** Rows asked for that count as flat, the flattest; and what they may miss, in units of what is missed on the whole, asked for FLAT_RECALL. */
const FLAT_SHARE = 1 / 8
const FLAT_MISSES = 3
const FLAT_RECALL = 0.95
/** Neighbours of theirs below which they tell nothing. */
const FLAT_TOLD = 256

/** A quantile with fewer misses below it is not told by the samples. */
const LEAST_MISSES = 4
/** Added to what is asked for, in standard errors of the mean over samples: samples tell it to that much, and falling short is worse than reading more. */
const CAUTION = 0.5
/** What rows asked for miss of what queries miss, which took no part in drawing the partition: docs/adr/0045-passes-over-near-buckets.md. */
const OWN_MISSES = 0.94
/** Of the rows that scanned buckets hold, the share that the 1-bit scan leaves out, at least. */
const LOSS = 0.003
/** The same where it was measured: at most, and no more than a third of what may be missed, since lower floors do not find what scans leave out. */
const MOST_LOSS = 0.03
/** The prior of all data counts as so many samples against a floor above it. */
const PULL = 16
/** Own floors lie within these times the prior of all data. */
const MOST = 8
/** Under ip queries may be unlike rows: what these tell may cost more than the prior, and never finds less. */
const MOST_OF_OTHERS = 1
const LEAST = 1 / 64

/** Of each that knows so many, the logarithms of the floors at which its nearest `rows` neighbours are just met. */
export function samplesOf(meetings: readonly Float32Array[], weights: Weights, rows: number): Float32Array[] {
  return thoseOf(meetings, rows).map(of => floorsAt(of, weights, rows))
}

/** @param flatness - of each sample. */
function flatOf(samples: readonly Float32Array[], logs: Float32Array, flatness: readonly number[]): Flat {
  const limit = flatness.toSorted((a, b) => a - b)[Math.floor(FLAT_SHARE * samples.length)]
  const flat = joined(
    Float32Array,
    samples.filter((_, i) => flatness[i]! < limit!),
  ).sort()
  if (flat.length < FLAT_TOLD) return NEVER_FLAT
  const missed = FLAT_MISSES * (1 - FLAT_RECALL)
  const own = flat[Math.floor(missed * flat.length)]! - logs[Math.floor((1 - FLAT_RECALL) * logs.length)]!
  return { below: Math.exp(limit!), times: Math.min(1, Math.max(LEAST, Math.exp(own))) }
}

function thoseOf(meetings: readonly Float32Array[], rows: number): Float32Array[] {
  return meetings.filter(of => of.length >= rows * MEETING_FACTS)
}

/** Of the share of neighbours that is met at a floor, the standard error of its mean over the samples. */
function errorAt(samples: readonly Float32Array[], log: number): number {
  const met = samples.map(of => of.reduce((count, floor) => count + (floor >= log ? 1 : 0), 0) / of.length)
  return meanAndError(met).error
}

/** The mean of samples, and its standard error. */
export function meanAndError(samples: readonly number[]): { readonly mean: number; readonly error: number } {
  const mean = samples.reduce((sum, value) => sum + value, 0) / samples.length
  const squares = samples.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, error: Math.sqrt(squares) / samples.length }
}
