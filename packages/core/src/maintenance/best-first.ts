/** Operations by gain per move, the best first: a binary heap, as sorting all of a plan would hold up the event loop. */
import { byGainPerMove, type Operation } from './plan.js'

export class BestFirst {
  readonly #heap: Operation[]

  constructor(operations: readonly Operation[]) {
    this.#heap = [...operations]
    for (let at = (this.#heap.length >>> 1) - 1; at >= 0; at--) this.#sink(at)
  }

  get size(): number {
    return this.#heap.length
  }

  get best(): Operation | undefined {
    return this.#heap[0]
  }

  /** The best, which is not here any more. */
  take(): Operation | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (heap.length > 0) {
      heap[0] = last!
      this.#sink(0)
    }
    return first
  }

  #sink(from: number): void {
    const heap = this.#heap
    for (let at = from; ; ) {
      const left = 2 * at + 1
      let best = at
      for (const child of [left, left + 1]) {
        if (child < heap.length && byGainPerMove(heap[child]!, heap[best]!) < 0) best = child
      }
      if (best === at) return
      const moved = heap[at]!
      heap[at] = heap[best]!
      heap[best] = moved
      at = best
    }
  }
}
