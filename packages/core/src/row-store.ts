/**
 * The truth in memory, by row number: exact vectors (unless they are not kept), their SQ8 codes, one live bit, the two buckets, and the id.
 * Rule: a row never moves. Vectors and codes live in growable shared slabs, so a worker reads them in place.
 * A row is taken (dead, held), becomes live, dies, and returns to the free list when no memtable lists it and no
 * pin is older. The index decides when; this file keeps the books.
 */
import {
  allocateSlab,
  growSlab,
  kernels,
  MAX_ROW_SLAB_BYTES,
  TouchedAhead,
  touchedBytes,
} from '@drift/native'
import { NONE } from './bucket/extent.js'
import { ColdVectors, type SharedVectors, type VectorSource } from './cold-vectors.js'
import { CoreError } from './errors.js'
import { IdTable } from './id-table.js'
import { type Metric, prepare } from './metric.js'
import { Rotation } from './rotation.js'

/** Rows of the first slab: small enough for a test's index, doubled from there. */
const FIRST_ROWS = 1024

/** The row is listed by a memtable, whose graph may name it. */
const HELD = 1
/** Appended, neither published nor abandoned. */
const PENDING = 2

/** Rows encoded at once where vectors are not kept: 1 MiB at 4096 dimensions. */
const STAGED_ROWS = 64
const PLACES = Uint32Array.from({ length: STAGED_ROWS }, (_, i) => i)

export interface RowSlabs {
  readonly vectors: SharedArrayBuffer | undefined
  readonly codes: SharedArrayBuffer
  readonly factors: SharedArrayBuffer
  readonly live: SharedArrayBuffer
  /** The two buckets of every row. */
  readonly homes: SharedArrayBuffer
  readonly seconds: SharedArrayBuffer
}

export class RowStore {
  readonly dim: number
  readonly rotation: Rotation
  readonly metric: Metric
  readonly ids: IdTable = new IdTable()
  readonly slabs: RowSlabs
  /** Fixed-length views, replaced when the slabs grow. capacity * dim values, as `prepare` left them; undefined: not kept. */
  vectors: Float32Array | undefined
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
  /** Exact vectors that lie elsewhere. */
  readonly cold: ColdVectors | undefined
  /** Rows on their way into codes, where they are not kept here. */
  readonly #staged: Float32Array | undefined
  #decoded: Float32Array = new Float32Array(0)
  #state: Uint8Array
  #free: number[] = []
  /** Memory behind the last row. */
  readonly #vectorsAhead: TouchedAhead | undefined
  readonly #codesAhead: TouchedAhead

