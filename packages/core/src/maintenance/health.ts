/**
 * What maintenance remembers of each bucket between two looks: how much had changed when it was last tended, whether its rows are all
 * one point, and whether it is being emptied.
 * Rule: only hints. Losing them costs work, never a row.
 */
export class Health {
  /** Which bucket a number stands for: numbers are used again, these are not. */
  readonly #serials: Map<number, number> = new Map()
  readonly #buckets: Map<number, number> = new Map()
  #lastSerial = 0
  /** `directory.changes` of the bucket when it was last refined. */
  readonly #tended: Map<number, number> = new Map()
  /** Buckets whose rows are all one point, with their `changes` then: not to be split before they change. */
  readonly #singular: Map<number, number> = new Map()
  /** Buckets that a merge has begun to empty. */
  readonly draining: Set<number> = new Set()
  /** ||mean - centroid||^2 / mean r^2, and the `changes` of which it is. */
  readonly #drifts: Map<number, { readonly changes: number; readonly drift: number }> = new Map()
  /** Updates of the index when the bucket was last settled, or first looked at. */
  readonly #settled: Map<number, number> = new Map()
  /** Where the next plan goes on with measuring drifts: every bucket has its turn, however often the ones before it change. */
  measuredTo = 0

  serialOf(bucket: number): number {
    return this.#serials.get(bucket)!
  }

  /** The number that a bucket has now; undefined when it has gone. */
  bucketOf(serial: number): number | undefined {
    return this.#buckets.get(serial)
  }

  /** Rows that came and went since the bucket was last refined. */
  unrest(bucket: number, changes: number): number {
    return changes - (this.#tended.get(bucket) ?? 0)
  }

  tend(bucket: number, changes: number): void {
    this.#tended.set(bucket, changes)
    this.#drifts.delete(bucket)
  }

  /** The partition is new, or all of it was refined: there is nothing in it to tend or to settle. @param changes - of each bucket. */
  tendAll(changes: Uint32Array, updates: number): void {
    for (const [bucket, of] of changes.entries()) {
      this.tend(bucket, of)
      this.settle(bucket, updates)
    }
  }

  /** Updates of the index since the bucket was last settled; 0 at the first look. */
  age(bucket: number, updates: number): number {
    const settled = this.#settled.get(bucket)
    if (settled === undefined) this.settle(bucket, updates)
    return updates - (settled ?? updates)
  }

  settle(bucket: number, updates: number): void {
    this.#settled.set(bucket, updates)
  }

  isSingular(bucket: number, changes: number): boolean {
    return this.#singular.get(bucket) === changes
  }

  markSingular(bucket: number, changes: number): void {
    this.#singular.set(bucket, changes)
  }

  driftOf(bucket: number, changes: number): number | undefined {
    const known = this.#drifts.get(bucket)
    return known?.changes === changes ? known.drift : undefined
  }

  setDrift(bucket: number, changes: number, drift: number): void {
    this.#drifts.set(bucket, { changes, drift })
  }

  /** The number stands for a new bucket. */
  reset(bucket: number): void {
    for (const column of [this.#tended, this.#singular, this.#drifts, this.#settled]) column.delete(bucket)
    this.draining.delete(bucket)
    this.#buckets.delete(this.#serials.get(bucket)!)
    this.#serials.set(bucket, ++this.#lastSerial)
    this.#buckets.set(this.#lastSerial, bucket)
  }

  /** Bucket `from` has the number `to` now. */
  rename(from: number, to: number): void {
    this.reset(to)
    this.#buckets.delete(this.#serials.get(to)!)
    if (from === to) {
      this.#serials.delete(to)
      return
    }
    move(this.#serials, from, to)
    this.#buckets.set(this.#serials.get(to)!, to)
    move(this.#tended, from, to)
    move(this.#singular, from, to)
    move(this.#drifts, from, to)
    move(this.#settled, from, to)
    if (this.draining.delete(from)) this.draining.add(to)
  }
}

function move<T>(column: Map<number, T>, from: number, to: number): void {
  const value = column.get(from)
  if (value !== undefined) column.set(to, value)
  column.delete(from)
}
