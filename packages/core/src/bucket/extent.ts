/**
 * Blocks of 32 entries in one growable slab, linked into chains; an entry is a row number and its 1-bit code (`IndexSlabs`).
 * Rule: a chain is only ever appended to. A bucket that is rewritten gets new blocks, and the old ones return to the free
 * list when no pin is older, so a reader in another thread walks a chain without a lock.
 *
 *   blocks   [ block 0 | block 1 | ... ]   filled from the front; an entry that is not there has row NONE
 *   next     [ u32 per block ]             the following block, or NONE
 */
import {
  allocateSlab,
  BLOCK_ENTRIES,
  blockBytes,
  blockRowsAt,
  clearBlock,
  clearEntry,
  growSlab,
  type IndexSlabs,
  MAX_ROW_SLAB_BYTES,
  touchedBytes,
} from '@drift/native'
import { CoreError } from '../errors.js'
import type { RowStore } from '../row-store.js'

/** No row, no block, no bucket. */
export const NONE = 0xffff_ffff

const FIRST_BLOCKS = 64

/** Of the most blocks that there can be. */
const TIGHT_SHARE = 0.9

/** Its first and last block; NONE when it has none. */
interface Chain {
  readonly head: number
  readonly tail: number
}

export class Extents {
  readonly slabs: { readonly blocks: SharedArrayBuffer; readonly next: SharedArrayBuffer }
  blocks: Uint8Array
  next: Uint32Array
  readonly #padded: number
  readonly #wordsPerBlock: number
  readonly #max: number
  #words: Uint32Array
  #blocks = 0
  #free = NONE

