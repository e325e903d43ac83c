/**
 * The codebooks by which entries of an index in mode `pq` are coded: k-means of 16 codewords for each group of four rotated dimensions, of the
 * directions in which rows lie from their centroids. They are learned once, when buckets are about to hold ENOUGH rows, and stay: what they fit
 * badly later has a larger factor, and so a wider bound. Until then, and where rows lie in no direction from their centroids, entries are signs.
 * Rule: books and entries change in one step.
 */
import { CODEWORD_VALUES, CODEWORDS, codebookLength, kernels } from '@drift/native'
import type { CodedBucket, IndexState } from '../index-state.js'
import { joined } from '../joined.js'
import { kmeans } from '../kmeans.js'
import { columnOf } from '../quantizer/pq-training.js'
import { decodeRows } from '../row-store.js'
import { codeEntries } from './coded.js'
import { centroidAt } from './region.js'
import type { Slices } from './slices.js'

/** Rows from which on there are codebooks, and of which they are learned: 128 a codeword. */
const ENOUGH_ROWS = 2048
const ITERATIONS = 8
/** Rows that are looked at or coded together, in a millisecond or two; whole blocks of entries. */
const PART_ROWS = 64
/** By how much an estimate by signs is off, which the bound of searches is made for: (1 - 2 / pi)^0.5. */
const SIGN_SPREAD = 0.6

/** Learn them if it is time. @param rows - are live and about to get buckets, of which there are some. */
export async function learnCodebooks(state: IndexState, rows: Uint32Array, slices: Slices): Promise<void> {
  const { shape, codebooks, store } = state
  const { rowsAtHome } = state.directory
  if (shape.quantizer !== 'pq' || codebooks !== undefined) return
  if (rowsAtHome >= ENOUGH_ROWS || rowsAtHome + rows.length < ENOUGH_ROWS) return
  const all = [...rows]
  for (let row = 0; rowsAtHome > 0 && row < store.rows; row++) if (store.isAtHome(row)) all.push(row)
  const directions = await directionsOf(state, all, slices)
  const learned = await train(directions, state.router.padded, shape.seed, slices)
  if (learned !== undefined) state.setCodebooks(learned, await codedBy(state, learned, slices))
}

/** The entries of all buckets by other codebooks. */
async function codedBy(
  state: IndexState,
  codebooks: Float32Array,
  slices: Slices,
): Promise<readonly CodedBucket[]> {
  const { directory, router } = state
  const coded: CodedBucket[] = []
  for (let bucket = 0; bucket < directory.count; bucket++) {
    const rows = directory.rowsOf(bucket)
    if (rows.length === 0) continue
    const centroid = centroidAt(router, bucket)
    const parts: Uint8Array[] = []
    for (let first = 0; first < rows.length; first += PART_ROWS) {
      const part = rows.subarray(first, first + PART_ROWS)
      parts.push(codeEntries({ ...state.slabs, codebooks }, centroid, part))
      await slices.turn()
    }
    coded.push({ bucket, rows, blocks: joined(Uint8Array, parts) })
  }
  return coded
}

/** Residuals of some of the rows, each of length D^0.5. */
async function directionsOf(
  state: IndexState,
  rows: readonly number[],
  slices: Slices,
): Promise<Float32Array> {
  const { padded, centroids } = state.router
  const { codes, factors } = state.store
  const count = Math.min(rows.length, ENOUGH_ROWS)
  const out = new Float32Array(count * padded)
  const homes = new Uint32Array(PART_ROWS)
  const points = new Float32Array(PART_ROWS * padded)
  let found = 0
  for (let first = 0; first < count; first += PART_ROWS) {
    const some = Math.min(PART_ROWS, count - first)
    const part = Uint32Array.from(
      { length: some },
      (_, i) => rows[Math.floor(((first + i) * rows.length) / count)]!,
    )
    kernels.indexAssign(state.slabs, part, 0, some, homes, undefined)
    decodeRows(codes, factors, padded, part, points)
    for (let j = 0; j < some; j++) {
      const at = found * padded
      let squares = 0
      for (let i = 0; i < padded; i++) {
        const value = points[j * padded + i]! - centroids[homes[j]! * padded + i]!
        out[at + i] = value
        squares += value * value
      }
      const times = Math.sqrt(padded / squares)
      if (!(times > 0 && times < Number.POSITIVE_INFINITY)) continue // on the centroid, or too far to say
      for (let i = at; i < at + padded; i++) out[i]! *= times
      found++
    }
    await slices.turn()
  }
  return out.subarray(0, found * padded)
}

/** @returns undefined where there are too few directions. */
async function train(
  directions: Float32Array,
  padded: number,
  seed: number,
  slices: Slices,
): Promise<Float32Array | undefined> {
  const count = directions.length / padded
  if (count < ENOUGH_ROWS / 4) return undefined
  const books = new Float32Array(new SharedArrayBuffer(4 * codebookLength(padded)))
  /** Of each row, what its words are along it, and their square. */
  const along = new Float64Array(count)
  const squares = new Float64Array(count)
  for (let g = 0; g < padded / CODEWORD_VALUES; g++) {
    const from = CODEWORD_VALUES * g
    const column = columnOf(directions, padded, from, from + CODEWORD_VALUES, count)
    const { centroids, assignment } = kmeans(column, CODEWORD_VALUES, {
      k: CODEWORDS,
      seed: (seed + g) >>> 0,
      iterations: ITERATIONS,
    })
    for (let m = 0; m < CODEWORDS; m++) {
      // Where there are fewer, the last one is there again.
      const word = CODEWORD_VALUES * Math.min(m, centroids.length / CODEWORD_VALUES - 1)
      for (let b = 0; b < CODEWORD_VALUES; b++) books[CODEWORDS * (from + b) + m] = centroids[word + b]!
    }
    for (let j = 0; j < count; j++) {
      for (let b = 0; b < CODEWORD_VALUES; b++) {
        const value = centroids[CODEWORD_VALUES * assignment[j]! + b]!
        along[j]! += value * column[CODEWORD_VALUES * j + b]!
        squares[j]! += value * value
      }
    }
    await slices.turn()
  }
  // Across a row, whose square is D.
  let across = 0
  for (let j = 0; j < count; j++) across += (squares[j]! - along[j]! ** 2 / padded) / (count * padded)
  const times = across > 1e-6 ? SIGN_SPREAD / Math.sqrt(across) : 1
  for (let i = 0; i < books.length; i++) books[i]! *= times
  books[codebookLength(padded) - 1] = times * Math.sqrt(padded)
  return books
}
