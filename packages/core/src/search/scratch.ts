/**
 * The memory that one thread's searches work in: grown on demand, never shrunk, so a query allocates only its result.
 * Rule: contents mean nothing between calls; a search reads only what it wrote. One scratch serves one search at a time.
 */
import { BLOCK_ENTRIES, type IndexQuery, paddedDim } from '@drift/native'
import { Allowed, fixedIn } from './allowed.js'
import type { SearchView } from './view.js'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export class Scratch {
  /** The prepared query. */
  readonly query: Float32Array
  /** Rotated, and its SQ8 codes and factors, for the graphs. */
  readonly rotated: Float32Array
  readonly codes: Int8Array
  readonly codeFactors: Float32Array = new Float32Array(3)
  /** What the kernel is asked for; `ask.extra` is `rows`. */
  readonly ask: Mutable<IndexQuery> = {
    k: 0,
    probes: 0,
    floor: 0,
    least: 0,
    byRank: 0,
    byRatio: 0,
    bySize: 0,
    meanLives: 0,
    near: 0,
    flat: 0,
    flatTimes: 1,
    far: Number.POSITIVE_INFINITY,
    farTimes: 1,
    rerank: 0,
    part: 0,
    parts: 1,
    allow: undefined,
    extra: new Uint32Array(0),
    extraCount: 0,
    tails: new Uint32Array(0),
    tailWords: 0,
    trace: undefined,
  }
  /** What it did: buckets and entries scanned, rows whose codes were read. */
  readonly effort: Uint32Array = new Uint32Array(3)

  /** Rows to look at besides those in buckets. */
  rows: Uint32Array = new Uint32Array(0)
  rowCount = 0

  /** Tails to look at, as `IndexQuery.tails` has them, and their entries. */
  tails: Uint32Array = new Uint32Array(0)
  tailWords = 0
  tailEntries = 0
  #tailFloats: Float32Array = new Float32Array(0)

  /** Results of one query. */
  outRows: Uint32Array = new Uint32Array(0)
  outDistances: Float32Array = new Float32Array(0)

  /** The exact search: distances and order of all rows. */
  distances: Float32Array = new Float32Array(0)
  positions: Uint32Array = new Uint32Array(0)
  ordered: Float32Array = new Float32Array(0)

  /** By bucket, of the paper's search: -log P_eff. */
  lacks: Float32Array = new Float32Array(0)
  #blocks: Uint8Array | undefined
  #words: Uint32Array = new Uint32Array(0)

  /** What one graph returned. */
  graphRows: Uint32Array = new Uint32Array(0)
  graphDistances: Float32Array = new Float32Array(0)

  /** Rows allowed by bits that may change. */
  readonly #allowed = new Allowed()

  /** Of the last search: rows whose codes or entries were read, and buckets. */
  scannedRows = 0
  scannedBuckets = 0
  /** It looked at every row's codes. */
  scannedAll = false

  constructor(dim: number) {
    this.query = new Float32Array(dim)
    this.rotated = new Float32Array(paddedDim(dim))
    this.codes = new Int8Array(this.rotated.length)
  }

  /** Room for `count` rows; what is written stays. @returns `rows`. */
  reserveRows(count: number): Uint32Array {
    if (count > this.rows.length) {
      const rows = new Uint32Array(roomFor(count))
      rows.set(this.rows)
      this.rows = rows
    }
    return this.rows
  }

  /** Every parts-th of the blocks, from `part` on, whose last has `lack` entries fewer than 32. */
  addTail(reference: Float32Array, blocks: Uint32Array, lack: number, part: number, parts: number): void {
    let at = this.tailWords + 1 + reference.length
    if (at + blocks.length > this.tails.length) {
      const tails = new Uint32Array(roomFor(at + blocks.length))
      tails.set(this.tails)
      this.tails = tails
      this.#tailFloats = new Float32Array(tails.buffer)
    }
    const { tails } = this
    const first = at
    for (let i = part; i < blocks.length; i += parts) tails[at++] = blocks[i]!
    tails[this.tailWords] = at - first
    this.#tailFloats.set(reference, this.tailWords + 1)
    const hasLast = blocks.length > 0 && (blocks.length - 1) % parts === part
    this.tailEntries += BLOCK_ENTRIES * (at - first) - (hasLast ? lack : 0)
    this.tailWords = at
  }

  reserveResult(k: number): Scratch {
    if (k > this.outRows.length) {
      this.outRows = new Uint32Array(roomFor(k))
      this.outDistances = new Float32Array(this.outRows.length)
    }
    return this
  }

  reserveExact(rows: number, k: number): void {
    if (rows > this.distances.length) this.distances = new Float32Array(roomFor(rows))
    if (k <= this.positions.length) return
    this.positions = new Uint32Array(roomFor(k))
    this.ordered = new Float32Array(this.positions.length)
  }

  reserveLacks(buckets: number): Float32Array {
    if (buckets > this.lacks.length) this.lacks = new Float32Array(roomFor(buckets))
    return this.lacks
  }

  /** The same memory, as words. */
  wordsOf(blocks: Uint8Array): Uint32Array {
    if (blocks !== this.#blocks) {
      this.#blocks = blocks
      this.#words = new Uint32Array(blocks.buffer, blocks.byteOffset, blocks.byteLength / 4)
    }
    return this.#words
  }

  reserveGraph(count: number): void {
    if (count <= this.graphRows.length) return
    this.graphRows = new Uint32Array(roomFor(count))
    this.graphDistances = new Float32Array(this.graphRows.length)
  }

  get bytes(): number {
    let bytes = this.#allowed.bytes
    for (const value of Object.values(this)) if (ArrayBuffer.isView(value)) bytes += value.byteLength
    return bytes
  }

  /** The live rows of the view that are set in `allow`: good until the next call. */
  allowedIn(view: SearchView, allow: Uint32Array): Allowed {
    return fixedIn(view, allow) ?? this.#allowed.take(view, allow)
  }
}

/** Half as much again: few reallocations while an index grows. */
function roomFor(count: number): number {
  return count + (count >>> 1) + 64
}
