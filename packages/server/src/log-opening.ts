/**
 * The log that an opening goes on with, from before its end is known until a database writes to it. Rule: in a thread what an unclean end left
 * is copied beside the replay, into a draft that nobody knows before all is checked; given up, it leaves what a killed process would.
 */
import { WalThread, WalWriter, type WalWriterOptions } from '@drift/core'

export class LogOpening {
  /** What threads load takes longer than many a database: meanwhile its files are read. */
  readonly #thread: WalThread | undefined
  #options: WalWriterOptions | undefined
  #draft: Promise<WalWriter> | undefined
  #publish: () => void = () => {}
  #writer: WalWriter | undefined

  /** @param isThreaded - the log gets a thread of its own, which starts now; needs the real disk. */
  constructor(isThreaded: boolean) {
    this.#thread = isThreaded ? new WalThread() : undefined
  }

  /** @param asDraft - where there is a thread it makes the log from now on. */
  begin(options: WalWriterOptions, asDraft: boolean): void {
    this.#options = options
    if (!this.#thread || !asDraft) return
    const until = new Promise<void>(resolve => {
      this.#publish = resolve
    })
    this.#draft = WalWriter.open({ ...options, thread: this.#thread, until })
    this.#draft.catch(() => {}) // met by `open`
  }

  /** Once, after `begin`. The log appears; it is the draft, if there is one. */
  async open(): Promise<WalWriter> {
    this.#publish()
    this.#writer = await (this.#draft ?? WalWriter.open({ ...this.#options!, thread: this.#thread ?? false }))
    return this.#writer
  }

  /** Nothing is held any more. */
  async abandon(): Promise<void> {
    if (this.#writer) await this.#writer.abandon()
    else await this.#thread?.end()
  }
}
