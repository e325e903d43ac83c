/** A piece of a pass over payloads, which are decoded one after the other: when it has taken its milliseconds, the event loop turns. */

/** Of payloads between two looks at the clock, a row itself counting as some. */
const LOOK_BYTES = 16_384
const ROW_BYTES = 256
const SLICE_MS = 4

export class PayloadSlice {
  readonly #end = performance.now() + SLICE_MS
  #unseen = 0

  /** @param payload - of the row that was just read. */
  isOverAfter(payload: Uint8Array | undefined): boolean {
    this.#unseen += ROW_BYTES + (payload?.length ?? 0)
    if (this.#unseen < LOOK_BYTES) return false
    this.#unseen = 0
    return performance.now() >= this.#end
  }
}
