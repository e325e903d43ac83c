/**
 * All buckets: where each chain starts and ends, how many entries it has, how many of them count, and how many rows call it home.
 * Rule: `entries - live` is the price of lazy deletes, and stays below DEAD_SHARE plus one block in every bucket.
 * Rewriting replaces the chain as a whole; `retire` decides when the old blocks are free.
 */
import type { RowStore } from '../row-store.js'
import { type RowRoom, rowsOfChain } from './bucket.js'
import { BLOCK_ENTRIES, Extents, NONE } from './extent.js'

/** A bucket with this share of dead entries is rewritten: rewriting n entries then costs each of 0.3 n deaths about 3 entries. */
const DEAD_SHARE = 0.3

const FIRST_BUCKETS = 256

export class Directory {
  readonly extents: Extents = new Extents()
  /** First block of every bucket. A pin copies it, so it needs no shared memory. */
  heads: Uint32Array
  count = 0
  /** Live rows that have a home. */
  rowsAtHome = 0
  /** Changes when a chain is replaced or a bucket added: equal versions, equal heads. */
  version = 0
  readonly #rows: RowStore
  readonly #retire: (free: () => void) => void
  /** Buckets that became empty, some of them filled again since. */
  readonly #emptied: number[] = []
  readonly #room: RowRoom = growingRoom()
  #tails: Uint32Array
  #entries: Uint32Array
  #live: Uint32Array
  #homes: Uint32Array

  constructor(rows: RowStore, retire: (free: () => void) => void) {
    this.#rows = rows
    this.#retire = retire
    this.heads = new Uint32Array(0)
    this.#tails = new Uint32Array(0)
    this.#entries = new Uint32Array(0)
    this.#live = new Uint32Array(0)
    this.#homes = new Uint32Array(0)
  }

  /** An empty bucket. @returns its number. */
  add(): number {
    if (this.count === this.heads.length) this.#grow()
    const bucket = this.count++
    this.heads[bucket] = NONE
    this.#tails[bucket] = NONE
    this.#entries[bucket] = 0
    this.#live[bucket] = 0
    this.#homes[bucket] = 0
    this.version++
    return bucket
  }

  /** The live row gets its home and an entry there. */
  append(bucket: number, row: number): void {
    this.#tidy(bucket)
    this.#rows.home[row] = bucket
    this.#homes[bucket]!++
    this.rowsAtHome++
    this.#push(bucket, row)
  }

  /** The live row, which has a home, gets an entry in another bucket. */
  appendSecond(bucket: number, row: number): void {
    this.#tidy(bucket)
    this.#rows.second[row] = bucket
    this.#push(bucket, row)
  }

  /** A row died whose home was this bucket, or has got another. */
  lost(bucket: number): void {
    this.rowsAtHome--
    if (--this.#homes[bucket]! === 0) this.#emptied.push(bucket)
    this.lostSecond(bucket)
  }

  /** A row died that had its second entry here, or has it elsewhere now. */
  lostSecond(bucket: number): void {
    this.#live[bucket]!--
    if (this.#entries[bucket]! - this.#live[bucket]! >= BLOCK_ENTRIES && this.#isStale(bucket))
      this.compact(bucket)
  }

  /**
   * A bucket that is no row's home any more, for a new centroid, so that drifting data does not leave ever more empty buckets
   * behind. Rows that have their second entry in it lose that entry.
   *
   * @returns its number, or undefined when there is none.
   */
  takeEmpty(): number | undefined {
    for (let bucket = this.#emptied.pop(); bucket !== undefined; bucket = this.#emptied.pop()) {
      if (this.#homes[bucket] !== 0) continue
      for (const row of this.rowsOf(bucket)) this.#rows.second[row] = NONE
      this.rewrite(bucket, new Uint32Array(0))
      return bucket
    }
    return undefined
  }

  /** Rows that call the bucket home. */
  homesIn(bucket: number): number {
    return this.#homes[bucket]!
  }

  /** Rows with an entry that counts, ascending, each once. A copy. */
  rowsOf(bucket: number): Uint32Array {
    const rows = this.#rows
    const room = this.#room
    const head = this.heads[bucket]!
    const filter = { home: rows.home, second: rows.second, marks: undefined, mark: 0 }
    const found = rowsOfChain(this.extents, head, rows.live, filter, bucket, rows.rows, room, 0)
    const sorted = room.rows.slice(0, found).sort()
    let count = 0
    for (let i = 0; i < found; i++) if (i === 0 || sorted[i] !== sorted[i - 1]) sorted[count++] = sorted[i]!
    return sorted.subarray(0, count)
  }

  /** The bucket holds exactly `rows`, live and each once, in a new chain. Each has it as its home or second already. */
  rewrite(bucket: number, rows: Uint32Array): void {
    const old = this.heads[bucket]!
    this.heads[bucket] = NONE
    this.#tails[bucket] = NONE
    this.#entries[bucket] = 0
    this.#live[bucket] = 0
    this.#homes[bucket] = 0
    for (const row of rows) {
      if (this.#rows.home[row] === bucket) this.#homes[bucket]!++
      this.#push(bucket, row)
    }
    this.version++
    if (old !== NONE) this.#retire(() => this.extents.free(old))
  }

  /** Drop the dead entries. */
  compact(bucket: number): void {
    this.rewrite(bucket, this.rowsOf(bucket))
  }

  get bytes(): number {
    return this.extents.bytes + 5 * this.heads.byteLength
  }

  /** Before a new block is taken, dead entries make room. */
  #tidy(bucket: number): void {
    const entries = this.#entries[bucket]!
    if (entries % BLOCK_ENTRIES === 0 && entries > 0 && this.#isStale(bucket)) this.compact(bucket)
  }

  #push(bucket: number, row: number): void {
    const entries = this.#entries[bucket]!
    const slot = entries % BLOCK_ENTRIES
    if (slot === 0) {
      const block = this.extents.allocate()
      if (entries === 0) {
        this.heads[bucket] = block
        this.version++
      } else this.extents.next[this.#tails[bucket]!] = block
      this.#tails[bucket] = block
    }
    this.extents.entries[this.#tails[bucket]! * BLOCK_ENTRIES + slot] = row
    this.#entries[bucket] = entries + 1
    this.#live[bucket]!++
  }

  #isStale(bucket: number): boolean {
    return this.#entries[bucket]! - this.#live[bucket]! >= DEAD_SHARE * this.#entries[bucket]!
  }

  #grow(): void {
    const capacity = Math.max(FIRST_BUCKETS, 2 * this.heads.length)
    this.heads = grown(this.heads, capacity)
    this.#tails = grown(this.#tails, capacity)
    this.#entries = grown(this.#entries, capacity)
    this.#live = grown(this.#live, capacity)
    this.#homes = grown(this.#homes, capacity)
  }
}

function growingRoom(): RowRoom {
  let rows: Uint32Array = new Uint32Array(4 * BLOCK_ENTRIES)
  return {
    get rows() {
      return rows
    },
    reserveRows(count) {
      if (count > rows.length) rows = grown(rows, 2 * count)
      return rows
    },
  }
}

function grown(values: Uint32Array, capacity: number): Uint32Array {
  const larger = new Uint32Array(capacity)
  larger.set(values)
  return larger
}
