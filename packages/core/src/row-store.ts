/**
 * The truth in memory, by row number: exact vectors, their SQ8 codes, one live bit, the two buckets, and the id.
 * Rule: a row never moves. Vectors and codes live in growable shared slabs, so a worker reads them in place.
 * A row is taken (dead, held), becomes live, dies, and returns to the free list when no memtable lists it and no
 * pin is older. The index decides when; this file keeps the books.
 */
import { allocateSlab, growSlab, kernels, MAX_SLAB_BYTES } from '@drift/native'
import { NONE } from './bucket/extent.js'
import { CoreError } from './errors.js'
import type { Id } from './id.js'
import { IdTable } from './id-table.js'
import { type Metric, prepare } from './metric.js'
import { Rotation } from './rotation.js'

/** Rows of the first slab: small enough for a test's index, doubled from there. */
const FIRST_ROWS = 1024

/** The row is listed by a memtable, whose graph may name it. */
const HELD = 1
/** Appended, neither published nor abandoned. */
const PENDING = 2

/** Rows rotated at once: 1 MiB at 4096 dimensions. */
const ROTATE_ROWS = 64

export interface RowSlabs {
  readonly vectors: SharedArrayBuffer
  readonly codes: SharedArrayBuffer
  readonly factors: SharedArrayBuffer
  readonly live: SharedArrayBuffer
}

export class RowStore {
  readonly dim: number
  readonly rotation: Rotation
  readonly metric: Metric
  readonly ids: IdTable = new IdTable()
  readonly slabs: RowSlabs
  /** Fixed-length views, replaced when the slabs grow. capacity * dim values, as `prepare` left them. */
  vectors: Float32Array
  /** SQ8 of the rotated rows, `rotation.padded` a row. */
  codes: Uint8Array
  /** Two per row: scale, squared norm. */
  factors: Float32Array
  /** One bit per row: word r >>> 5, bit r & 31. */
  live: Uint32Array
  /** The two buckets whose entries of the row count, or NONE: the nearest, and one that is near in another direction. */
  home: Uint32Array
  second: Uint32Array
  /** Rows ever taken: every row number is below. */
  rows = 0
  liveRows = 0
  /** Changes with every change of a live bit: equal versions, equal bitmaps. */
  version = 0
  capacity = 0
  readonly #maxRows: number
  readonly #rotated: Float32Array
  #state: Uint8Array
  #free: number[] = []

