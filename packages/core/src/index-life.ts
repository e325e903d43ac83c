/**
 * Which state an index is, and what may be asked of it now: nothing once it is closed, nothing exact while vectors are being read back.
 * Rule: whoever waited opens again, as the index may have been closed or have become another state meanwhile.
 */
import { requireInteger } from './arguments.js'
import { CoreError } from './errors.js'
import type { IndexState } from './index-state.js'

export class IndexLife {
  #state: IndexState
  /** Makes the error that says so, once the index is closed. */
  #closed: (() => Error) | undefined
  /** Set while exact vectors are still being filled in: what needs them waits. */
  #vectorsPending: Promise<void> | undefined

  constructor(state: IndexState) {
    this.#state = state
  }

  /** @throws CoreError DRIFT_CLOSED, or what `close` was told. */
  open(): IndexState {
    if (this.#closed) throw this.#closed()
    return this.#state
  }

  /** The last one, also of a closed index. */
  get state(): IndexState {
    return this.#state
  }

  close(why: () => Error = () => new CoreError('DRIFT_CLOSED', 'the index is closed')): void {
    this.#closed ??= why
  }

  /** Settles when exact vectors are there, or will not be; undefined when they are. */
  get vectorsPending(): Promise<void> | undefined {
    return this.#vectorsPending
  }

  /** @throws CoreError DRIFT_LOADING. */
  requireVectors(): void {
    if (this.#vectorsPending === undefined) return
    throw new CoreError('DRIFT_LOADING', 'exact vectors are still being read: wait for vectorsReady() first')
  }

  /** @throws CoreError DRIFT_ROW. */
  requireRow(row: number): IndexState['store'] {
    const { store } = this.open()
    requireInteger('DRIFT_ROW', 'row', row, 0, store.rows - 1)
    return store
  }

  /** What a long job asks between its steps. @throws as `open`, and the reason of the signal. */
  checkOf(signal: AbortSignal | undefined): () => void {
    return () => {
      signal?.throwIfAborted()
      this.open()
    }
  }

  /** Go on as another state, whose exact vectors, if it keeps any, `fill` brings while a pin keeps the rows. */
  become(state: IndexState, fill: (vectors: Float32Array) => Promise<void>): void {
    this.#state = state
    if (state.store.vectors === undefined) return
    const pin = state.pins.open()
    this.#vectorsPending = fill(state.store.vectors).then(() => {
      this.#vectorsPending = undefined
      pin()
    })
    this.#vectorsPending.catch(() => {}) // told to everyone who waits
  }
}
