/**
 * What shadow queries teach about floors. A sample is one shadow query: of each of its true nearest rows, the logarithm of the floor at which
 * the row would just have been met, in units of `RecallMap.unitOf`, as all floors here. So the share of rows met is known for every floor, not
 * only for the one that was used.
 * Rule: a learned floor is a quantile of these over the last samples, monotone in recall by construction; pulled down to the prior while
 * samples are few, bounded, moved only by more than a tenth. When the latest samples contradict it, the older ones are
 * forgotten and the floor is the lower of theirs and the prior, halved.
 */
import { joined } from '../joined.js'
import type { LearnedSamples } from './learned.js'
import type { LearnedFloors } from './map.js'

/** Samples that are kept of each k. */
const WINDOW = 256
/** Below so many the prior holds; and so many tell whether the others are still true. */
export const LEAST_SAMPLES = 32
/** A floor is looked at again after so many samples: it sorts them all. */
const REVIEW_EVERY = 8
/** The prior counts as so many samples against a floor above it. */
const PULL = 32
/** Logarithms: learned floors lie within these times the prior. */
const LOWEST = Math.log(1 / 64)
const HIGHEST = Math.log(8)
/** Relative changes of a floor below this are not worth losing a steady cost for. */
const HYSTERESIS = 0.1
/** Recall by which the latest samples may fall short before the older ones are taken to be of another time. */
const ALARM = 0.03
/** Added to the recall, in standard errors of a mean over samples: an estimate from few queries errs on the safe side. */
const CAUTION = 0.25
/** Rows in scanned buckets that the 1-bit scan leaves out: at most so large a share is made up for by a lower floor. */
const MAX_LOSS = 0.01

/** What the samples of one k taught. */
interface Taught {
  /** Newest last. */
  samples: Float32Array[]
  /** Samples to come for which an alarm still holds. */
  alarmed: number
  sinceReview: number
  /** Floors in use, by recall. */
  readonly floors: Map<number, number>
  /** Recalls whose floor was looked at since the last review. */
  readonly reviewed: Set<number>
}

export class FloorLearner implements LearnedFloors {
  readonly #byK: Map<number, Taught> = new Map()
  #loss = 0

  /**
   * @param sample - as `logFloorsOf` gives it, of the true rows.
   * @param recall - that was asked for.
   * @param floor - that was used, and `found`, how many of the rows that search found.
   */
  learn(k: number, sample: Float32Array, recall: number, floor: number, found: number): void {
    const taught = this.#byK.get(k) ?? taughtBy([])
    this.#byK.set(k, taught)
    const limit = Math.log(floor)
    const met = sample.reduce((count, log) => count + (log >= limit ? 1 : 0), 0)
    this.#loss += ((met - found) / sample.length - this.#loss) / WINDOW
    taught.samples.push(sample)
    if (taught.samples.length > WINDOW) taught.samples.shift()
    if (taught.alarmed > 0) taught.alarmed--
    this.#alarmIfWrong(taught, recall, floor)
    if (++taught.sinceReview >= REVIEW_EVERY || taught.alarmed === LEAST_SAMPLES) {
      taught.sinceReview = 0
      taught.reviewed.clear()
    }
  }

  floorOf(recall: number, k: number, prior: number): number | undefined {
    const taught = this.#byK.get(k)
    if (taught === undefined || taught.samples.length < LEAST_SAMPLES) return undefined
    const used = taught.floors.get(recall)
    if (used !== undefined && taught.reviewed.has(recall)) return used
    taught.reviewed.add(recall)
    const next = this.#estimate(taught, recall, prior)
    const kept = used !== undefined && Math.abs(Math.log(next / used)) < HYSTERESIS ? used : next
    taught.floors.set(recall, kept)
    return kept
  }

  /** Of the rows in scanned buckets, the share that the scan left out lately. */
  get loss(): number {
    return this.#loss
  }

  get samples(): LearnedSamples[] {
    return [...this.#byK].map(([k, { samples, floors }]) => ({ k, floors: [...floors], samples }))
  }

  /** Take over what another has learned about the same buckets. */
  restore(loss: number, byK: readonly LearnedSamples[]): void {
    this.#loss = loss
    for (const { k, floors, samples } of byK) this.#byK.set(k, taughtBy(samples.slice(-WINDOW), floors))
  }

  scale(timesOf: (k: number) => number): void {
    for (const [k, taught] of this.#byK) {
      const times = timesOf(k)
      if (times === 1) continue
      const more = Math.log(times)
      taught.samples = taught.samples.map(sample => sample.map(log => log + more))
      for (const [recall, floor] of taught.floors) taught.floors.set(recall, floor * times)
      taught.reviewed.clear()
    }
  }

  /** What was taught is of rows that are gone. */
  forget(): void {
    this.#byK.clear()
  }

  #estimate({ samples, alarmed }: Taught, recall: number, prior: number): number {
    const count = samples.length
    const error = Math.sqrt((recall * (1 - recall)) / count)
    const wanted = Math.min(1, recall + Math.max(0, Math.min(MAX_LOSS, this.#loss)) + CAUTION * error)
    const sorted = joined(Float32Array, samples).sort()
    const sampled = sorted[Math.floor((1 - wanted) * sorted.length)]!
    const base = Math.log(prior)
    const moved = Math.min(HIGHEST, Math.max(LOWEST, sampled - base))
    // A higher floor has to be earned, a lower one is taken at its word.
    const pulled = moved > 0 ? (moved * count) / (count + PULL) : moved
    return Math.exp(alarmed > 0 ? base + Math.min(0, pulled) - Math.LN2 : base + pulled)
  }

  #alarmIfWrong(taught: Taught, recall: number, floor: number): void {
    const { samples } = taught
    if (samples.length < 2 * LEAST_SAMPLES || taught.alarmed > 0) return
    const latest = joined(Float32Array, samples.slice(-LEAST_SAMPLES))
    const limit = Math.log(floor)
    const met = latest.filter(log => log >= limit).length / latest.length
    if (met >= recall - ALARM) return
    taught.samples = samples.slice(-LEAST_SAMPLES)
    taught.alarmed = LEAST_SAMPLES
  }
}

function taughtBy(samples: Float32Array[], floors: LearnedSamples['floors'] = []): Taught {
  return { samples, alarmed: 0, sinceReview: 0, floors: new Map(floors), reviewed: new Set() }
}
