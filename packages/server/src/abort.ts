/**
 * Waiting that a signal ends. Rule: one listener a signal, however many wait with it: Node warns of a leak at eleven, and a program that
 * writes in parallel under one signal has none.
 */

class Waiting {
  readonly stops: Set<() => void> = new Set()
  readonly stopAll = (): void => {
    for (const stop of this.stops) stop()
  }
}

const waitings = new WeakMap<AbortSignal, Waiting>()

/** The promise, or the signal's reason when that comes first. */
export async function orAborted<T>(wait: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return wait
  signal.throwIfAborted()
  const { stops, stopAll } = waitings.get(signal) ?? listen(signal)
  let stop!: () => void
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  stops.add(stop)
  try {
    return await Promise.race([wait, aborted])
  } finally {
    stops.delete(stop)
    if (stops.size === 0) {
      signal.removeEventListener('abort', stopAll)
      waitings.delete(signal)
    }
  }
}

function listen(signal: AbortSignal): Waiting {
  const waiting = new Waiting()
  waitings.set(signal, waiting)
  signal.addEventListener('abort', waiting.stopAll)
  return waiting
}
