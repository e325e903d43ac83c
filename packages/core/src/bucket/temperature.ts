/**
 * How often queries scan each bucket: an exponentially weighted mean over sampled queries, never over time, because an idle index is
 * not a cold one.
 * Rule: touching costs one addition per bucket. Instead of every mean shrinking with every query, the weight of the newest grows.
 */

/** Sampled queries after which a mean has forgotten 63 %. At one query in 32 these are 16 000 queries. */
const MEMORY_QUERIES = 512

/** Weights up to here leave a double enough room for sums. */
const MAX_WEIGHT = 2 ** 512

export class Temperature {
  /** Queries that touched: while there are few, the means say little. */
  queries = 0
  #heat: Float64Array = new Float64Array(0)
  #weight = 1

  /** A query scanned these buckets, the first `count`. */
  touch(buckets: Uint32Array, count: number): void {
    this.queries++
    this.#weight /= 1 - 1 / MEMORY_QUERIES
    if (this.#weight > MAX_WEIGHT) this.#rescale()
    for (let i = 0; i < count; i++) {
      const bucket = buckets[i]!
      if (bucket >= this.#heat.length) this.#grow(bucket + 1)
      this.#heat[bucket]! += this.#weight
    }
  }

  /** Share of the recent queries that scan the bucket, 0..1. */
  of(bucket: number): number {
    const heat = this.#heat[bucket] ?? 0
    return heat / this.#weight / MEMORY_QUERIES
  }

  /** The bucket's mean becomes `value`: of one that was reused, or that has rows of another now. */
  set(bucket: number, value: number): void {
    if (bucket >= this.#heat.length) this.#grow(bucket + 1)
    this.#heat[bucket] = value * this.#weight * MEMORY_QUERIES
  }

  get bytes(): number {
    return this.#heat.byteLength
  }

  #rescale(): void {
    for (let bucket = 0; bucket < this.#heat.length; bucket++) this.#heat[bucket]! /= this.#weight
    this.#weight = 1
  }

  #grow(buckets: number): void {
    const larger = new Float64Array(Math.max(buckets, 2 * this.#heat.length, 256))
    larger.set(this.#heat)
    this.#heat = larger
  }
}
