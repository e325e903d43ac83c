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

  /** Resolves when every write that is under way now has ended. */
  async ended(): Promise<void> {
    await Promise.all(
      Array.from(this.#flights, ({ waiters }) => new Promise<void>(resolve => waiters.push(resolve))),
    )
  }

  /** Undefined when no write under way touches the ids; else resolves when one of them has ended: ask again then. */
  conflict(ids: readonly Id[]): Promise<void> | undefined {
    if (this.#flights.size === 0) return undefined
    const asked = new Set(ids)
    for (const flight of this.#flights) {
      if (flight.ids.some(id => asked.has(id))) return new Promise(resolve => flight.waiters.push(resolve))
    }
    return undefined
  }
}
