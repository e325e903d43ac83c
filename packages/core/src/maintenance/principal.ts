/** Two halves of equal size along the direction in which rows differ most, found by power iteration: a cut where 2-means finds none. */
import { kernels } from '@drift/native'
import { meanOf } from '../mean.js'

/** The direction need not be exact: any in which rows differ much will do. */
const ROUNDS = 12

/** @param rows - dim values each. @returns the means of both halves, or undefined when all rows are one point. */
export function halvesByDirection(rows: Float32Array, dim: number): Float32Array | undefined {
  const count = rows.length / dim
  if (count < 2) return undefined
  const mean = meanOf(rows, dim)
  const along = new Float32Array(count)
  let direction = farthest(rows, dim, mean)
  if (direction === undefined) return undefined
  for (let round = 0; round < ROUNDS; round++) {
    project(rows, dim, mean, direction, along)
    const next = new Float32Array(dim)
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < dim; j++) next[j]! += along[i]! * (rows[i * dim + j]! - mean[j]!)
    }
    const length = Math.hypot(...next)
    if (!(length > 0)) break
    direction = next.map(value => value / length)
  }
  project(rows, dim, mean, direction, along)
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => along[a]! - along[b]! || a - b,
  )
  const half = count >>> 1
  const halves = new Float32Array(2 * dim)
  halves.set(meanOf(rows, dim, order.subarray(0, half)))
  halves.set(meanOf(rows, dim, order.subarray(half)), dim)
  return halves
}

/** From the mean to the row that is farthest from it, of length 1. */
function farthest(rows: Float32Array, dim: number, mean: Float32Array): Float32Array | undefined {
  const distances = new Float32Array(rows.length / dim)
  kernels.distances('l2', mean, rows, dim, 0, distances.length, distances)
  const row = distances.reduce((best, distance, i) => (distance > distances[best]! ? i : best), 0)
  const length = Math.sqrt(distances[row]!)
  if (!(length > 0)) return undefined
  return mean.map((value, j) => (rows[row * dim + j]! - value) / length)
}

function project(
  rows: Float32Array,
  dim: number,
  mean: Float32Array,
  direction: Float32Array,
  out: Float32Array,
): void {
  for (let i = 0; i < out.length; i++) {
    let sum = 0
    for (let j = 0; j < dim; j++) sum += (rows[i * dim + j]! - mean[j]!) * direction[j]!
    out[i] = sum
  }
}
