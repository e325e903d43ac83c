/**
 * Whether the 8-bit codes of rows tell them apart. A code's step follows the largest value of its row, so rows that lie close together far from
 * the origin (coordinates of a town, readings around 1 000) get the same codes, and neither buckets nor bounds of them mean anything: then
 * every row is compared exactly, as where squares of distances are too small for float32. Where only the nearest neighbours lie closer than codes
 * tell, more rows get an exact distance (`rerankOf`); a calibration finds how many.
 */
import type { RowStore } from '../row-store.js'

/** Rows that are looked at; neighbours of each other are compared in pairs. */
const SAMPLED = 64
/** What codes leave out of a row, squared, over half the squared distance of two rows: from here on they do not tell them apart. */
const MOST_LEFT_OUT = 0.01
/** Of half the squared distance of two rows: below, its terms lose digits in float32 (2^-126 is its least number with all of them), or are 0. */
const LEAST_APART = 2 ** -120
/** Rows that come or go before a look, at least. */
const LEAST_CHANGES = 16

export class Resolution {
  #tells = true
  #dueAt = 0

  /** Looked at again when as many rows came or went as there are: some 0.03 ms for 384 dimensions. */
  tellsApart(store: RowStore): boolean {
    if (store.version >= this.#dueAt) {
      this.#dueAt = store.version + Math.max(LEAST_CHANGES, store.liveRows)
      this.#tells = tellApart(store)
    }
    return this.#tells
  }
}

function tellApart(store: RowStore): boolean {
  const { vectors, dim, factors } = store
  const sample = sampleOf(store)
  const apart: number[] = []
  const leftOut: number[] = []
  let before: Float32Array | undefined
  for (const row of sample) {
    const vector = vectors?.subarray(row * dim, (row + 1) * dim) ?? store.decodedAt(row)
    leftOut.push((store.rotation.padded * factors[2 * row]! ** 2) / 12)
    if (before !== undefined) apart.push(squaredDistance(before, vector) / 2)
    before = before === undefined ? vector : undefined
  }
  const far = median(apart.filter(distance => distance > 0))
  // No rows, or all the same: whichever is found is right.
  if (far === undefined) return true
  return far >= LEAST_APART && median(leftOut)! <= MOST_LEFT_OUT * far
}

/** Live rows, spread over all of them. */
function sampleOf(store: RowStore): Set<number> {
  const picked = new Set<number>()
  // Ascending, so that dead rows are passed over once.
  for (let i = 0, row = 0; i < SAMPLED; i++) {
    row = Math.max(row, Math.floor((i * store.rows) / SAMPLED))
    while (row < store.rows && !store.isLive(row)) row++
    if (row < store.rows) picked.add(row)
  }
  return picked
}

function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2
  return sum
}

function median(values: readonly number[]): number | undefined {
  return values.toSorted((a, b) => a - b)[values.length >> 1]
}
