/**
 * Memory that the engine and the thread of the log share: a record is written into it once and lies there from its append to its
 * acknowledgement, which come in the same order. Handing memory over instead costs 200 us a batch: the buffer of each record has to be
 * mapped, faulted in, detached and unmapped again. Rule: one side writes, and only what has no acknowledgement to wait for.
 */

import { roundUp } from './format.js'

/** What is pending at most before writers wait, and only touched as far as that grows. */
const RING_BYTES: number = 16 * 1024 * 1024
const ALIGNMENT = 8

/** Of rings that are not needed any more: shared memory waits for a collection of garbage, and it does not press for one. */
const spare: SharedArrayBuffer[] = []
const MOST_SPARE = 2

export class RecordRing {
  readonly memory: SharedArrayBuffer
  /** Positions count on for ever; modulo the size they are offsets. */
  #head = 0
  #tail = 0
  /** Of each record that is kept, oldest first: where the next one begins. */
  readonly #ends: number[] = []
  #left = false

  constructor(bytes: number = RING_BYTES) {
    this.memory = (bytes === RING_BYTES ? spare.pop() : undefined) ?? new SharedArrayBuffer(bytes)
  }

  /** The other side has ended: a later ring takes the memory, and nothing can be taken here any more. */
  leave(): void {
    if (this.#left) return
    this.#left = true
    if (this.memory.byteLength === RING_BYTES && spare.length < MOST_SPARE) spare.push(this.memory)
  }

  /** Memory for a record behind the last one, its until `release`; its offset is a multiple of 8. Undefined when there is no room now. */
  take(bytes: number): Uint8Array | undefined {
    if (this.#left) return undefined
    const size = this.memory.byteLength
    const offset = this.#head % size
    const start = offset + bytes <= size ? this.#head : this.#head + size - offset
    if (start + bytes - this.#tail > size) return undefined
    this.#head = start + roundUp(bytes, ALIGNMENT)
    this.#ends.push(this.#head)
    return new Uint8Array(this.memory, start % size, bytes)
  }

  /** What was taken last is no record. Its memory is free again after the one before it. */
  giveBack(): void {
    this.#ends.pop()
  }

  /** A record that lies elsewhere takes its turn among the others. */
  pass(): void {
    this.#ends.push(this.#head)
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
}
