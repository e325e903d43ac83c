/**
 * What shadow queries teach about the map from recall to floor: each tells, for every one of its true nearest rows, the floor at which the
 * row would just have been met, so the share of rows met is known for every floor, not only for the one that was used.
 * Rule: a learned floor is a quantile of these over the last samples, monotone in recall by construction; pulled down to the prior while
 * samples are few, bounded, moved only by more than a tenth. When the latest samples contradict it, the older ones are
 * forgotten and the floor is the lower of theirs and the prior, halved.
 */
import type { LearnedFloors } from './map.js'
import type { LearnedSamples } from './memory.js'

/** Samples that are kept of each k. */
const WINDOW = 256
/** Below so many the prior holds; and so many tell whether the others are still true. */
const FEW = 32
/** A floor is looked at again after so many samples: it sorts them all. */
const EVERY = 8
/** The prior counts as so many samples against a floor above it. */
const PULL = 32
/** Learned floors lie within these times the prior. */
const LOWEST = Math.log(1 / 64)
const HIGHEST = Math.log(8)
/** Relative changes of a floor below this are not worth losing a steady cost for. */
const HYSTERESIS = 0.1
/** Recall by which the latest samples may fall short before the older ones are taken to be of another time. */
const ALARM = 0.03
/** Added to what is asked for, in standard errors of a mean over samples: an estimate from few queries errs on the safe side. */
const CAUTION = 0.25
/** Rows that a scanned bucket holds and the 1-bit scan leaves out: at most so large a share is made up for by a lower floor. */
const MAX_LOSS = 0.01

interface Learned {
  /** Newest last: of each sample the logarithms of the floors of its rows. */
  samples: Float32Array[]
  /** Samples for which an alarm still holds. */
  alarmed: number
  /** Samples since floors were last looked at. */
  since: number
  /** Floors in use, by recall, and those of them that were looked at since. */
  readonly floors: Map<number, number>
  readonly settled: Set<number>
}

export class FloorLearner implements LearnedFloors {
  readonly #byK: Map<number, Learned> = new Map()
  #loss = 0

  /**
   * @param floors - per true row the logarithm of the floor at which a bucket of it is just scanned, as `floorsAt` tells it.
   * @param recall - that was asked for.
   * @param floor - that was used, and `found`, how many of the rows that search found.
   */
  learn(k: number, floors: Float32Array, recall: number, floor: number, found: number): void {
    const learned = this.#byK.get(k) ?? learnedOf([])
    this.#byK.set(k, learned)
    const limit = Math.log(floor)
    const met = floors.reduce((count, of) => count + (of >= limit ? 1 : 0), 0)
    this.#loss += ((met - found) / floors.length - this.#loss) / WINDOW
    learned.samples.push(floors)
    if (learned.samples.length > WINDOW) learned.samples.shift()
    if (learned.alarmed > 0) learned.alarmed--
    this.#watch(learned, recall, floor)
    if (++learned.since >= EVERY || learned.alarmed === FEW) {
      learned.since = 0
      learned.settled.clear()
    }
  }

  floorOf(recall: number, k: number, prior: number): number | undefined {
    const learned = this.#byK.get(k)
    if (learned === undefined || learned.samples.length < FEW) return undefined
    const known = learned.floors.get(recall)
    if (known !== undefined && learned.settled.has(recall)) return known
    learned.settled.add(recall)
    const next = this.#estimate(learned, recall, prior)
    const kept = known !== undefined && Math.abs(Math.log(next / known)) < HYSTERESIS ? known : next
    learned.floors.set(recall, kept)
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
    for (const { k, floors, samples } of byK) this.#byK.set(k, learnedOf(samples.slice(-WINDOW), floors))
  }

  /** What was taught is of rows that are gone. */
  forget(): void {
    this.#byK.clear()
  }

  /** Are the latest samples still unlike the others? */
  get isAlarmed(): boolean {
    return [...this.#byK.values()].some(({ alarmed }) => alarmed > 0)
  }

  #estimate({ samples, alarmed }: Learned, recall: number, prior: number): number {
    const count = samples.length
    const error = Math.sqrt((recall * (1 - recall)) / count)
    const asked = Math.min(1, recall + Math.max(0, Math.min(MAX_LOSS, this.#loss)) + CAUTION * error)
    const logs = sorted(samples)
    const own = logs[Math.floor((1 - asked) * logs.length)]!
    const base = Math.log(prior)
    const moved = clamp(own - base, LOWEST, HIGHEST)
    // A higher floor has to be earned, a lower one is taken at its word.
    const pulled = moved > 0 ? (moved * count) / (count + PULL) : moved
    return Math.exp(alarmed > 0 ? base + Math.min(0, pulled) - Math.LN2 : base + pulled)
  }

  #watch(learned: Learned, recall: number, floor: number): void {
    const { samples } = learned
    if (samples.length < 2 * FEW || learned.alarmed > 0) return
    const latest = sorted(samples.slice(-FEW))
    const limit = Math.log(floor)
    const met = latest.filter(of => of >= limit).length / latest.length
    if (met >= recall - ALARM) return
    learned.samples = samples.slice(-FEW)
    learned.alarmed = FEW
  }
}

function learnedOf(samples: Float32Array[], floors: LearnedSamples['floors'] = []): Learned {
  return { samples, alarmed: 0, since: 0, floors: new Map(floors), settled: new Set() }
}

function sorted(samples: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(samples.reduce((count, { length }) => count + length, 0))
  let at = 0
  for (const sample of samples) {
    all.set(sample, at)
    at += sample.length
  }
  return all.sort()
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value))
}
