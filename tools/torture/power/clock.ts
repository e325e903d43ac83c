// A clock that stands still: timers fire and time passes only when told to. Under it a workload over a simulated disk is the same list of
// disk operations each time it runs, so that a failure is found again by its number. Immediates and promises are not touched: they run in
// the order in which they were asked for.

interface Due {
  at: number
  readonly ms: number
  readonly every: boolean
  readonly action: () => void
}

/** What the engine asks of a timer's handle. */
interface Handle {
  ref(): Handle
  unref(): Handle
  hasRef(): boolean
  refresh(): Handle
}

export class StillClock {
  #now = 0
  readonly #due = new Map<Handle, Due>()
  #restore: (() => void) | undefined

  /** Replaces the timers and `performance.now` of this thread until `uninstall`. */
  install(): void {
    const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis
    const { now } = performance
    const add = (action: () => void, ms: number, every: boolean): Handle => this.#add(action, ms, every)
    const remove = (handle: unknown): void => void this.#due.delete(handle as Handle)
    Object.assign(globalThis, {
      setTimeout: (action: () => void, ms = 0) => add(action, ms, false),
      setInterval: (action: () => void, ms = 0) => add(action, ms, true),
      clearTimeout: remove,
      clearInterval: remove,
    })
    performance.now = () => this.#now
    this.#restore = () => {
      Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval })
      performance.now = now
    }
  }

  uninstall(): void {
    this.#restore?.()
    this.#restore = undefined
  }

  /** Lets `ms` pass: what is due by then runs, earliest first, and what it starts gets its turn. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const next = [...this.#due].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0]
      if (!next) break
      const [handle, due] = next
      this.#now = Math.max(this.#now, due.at)
      if (due.every) due.at += Math.max(1, due.ms)
      else this.#due.delete(handle)
      due.action()
      await settled()
    }
    this.#now = end
    await settled()
  }

  #add(action: () => void, ms: number, every: boolean): Handle {
    const due: Due = { at: this.#now + ms, ms, every, action }
    const handle: Handle = {
      ref: () => handle,
      unref: () => handle,
      hasRef: () => false,
      refresh: () => {
        due.at = this.#now + ms
        this.#due.set(handle, due)
        return handle
      },
    }
    this.#due.set(handle, due)
    return handle
  }
}

/** Turns of the event loop that a chain of immediates may take: a flush and a commit take fewer than ten. */
const TURNS = 30

/** What was begun has had its turns. */
async function settled(): Promise<void> {
  for (let i = 0; i < TURNS; i++) await new Promise(resolve => setImmediate(resolve))
}
