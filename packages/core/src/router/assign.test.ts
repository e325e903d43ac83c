/** Proves that a row's home is its nearest centroid, whether few or many are there, and its second the one of least SOAR loss. */
import { expect, it } from 'vitest'
import { gaussian, seededRandom } from '../random.js'
import { Scratch } from '../search/scratch.js'
import { nearestBuckets } from './assign.js'
import { Router } from './router.js'

it.each([1, 3, 1024, 1500])('among %i centroids', count => {
  const dim = 12
  const random = seededRandom(count)
  const router = new Router(dim)
  for (let i = 0; i < count; i++) router.add(Float32Array.from({ length: dim }, () => gaussian(random)))
  expect(router.count).toBe(count)
  const vectors = Float32Array.from({ length: 200 * dim }, () => gaussian(random))
  const rows = Uint32Array.from({ length: 100 }, (_, i) => 199 - i)
  const homes = new Uint32Array(100).fill(9999)
  const seconds = new Uint32Array(100).fill(9999)
  nearestBuckets(router, vectors, dim, rows, 10, 80, { homes, seconds }, new Scratch(dim))
  for (let i = 0; i < 100; i++) {
    if (i < 10 || i >= 90) expect(homes[i]).toBe(9999)
    else expect(homes[i]).toBe(nearest(router.centroids, vectors, rows[i]!, dim, count))
  }
})

function nearest(
  centroids: Float32Array,
  vectors: Float32Array,
  row: number,
  dim: number,
  count: number,
): number {
  let best = 0
  let least = Number.POSITIVE_INFINITY
  for (let centroid = 0; centroid < count; centroid++) {
    let distance = 0
    for (let i = 0; i < dim; i++) distance += (vectors[row * dim + i]! - centroids[centroid * dim + i]!) ** 2
    if (distance < least) {
      least = distance
      best = centroid
    }
  }
  return best
}
