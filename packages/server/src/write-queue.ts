/**
 * The writers of one collection: one after the other, in the order of their calls, until they are in the log. Rule: in one turn of the
 * event loop they copy so many values and no more, so that a search never waits for a large batch or for many small ones.
 * Counted in values and not in time, so that a run can be repeated exactly.
 */
import { orAborted } from './abort.js'

/** Of one turn of the event loop: a millisecond or two, or some more where memory is touched for the first time. */
const TURN_VALUES = 131_072
/** What a writer takes before its first value: some 30 microseconds. */
const WRITER_VALUES = 4_096

export class WriteQueue {
  readonly #waiting: (() => void)[] = []
  #isTaken = false
  /** Values that may be copied in this turn; undefined before its first writer. */
  #left: number | undefined
  #ending: NodeJS.Immediate | undefined

  /**
   * Undefined when it is the caller's turn at once, else resolves when it is. Whoever got it calls `leave`.
   *
   * @throws the signal's reason; the caller's turn is then passed on.
   */
  enter(signal: AbortSignal | undefined): Promise<void> | undefined {
    const wait = this.#isTaken
      ? new Promise<void>(resolve => this.#waiting.push(resolve))
      : this.pause(WRITER_VALUES)
    this.#isTaken = true
    if (!wait || !signal) return wait
    return orAborted(wait, signal).catch(error => {
      void wait.then(() => this.leave())
      throw error
    })
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (!next) {
      this.#isTaken = false
      return
    }
    const pause = this.pause(WRITER_VALUES)
    if (pause) void pause.then(next)
    else next()
  }

  /** Resolves when whoever has entered has left. */
  async idle(): Promise<void> {
    if (!this.#isTaken) return
    await this.enter(undefined)
    this.leave()
  }

  /** To be asked before so many values are copied. Undefined while this turn has room for them, else resolves in one that has. */
  pause(values: number): Promise<void> | undefined {
    if (this.#left === undefined) this.#begin()
    if (this.#left! > 0) {
      this.#left! -= values
      return undefined
    }
    return new Promise(resolve =>
      setImmediate(() => {
        this.#begin()
        this.#left! -= values
        resolve()
      }),
    )
  }

  #begin(): void {
    this.#left = TURN_VALUES
    clearImmediate(this.#ending)
    this.#ending = setImmediate(() => {
      this.#left = undefined
    })
  }
}
