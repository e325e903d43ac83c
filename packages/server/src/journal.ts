/**
 * The write-ahead log as the collections see it: log an operation, apply its effect when it is durable. Effects are
 * applied in LSN order, whatever order the promises resolve in, so memory always equals a prefix of the log.
 */
import type { CoreError, WalAppend, WalWriter } from '@drift/core'
import type { Encoded } from './operation.js'

/** What a logged operation does to memory: exactly one of the two is called, once. */
export interface Effect<T> {
  apply(): T
  /** The log did not take the operation, or failed before it was durable. */
  abandon(): void
}

interface Pending {
  readonly lsn: number
  readonly effect: Effect<unknown>
  value: unknown
}

export class Journal {
  #writer: WalWriter | undefined
  readonly #pending: Pending[] = []
  #durableLsn = 0

  /** Give the journal its log, which continues after `lastLsn`; `applyUpTo` must be the writer's onDurable. */
  start(writer: WalWriter, lastLsn: number): void {
    this.#writer = writer
    this.#durableLsn = lastLsn
  }

  /** Without a log: nothing follows. */
  startReadOnly(lastLsn: number): void {
    this.#durableLsn = lastLsn
  }

  /** Everything up to it is durable and applied. */
  get durableLsn(): number {
    return this.#durableLsn
  }

  get writer(): WalWriter {
    return this.#writer!
  }

  get failed(): CoreError | undefined {
    return this.#writer?.failed
  }

  /** Writes that waited for room have been rejected. */
  get dropped(): CoreError | undefined {
    return this.#writer?.dropped
  }

  /**
   * Log a record and return when it is durable (as the sync mode defines it) and applied. The record is written, or copied, at once.
   * Its place in the order is fixed before this returns its promise.
   *
   * @throws CoreError when the log does not take the record; the effect is abandoned then.
   */
  log<T>(
    record: Uint8Array | Encoded,
    effect: Effect<T>,
  ): { readonly lsn: number; readonly done: Promise<T> } {
    const { lsn, durable } = this.#append(record, effect)
    const pending: Pending = { lsn, effect, value: undefined }
    this.#pending.push(pending)
    return { lsn, done: this.#settle(pending, durable) as Promise<T> }
  }

  /** Everything up to this LSN is durable. */
  applyUpTo(lsn: number): void {
    while (this.#pending.length > 0 && this.#pending[0]!.lsn <= lsn) {
      const pending = this.#pending.shift()!
      pending.value = pending.effect.apply()
    }
    this.#durableLsn = lsn
  }

  /** Wait until every operation up to this LSN, of all there are without one, has been applied or abandoned, or the log has failed. */
  async settle(lsn: number = Number.POSITIVE_INFINITY): Promise<void> {
    while (this.#pending.length > 0 && this.#pending[0]!.lsn <= lsn && !this.failed) {
      await this.writer.sync().catch(error => {
        if (!this.failed) throw error
      })
    }
  }

  #append(record: Uint8Array | Encoded, effect: Effect<unknown>): WalAppend {
    try {
      return record instanceof Uint8Array
        ? this.writer.append(record)
        : this.writer.write(record.bytes, into => record.write(into))
    } catch (error) {
      // What counts on the one or the other would else wait for ever.
      effect.abandon()
      throw error
    }
  }

  async #settle(pending: Pending, durable: Promise<void>): Promise<unknown> {
    try {
      await durable
    } catch (error) {
      this.#abandonAll()
      throw error
    }
    return pending.value
  }

  #abandonAll(): void {
    for (const pending of this.#pending.splice(0)) pending.effect.abandon()
  }
}
