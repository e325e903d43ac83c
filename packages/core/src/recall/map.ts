/**
 * From the recall that is asked for to the floor that `IndexQuery` takes: what a bucket has to promise per row of its cost.
 * Rule: monotone, and conservative where nothing was learned: the prior is the lowest floor of four sets (sentence embeddings, SIFT, two
 * generated mixtures) that reach the recall, see docs/adr/0011. What shadow queries teach replaces it (learn.ts).
 */
import { type Flat, NEVER_FLAT, type Weights } from '../search/view.js'
import type { OwnFloors } from './own-floors.js'

/** Fitted alike on sentence embeddings and on SIFT. */
export const PRIOR_WEIGHTS: Weights = { byRank: -1.1, byRatio: -3.5, bySize: 0.6 }

/** For a k of 100 and more, where the many neighbours of a query lie farther around it; straight in log k between 10 and 100. */
const WIDE_WEIGHTS: Weights = { byRank: -1.4, byRatio: -2.3, bySize: 0.6 }

/** Recalls of the columns below. Beyond the last, floors fall as from the last but one to the last. */
const RECALLS = [0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995]
const KS = [1, 10, 100]
const FLOORS = [
  [5.0e-2, 1.6e-2, 7.0e-3, 5.5e-3, 3.1e-3, 2.1e-3, 1.5e-3, 9.0e-4, 6.5e-4, 3.8e-4, 2.0e-4],
  [2.4e-2, 7.6e-3, 3.5e-3, 2.2e-3, 1.3e-3, 8.6e-4, 6.5e-4, 4.1e-4, 2.9e-4, 1.7e-4, 1.0e-4],
  [4.7e-3, 1.3e-3, 6.2e-4, 3.6e-4, 1.2e-4, 5.2e-5, 3.0e-5, 1.4e-5, 9.7e-6, 5.2e-6, 3.1e-6],
]

/** What an index has learned about its floors; `undefined`: nothing yet. */
export interface LearnedFloors {
  floorOf(recall: number, k: number, prior: number): number | undefined
}

/** What is known for one k: its weights, floors by recall before queries taught any, and which queries have others. */
interface Known {
  readonly weights: Weights
  readonly floors: Map<number, number>
  flat: Flat | undefined
}

export class RecallMap {
  learned: LearnedFloors | undefined
  readonly #rows: () => number
  #own: OwnFloors | undefined
  #ownRows = 0
  /** By k: a query looks up two maps. */
  readonly #known: Map<number, Known> = new Map()

  /** @param rows - in buckets, now. */
  constructor(rows: () => number = () => 0) {
    this.#rows = rows
  }

  /** Makes ready for the k that were asked for lately what `own` tells, so that no search waits for it. Yields multiply-adds. */
  *prepare(own: OwnFloors): Generator<number, void> {
    for (const [k, { weights }] of [...this.#known]) yield* own.prepare(k, weights)
  }

  /** What the index's own rows told when so many were in buckets; undefined: the prior of all data serves. */
  setOwn(floors: OwnFloors | undefined, rows: number): void {
    this.#own = floors
    this.#ownRows = rows
    this.#known.clear()
  }

  get own(): OwnFloors | undefined {
    return this.#own
  }

  /** Rows beyond the tenth that have to get an exact distance, for so many rows as there are now: as many more lie as near. */
  get depth(): number {
    const depth = this.#own?.depth ?? 0
    return depth === 0 ? 0 : depth * Math.max(1, this.#rows() / this.#ownRows)
  }

  weightsOf(k: number): Weights {
    return this.#of(k).weights
  }

  flatOf(k: number): Flat {
    const known = this.#of(k)
    known.flat ??= this.#own?.flatOf(k, known.weights) ?? NEVER_FLAT
    return known.flat
  }

  floorOf(recall: number, k: number): number {
    const { weights, floors } = this.#of(k)
    let prior = floors.get(recall)
    if (prior === undefined) {
      prior = this.#own?.floorOf(recall, k, weights, priorFloor) ?? priorFloor(recall, k)
      if (floors.size >= MOST_KNOWN) floors.clear()
      floors.set(recall, prior)
    }
    prior *= this.#grown
    return this.learned?.floorOf(recall, k, prior) ?? prior
  }

  /**
   * Rows that there were when own rows told for each that is left, once calibrating is due for it; 1 before. What is left lies among them like the
   * rows that a filter allows, until it is asked for itself.
   */
  get shrunk(): number {
    const times = this.#own === undefined ? 1 : this.#ownRows / Math.max(1, this.#rows())
    return times < SHRUNK ? 1 : times
  }

  /** Floors fall about as the cube root of the rows (docs/adr/0011): what own rows told of fewer is brought up to date by that. */
  get #grown(): number {
    const rows = this.#own === undefined ? 0 : this.#rows()
    return rows > this.#ownRows && this.#ownRows > 0 ? Math.cbrt(this.#ownRows / rows) : 1
  }

  #of(k: number): Known {
    let known = this.#known.get(k)
    if (known === undefined) {
      known = { weights: priorWeights(k), floors: new Map(), flat: undefined }
      if (this.#known.size >= MOST_KNOWN) this.#known.clear()
      this.#known.set(k, known)
    }
    return known
  }
}

/** When a third is gone those are half of the rows that are left, for which an index is calibrated again. */
const SHRUNK = 1.5
/** Values of k, and recalls of each, that are remembered. */
const MOST_KNOWN = 256

/** Of the estimate, before anything was learned. */
function priorWeights(k: number): Weights {
  const share = Math.min(1, Math.max(0, Math.log10(k) - 1))
  const [a, b] = [PRIOR_WEIGHTS, WIDE_WEIGHTS]
  const at = (of: keyof Weights) => a[of] + share * (b[of] - a[of])
  return { byRank: at('byRank'), byRatio: at('byRatio'), bySize: at('bySize') }
}

/** Falls with recall and with k. @param recall - above 0 and below 1. */
export function priorFloor(recall: number, k: number): number {
  const at = between(KS.map(Math.log), Math.log(Math.min(k, WIDEST)))
  const of = (row: number) => alongRow(FLOORS[row]!, recall)
  const floor = Math.exp((1 - at.share) * of(at.first) + at.share * of(at.first + 1))
  return floor * Math.max(1, k / WIDEST) ** BEYOND
}

const WIDEST = KS.at(-1)!
/** How floors go on beyond the widest k: from 10 to 100 they fall faster, as the weights change. Sentence embeddings need -1, SIFT -0.7. */
const BEYOND = -1.1

/** The logarithm of the floor: straight in the logarithm of what may be missed. */
function alongRow(floors: readonly number[], recall: number): number {
  const { first, share } = between(
    RECALLS.map(known => -Math.log1p(-known)),
    -Math.log1p(-Math.min(recall, MAX_RECALL)),
  )
  return (1 - share) * Math.log(floors[first]!) + share * Math.log(floors[first + 1]!)
}

/** Nearer to 1 there is nothing to tell from samples: ask for 1. */
const MAX_RECALL = 0.9999

/** The pair of neighbours first, first + 1 that `value` is between or, beyond an end, nearest to; `share` of the way, also outside 0..1. */
function between(ascending: readonly number[], value: number): { first: number; share: number } {
  let first = 0
  while (first < ascending.length - 2 && ascending[first + 1]! < value) first++
  const [low, high] = [ascending[first]!, ascending[first + 1]!]
  return { first, share: (value - low) / (high - low) }
}
