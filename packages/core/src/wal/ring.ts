/**
 * Memory that the engine and the thread of the log share: a record is copied into it and lies there from its append to its
 * acknowledgement, which come in the same order. Handing memory over instead costs 200 us a batch: the buffer of each record has to be
 * mapped, faulted in, detached and unmapped again. Rule: one side writes, and only what has no acknowledgement to wait for.
 */

import { roundUp } from './format.js'

/** What is pending at most before writers wait, and only touched as far as that grows. */
const RING_BYTES: number = 16 * 1024 * 1024
const ALIGNMENT = 8

/** A record as it travels: where it lies in the ring, or, when it found no room there, in shared memory of its own. */
export type SharedRecord = { readonly at: number; readonly bytes: number } | Uint8Array

export class RecordRing {
  readonly memory: SharedArrayBuffer
  /** Positions count on for ever; modulo the size they are offsets. */
  #head = 0
  #tail = 0
  /** Of each record that is kept, oldest first: where the next one begins. */
  readonly #ends: number[] = []

  constructor(bytes: number = RING_BYTES) {
    this.memory = new SharedArrayBuffer(bytes)
  }

  /** Copy the record; the copy stays until `release`. */
  keep(record: Uint8Array): SharedRecord {
    const bytes = record.length
    const start = this.#startOf(bytes)
    if (start === undefined) {
      this.#ends.push(this.#head)
      const own = new Uint8Array(new SharedArrayBuffer(bytes))
      own.set(record)
      return own
    }
    const at = start % this.memory.byteLength
    new Uint8Array(this.memory, at, bytes).set(record)
    this.#head = start + roundUp(bytes, ALIGNMENT)
    this.#ends.push(this.#head)
    return { at, bytes }
  }

  /** The oldest `count` records are not needed any more. */
  release(count: number): void {
    const ends = this.#ends.splice(0, count)
    this.#tail = ends.at(-1) ?? this.#tail
    if (this.#ends.length > 0) return
    // From the front again: a log that keeps up uses memory that is in the cache.
    this.#head = 0
    this.#tail = 0
  }

  /** The position of a record of so many bytes behind the last one; undefined when there is no room. */
  #startOf(bytes: number): number | undefined {
    const size = this.memory.byteLength
    const offset = this.#head % size
    const start = offset + bytes <= size ? this.#head : this.#head + size - offset
    return start + bytes - this.#tail <= size ? start : undefined
  }
}
