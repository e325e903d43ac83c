/**
 * Numbers by row, and in order: a column that holds the truth, and sorted runs of (value, row) that lead to it, merged as in a
 * log-structured tree so that adding costs O(log n) and a range is two binary searches a run.
 * Rule: an entry of a run is a hint. A row is in a range when the column says so, so what a row held before does no harm.
 */
import type { Bound } from '../filter/filter.js'
import { isInside } from '../filter/predicate.js'

interface Run {
  /** Ascending, and the rows of equal ones too. */
  readonly values: Float64Array
  readonly rows: Uint32Array
}

/** Entries that wait unsorted: every range looks at each of them. */
const TAIL_ENTRIES = 1024
/** A run is merged with the next older one when that is not this many times larger. */
const RUN_GROWTH = 2
/** A range that holds more than this share of the entries is read off the column, in order of rows. */
const COLUMN_SHARE = 1 / 8
/** Entries that could be looked at in the time that finding the place of one value in all runs takes. */
const PLACE_ENTRIES = 64
const FIRST_ROWS = 1024

export class NumberColumn {
  /** NaN: none, or several. */
  #values = new Float64Array(FIRST_ROWS).fill(Number.NaN)
  /** Rows with several values. */
  readonly #several = new Map<number, readonly number[]>()
  #runs: Run[] = []
  readonly #tailValues = new Float64Array(TAIL_ENTRIES)
  readonly #tailRows = new Uint32Array(TAIL_ENTRIES)
  #tail = 0
  /** Every row with a value is below. */
  #rows = 0

