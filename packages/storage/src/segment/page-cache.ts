/**
 * Decoded vector pages of any number of segments, bounded by bytes, in frames of one page each. What goes is chosen by S3-FIFO (Yang et
 * al., SOSP 2023): a new page waits in a short queue and reaches the long one only when it was asked for again meanwhile, or soon after
 * it went, so a scan that asks for every page once takes a tenth of the room and no more. One thread's own.
 */

import { allocateSlab, MAX_SLAB_BYTES, touchedBytes } from '@drift/native'
import { requireArgument } from '../errors.js'

/** Values of a frame: no vector page of up to 4 096 dimensions holds more. */
export const FRAME_VALUES: number = 4096
const FRAME_BYTES = 4 * FRAME_VALUES

/** The short queue's share of the frames, and what a page's count of hits stops at. */
const SHORT_SHARE = 0.1
const MOST_HITS = 3
/** Asked for more than once in the short queue, a page goes on to the long one. */
const EARNED_HITS = 2

/** Where the pages of one file are: frame + 1; minus the number of its last eviction; or 0 for never met. */
export type PageTable = Int32Array

export interface PageCacheStats {
  readonly maxBytes: number
  /** Of the pages that are held. */
  readonly bytes: number
  /** Rows that were read from a page that was held, and from one that was not. */
  readonly hits: number
  readonly misses: number
}

export class PageCache {
  readonly #frames: number
  #values: Float32Array | undefined
  #used = 0
  readonly #owner: (PageTable | undefined)[] = []
  readonly #page: Uint32Array
  readonly #hitsOf: Uint8Array
  readonly #short: Queue
  readonly #long: Queue
  /** Pages evicted from the short queue so far, counted from 1. */
  #evictions = 0
  #hits = 0
  #misses = 0

  /** @param maxBytes - of pages; what is less than one page holds none. */
  constructor(maxBytes: number) {
    requireArgument(typeof maxBytes === 'number' && maxBytes >= 0, () => `maxBytes is ${maxBytes}`)
    this.#frames = Math.floor(Math.min(maxBytes, MAX_SLAB_BYTES) / FRAME_BYTES)
    this.#page = new Uint32Array(this.#frames)
    this.#hitsOf = new Uint8Array(this.#frames)
    this.#short = new Queue(this.#frames)
    this.#long = new Queue(this.#frames)
  }

  /** For a file of so many pages. */
  open(pages: number): PageTable {
    return new Int32Array(pages)
  }

  /** Nobody will ask for the file's pages again. */
  close(table: PageTable): void {
    for (let page = 0; page < table.length; page++) {
      const frame = table[page]! - 1
      // Its place in a queue is met in its turn.
      if (frame >= 0) this.#owner[frame] = undefined
    }
    table.fill(0)
  }

  /**
   * Values from .. from + into.length - 1 of a page, to `into`.
   *
   * @param read - the whole page into a frame's memory; what it throws leaves the page out.
   */
  read(
    table: PageTable,
    page: number,
    from: number,
    into: Float32Array,
    read: (frame: Float32Array) => void,
  ): void {
    const place = table[page]!
    if (place > 0) {
      this.#hits++
      const frame = place - 1
      if (this.#hitsOf[frame]! < MOST_HITS) this.#hitsOf[frame]!++
      into.set(this.#valuesOf(frame, from, into.length))
      return
    }
    this.#misses++
    const frame = this.#takeFrame()
    try {
      read(this.#valuesOf(frame, 0, FRAME_VALUES))
    } catch (error) {
      this.#owner[frame] = undefined
      this.#short.push(frame)
      throw error
    }
    this.#owner[frame] = table
    this.#page[frame] = page
    this.#hitsOf[frame] = 0
    table[page] = frame + 1
    const isMissed = place < 0 && this.#evictions + place < this.#long.room
    ;(isMissed ? this.#long : this.#short).push(frame)
    into.set(this.#valuesOf(frame, from, into.length))
  }

  /** Whether pages can be held at all. */
  get isOpen(): boolean {
    return this.#frames > 0
  }

  get stats(): PageCacheStats {
    return {
      maxBytes: this.#frames * FRAME_BYTES,
      bytes: this.#used * FRAME_BYTES,
      hits: this.#hits,
      misses: this.#misses,
    }
  }

  /** Of memory, with what it keeps of each frame. */
  get memoryBytes(): number {
    const values = this.#values ? touchedBytes(this.#values.buffer, this.#used * FRAME_BYTES) : 0
    return values + this.#used * (8 + 4 + 1 + 4 + 4)
  }

  /** In no queue. */
  #takeFrame(): number {
    if (this.#used < this.#frames) return this.#used++
    for (;;) {
      const isShort = this.#short.count > SHORT_SHARE * this.#frames || this.#long.count === 0
      const queue = isShort ? this.#short : this.#long
      const frame = queue.shift()
      const owner = this.#owner[frame]
      if (owner === undefined) return frame
      const hits = this.#hitsOf[frame]!
      if (isShort && hits >= EARNED_HITS) {
        this.#hitsOf[frame] = 0
        this.#long.push(frame)
      } else if (!isShort && hits > 0) {
        this.#hitsOf[frame] = hits - 1
        this.#long.push(frame)
      } else {
        // In 31 bits; when they start again, pages that went lately are taken for new ones once.
        if (isShort) this.#evictions = (this.#evictions % 0x7fff_ffff) + 1
        owner[this.#page[frame]!] = isShort ? -this.#evictions : 0
        return frame
      }
    }
  }

  #valuesOf(frame: number, from: number, count: number): Float32Array {
    this.#values ??= new Float32Array(allocateSlab(this.#frames * FRAME_BYTES))
    const start = frame * FRAME_VALUES + from
    return this.#values.subarray(start, start + count)
  }
}

/** First in, first out, of at most `room` frames. */
class Queue {
  readonly room: number
  count = 0
  readonly #frames: Uint32Array
  #first = 0

  constructor(room: number) {
    this.room = room
    this.#frames = new Uint32Array(room)
  }

  push(frame: number): void {
    this.#frames[(this.#first + this.count++) % this.room] = frame
  }

  shift(): number {
    const frame = this.#frames[this.#first]!
    this.#first = (this.#first + 1) % this.room
    this.count--
    return frame
  }
}
