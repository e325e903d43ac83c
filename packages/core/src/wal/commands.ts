/// <reference lib="es2024.sharedmemory" />
/**
 * What the engine and the thread of its log tell each other without a message: which records are to be written, by a queue of places in
 * shared memory, and how far they are acknowledged, by one word. A message takes 40 us of both threads; a word that the other side
 * is looking at takes none. One thread puts and one takes.
 *
 * ```
 * word 0  entries put so far      } modulo 2^32; the thread waits for word 0
 *      1  entries taken so far    }
 *      2  the last LSN that is acknowledged, its low half; the engine waits for it
 *      4  SLOTS entries of two words: where in the ring a record lies, and its bytes; or MESSAGE
 * ```
 */

const SLOTS = 1024
const PUT = 0
const TAKEN = 1
const ACKNOWLEDGED = 2
const FIRST_SLOT = 4
/** In place of where a record lies: the command is the next message. */
export const MESSAGE = -1

/** A record's place in the ring, or MESSAGE. */
export interface Entry {
  readonly at: number
  readonly bytes: number
}

export class CommandQueue {
  readonly memory: SharedArrayBuffer
  readonly #words: Int32Array

  /** @param memory - of the queue that the other thread has made. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(4 * (FIRST_SLOT + 2 * SLOTS))) {
    this.memory = memory
    this.#words = new Int32Array(memory)
  }

  get isFull(): boolean {
    const words = this.#words
    return ((Atomics.load(words, PUT) - Atomics.load(words, TAKEN)) | 0) >= SLOTS
  }

  /** Not while it is full. What the entry stands for is written before. */
  put(at: number, bytes: number): void {
    const words = this.#words
    const slot = slotOf(Atomics.load(words, PUT))
    words[slot] = at
    words[slot + 1] = bytes
    Atomics.add(words, PUT, 1)
    Atomics.notify(words, PUT)
  }

  /** All entries that are there. */
  take(): Entry[] {
    const words = this.#words
    const end = Atomics.load(words, PUT)
    const entries: Entry[] = []
    let count = Atomics.load(words, TAKEN)
    for (; count !== end; count = (count + 1) | 0) {
      const slot = slotOf(count)
      entries.push({ at: words[slot]!, bytes: words[slot + 1]! })
    }
    Atomics.store(words, TAKEN, count)
    return entries
  }

  get isEmpty(): boolean {
    return Atomics.load(this.#words, PUT) === Atomics.load(this.#words, TAKEN)
  }

  /** Block this thread until there is an entry, but no longer than `ms`. */
  wait(ms: number): void {
    Atomics.wait(this.#words, PUT, Atomics.load(this.#words, TAKEN), ms)
  }

  /** Resolves when there is an entry, from the event loop. */
  async waited(): Promise<void> {
    const { value } = Atomics.waitAsync(this.#words, PUT, Atomics.load(this.#words, TAKEN))
    await value
  }

  acknowledge(lsn: number): void {
    Atomics.store(this.#words, ACKNOWLEDGED, lsn | 0)
    Atomics.notify(this.#words, ACKNOWLEDGED)
  }

  /** @param last - an LSN that has been acknowledged, not 2^31 ago. */
  acknowledged(last: number): number {
    return last + ((Atomics.load(this.#words, ACKNOWLEDGED) - last) | 0)
  }

  /** Resolves when more than `last` is acknowledged, or `wake` is called. */
  async moreAcknowledged(last: number): Promise<void> {
    const { value } = Atomics.waitAsync(this.#words, ACKNOWLEDGED, last | 0)
    await value
  }

  /** End the waits of the engine. */
  wake(): void {
    Atomics.notify(this.#words, ACKNOWLEDGED)
  }
}

/** Counts go round at 2^32, a multiple of SLOTS. */
function slotOf(count: number): number {
  return FIRST_SLOT + 2 * (count & (SLOTS - 1))
}
