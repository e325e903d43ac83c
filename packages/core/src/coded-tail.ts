/**
 * Entries of 1 bit a dimension for rows of a memtable that are neither in its graph nor in buckets: a search passes over such a row for a
 * fifth of what comparing its codes takes (docs/adr/0053). All of a tail lie around one reference, the mean of some of them: nothing is routed.
 * Rule: searches code rows, some hundreds each, so writes that nobody searches pay nothing. Blocks come from the slab of the buckets and
 * go back when no pin is older; where there is no room for them, rows are compared as before.
 */
import { BLOCK_ENTRIES, kernels, NativeError } from '@drift/native'
import type { IndexState } from './index-state.js'
import type { Memtable } from './memtable.js'
import { RowList } from './search/row-list.js'
import { tailOf } from './search/search.js'

/** What a search reads: rows [from, end) of the memtable have entries, that of row from + i is entry i % 32 of blocks[i / 32]. */
export interface TailViews {
  /** Rotated, in shared memory; undefined: no row has an entry. */
  readonly reference: Float32Array | undefined
  readonly from: number
  readonly end: number
  readonly blocks: Uint32Array
}

/** Fewer waiting rows are compared in no time. */
const LEAST_ROWS = 256
/** Rows whose mean is the reference. */
const SAMPLE_ROWS = 64
const NO_BLOCKS = new Uint32Array(0)

export class CodedTail implements TailViews {
  reference: Float32Array | undefined
  from = 0
  end = 0
  #list: RowList = new RowList()
  /** Of the blocks, so many are given back. */
  #left = 0

  get blocks(): Uint32Array {
    return this.#list.rows
  }

  get bytes(): number {
    return this.#list.rows.byteLength + (this.reference?.byteLength ?? 0)
  }

  begin(from: number, reference: Float32Array): void {
    this.from = from
    this.end = from
    this.reference = reference
  }

  add(blocks: Uint32Array): void {
    this.#list.push(blocks)
  }

  get room(): number {
    return this.from + BLOCK_ENTRIES * this.#list.count - this.end
  }

  /** @returns blocks that hold nothing but rows before `row`. */
  leaveBefore(row: number): Uint32Array {
    const whole = Math.min(Math.floor((row - this.from) / BLOCK_ENTRIES), this.#list.count)
    if (whole <= this.#left) return NO_BLOCKS // as of most searches, which come here
    const left = this.#list.rows.slice(this.#left, whole)
    this.#left += left.length
    return left
  }

  /** @returns the blocks that are left; there is no entry from now on. */
  leave(): Uint32Array {
    const left = this.#list.rows.slice(this.#left, this.#list.count)
    this.#list = new RowList()
    this.#left = 0
    this.from = 0
    this.end = 0
    this.reference = undefined
    return left
  }
}

/** Give entries to up to `limit` more rows of the tails, 0.3 us each; none where every row is compared all the same. */
export function codeTails(state: IndexState, limit: number): void {
  if (state.shape.quantizer === 'sq8') return
  let left = limit
  for (const memtable of state.memtables) left -= codeTail(state, memtable, left)
}

/** @returns how many rows got entries. */
function codeTail(state: IndexState, memtable: Memtable, limit: number): number {
  const { tail, count, rows } = memtable
  const start = tailOf(memtable)
  if (tail.reference !== undefined)
    state.retireBlocks(start >= tail.end ? tail.leave() : tail.leaveBefore(start))
  if (limit === 0) return 0
  if (tail.reference === undefined) {
    if (count - start < LEAST_ROWS || state.directory.extents.isTight) return 0
    tail.begin(start, meanOf(state, rows.subarray(start, count)))
  }
  const some = Math.min(limit, count - tail.end)
  const missing = Math.ceil((some - tail.room) / BLOCK_ENTRIES)
  if (missing > 0) {
    const blocks = takeBlocks(state, missing)
    if (blocks === undefined) {
      // A tail without any entry would only keep its rows out of the graph.
      if (tail.end === tail.from) tail.leave()
      return 0
    }
    tail.add(blocks)
  }
  if (some > 0) append(state, memtable, some)
  return some
}

function append({ slabs }: IndexState, { tail, rows }: Memtable, count: number): void {
  const slots = new Uint32Array(count)
  const first = tail.end - tail.from
  for (let j = 0; j < count; j++) {
    const entry = first + j
    slots[j] = tail.blocks[Math.floor(entry / BLOCK_ENTRIES)]! * BLOCK_ENTRIES + (entry % BLOCK_ENTRIES)
  }
  kernels.indexAppendTail(slabs, tail.reference!, rows.subarray(tail.end, tail.end + count), slots, count)
  tail.end += count
}

/** Undefined: there is no room that buckets may not need. */
function takeBlocks({ directory: { extents } }: IndexState, count: number): Uint32Array | undefined {
  if (extents.isTight) return undefined
  const blocks = new Uint32Array(count)
  let taken = 0
  try {
    for (; taken < count; taken++) blocks[taken] = extents.allocate()
    return blocks
  } catch (error) {
    extents.freeBlocks(blocks.subarray(0, taken))
    // Searches can do without, and who writes is told in its turn.
    if (error instanceof NativeError && error.code === 'DRIFT_OUT_OF_MEMORY') return undefined
    throw error
  }
}

/** Of some of the rows, rotated. */
function meanOf({ store: { codes, factors, rotation } }: IndexState, rows: Uint32Array): Float32Array {
  const { padded } = rotation
  const mean = new Float32Array(new SharedArrayBuffer(4 * padded))
  const count = Math.min(rows.length, SAMPLE_ROWS)
  for (let i = 0; i < count; i++) {
    const row = rows[Math.floor((i * rows.length) / count)]!
    const scale = factors[2 * row]! / count
    const at = row * padded
    for (let j = 0; j < padded; j++) mean[j]! += scale * (codes[at + j]! - 128)
  }
  return mean
}