  put(row: number, values: readonly number[]): void {
    if (row >= this.#rows && values.length === 0) return
    this.#grow(row)
    this.#several.delete(row)
    this.#values[row] = values.length === 1 ? values[0]! : Number.NaN
    if (values.length > 1) this.#several.set(row, values)
    for (const value of values) this.#add(value, row)
  }

  /** Whether no row holds more than one value, so that two ranges may be made one. */
  get isSingle(): boolean {
    return this.#several.size === 0
  }

  /** Entries inside, what rows held before counted in. */
  estimate(low: Bound<number>, high: Bound<number>): number {
    let count = this.#tail
    for (const { values } of this.#runs) count += endOf(values, high) - startOf(values, low)
    return count
  }

  collect(low: Bound<number>, high: Bound<number>, out: Uint32Array): void {
    if (this.estimate(low, high) > COLUMN_SHARE * this.#rows) {
      this.#collectColumn(low, high, out)
      return
    }
    for (const { values, rows } of this.#runs) {
      const end = endOf(values, high)
      for (let i = startOf(values, low); i < end; i++) this.#test(rows[i]!, low, high, out)
    }
    for (let i = 0; i < this.#tail; i++) this.#test(this.#tailRows[i]!, low, high, out)
  }

  /** Rows with one of the values. Of many values the column is read once, in place of a search and a tail for each. */
  collectAny(wanted: ReadonlySet<number>, out: Uint32Array): void {
    if (wanted.size * (this.#tail + PLACE_ENTRIES) <= this.#rows) {
      for (const value of wanted) this.collect({ value, closed: true }, { value, closed: true }, out)
      return
    }
    const rows = Math.min(this.#rows, 32 * out.length)
    for (let row = 0; row < rows; row++) {
      if (wanted.has(this.#values[row]!)) out[row >>> 5]! |= 1 << (row & 31)
    }
    for (const [row, values] of this.#several) {
      if (row < rows && values.some(value => wanted.has(value))) out[row >>> 5]! |= 1 << (row & 31)
    }
  }

  get bytes(): number {
    const runs = this.#runs.reduce((bytes, run) => bytes + 12 * run.rows.length, 0)
    let several = 0
    for (const values of this.#several.values()) several += 64 + 8 * values.length
    return this.#values.byteLength + runs + 12 * TAIL_ENTRIES + several
  }

  #collectColumn(low: Bound<number>, high: Bound<number>, out: Uint32Array): void {
    const rows = Math.min(this.#rows, 32 * out.length)
    const values = this.#values
    // Bounds made closed, so that the loop has two comparisons and no branch for the kind of bound.
    const from = low.closed ? low.value : above(low.value)
    const to = high.closed ? high.value : -above(-high.value)
    for (let row = 0; row < rows; row++) {
      const value = values[row]!
      if (value >= from && value <= to) out[row >>> 5]! |= 1 << (row & 31)
    }
    for (const row of this.#several.keys()) this.#test(row, low, high, out)
  }

  #test(row: number, low: Bound<number>, high: Bound<number>, out: Uint32Array): void {
    if (row >>> 5 >= out.length) return
    const value = this.#values[row]!
    const inside = Number.isNaN(value)
      ? this.#several.get(row)?.some(one => isInside(one, low, high)) === true
      : isInside(value, low, high)
    if (inside) out[row >>> 5]! |= 1 << (row & 31)
  }

  #add(value: number, row: number): void {
    this.#tailValues[this.#tail] = value
    this.#tailRows[this.#tail++] = row
    if (this.#tail < TAIL_ENTRIES) return
    this.#runs.push(sortedRun(this.#tailValues, this.#tailRows))
    this.#tail = 0
    for (let last = this.#runs.length - 1; last > 0; last--) {
      const older = this.#runs[last - 1]!
      const newer = this.#runs[last]!
      if (older.rows.length > RUN_GROWTH * newer.rows.length) break
      this.#runs.splice(last - 1, 2, this.#merge(older, newer))
    }
  }

  /** Entries that the column does not bear out any more, and second ones of a row and value, are left behind. */
  #merge(a: Run, b: Run): Run {
    const values = new Float64Array(a.rows.length + b.rows.length)
    const rows = new Uint32Array(values.length)
    let count = 0
    for (let i = 0, j = 0; i < a.rows.length || j < b.rows.length; ) {
      const first = j >= b.rows.length || (i < a.rows.length && isBefore(a, i, b, j))
      const value = first ? a.values[i]! : b.values[j]!
      const row = first ? a.rows[i++]! : b.rows[j++]!
      if (count > 0 && rows[count - 1] === row && values[count - 1] === value) continue
      if (this.#values[row] !== value && !this.#several.get(row)?.includes(value)) continue
      values[count] = value
      rows[count++] = row
    }
    return { values: values.slice(0, count), rows: rows.slice(0, count) }
  }

  #grow(row: number): void {
    this.#rows = Math.max(this.#rows, row + 1)
    if (row < this.#values.length) return
    const larger = new Float64Array(Math.max(row + 1, 2 * this.#values.length)).fill(Number.NaN)
    larger.set(this.#values)
    this.#values = larger
  }
}

function sortedRun(values: Float64Array, rows: Uint32Array): Run {
  const order = Uint32Array.from(values.keys()).sort((a, b) => values[a]! - values[b]! || rows[a]! - rows[b]!)
  return { values: Float64Array.from(order, i => values[i]!), rows: Uint32Array.from(order, i => rows[i]!) }
}

/** By value, then row. */
function isBefore(a: Run, i: number, b: Run, j: number): boolean {
  return a.values[i]! < b.values[j]! || (a.values[i] === b.values[j] && a.rows[i]! <= b.rows[j]!)
}

/** The first place that the low bound lets in. */
function startOf(values: Float64Array, { value, closed }: Bound<number>): number {
  return firstPlace(values, other => (closed ? other >= value : other > value))
}

/** The first place that the high bound keeps out. */
function endOf(values: Float64Array, { value, closed }: Bound<number>): number {
  return firstPlace(values, other => (closed ? other > value : other >= value))
}

function firstPlace(values: Float64Array, isThere: (value: number) => boolean): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isThere(values[middle]!)) high = middle
    else low = middle + 1
  }
  return low
}

/** The next greater double of a finite one. */
function above(value: number): number {
  if (value === 0) return Number.MIN_VALUE
  const bits = new BigInt64Array(new Float64Array([value]).buffer)
  bits[0]! += value > 0 ? 1n : -1n
  return new Float64Array(bits.buffer)[0]!
}
