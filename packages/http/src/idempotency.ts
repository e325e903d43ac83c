/**
 * Recent writes by idempotency key: one that is sent again gets the answer of the first time and changes nothing.
 * Bounded per collection, the oldest key goes first; kept in memory, so a restart forgets it. After one, a repeated
 * upsert writes the same rows again: harmless unless somebody else wrote the same ids in between.
 */
import { HttpError } from './errors.js'

interface Entry {
  readonly fingerprint: string
  readonly outcome: Promise<unknown>
}

const KEY = /^[\x21-\x7e]{1,128}$/
/** Beyond so many collections, the one whose keys are oldest is forgotten. */
const MAX_COLLECTIONS = 1_000

export class IdempotencyTable {
  readonly #perCollection: number
  readonly #collections = new Map<string, Map<string, Entry>>()

  constructor(perCollection: number) {
    this.#perCollection = perCollection
  }

  /**
   * @param owner - who sent it: keys of different callers never meet.
   * @param fingerprint - of the request; the same key with another request is refused.
   * @throws HttpError DRIFT_IDEMPOTENCY_KEY, DRIFT_IDEMPOTENCY_MISMATCH, or what `work` throws: a failure is not remembered.
   */
  async once<T>(
    collection: string,
    owner: string,
    key: string,
    fingerprint: string,
    work: () => Promise<T>,
  ): Promise<T> {
    if (!KEY.test(key)) {
      throw new HttpError(
        'DRIFT_IDEMPOTENCY_KEY',
        'idempotency-key has to be 1 to 128 visible ASCII characters',
      )
    }
    const entries = this.#entries(collection)
    const name = `${owner}\n${key}`
    const known = entries.get(name)
    if (known) {
      if (known.fingerprint === fingerprint) return known.outcome as Promise<T>
      throw new HttpError('DRIFT_IDEMPOTENCY_MISMATCH', 'this idempotency-key was used for another request')
    }
    const outcome = work()
    entries.set(name, { fingerprint, outcome })
    if (entries.size > this.#perCollection) entries.delete(entries.keys().next().value!)
    try {
      return await outcome
    } catch (error) {
      if (entries.get(name)?.outcome === outcome) entries.delete(name)
      throw error
    }
  }

  #entries(collection: string): Map<string, Entry> {
    const entries = this.#collections.get(collection) ?? new Map<string, Entry>()
    this.#collections.delete(collection)
    this.#collections.set(collection, entries)
    if (this.#collections.size > MAX_COLLECTIONS)
      this.#collections.delete(this.#collections.keys().next().value!)
    return entries
  }
}