  constructor(dim: number, metric: Metric) {
    this.dim = dim
    this.metric = metric
    this.rotation = new Rotation(dim)
    const { padded } = this.rotation
    this.#rotated = new Float32Array(ROTATE_ROWS * padded)
    this.#maxRows = Math.floor(MAX_SLAB_BYTES / (Math.max(4 * dim, padded) * 32)) * 32
    this.slabs = {
      vectors: allocateSlab(0, this.#maxRows * dim * 4),
      codes: allocateSlab(0, this.#maxRows * padded),
      factors: allocateSlab(0, this.#maxRows * 8),
      live: allocateSlab(0, this.#maxRows / 8),
    }
    this.vectors = new Float32Array(this.slabs.vectors, 0, 0)
    this.codes = new Uint8Array(this.slabs.codes, 0, 0)
    this.factors = new Float32Array(this.slabs.factors, 0, 0)
    this.live = new Uint32Array(this.slabs.live, 0, 0)
    this.home = new Uint32Array(0)
    this.second = new Uint32Array(0)
    this.#state = new Uint8Array(0)
  }

  /**
   * Rows for `count` new vectors, ascending: dead rows first, then new ones. All are held and pending.
   * Throws DRIFT_FULL before anything changed.
   */
  take(count: number): Uint32Array {
    const reused = Math.min(count, this.#free.length)
    this.#reserve(this.rows + count - reused)
    const taken = new Uint32Array(count)
    for (let i = 0; i < reused; i++) taken[i] = this.#free.pop()!
    for (let i = reused; i < count; i++) taken[i] = this.rows++
    taken.sort()
    for (const row of taken) {
      this.home[row] = NONE
      this.second[row] = NONE
      this.#state[row] = HELD | PENDING
    }
    return taken
  }

  /** Copy vector `sources[i]` of `vectors` and `ids[i]` into `rows[i]`, prepared by `metric` and SQ8-encoded. Runs of rows go together. */
  fill(
    rows: Uint32Array,
    ids: readonly Id[],
    vectors: Float32Array,
    sources: Uint32Array,
    metric: Metric,
  ): void {
    const { dim } = this
    for (let i = 0; i < rows.length; ) {
      let end = i + 1
      while (end < rows.length && rows[end] === rows[end - 1]! + 1) end++
      for (let j = i; j < end; ) {
        let run = j + 1
        while (run < end && sources[run] === sources[run - 1]! + 1) run++
        const from = sources[j]! * dim
        this.vectors.set(vectors.subarray(from, from + (run - j) * dim), rows[j]! * dim)
        for (; j < run; j++) this.ids.recordId(rows[j]!, ids[j]!)
      }
      prepare(metric, this.vectors, dim, rows[i]!, end - i)
      this.#encode(rows[i]!, end - i)
      i = end
    }
  }

  /** For an empty store: rows 0 .. rows - 1, of which those of `live` are live and the others free. Columns are not filled in. */
  restore(rows: number, live: Uint32Array): void {
    this.#reserve(rows)
    this.rows = rows
    this.live.set(live.subarray(0, (rows + 31) >>> 5))
    for (let row = rows - 1; row >= 0; row--) {
      if (this.isLive(row)) this.liveRows++
      else this.#free.push(row)
    }
    this.version++
  }

  isLive(row: number): boolean {
    return ((this.live[row >>> 5]! >>> (row & 31)) & 1) === 1
  }

  /** Live, and in a bucket. */
  isAtHome(row: number): boolean {
    return this.isLive(row) && this.home[row] !== NONE
  }

  /** The pending row becomes live. */
  enliven(row: number): void {
    this.#state[row]! &= ~PENDING
    this.live[row >>> 5]! |= 1 << (row & 31)
    this.liveRows++
    this.version++
  }

  /** The pending row will never be live. @returns whether it may be freed. */
  abandon(row: number): boolean {
    this.#state[row]! &= ~PENDING
    return this.#state[row] === 0
  }

  /** The live row dies. @returns whether it may be freed. */
  kill(row: number): boolean {
    this.live[row >>> 5]! &= ~(1 << (row & 31))
    this.liveRows--
    this.version++
    return this.#state[row] === 0
  }

  /** No memtable lists the row any more. @returns whether it may be freed: dead, and not pending. */
  letGo(row: number): boolean {
    this.#state[row]! &= ~HELD
    return this.#state[row] === 0 && !this.isLive(row)
  }

  /** The dead row may be taken again. Its id is forgotten; stale entries do not count because its home is NONE until assigned. */
  free(row: number): void {
    this.home[row] = NONE
    this.second[row] = NONE
    this.ids.release(row)
    this.#free.push(row)
  }

  get freeRows(): number {
    return this.#free.length
  }

  vectorAt(row: number): Float32Array {
    return this.vectors.slice(row * this.dim, (row + 1) * this.dim)
  }

  #encode(first: number, count: number): void {
    const { padded } = this.rotation
    for (let row = first; row < first + count; row += ROTATE_ROWS) {
      const some = Math.min(ROTATE_ROWS, first + count - row)
      this.rotation.apply(this.vectors, row, some, this.#rotated)
      const codes = this.codes.subarray(row * padded)
      kernels.sq8Encode(this.#rotated, padded, 0, some, codes, this.factors.subarray(2 * row))
    }
  }

  #reserve(rows: number): void {
    if (rows <= this.capacity) return
    if (rows > this.#maxRows) {
      throw new CoreError(
        'DRIFT_FULL',
        `${rows} rows of dimension ${this.dim} exceed the ${this.#maxRows} that a slab holds`,
        {
          rows,
          limit: this.#maxRows,
        },
      )
    }
    const capacity = Math.min(this.#maxRows, Math.max(FIRST_ROWS, ceil32(rows), 2 * this.capacity))
    try {
      growSlab(this.slabs.vectors, capacity * this.dim * 4)
      growSlab(this.slabs.codes, capacity * this.rotation.padded)
      growSlab(this.slabs.factors, capacity * 8)
      growSlab(this.slabs.live, capacity / 8)
      this.home = grown(this.home, new Uint32Array(capacity))
      this.second = grown(this.second, new Uint32Array(capacity))
      this.#state = grown(this.#state, new Uint8Array(capacity))
    } catch (cause) {
      throw new CoreError(
        'DRIFT_FULL',
        `no memory for ${capacity} rows of dimension ${this.dim}`,
        { rows: capacity },
        { cause },
      )
    }
    this.vectors = new Float32Array(this.slabs.vectors, 0, capacity * this.dim)
    this.codes = new Uint8Array(this.slabs.codes, 0, capacity * this.rotation.padded)
    this.factors = new Float32Array(this.slabs.factors, 0, capacity * 2)
    this.live = new Uint32Array(this.slabs.live, 0, capacity / 32)
    this.capacity = capacity
  }
}

/** The set bits below `rows`, ascending, into `out`. @returns how many. */
export function liveRowsOf(live: Uint32Array, rows: number, out: Uint32Array): number {
  let count = 0
  for (let word = 0; word < (rows + 31) >>> 5; word++) {
    for (let bits = live[word]!; bits !== 0; bits &= bits - 1) {
      out[count++] = (word << 5) | (31 - Math.clz32(bits & -bits))
    }
  }
  return count
}

function grown<T extends Uint8Array | Uint32Array>(values: T, larger: T): T {
  larger.set(values)
  return larger
}

function ceil32(rows: number): number {
  return (rows + 31) & ~31
}
