/**
 * All buckets: where each chain starts and ends, how many entries it has, how many of them count, and how many rows call it home.
 * Rule: `sizes - lives` is the price of lazy deletes. A bucket where it reaches DEAD_SHARE and one block is noted, and rewritten before it
 * takes another block, or by `tidy`, which searches and refining call; so deletes cost no rewriting, and what they leave costs searches little.
 * Rewriting replaces the chain as a whole; `retire` decides when the old blocks are free. An entry counts only while its row is live
 * and calls the bucket its home or its second, so a delete or a move never searches for entries.
 */
import { allocateSlab, BLOCK_ENTRIES, growSlab, touchedBytes } from '@drift/native'
import { CoreError } from '../errors.js'
import type { RowStore } from '../row-store.js'
import { Extents, NONE } from './extent.js'

/** A bucket with this share of dead entries is rewritten: rewriting n entries then costs each of 0.3 n deaths about 3 entries. */
const DEAD_SHARE = 0.3

const FIRST_BUCKETS = 256

/** Buckets of 25 rows for 400 million rows. */
const MAX_BUCKETS = 2 ** 24

/** Calls `free` with the head of a chain when nobody reads it any more. */
export type RetireChain = (free: (head: number) => void, head: number) => void

/** Codes rows[i] as the entry slots[i] of buckets[i], i < count. */
export type WriteEntries = (
  rows: Uint32Array,
  buckets: Uint32Array,
  slots: Uint32Array,
  count: number,
) => void

/** Fills a stored column. */
export type ReadChains = (column: 'heads' | 'entries' | 'next' | 'blocks', into: Uint8Array) => void

/** What counts of a bucket's entries, copied from one chain to another: `Kernels.indexCompact`. @returns how many. */
export type CompactEntries = (
  bucket: number,
  from: number,
  entries: number,
  to: number,
  room: number,
) => number

export class Directory {
  readonly extents: Extents
  readonly slabs: {
    readonly heads: SharedArrayBuffer
    readonly sizes: SharedArrayBuffer
    readonly lives: SharedArrayBuffer
  }
  /** First block of every bucket. */
  heads: Uint32Array
  /** Entries of every bucket, those of dead or moved rows included: what a scan reads. */
  sizes: Uint32Array
  /** Entries that count, of every bucket: of live rows that call it their home or their second. */
  lives: Uint32Array
  count = 0
  /** Live rows that have a home. */
  rowsAtHome = 0
  /** Of every bucket, how many rows came or went that call it home. Only grows. */
  changes: Uint32Array = new Uint32Array(0)
  /** Changes when a chain is replaced or a bucket added: equal versions, equal heads. */
  version = 0
  /** Changes with every entry that comes or goes: equal versions, equal sizes and lives. */
  entryVersion = 0
  readonly #rows: RowStore
  readonly #retire: RetireChain
  readonly #freeChain = (head: number): void => this.extents.free(head)
  /** Buckets that became empty, some of them filled again since. */
  readonly #emptied: number[] = []
  readonly #write: WriteEntries
  readonly #compact: CompactEntries
  /** Entries that have a place and no code yet: never between two steps. */
  #pending: { rows: Uint32Array; buckets: Uint32Array; slots: Uint32Array } = pendingOf(64)
  #pendingCount = 0
  #isTogether = false
  #tails: Uint32Array
  #homes: Uint32Array
  /** Buckets that were stale when they were noted, and 1 for those. */
  readonly #stale: number[] = []
  #noted: Uint8Array = new Uint8Array(0)

  constructor(rows: RowStore, retire: RetireChain, write: WriteEntries, compact: CompactEntries) {
    this.#rows = rows
    this.#retire = retire
    this.#write = write
    this.#compact = compact
    this.extents = new Extents(rows.rotation.padded)
    this.slabs = {
      heads: allocateSlab(0, 4 * MAX_BUCKETS),
      sizes: allocateSlab(0, 4 * MAX_BUCKETS),
      lives: allocateSlab(0, 4 * MAX_BUCKETS),
    }
    this.heads = new Uint32Array(this.slabs.heads, 0, 0)
    this.sizes = new Uint32Array(this.slabs.sizes, 0, 0)
    this.lives = new Uint32Array(this.slabs.lives, 0, 0)
    this.#tails = new Uint32Array(0)
    this.#homes = new Uint32Array(0)
  }

  /** An empty bucket. @returns its number. */
  add(): number {
    if (this.count === this.heads.length) this.#grow()
    const bucket = this.count++
    this.heads[bucket] = NONE
    this.#tails[bucket] = NONE
    this.sizes[bucket] = 0
    this.lives[bucket] = 0
    this.entryVersion++
    this.#homes[bucket] = 0
    this.changes[bucket] = 0
    this.version++
    return bucket
  }