  /** @param padded - dimensions of a code. */
  constructor(padded: number) {
    this.#padded = padded
    this.#wordsPerBlock = blockBytes(padded) / 4
    this.#max = Math.floor(MAX_ROW_SLAB_BYTES / blockBytes(padded))
    this.slabs = {
      blocks: allocateSlab(0, this.#max * blockBytes(padded)),
      next: allocateSlab(0, this.#max * 4),
    }
    this.blocks = new Uint8Array(this.slabs.blocks, 0, 0)
    this.next = new Uint32Array(this.slabs.next, 0, 0)
    this.#words = new Uint32Array(this.slabs.blocks, 0, 0)
  }

  /** An empty block, the end of its chain. */
  allocate(): number {
    const block = this.#take()
    clearBlock(this.#wordsOf(block), this.#padded)
    return block
  }

  /** A chain of so many empty blocks, at least one. @throws CoreError DRIFT_FULL; none is taken then. */
  allocateChain(blocks: number): Chain {
    return this.#chain(blocks, block => clearBlock(this.#wordsOf(block), this.#padded))
  }

  /** A chain of blocks that are filled already, copied in. @throws as `allocateChain`. */
  adopt(filled: Uint8Array): Chain {
    const bytes = 4 * this.#wordsPerBlock
    return this.#chain(filled.length / bytes, (block, i) =>
      this.blocks.set(filled.subarray(i * bytes, (i + 1) * bytes), block * bytes),
    )
  }

  /** So many blocks can be had from here on without growing. @throws as `allocateChain`. */
  reserve(blocks: number): void {
    if (blocks <= this.next.length - this.#blocks) return
    const { head, tail } = this.#chain(blocks, () => {})
    // In their order, so that the chain which takes them lies in memory as it is read.
    this.next[tail] = this.#free
    this.#free = head
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

  /** Row numbers of a bucket's entries, in order, as any thread sees them. */
  static rowsIn({ heads, sizes, next, blocks, padded }: IndexSlabs, bucket: number): number[] {
    const rows: number[] = []
    const words = new Uint32Array(blocks.buffer, blocks.byteOffset, blocks.byteLength / 4)
    let left = sizes[bucket]!
    for (let block = heads[bucket]!; left > 0 && block < next.length; block = next[block]!) {
      const at = (block * blockBytes(padded)) / 4 + blockRowsAt(padded)
      for (let i = 0; i < BLOCK_ENTRIES && left > 0; i++, left--) rows.push(words[at + i]!)
    }
    return rows
  }

  /** Row numbers of the chain's entries, in order. */
  rowsOf(head: number): number[] {
    const rows: number[] = []
    for (let block = head; block !== NONE; block = this.next[block]!) {
      const at = block * this.#wordsPerBlock + blockRowsAt(this.#padded)
      for (let i = at; i < at + BLOCK_ENTRIES; i++) {
        const row = this.#words[i]!
        if (row === NONE) return rows
        rows.push(row)
      }
    }
    return rows
  }

  /** Blocks ever allocated, as they lie in memory. */
  columns(): { count: number; next: Uint32Array; blocks: Uint8Array } {
    const count = this.#blocks
    const bytes = count * 4 * this.#wordsPerBlock
    return { count, next: this.next.subarray(0, count), blocks: this.blocks.subarray(0, bytes) }
  }

  /** For none so far: `count` blocks, filled in by `read`. */
  restore(count: number, read: (column: 'next' | 'blocks', into: Uint8Array) => void): void {
    while (this.next.length < count) this.#grow(count)
    this.#blocks = count
    read('next', new Uint8Array(this.next.buffer, 0, count * 4))
    read('blocks', this.blocks.subarray(0, count * 4 * this.#wordsPerBlock))
  }

  /** A block that is in no chain may be allocated. */
  freeBlock(block: number): void {
    this.next[block] = this.#free
    this.#free = block
  }

  /** The same of several. The next to be allocated is the first of them, so that what takes them lies in memory as it is read. */
  freeBlocks(blocks: Uint32Array): void {
    for (let i = blocks.length - 1; i >= 0; i--) this.freeBlock(blocks[i]!)
  }

  /** Blocks are for those alone who cannot do without. */
  get isTight(): boolean {
    return this.#blocks > TIGHT_SHARE * this.#max
  }

  /** The block ends its chain and holds `entries` entries. */
  endChain(block: number, entries: number): void {
    this.next[block] = NONE
    const at = block * this.#wordsPerBlock + blockRowsAt(this.#padded)
    this.#words.fill(NONE, at + entries, at + BLOCK_ENTRIES)
  }

  /** The entry of the block is no more. */
  clearEntry(block: number, entry: number): void {
    clearEntry(this.#wordsOf(block), this.#padded, entry)
  }

  /**
   * How many rows that call `bucket` their home or second the first entries of the block are of.
   *
   * @param met - of each row the bucket that it was counted in last: it counts once in each.
   */
  counting(
    block: number,
    entries: number,
    bucket: number,
    { home, second }: Pick<RowStore, 'home' | 'second'>,
    met: Uint32Array,
  ): number {
    const words = this.#words
    const at = block * this.#wordsPerBlock + blockRowsAt(this.#padded)
    let count = 0
    for (let i = at; i < at + entries; i++) {
      const row = words[i]!
      if ((home[row] !== bucket && second[row] !== bucket) || met[row] === bucket) continue
      met[row] = bucket
      count++
    }
    return count
  }

  /** Row of an entry of a block. */
  rowAt(block: number, entry: number): number {
    return this.#words[block * this.#wordsPerBlock + blockRowsAt(this.#padded) + entry]!
  }

  /** In use, blocks that are free again included. */
  get bytes(): number {
    const { blocks, next } = this.slabs
    return touchedBytes(blocks, this.#blocks * 4 * this.#wordsPerBlock) + touchedBytes(next, 4 * this.#blocks)
  }

  #chain(blocks: number, fill: (block: number, i: number) => void): Chain {
    let head = NONE
    let tail = NONE
    try {
      for (let i = 0; i < blocks; i++) {
        const block = this.#take()
        fill(block, i)
        if (head === NONE) head = block
        else this.next[tail] = block
        tail = block
      }
    } catch (error) {
      this.free(head)
      throw error
    }
    return { head, tail }
  }

  /** A block that holds whatever it held, the end of its chain. */
  #take(): number {
    let block = this.#free
    if (block !== NONE) {
      this.#free = this.next[block]!
    } else {
      if (this.#blocks === this.next.length) this.#grow()
      block = this.#blocks++
    }
    this.next[block] = NONE
    return block
  }

  #wordsOf(block: number): Uint32Array {
    return this.#words.subarray(block * this.#wordsPerBlock, (block + 1) * this.#wordsPerBlock)
  }

  #grow(needed = 0): void {
    const blocks = Math.min(this.#max, Math.max(FIRST_BLOCKS, needed, Math.ceil(1.5 * this.next.length)))
    if (blocks === this.next.length) {
      throw new CoreError('DRIFT_FULL', `buckets hold ${this.#max} blocks at most`, { limit: this.#max })
    }
    growSlab(this.slabs.blocks, blocks * 4 * this.#wordsPerBlock)
    growSlab(this.slabs.next, blocks * 4)
    this.blocks = new Uint8Array(this.slabs.blocks, 0, blocks * 4 * this.#wordsPerBlock)
    this.#words = new Uint32Array(this.slabs.blocks, 0, blocks * this.#wordsPerBlock)
    this.next = new Uint32Array(this.slabs.next, 0, blocks)
  }
}
