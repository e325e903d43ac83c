/**
 * What the 8-bit codes of a row say for certain of its exact distance, and with it the k nearest rows of all while hardly any exact
 * vector is read: a row whose least possible distance is beyond the k-th greatest possible one is not among them. On real data ten
 * nearest of 100 000 take the vectors of 16 to 46 rows.
 *
 * With h = s sqrt(P) / (2 ||x||), s the row's scale and P its values, the code of x lies within h / (1 - h) of x before it is scaled to
 * the projection of x, and the image x' of the code so that ||x' - x|| <= ||x|| tan(asin(h / (1 - h))); SLACK is for the sixteenths of
 * a step that the scale is reckoned in. Then |<q, x> - <q', x'>| <= ||q|| ||x - x'|| + ||q - q'|| ||x'||.
 */
import { type IndexSlabs, kernels } from '@drift/native'
import { liveRowsOf } from '../row-store.js'
import type { SearchView } from './view.js'

const SLACK = 1.25
/** Of the squared lengths: what float32 sums of up to 4096 products, and the rotation, may be off by. */
const ROUNDING = 2e-5
/** Below, float32 is too coarse to say anything: the row counts as near. */
const LEAST_SQUARES = 1e-30
/** Rows between two looks at the clock. */
const STEP_VALUES = 1024 * 1024

class CodeBounds {
  readonly #slabs: IndexSlabs
  readonly #codes: Int8Array
  readonly #factors: Float32Array = new Float32Array(3)
  readonly #length: number
  readonly #error: number
  #estimates: Float32Array = new Float32Array(0)

  /** @param query - prepared. */
  constructor(slabs: IndexSlabs, query: Float32Array) {
    const { dim, padded, flips } = slabs
    this.#slabs = slabs
    this.#codes = new Int8Array(padded)
    const rotated = new Float32Array(padded)
    kernels.rotate(query, dim, padded, 0, 1, flips, rotated)
    kernels.sq8Query(rotated, this.#codes, this.#factors)
    let squares = 0
    let errors = 0
    for (let i = 0; i < padded; i++) {
      squares += rotated[i]! ** 2
      errors += (rotated[i]! - this.#factors[0]! * this.#codes[i]!) ** 2
    }
    this.#length = Math.sqrt(squares)
    this.#error = Math.sqrt(errors)
  }

  /** Least and greatest kernel distance that the first `count` of `rows` can have; infinite where nothing can be said. */
  measure(rows: Uint32Array, count: number, least: Float32Array, greatest: Float32Array): void {
    const { metric, codes, factors, padded } = this.#slabs
    if (this.#estimates.length < count) this.#estimates = new Float32Array(count)
    const estimates = this.#estimates
    kernels.sq8DistancesGather(
      metric,
      this.#codes,
      this.#factors,
      codes,
      factors,
      padded,
      rows,
      count,
      estimates,
    )
    const half = Math.sqrt(padded) / 2
    const times = metric === 'l2' ? 2 : 1
    for (let i = 0; i < count; i++) {
      const squares = factors[2 * rows[i]! + 1]!
      const length = Math.sqrt(squares)
      const share = (half * factors[2 * rows[i]!]!) / length
      const sine = share / (1 - share)
      const off = (SLACK * length * sine) / Math.sqrt(1 - sine * sine)
      const slack =
        times * (this.#length * off + this.#error * (length + off)) + ROUNDING * (this.#length + length) ** 2
      const isTold =
        squares >= LEAST_SQUARES && share < 0.45 && estimates[i]! - slack < Number.POSITIVE_INFINITY
      least[i] = isTold ? estimates[i]! - slack : Number.NEGATIVE_INFINITY
      greatest[i] = isTold ? estimates[i]! + slack : Number.POSITIVE_INFINITY
    }
  }
}

/** Rows that may be among those wanted, the least possible distance first. */
export interface Candidates {
  readonly rows: Uint32Array
  readonly least: Float32Array
}

/**
 * Those of the rows set in `bits` that may be among the k nearest; with `isNear`, all of which it takes the least possible distance.
 * Yields multiply-adds done, every millisecond or so.
 */
export function* candidatesOf(
  { slabs, liveRows }: Pick<SearchView, 'slabs' | 'liveRows'>,
  bits: Uint32Array,
  query: Float32Array,
  k: number,
  isNear?: (least: number) => boolean,
): Generator<number, Candidates> {
  const rows = new Uint32Array(liveRows)
  const count = liveRowsOf(bits, slabs.rowLimit, rows)
  const bounds = new CodeBounds(slabs, query)
  const least = new Float32Array(count)
  const greatest = new Float32Array(count)
  const step = Math.ceil(STEP_VALUES / slabs.padded)
  for (let first = 0; first < count; first += step) {
    const some = Math.min(step, count - first)
    bounds.measure(rows.subarray(first), some, least.subarray(first), greatest.subarray(first))
    yield some * slabs.padded
  }
  const wanted = Math.min(k, count)
  const ordered = new Float32Array(wanted)
  if (isNear === undefined) kernels.topK(greatest, count, wanted, new Uint32Array(wanted), ordered)
  const limit = ordered[wanted - 1] ?? Number.POSITIVE_INFINITY
  const near: number[] = []
  for (let i = 0; i < count; i++)
    if (isNear === undefined ? least[i]! <= limit : isNear(least[i]!)) near.push(i)
  near.sort((a, b) => least[a]! - least[b]!)
  return { rows: Uint32Array.from(near, i => rows[i]!), least: Float32Array.from(near, i => least[i]!) }
}
