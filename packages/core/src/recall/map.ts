/**
 * From the recall that is asked for to the floor that `IndexQuery` takes: what a bucket has to promise per row of its cost. Three sources, each
 * in the place of those before it: the prior of all data, a calibration (calibrate.ts), shadow queries (floor-learner.ts). Besides, how many
 * rows get an exact distance.
 * Rule: monotone, and conservative where nothing was learned: the prior is the lowest floor of four sets (sentence embeddings, SIFT, two
 * generated mixtures) that reach the recall, see docs/adr/0011.
 */
import { type Far, type Flat, NEVER_FAR, NEVER_FLAT, type Weights } from '../search/view.js'
import type { CalibratedFloors } from './calibrated-floors.js'

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

/** What shadow queries taught. Floors are in units of `RecallMap.unitOf`: as the index grows and is calibrated anew, what was taught follows. */
export interface LearnedFloors {
  /** @param prior - of all data, or of the calibration. @returns undefined while too few queries told anything. */
  floorOf(recall: number, k: number, prior: number): number | undefined
  /** What was taught for each k, so many times what it was: the unit is another, and floors are not. */
  scale(timesOf: (k: number) => number): void
}

const UNIT_RECALL = 0.95
/** Where rows get by so much easier to find, queries may not: what was taught stays as it is until queries teach better. */
const MOST_RISE = 2

/** What was computed for one k, to be looked up by the next query. */
interface ForK {
  readonly weights: Weights
  /** By recall. */
  readonly recalls: Map<number, ForRecall>
  /** The unit of `learned`. */
  readonly unit: number
  flat: Flat | undefined
}

interface ForRecall {
  /** Before `learned` has its say. */
  readonly floor: number
  readonly far: Far
  /** `CalibratedFloors.depthOf`. */
  readonly depth: number
}

export class RecallMap {
  learned: LearnedFloors | undefined
  readonly #rows: () => number
  #calibrated: CalibratedFloors | undefined
  #calibratedRows = 0
  readonly #byK: Map<number, ForK> = new Map()

  /** @param rows - tells how many rows are in buckets now. */
  constructor(rows: () => number = () => 0) {
    this.#rows = rows
  }

