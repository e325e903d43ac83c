/**
 * So many a caller and window of time: a window begins with a caller's first request. Counted without promises and without timers, as
 * every request passes here. Bounded: of very many callers the one whose window is oldest is forgotten first.
 */
interface Window {
  readonly endsMs: number
  count: number
}

const MAX_CALLERS = 10_000

export class Windows {
  readonly #most: number
  readonly #windowMs: number
  readonly #callers = new Map<string, Window>()

  constructor(most: number, windowMs: number) {
    this.#most = most
    this.#windowMs = windowMs
  }

  /** Counts one more. @returns 0, or when it is one too many the seconds until the window ends. */
  take(caller: string, nowMs: number): number {
    const window = this.#at(caller, nowMs) ?? this.#begin(caller, nowMs)
    return ++window.count > this.#most ? secondsTo(window, nowMs) : 0
  }

  /** Counts nothing. @returns 0, or the seconds until one more is let through. */
  wait(caller: string, nowMs: number): number {
    const window = this.#at(caller, nowMs)
    return window && window.count >= this.#most ? secondsTo(window, nowMs) : 0
  }

  #at(caller: string, nowMs: number): Window | undefined {
    const window = this.#callers.get(caller)
    return window && nowMs < window.endsMs ? window : undefined
  }

  #begin(caller: string, nowMs: number): Window {
    const window = { endsMs: nowMs + this.#windowMs, count: 0 }
    // Out and in again, so that the map stays in the order in which windows began.
    this.#callers.delete(caller)
    this.#callers.set(caller, window)
    if (this.#callers.size > MAX_CALLERS) this.#callers.delete(this.#callers.keys().next().value!)
    return window
  }
}

function secondsTo({ endsMs }: Window, nowMs: number): number {
  return Math.ceil((endsMs - nowMs) / 1_000)
}
