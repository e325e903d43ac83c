/**
 * How long requests have waited to be looked at. What came in while the thread was busy is handed over in one turn of the event loop, so
 * a request that is met late in a long turn has waited since its beginning at least: that is where the queue of an overloaded server
 * stands, and no queue of its own sees it.
 */
export class Turn {
  #began: number | undefined

  /** Milliseconds since the first request of this turn. To be asked for every request. */
  waited(): number {
    const now = performance.now()
    if (this.#began === undefined) {
      this.#began = now
      setImmediate(() => {
        this.#began = undefined
      })
    }
    return now - this.#began
  }
}
