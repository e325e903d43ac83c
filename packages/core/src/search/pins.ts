/**
 * Who still reads an older state. Rows and blocks that a writer is done with are freed when no pin is older.
 * Rule: a pin sees everything that was reachable when it was opened, until it is released; freeing runs in the thread of the writer.
 */
export class Pins {
  #epoch = 0
  readonly #open: Map<number, number> = new Map()
  readonly #limbo: Retired[] = []

  /** @returns the release, which may be called more than once. */
  open(): () => void {
    const epoch = this.#epoch
    this.#open.set(epoch, (this.#open.get(epoch) ?? 0) + 1)
    let open = true
    return () => {
      if (!open) return
      open = false
      const left = this.#open.get(epoch)! - 1
      if (left > 0) this.#open.set(epoch, left)
      else {
        this.#open.delete(epoch)
        this.#collect()
      }
    }
  }

  /**
   * Call `free` with `what` as soon as no pin opened before now is open: at once when there is none. Two arguments, so that one function
   * serves for all of a kind: closures that come and go are compiled again and again.
   */
  retire<T>(free: (what: T) => void, what: T): void {
    if (this.#open.size === 0) free(what)
    else this.#limbo.push({ epoch: this.#epoch++, free: free as (what: unknown) => void, what })
  }

  #collect(): void {
    // A Map keeps insertion order and epochs only grow, so the first key is the oldest pin.
    const oldest = this.#open.keys().next().value ?? Number.POSITIVE_INFINITY
    let due = 0
    while (due < this.#limbo.length && this.#limbo[due]!.epoch < oldest) due++
    if (due === 0) return
    // Out of limbo first: what is called may open pins and release them, and nothing is freed twice.
    for (const { free, what } of this.#limbo.splice(0, due)) free(what)
  }
}

interface Retired {
  readonly epoch: number
  readonly free: (what: unknown) => void
  readonly what: unknown
}
