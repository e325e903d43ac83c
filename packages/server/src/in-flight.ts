/**
 * Ids of writes that are in the log and not yet applied. A write that depends on the rows as they are (an update, a delete by filter)
 * waits for those that touch its ids, so that it is logged only when what it read is what it will change.
 */
import type { Id } from '@drift/core'

interface Flight {
  readonly ids: readonly Id[]
  readonly waiters: (() => void)[]
}

export class InFlight {
  readonly #flights = new Set<Flight>()

  /** @returns to be called when the write is applied or abandoned. */
  enter(ids: readonly Id[]): () => void {
    const flight: Flight = { ids, waiters: [] }
    this.#flights.add(flight)
    return () => {
      this.#flights.delete(flight)
      for (const resolve of flight.waiters) resolve()
    }
  }

  /**
   * Undefined when no write under way touches the ids, or without ids when none is under way; else resolves when one of them has ended, or
   * the log waits for room on the disk: ask again then.
   */
  conflict(ids?: readonly Id[]): Promise<void> | undefined {
    if (this.#flights.size === 0) return undefined
    const asked = new Set(ids)
    for (const flight of this.#flights) {
      if (ids && !flight.ids.some(id => asked.has(id))) continue
      return new Promise(resolve => flight.waiters.push(resolve))
    }
    return undefined
  }

  /** Whoever waits asks again. */
  wake(): void {
    for (const { waiters } of this.#flights) for (const resolve of waiters.splice(0)) resolve()
  }
}