  /** Works out what `calibrated` says for every k that was asked for lately, so that no search waits for it. Yields multiply-adds. */
  *prepare(calibrated: CalibratedFloors): Generator<number, void> {
    for (const [k, { weights }] of [...this.#byK]) yield* calibrated.prepare(k, weights)
  }

  /** @param rows - in buckets when it was calibrated. @param floors - undefined: the prior of all data serves. */
  setCalibrated(floors: CalibratedFloors | undefined, rows: number): void {
    const isOther = (floors === undefined) !== (this.#calibrated === undefined)
    const growth = this.#growthFactor
    const before = this.#calibrated
    this.#calibrated = floors
    this.#calibratedRows = rows
    this.#byK.clear()
    this.learned?.scale(k => {
      const times = (unitBy(before, k) * growth) / this.unitOf(k)
      return isOther || times < 1 / MOST_RISE ? times : 1
    })
  }

  get calibrated(): CalibratedFloors | undefined {
    return this.#calibrated
  }

  /** `CalibratedFloors.depthOf`, for the rows that there are now: it grows with them, as of more rows more lie as near. */
  depthOf(recall: number, k: number): number {
    const { depth } = this.#forRecall(recall, k)
    return depth === 0 ? 0 : depth * Math.max(1, this.#rows() / this.#calibratedRows)
  }

  weightsOf(k: number): Weights {
    return this.#forK(k).weights
  }

  flatOf(k: number): Flat {
    const forK = this.#forK(k)
    forK.flat ??= this.#calibrated?.flatOf(k, forK.weights) ?? NEVER_FLAT
    return forK.flat
  }

  farOf(recall: number, k: number): Far {
    return this.#forRecall(recall, k).far
  }

  floorOf(recall: number, k: number): number {
    const { floor } = this.#forRecall(recall, k)
    const growth = this.#growthFactor
    if (this.learned === undefined) return floor * growth
    const { unit } = this.#forK(k)
    return (this.learned.floorOf(recall, k, floor / unit) ?? floor / unit) * unit * growth
  }

  /** The floor for UNIT_RECALL, unbounded and before `learned` has its say. */
  unitOf(k: number): number {
    return this.#forK(k).unit * this.#growthFactor
  }

  /**
   * Rows at the calibration for each row that is left, when so many are gone that another is due; otherwise 1. The rows that are left lie
   * among those as the rows that a filter allows lie among all, and are searched like these until they are calibrated themselves.
   */
  get shrunk(): number {
    const times = this.#calibrated === undefined ? 1 : this.#calibratedRows / Math.max(1, this.#rows())
    return times < SHRUNK ? 1 : times
  }

  /** Floors fall about as the cube root of the rows (docs/adr/0011): by that a calibration of fewer rows is brought up to date. */
  get #growthFactor(): number {
    const before = this.#calibratedRows
    const rows = this.#calibrated === undefined ? 0 : this.#rows()
    return rows > before && before > 0 ? Math.cbrt(before / rows) : 1
  }

  #forRecall(recall: number, k: number): ForRecall {
    const { weights, recalls } = this.#forK(k)
    let known = recalls.get(recall)
    if (known === undefined) {
      const calibrated = this.#calibrated
      known = {
        floor: calibrated?.floorOf(recall, k, weights, priorFloor) ?? priorFloor(recall, k),
        far: calibrated?.farOf(recall, k, weights, priorFloor) ?? NEVER_FAR,
        depth: calibrated?.depthOf(recall) ?? 0,
      }
      if (recalls.size >= MOST_KNOWN) recalls.clear()
      recalls.set(recall, known)
    }
    return known
  }

  #forK(k: number): ForK {
    let forK = this.#byK.get(k)
    if (forK === undefined) {
      const unit = unitBy(this.#calibrated, k)
      forK = { weights: priorWeights(k), recalls: new Map(), unit, flat: undefined }
      if (this.#byK.size >= MOST_KNOWN) this.#byK.clear()
      this.#byK.set(k, forK)
    }
    return forK
  }
}

/**
 * Rows beyond k that may get an exact distance: SQ8 is mostly off by less than what tells the k-th from those behind.
 *
 * @param depth - where it is not: rows beyond the tenth that have to get one.
 */
export function rerankOf(k: number, depth = 0): number {
  return Math.max(8, k >>> 2, Math.ceil(depth * Math.max(1, k / 10)))
}

/** A third of the rows gone: that is half of those that are left, after which an index is calibrated again. */
const SHRUNK = 1.5
/** Values of k, and recalls of each, that are remembered. */
const MOST_KNOWN = 256

function unitBy(calibrated: CalibratedFloors | undefined, k: number): number {
  const prior = priorFloor(UNIT_RECALL, k)
  return calibrated?.unboundedFloorOf(UNIT_RECALL, k, priorWeights(k), priorFloor) ?? prior
}

/** Exponents of the estimate. */
function priorWeights(k: number): Weights {
  const share = Math.min(1, Math.max(0, Math.log10(k) - 1))
  const [a, b] = [PRIOR_WEIGHTS, WIDE_WEIGHTS]
  const between = (name: keyof Weights) => a[name] + share * (b[name] - a[name])
  return { byRank: between('byRank'), byRatio: between('byRatio'), bySize: between('bySize') }
}

/** Falls with recall and with k. @param recall - above 0 and below 1. */
export function priorFloor(recall: number, k: number): number {
  const at = between(KS.map(Math.log), Math.log(Math.min(k, WIDEST)))
  const logFloor = (row: number) => logFloorAt(FLOORS[row]!, recall)
  const floor = Math.exp((1 - at.share) * logFloor(at.first) + at.share * logFloor(at.first + 1))
  return floor * Math.max(1, k / WIDEST) ** BEYOND
}

const WIDEST = KS.at(-1)!
/** How floors go on beyond the widest k: from 10 to 100 they fall faster, as the weights change. Sentence embeddings need -1, SIFT -0.7. */
const BEYOND = -1.1

/** The logarithm of the floor, interpolated along a row of FLOORS: straight in the logarithm of what may be missed. */
function logFloorAt(floors: readonly number[], recall: number): number {
  const { first, share } = between(
    RECALLS.map(known => -Math.log1p(-known)),
    -Math.log1p(-Math.min(recall, MAX_RECALL)),
  )
  return (1 - share) * Math.log(floors[first]!) + share * Math.log(floors[first + 1]!)
}

/** Nearer to 1 there is nothing to tell from samples: ask for 1. */
const MAX_RECALL = 0.9999

/** Between which two of `ascending`, first and first + 1, the value lies, and at which share of the way; beyond an end outside 0..1. */
function between(ascending: readonly number[], value: number): { first: number; share: number } {
  let first = 0
  while (first < ascending.length - 2 && ascending[first + 1]! < value) first++
  const [low, high] = [ascending[first]!, ascending[first + 1]!]
  return { first, share: (value - low) / (high - low) }
}
