// What a way to stop costs: recall and rows over a knob, added up over the queries of a whole run, and read at a given recall.
// Rule: one value of the knob for the whole run, so a knob is chosen in hindsight but never per step.

export interface CurvePoint {
  readonly knob: number
  readonly recall: number
  /** Means per query. */
  readonly rows: number
  readonly buckets: number
}

export class Curve {
  readonly knobs: readonly number[]
  readonly #hits: Float64Array
  readonly #rows: Float64Array
  readonly #buckets: Float64Array
  readonly #wanted: Float64Array
  readonly #queries: Float64Array

  /** @param knobs - ascending: more of it costs more. */
  constructor(knobs: readonly number[]) {
    this.knobs = knobs
    const sums = () => new Float64Array(knobs.length)
    this.#hits = sums()
    this.#rows = sums()
    this.#buckets = sums()
    this.#wanted = sums()
    this.#queries = sums()
  }

  add(knob: number, hits: number, wanted: number, rows: number, buckets: number, queries = 1): void {
    this.#hits[knob]! += hits
    this.#wanted[knob]! += wanted
    this.#rows[knob]! += rows
    this.#buckets[knob]! += buckets
    this.#queries[knob]! += queries
  }

  addCurve(other: Curve): void {
    for (let i = 0; i < this.knobs.length; i++) {
      const { hits, wanted, rows, buckets, queries } = other.sumsAt(i)
      this.add(i, hits, wanted, rows, buckets, queries)
    }
  }

  points(): CurvePoint[] {
    return this.knobs.flatMap((knob, i) => {
      const { hits, wanted, rows, buckets, queries } = this.sumsAt(i)
      return queries === 0
        ? []
        : [{ knob, recall: hits / wanted, rows: rows / queries, buckets: buckets / queries }]
    })
  }

  /**
   * The point at a recall, the logarithm of the rows linear between two knobs. Below the first knob it is the first point.
   *
   * @returns undefined when no knob reaches the recall.
   */
  at(recall: number): CurvePoint | undefined {
    const points = this.points()
    const above = points.findIndex(point => point.recall >= recall)
    if (above < 0) return undefined
    const [low, high] = [points[above - 1], points[above]!]
    if (low === undefined || high.recall === low.recall) return high
    const share = (recall - low.recall) / (high.recall - low.recall)
    const between = (of: (point: CurvePoint) => number) =>
      Math.exp((1 - share) * Math.log(of(low)) + share * Math.log(of(high)))
    return {
      knob: between(point => point.knob),
      recall,
      rows: between(point => point.rows),
      buckets: between(point => point.buckets),
    }
  }

  sumsAt(i: number): { hits: number; wanted: number; rows: number; buckets: number; queries: number } {
    return {
      hits: this.#hits[i]!,
      wanted: this.#wanted[i]!,
      rows: this.#rows[i]!,
      buckets: this.#buckets[i]!,
      queries: this.#queries[i]!,
    }
  }
}
