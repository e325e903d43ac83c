/**
 * Exact vectors of an index that does not keep them beside its codes: of rows that were not handed over yet, in a slab of their own;
 * of all others, where the source says. Rule: a row is asked for while it is live or a pin is open that is as old as its death, in the
 * index's own thread; what comes is what went in, bit for bit.
 */
import { allocateSlab, growSlab, MAX_SLAB_BYTES, touchedBytes } from '@drift/native'
import { CoreError } from './errors.js'

/** Where exact vectors lie that the index does not hold: in files, mostly. */
export interface VectorSource {
  /**
   * Exact vectors of rows that were handed over or loaded.
   *
   * @param out - rows.length * dim values: rows[i] goes to i * dim. Throw what keeps a row from being read: the search fails with it.
   */
  read(rows: Uint32Array, out: Float32Array): void
}

/** Vectors in memory that other threads may read: place i is at places[i] * dim. */
export interface SharedVectors {
  readonly vectors: Float32Array
  readonly places: Uint32Array
}

const FIRST_SLOTS = 256

export class ColdVectors {
  readonly #dim: number
  readonly #source: VectorSource
  readonly #slots: Map<number, number> = new Map()
  readonly #free: number[] = []
  #used = 0
  readonly #slab: SharedArrayBuffer
  #vectors: Float32Array

  constructor(dim: number, source: VectorSource) {
    this.#dim = dim
    this.#source = source
    this.#slab = allocateSlab(0, slabBytes(dim))
    this.#vectors = new Float32Array(this.#slab, 0, 0)
  }

  /** Room for `count` more. @throws CoreError DRIFT_FULL. */
  reserve(count: number): void {
    this.#grow(this.#used + count - Math.min(count, this.#free.length))
  }

  /** Keep the vectors of these rows, the first of `vectors`, until they are handed over. Others may have taken the room since it was asked for. */
  put(rows: Uint32Array, vectors: Float32Array): void {
    const dim = this.#dim
    this.reserve(rows.length)
    for (let i = 0; i < rows.length; i++) {
      const slot = this.#free.pop() ?? this.#used++
      this.#vectors.set(vectors.subarray(i * dim, (i + 1) * dim), slot * dim)
      this.#slots.set(rows[i]!, slot)
    }
  }

  /** Whether the row's vector was not handed over yet. */
  has(row: number): boolean {
    return this.#slots.has(row)
  }

  /** The row's vector is with the source, or nobody will ask for it again. */
  drop(row: number): void {
    const slot = this.#slots.get(row)
    if (slot === undefined) return
    this.#slots.delete(row)
    this.#free.push(slot)
  }

  /** @param out - rows[i] goes to i * dim. */
  read(rows: Uint32Array, out: Float32Array): void {
    const dim = this.#dim
    const far: number[] = []
    for (let i = 0; i < rows.length; i++) {
      const slot = this.#slots.size === 0 ? undefined : this.#slots.get(rows[i]!)
      if (slot === undefined) far.push(i)
      else out.set(this.#vectors.subarray(slot * dim, (slot + 1) * dim), i * dim)
    }
    if (far.length === 0) return
    if (far.length === rows.length) {
      this.#source.read(rows, out)
      return
    }
    const some = new Float32Array(far.length * dim)
    this.#source.read(
      Uint32Array.from(far, i => rows[i]!),
      some,
    )
    for (let j = 0; j < far.length; j++) out.set(some.subarray(j * dim, (j + 1) * dim), far[j]! * dim)
  }

  /** Rows that were not handed over. */
  shared(rows: Uint32Array): SharedVectors {
    const places = rows.map(row => {
      const slot = this.#slots.get(row)
      if (slot === undefined) {
        throw new CoreError('DRIFT_ROW', `the vector of row ${row} has been handed over`, { row })
      }
      return slot
    })
    return { vectors: this.#vectors, places }
  }

  /**
   * Of the most that were held at once. The slab stays: a new one each time would stay as well, with the garbage of the thread that read
   * the old one last.
   */
  get bytes(): number {
    return touchedBytes(this.#slab, this.#used * this.#dim * 4)
  }

  #grow(slots: number): void {
    const bytes = slots * this.#dim * 4
    if (bytes <= this.#vectors.byteLength) return
    const room = Math.max(FIRST_SLOTS * this.#dim * 4, bytes, 2 * this.#vectors.byteLength)
    try {
      growSlab(this.#slab, Math.max(bytes, Math.min(slabBytes(this.#dim), room)))
    } catch (cause) {
      throw new CoreError('DRIFT_FULL', `no memory for ${slots} vectors`, { rows: slots }, { cause })
    }
    const values = Math.floor(this.#slab.byteLength / (4 * this.#dim)) * this.#dim
    this.#vectors = new Float32Array(this.#slab, 0, values)
  }
}

/** Of whole vectors. */
function slabBytes(dim: number): number {
  return Math.floor(MAX_SLAB_BYTES / (4 * dim)) * 4 * dim
}