  /** The entries that are made until `endTogether`, which belongs to the same step, get their codes in one call. */
  beginTogether(): void {
    this.#isTogether = true
  }

  endTogether(): void {
    this.#isTogether = false
    this.#settle()
  }

  /** Room for an entry in each of the two, or NONE: what gives a row both then cannot fail half-way. @throws CoreError DRIFT_FULL. */
  reserve(home: number, second: number): void {
    this.#makeRoom(home)
    if (second !== NONE) this.#makeRoom(second)
    this.extents.reserve(2)
  }

  /** The live row gets its home and an entry there, and one in its second bucket (or NONE), for which there is room. */
  append(home: number, second: number, row: number): void {
    this.#rows.home[row] = home
    this.#homes[home]!++
    this.changes[home]!++
    this.rowsAtHome++
    this.#push(home, row)
    if (second === NONE) this.#settle()
    else this.appendSecond(second, row)
  }

  /** The live row, which has a home, gets an entry in another bucket, for which there is room. */
  appendSecond(bucket: number, row: number): void {
    this.#rows.second[row] = bucket
    this.#push(bucket, row)
    this.#settle()
  }

  /** A row died whose home was this bucket, or has got another. */
  lost(bucket: number): void {
    this.rowsAtHome--
    this.changes[bucket]!++
    if (--this.#homes[bucket]! === 0) this.#emptied.push(bucket)
    this.lostSecond(bucket)
  }

  /** A row died that had its second entry here, or has it elsewhere now. */
  lostSecond(bucket: number): void {
    const lives = --this.lives[bucket]!
    this.entryVersion++
    if (this.sizes[bucket]! - lives < BLOCK_ENTRIES) return
    if (lives === 0) this.#drain(bucket)
    else this.#noteStale(bucket)
  }

  /** Rewrite up to `limit` buckets that have too many dead entries. @returns whether there may be more. */
  tidy(limit: number): boolean {
    for (let left = limit; left > 0 && this.#stale.length > 0; left--) {
      const bucket = this.#stale.pop()!
      this.#noted[bucket] = 0
      if (bucket < this.count && this.#isStale(bucket)) this.compact(bucket)
    }
    return this.#stale.length > 0
  }

  /**
   * A bucket that is no row's home any more, for a new centroid, so that drifting data does not leave ever more empty buckets
   * behind. Rows that have their second entry in it lose that entry.
   *
   * @returns its number, or undefined when there is none.
   */
  takeEmpty(): number | undefined {
    for (let bucket = this.#emptied.pop(); bucket !== undefined; bucket = this.#emptied.pop()) {
      if (bucket >= this.count || this.#homes[bucket] !== 0) continue
      for (const row of this.rowsOf(bucket)) this.#rows.second[row] = NONE
      this.rewrite(bucket, new Uint32Array(0))
      return bucket
    }
    return undefined
  }

  /**
   * A bucket that is no row's home or second any more goes, and the last one takes its number: no centroid is left that would attract
   * queries or rows. Readers of an older moment still walk the chains that they know.
   *
   * @returns the number that is no bucket any more.
   */
  drop(bucket: number): number {
    const { home, second } = this.#rows
    const gone = this.#clear(bucket)
    const last = this.count - 1
    if (last !== bucket) {
      for (const row of this.rowsOf(last)) {
        if (home[row] === last) home[row] = bucket
        else second[row] = bucket
      }
      for (const column of [this.heads, this.sizes, this.lives, this.#tails, this.#homes, this.changes]) {
        column[bucket] = column[last]!
      }
      if (this.#homes[bucket] === 0) this.#emptied.push(bucket)
      if (this.#noted[last] === 1) this.#noteStale(bucket)
    }
    this.count = last
    this.heads[last] = NONE
    this.version++
    if (gone !== NONE) this.#retire(this.#freeChain, gone)
    return last
  }

  /** Rows that call the bucket home. */
  homesIn(bucket: number): number {
    return this.#homes[bucket]!
  }

  /** Rows with an entry that counts, ascending, each once. A copy. */
  rowsOf(bucket: number): Uint32Array {
    const { home, second } = this.#rows
    const rows = this.extents
      .rowsOf(this.heads[bucket]!)
      .filter(row => home[row] === bucket || second[row] === bucket)
    return Uint32Array.from(new Set(rows)).sort()
  }

  /** The bucket holds exactly `rows`, live and each once, in a new chain that was reserved. Each has it as its home or second already. */
  rewrite(bucket: number, rows: Uint32Array): void {
    const old = this.#clear(bucket)
    for (const row of rows) {
      if (this.#rows.home[row] === bucket) this.#homes[bucket]!++
      this.#push(bucket, row)
    }
    this.#settle()
    this.version++
    if (old !== NONE) this.#retire(this.#freeChain, old)
  }

  /**
   * The bucket holds exactly `rows`, as `rewrite`, but their entries are made already: blocks as they follow each other in the chain, copied
   * in. Those of rows that do not have it as home or second are dead.
   */
  adopt(bucket: number, rows: Uint32Array, blocks: Uint8Array): void {
    const { home, second } = this.#rows
    // Before anything changes: there may be no room.
    const { head, tail } = this.extents.adopt(blocks)
    const old = this.#clear(bucket)
    this.heads[bucket] = head
    this.#tails[bucket] = tail
    this.sizes[bucket] = rows.length
    let homes = 0
    let seconds = 0
    for (const row of rows) {
      if (home[row] === bucket) homes++
      else if (second[row] === bucket) seconds++
    }
    this.#homes[bucket] = homes
    this.lives[bucket] = homes + seconds
    if (homes === 0) this.#emptied.push(bucket)
    this.entryVersion++
    this.version++
    this.#noteStale(bucket)
    if (old !== NONE) this.#retire(this.#freeChain, old)
  }

  /** Drop the dead entries, in a new chain; the others are copied, as their codes are of the same centroid. */
  compact(bucket: number): void {
    this.#writePending()
    const old = this.heads[bucket]!
    const lives = this.lives[bucket]!
    if (lives === 0) {
      if (old !== NONE) this.#drain(bucket)
      return
    }
    const { head, tail } = this.extents.allocateChain(Math.ceil(lives / BLOCK_ENTRIES))
    this.#compact(bucket, old, this.sizes[bucket]!, head, lives)
    this.heads[bucket] = head
    this.#tails[bucket] = tail
    this.sizes[bucket] = lives
    this.entryVersion++
    this.version++
    this.#retire(this.#freeChain, old)
  }

  /** Entries that count in a bucket, the mean over all; rows have two each. */
  get meanLives(): number {
    return (2 * this.rowsAtHome) / Math.max(1, this.count)
  }

  /** Chains as they are now, to be copied at once but for the blocks: what grows in these afterwards is beyond `entries`. */
  columns(): {
    count: number
    heads: Uint32Array
    entries: Uint32Array
    next: Uint32Array
    blocks: Uint8Array
  } {
    return {
      heads: this.heads.subarray(0, this.count),
      entries: this.sizes.subarray(0, this.count),
      ...this.extents.columns(),
    }
  }

  /**
   * For an empty directory whose rows have their buckets already: `buckets` chains in `blocks` blocks, filled in by `read`.
   *
   * @throws CoreError DRIFT_IMAGE when a chain leaves the blocks, meets another, or misses rows of its bucket.
   */
  restore(buckets: number, blocks: number, read: ReadChains): void {
    while (this.heads.length < buckets) this.#grow()
    this.count = buckets
    read('heads', new Uint8Array(this.heads.buffer, 0, buckets * 4))
    read('entries', new Uint8Array(this.sizes.buffer, 0, buckets * 4))
    this.extents.restore(blocks, read)
    const { home, second, rows } = this.#rows
    const { lives } = this
    const homes = this.#homes
    let atHome = 0
    for (let row = 0; row < rows; row++) {
      const bucket = home[row]!
      if (bucket === NONE) continue
      atHome++
      homes[bucket]!++
      lives[bucket]!++
      if (second[row] !== NONE) lives[second[row]!]!++
    }
    this.rowsAtHome = atHome
    const taken = new Uint8Array(blocks)
    const met = new Uint32Array(home.length).fill(NONE)
    for (let bucket = 0; bucket < buckets; bucket++) {
      this.#checkChain(bucket, taken, met)
      if (this.#homes[bucket] === 0) this.#emptied.push(bucket)
    }
    for (let block = blocks - 1; block >= 0; block--) if (taken[block] === 0) this.extents.freeBlock(block)
    this.version++
  }

  #checkChain(bucket: number, taken: Uint8Array, met: Uint32Array): void {
    const { extents } = this
    const bad = (what: string) =>
      new CoreError('DRIFT_IMAGE', `the stored index does not fit: bucket ${bucket} ${what}`, { bucket })
    let counting = 0
    let last = NONE
    let block = this.heads[bucket]!
    for (let left = this.sizes[bucket]!; left > 0; left -= BLOCK_ENTRIES) {
      if (block >= taken.length || taken[block] === 1) throw bad(`has block ${block} in its chain`)
      taken[block] = 1
      const entries = Math.min(left, BLOCK_ENTRIES)
      counting += extents.counting(block, entries, bucket, this.#rows, met)
      last = block
      block = extents.next[block]!
    }
    this.#tails[bucket] = last
    if (last === NONE) this.heads[bucket] = NONE
    else extents.endChain(last, ((this.sizes[bucket]! - 1) % BLOCK_ENTRIES) + 1)
    if (counting !== this.lives[bucket]!)
      throw bad(`has entries for ${counting} of ${this.lives[bucket]} rows`)
  }

  get bytes(): number {
    const { heads, sizes, lives } = this.slabs
    const shared = [heads, sizes, lives].reduce((sum, slab) => sum + touchedBytes(slab, 4 * this.count), 0)
    const columns = 3 * 4 * this.count // tails, homes, changes
    return this.extents.bytes + shared + columns + this.#noted.byteLength
  }

  #noteStale(bucket: number): void {
    if (this.#noted[bucket] === 1 || !this.#isStale(bucket)) return
    this.#noted[bucket] = 1
    this.#stale.push(bucket)
  }

  /** The bucket, whose entries are all dead, has none. */
  #drain(bucket: number): void {
    const old = this.#clear(bucket)
    this.version++
    this.#retire(this.#freeChain, old)
  }

  /** Before a new block is taken, dead entries make room. */
  #makeRoom(bucket: number): void {
    const entries = this.sizes[bucket]!
    if (entries % BLOCK_ENTRIES === 0 && this.#isStale(bucket)) this.compact(bucket)
  }

  /** No entries. @returns the head of the chain that was. */
  #clear(bucket: number): number {
    const old = this.heads[bucket]!
    this.heads[bucket] = NONE
    this.#tails[bucket] = NONE
    this.sizes[bucket] = 0
    this.lives[bucket] = 0
    this.entryVersion++
    this.#homes[bucket] = 0
    return old
  }

  #push(bucket: number, row: number): void {
    this.#queue(row, bucket, this.#slotFor(bucket))
  }

  /** The place of one more entry. */
  #slotFor(bucket: number): number {
    const entries = this.sizes[bucket]!
    const slot = entries % BLOCK_ENTRIES
    if (slot === 0) {
      const block = this.extents.allocate()
      if (entries === 0) {
        this.heads[bucket] = block
        this.version++
      } else this.extents.next[this.#tails[bucket]!] = block
      this.#tails[bucket] = block
    }
    this.sizes[bucket] = entries + 1
    this.entryVersion++
    this.lives[bucket]!++
    return this.#tails[bucket]! * BLOCK_ENTRIES + slot
  }

  #queue(row: number, bucket: number, slot: number): void {
    if (this.#pendingCount === this.#pending.rows.length) {
      const { rows, buckets, slots } = this.#pending
      this.#pending = pendingOf(2 * rows.length)
      this.#pending.rows.set(rows)
      this.#pending.buckets.set(buckets)
      this.#pending.slots.set(slots)
    }
    this.#pending.rows[this.#pendingCount] = row
    this.#pending.buckets[this.#pendingCount] = bucket
    this.#pending.slots[this.#pendingCount++] = slot
  }

  /** Ends a step: every entry that has a place gets its code. */
  #settle(): void {
    if (!this.#isTogether) this.#writePending()
  }

  #writePending(): void {
    const { rows, buckets, slots } = this.#pending
    const count = this.#pendingCount
    this.#pendingCount = 0
    if (count > 0) this.#write(rows, buckets, slots, count)
  }

  #isStale(bucket: number): boolean {
    const dead = this.sizes[bucket]! - this.lives[bucket]!
    return dead > 0 && dead >= DEAD_SHARE * this.sizes[bucket]!
  }

  #grow(): void {
    const capacity = Math.max(FIRST_BUCKETS, 2 * this.heads.length)
    growSlab(this.slabs.heads, 4 * capacity)
    growSlab(this.slabs.sizes, 4 * capacity)
    growSlab(this.slabs.lives, 4 * capacity)
    this.heads = new Uint32Array(this.slabs.heads, 0, capacity)
    this.sizes = new Uint32Array(this.slabs.sizes, 0, capacity)
    this.lives = new Uint32Array(this.slabs.lives, 0, capacity)
    this.#tails = grown(this.#tails, capacity)
    this.#homes = grown(this.#homes, capacity)
    this.changes = grown(this.changes, capacity)
    const noted = new Uint8Array(capacity)
    noted.set(this.#noted)
    this.#noted = noted
  }
}

function pendingOf(count: number): { rows: Uint32Array; buckets: Uint32Array; slots: Uint32Array } {
  return { rows: new Uint32Array(count), buckets: new Uint32Array(count), slots: new Uint32Array(count) }
}

function grown(values: Uint32Array, capacity: number): Uint32Array {
  const larger = new Uint32Array(capacity)
  larger.set(values)
  return larger
}
