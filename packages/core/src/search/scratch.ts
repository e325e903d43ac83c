/**
 * The memory that one thread's searches work in: grown on demand, never shrunk, so a query allocates only its result.
 * Rule: contents mean nothing between calls; a search reads only what it wrote. One scratch serves one search at a time.
 */
import type { RowRoom } from '../bucket/bucket.js'

export class Scratch implements RowRoom {
  /** The prepared query, its SQ8 codes and factors. */
  readonly query: Float32Array
  readonly codes: Int8Array
  readonly codeFactors: Float32Array = new Float32Array(3)

  /** Routing: distances of all centroids; the chosen buckets. */
  centroidDistances: Float32Array = new Float32Array(0)
  routes: Uint32Array = new Uint32Array(0)
  routeDistances: Float32Array = new Float32Array(0)
  /** Assigning: distances of the candidates from the home. */
  fromHome: Float32Array = new Float32Array(0)
  /** Buckets that this search scans are marked with its number. */
  marks: Uint32Array = new Uint32Array(0)
  mark = 0

  /** Rows to scan, how many, and their estimated distances. */
  rowCount = 0
  rows: Uint32Array = new Uint32Array(0)
  estimates: Float32Array = new Float32Array(0)

  /** Finalists, those of the graphs first; exact distances, and their order. */
  graphCount = 0
  finalists: Uint32Array = new Uint32Array(0)
  exact: Float32Array = new Float32Array(0)
  positions: Uint32Array = new Uint32Array(0)
  ordered: Float32Array = new Float32Array(0)

  /** What one graph returned. */
  graphRows: Uint32Array = new Uint32Array(0)
  graphDistances: Float32Array = new Float32Array(0)

  /** Of the last search: rows whose codes were read, and buckets. */
  scannedRows = 0
  scannedBuckets = 0

  constructor(dim: number) {
    this.query = new Float32Array(dim)
    this.codes = new Int8Array(dim)
  }

  /** Room for `count` rows to scan; what is written stays. @returns `rows`. */
  reserveRows(count: number): Uint32Array {
    if (count > this.rows.length) {
      const rows = new Uint32Array(roomFor(count))
      rows.set(this.rows)
      this.rows = rows
      this.estimates = new Float32Array(rows.length)
    }
    return this.rows
  }

  /** Room for `count` finalists; those that are there stay, the rest is lost. */
  reserveFinalists(count: number): void {
    if (count <= this.finalists.length) return
    const finalists = new Uint32Array(roomFor(count))
    finalists.set(this.finalists)
    this.finalists = finalists
    this.exact = new Float32Array(finalists.length)
    this.positions = new Uint32Array(finalists.length)
    this.ordered = new Float32Array(finalists.length)
  }

  reserveGraph(count: number): void {
    if (count <= this.graphRows.length) return
    this.graphRows = new Uint32Array(roomFor(count))
    this.graphDistances = new Float32Array(this.graphRows.length)
  }

  reserveRoutes(centroids: number, routes: number): void {
    if (centroids > this.centroidDistances.length)
      this.centroidDistances = new Float32Array(roomFor(centroids))
    if (routes <= this.routes.length) return
    const room = roomFor(routes)
    this.routes = new Uint32Array(room)
    this.routeDistances = new Float32Array(room)
    this.fromHome = new Float32Array(room)
  }

  /** Mark the buckets as scanned by the search that now begins. */
  markBuckets(buckets: Uint32Array, count: number, total: number): void {
    if (total > this.marks.length) this.marks = new Uint32Array(roomFor(total))
    this.mark = (this.mark + 1) >>> 0
    if (this.mark === 0) {
      this.marks.fill(0)
      this.mark = 1
    }
    for (let i = 0; i < count; i++) this.marks[buckets[i]!] = this.mark
  }
}

/** Half as much again: few reallocations while an index grows. */
function roomFor(count: number): number {
  return count + (count >>> 1) + 64
}