  /** @param kept - `none`: a row is what its codes say; a source: exact vectors are there once they were handed over. */
  constructor(dim: number, metric: Metric, kept: 'resident' | 'none' | VectorSource = 'resident') {
    const keepsVectors = kept === 'resident'
    this.dim = dim
    this.metric = metric
    this.rotation = new Rotation(dim)
    const { padded } = this.rotation
    this.cold = typeof kept === 'string' ? undefined : new ColdVectors(dim, kept)
    this.#staged = keepsVectors ? undefined : new Float32Array(STAGED_ROWS * dim)
    this.#maxRows = Math.floor(MAX_ROW_SLAB_BYTES / (Math.max(keepsVectors ? 4 * dim : 8, padded) * 32)) * 32
    this.slabs = {
      vectors: keepsVectors ? allocateSlab(0, this.#maxRows * dim * 4) : undefined,
      codes: allocateSlab(0, this.#maxRows * padded),
      factors: allocateSlab(0, this.#maxRows * 8),
      live: allocateSlab(0, this.#maxRows / 8),
      homes: allocateSlab(0, this.#maxRows * 4),
      seconds: allocateSlab(0, this.#maxRows * 4),
    }
    this.#vectorsAhead = this.slabs.vectors && new TouchedAhead(this.slabs.vectors)
    this.#codesAhead = new TouchedAhead(this.slabs.codes)
    this.vectors = this.slabs.vectors && new Float32Array(this.slabs.vectors, 0, 0)
    this.codes = new Uint8Array(this.slabs.codes, 0, 0)
    this.factors = new Float32Array(this.slabs.factors, 0, 0)
    this.live = new Uint32Array(this.slabs.live, 0, 0)
    this.home = new Uint32Array(this.slabs.homes, 0, 0)
    this.second = new Uint32Array(this.slabs.seconds, 0, 0)
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
    this.#vectorsAhead?.reach(this.rows * 4 * this.dim)
    this.#codesAhead.reach(this.rows * this.rotation.padded)
    if (reused > 0) taken.sort()
    for (const row of taken) {
      this.home[row] = NONE
      this.second[row] = NONE
      this.#state[row] = HELD | PENDING
    }
    return taken
  }

  /**
   * Copy vector `sources[i]` of `vectors` into `rows[i]`, prepared by `metric` and SQ8-encoded.
   *
   * @param isElsewhere - the source has them already.
   */
  fill(
    rows: Uint32Array,
    vectors: Float32Array,
    sources: Uint32Array,
    metric: Metric,
    isElsewhere = false,
  ): void {
    const staged = this.#staged
    if (staged === undefined) {
      this.#encode(vectors, sources, metric, this.vectors!, rows, rows)
      return
    }
    for (let i = 0; i < rows.length; i += STAGED_ROWS) {
      const some = rows.subarray(i, i + STAGED_ROWS)
      this.#encode(
        vectors,
        sources.subarray(i, i + STAGED_ROWS),
        metric,
        staged,
        PLACES.subarray(0, some.length),
        some,
      )
      if (!isElsewhere) this.cold?.put(some, staged)
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

  /** Those of the rows that are live, in order. */
  liveOf(rows: Uint32Array): Uint32Array {
    const found = new Uint32Array(rows.length)
    let count = 0
    for (let i = 0; i < rows.length; i++) {
      const row = rows[i]!
      if (this.isLive(row)) found[count++] = row
    }
    return found.subarray(0, count)
  }

  /** Those of the rows that are live and in no bucket, in order. */
  homelessOf(rows: Uint32Array): Uint32Array {
    const { home } = this
    return this.liveOf(rows).filter(row => home[row] === NONE)
  }

  /** How many of the rows come before the first that is pending, in their order. */
  settledOf(rows: Uint32Array): number {
    let count = 0
    while (count < rows.length && (this.#state[rows[count]!]! & PENDING) === 0) count++
    return count
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

  /** `letGo` for each of the rows. @returns those that may be freed. */
  letGoOf(rows: Uint32Array): number[] {
    const free: number[] = []
    for (let i = 0; i < rows.length; i++) if (this.letGo(rows[i]!)) free.push(rows[i]!)
    return free
  }

  freeAll(rows: ArrayLike<number>): void {
    for (let i = 0; i < rows.length; i++) this.free(rows[i]!)
  }

  /** The dead row may be taken again. Its id is forgotten; stale entries do not count because its home is NONE until assigned. */
  free(row: number): void {
    this.home[row] = NONE
    this.second[row] = NONE
    this.ids.forget(row)
    this.cold?.drop(row)
    this.#free.push(row)
  }

  get freeRows(): number {
    return this.#free.length
  }

  /** As prepared, or, where that is not kept, as the codes tell it. */
  vectorAt(row: number): Float32Array {
    const { dim, vectors } = this
    if (vectors !== undefined) return vectors.slice(row * dim, (row + 1) * dim)
    if (this.cold !== undefined) {
      const exact = new Float32Array(dim)
      this.cold.read(Uint32Array.of(row), exact)
      return exact
    }
    return this.decodedAt(row)
  }

  /** Exact vectors, rows[i] at i * dim of `out`. @throws CoreError DRIFT_NO_VECTORS, or what the source throws. */
  read(rows: Uint32Array, out: Float32Array): void {
    const { dim, vectors, cold } = this
    if (vectors === undefined && cold === undefined) throw noVectors()
    cold?.read(rows, out)
    if (vectors === undefined) return
    for (let i = 0; i < rows.length; i++)
      out.set(vectors.subarray(rows[i]! * dim, (rows[i]! + 1) * dim), i * dim)
  }

  /** As they lie in memory that threads share. @throws CoreError DRIFT_NO_VECTORS; DRIFT_ROW for one that was handed over. */
  shared(rows: Uint32Array): SharedVectors {
    if (this.cold !== undefined) return this.cold.shared(rows)
    if (this.vectors === undefined) throw noVectors()
    return { vectors: this.vectors, places: rows }
  }

  /** As its codes tell it, under cosine of unit length. */
  decodedAt(row: number): Float32Array {
    const { dim } = this
    const vector = this.rotation.undo(this.decoded(Uint32Array.of(row)), 1, new Float32Array(dim))
    // A row of zeros under cosine never came in, and codes of others are not all zero.
    prepare(this.metric, vector, dim, 0, 1)
    return vector
  }

  /** Values of a row in `points`. */
  get pointDim(): number {
    return this.vectors === undefined ? this.rotation.padded : this.dim
  }

  /** Rows to take means of, `pointDim` values each: row rows[i] is point at[i]. Exact vectors where they lie, or else `decoded`. */
  points(rows: Uint32Array): { readonly points: Float32Array; readonly at: Uint32Array } {
    const { vectors } = this
    if (vectors !== undefined) return { points: vectors, at: rows }
    return { points: this.decoded(rows), at: Uint32Array.from(rows.keys()) }
  }

  /** Means of points, rotated: these themselves, or new memory. */
  rotatePoints(points: Float32Array): Float32Array {
    if (this.vectors === undefined) return points
    const count = points.length / this.dim
    return this.rotation.apply(points, 0, count, new Float32Array(count * this.rotation.padded))
  }

  /**
   * The rows rotated, as their codes tell them: each value is off by half a step of its row at most. The memory is the store's, good until
   * the next call: a partition reads every row a few times, and garbage of that size stays with the allocator.
   */
  decoded(rows: Uint32Array): Float32Array {
    const { codes, factors, rotation } = this
    const { padded } = rotation
    if (this.#decoded.length < rows.length * padded) this.#decoded = new Float32Array(rows.length * padded)
    const out = this.#decoded.subarray(0, rows.length * padded)
    decodeRows(codes, factors, padded, rows, out)
    return out
  }

  /** Bytes in use by column: what rows never reached takes none. */
  get bytes(): { readonly vectors: number; readonly codes: number; readonly rows: number } {
    const { slabs, rows, dim } = this
    const { padded } = this.rotation
    return {
      vectors:
        slabs.vectors === undefined
          ? (this.cold?.bytes ?? 0)
          : touchedBytes(slabs.vectors, Math.max(4 * rows * dim, this.#vectorsAhead!.bytes)),
      codes:
        touchedBytes(slabs.codes, Math.max(rows * padded, this.#codesAhead.bytes)) +
        touchedBytes(slabs.factors, 8 * rows),
      // The two buckets and the state of every row, and the numbers of those that are free.
      rows:
        touchedBytes(slabs.live, rows / 8) +
        touchedBytes(slabs.homes, 4 * rows) +
        touchedBytes(slabs.seconds, 4 * rows) +
        rows +
        8 * this.#free.length +
        this.#decoded.byteLength,
    }
  }

  /** Vector `sources[i]` of `vectors` as vector `places[i]` of `kept`, and as the codes of `rows[i]`. */
  #encode(
    vectors: Float32Array,
    sources: Uint32Array,
    metric: Metric,
    kept: Float32Array,
    places: Uint32Array,
    rows: Uint32Array,
  ): void {
    const { dim, codes, factors } = this
    const { padded, flips } = this.rotation
    const isUnit = metric === 'cosine'
    kernels.encodeRows(vectors, dim, sources, isUnit, kept, places, padded, flips, rows, codes, factors)
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
      if (this.slabs.vectors !== undefined) growSlab(this.slabs.vectors, capacity * this.dim * 4)
      growSlab(this.slabs.codes, capacity * this.rotation.padded)
      growSlab(this.slabs.factors, capacity * 8)
      growSlab(this.slabs.live, capacity / 8)
      growSlab(this.slabs.homes, capacity * 4)
      growSlab(this.slabs.seconds, capacity * 4)
      const state = new Uint8Array(capacity)
      state.set(this.#state)
      this.#state = state
    } catch (cause) {
      throw new CoreError(
        'DRIFT_FULL',
        `no memory for ${capacity} rows of dimension ${this.dim}`,
        { rows: capacity },
        { cause },
      )
    }
    if (this.slabs.vectors !== undefined) {
      this.vectors = new Float32Array(this.slabs.vectors, 0, capacity * this.dim)
    }
    this.codes = new Uint8Array(this.slabs.codes, 0, capacity * this.rotation.padded)
    this.factors = new Float32Array(this.slabs.factors, 0, capacity * 2)
    this.live = new Uint32Array(this.slabs.live, 0, capacity / 32)
    this.home = new Uint32Array(this.slabs.homes, 0, capacity)
    this.second = new Uint32Array(this.slabs.seconds, 0, capacity)
    this.capacity = capacity
  }
}

/** What the codes tell of the rows, padded values each, into `out`. */
export function decodeRows(
  codes: Uint8Array,
  factors: Float32Array,
  padded: number,
  rows: Uint32Array,
  out: Float32Array,
): void {
  for (let i = 0; i < rows.length; i++) {
    const scale = factors[2 * rows[i]!]!
    const from = rows[i]! * padded
    const to = i * padded
    for (let j = 0; j < padded; j++) out[to + j] = scale * (codes[from + j]! - 128)
  }
}

export function noVectors(): CoreError {
  return new CoreError(
    'DRIFT_NO_VECTORS',
    "exact vectors are not kept here: the index has vectors: 'none', or a source of them",
  )
}

/** The set bits below `rows`, ascending, into `out`; there may be bits for fewer rows. @returns how many. */
export function liveRowsOf(live: Uint32Array, rows: number, out: Uint32Array): number {
  const words = Math.min(live.length, (rows + 31) >>> 5)
  let count = 0
  for (let word = 0; word < words; word++) {
    for (let bits = live[word]!; bits !== 0; bits &= bits - 1) {
      out[count++] = (word << 5) | (31 - Math.clz32(bits & -bits))
    }
  }
  return count
}

function ceil32(rows: number): number {
  return (rows + 31) & ~31
}
