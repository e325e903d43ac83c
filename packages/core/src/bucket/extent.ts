/**
 * Blocks of 32 entries in one growable slab, linked into chains; an entry is a row number.
 * Rule: a chain is only ever appended to. A bucket that is rewritten gets new blocks, and the old ones return to the free
 * list when no pin is older, so a reader in another thread walks a chain without a lock.
 *
 *   entries  [ block 0: 32 x u32 | block 1 | ... ]   filled from the front, NONE behind; a block is two cache lines
 *   next     [ u32 per block ]                       the following block, or NONE
 */
import { allocateSlab, growSlab } from '@drift/native'
import { CoreError } from '../errors.js'

/** No row, no block, no bucket. */
export const NONE = 0xffff_ffff

export const BLOCK_ENTRIES = 32

const BLOCK_BYTES = BLOCK_ENTRIES * 4

/** 2 GiB of entries: 512 million, beyond what row numbers of any dimension reach. */
const MAX_BLOCKS = 2 ** 24

const FIRST_BLOCKS = 256

/** What a reader needs of the blocks. */
export interface Chains {
  readonly entries: Uint32Array
  readonly next: Uint32Array
}

export class Extents implements Chains {
  readonly slabs: { readonly entries: SharedArrayBuffer; readonly next: SharedArrayBuffer }
  entries: Uint32Array
  next: Uint32Array
  #blocks = 0
  #free = NONE

  constructor() {
    this.slabs = {
      entries: allocateSlab(0, MAX_BLOCKS * BLOCK_BYTES),
      next: allocateSlab(0, MAX_BLOCKS * 4),
    }
    this.entries = new Uint32Array(0)
    this.next = new Uint32Array(0)
  }

  /** An empty block, the end of its chain. */
  allocate(): number {
    let block = this.#free
    if (block !== NONE) {
      this.#free = this.next[block]!
    } else {
      if (this.#blocks === this.next.length) this.#grow()
      block = this.#blocks++
    }
    this.entries.fill(NONE, block * BLOCK_ENTRIES, (block + 1) * BLOCK_ENTRIES)
    this.next[block] = NONE
    return block
  }

  /** The whole chain from `head` may be allocated again: no reader is in it. */
  free(head: number): void {
    for (let block = head; block !== NONE; ) {
      const next = this.next[block]!
      this.next[block] = this.#free
      this.#free = block
      block = next
    }
  }

  get bytes(): number {
    return this.slabs.entries.byteLength + this.slabs.next.byteLength
  }

  #grow(): void {
    const blocks = Math.max(FIRST_BLOCKS, 2 * this.next.length)
    if (blocks > MAX_BLOCKS) {
      throw new CoreError('DRIFT_FULL', `buckets hold ${MAX_BLOCKS} blocks at most`, { limit: MAX_BLOCKS })
    }
    growSlab(this.slabs.entries, blocks * BLOCK_BYTES)
    growSlab(this.slabs.next, blocks * 4)
    this.entries = new Uint32Array(this.slabs.entries, 0, blocks * BLOCK_ENTRIES)
    this.next = new Uint32Array(this.slabs.next, 0, blocks)
  }
}
