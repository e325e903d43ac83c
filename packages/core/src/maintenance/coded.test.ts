/** Proves that the group which routing finds for a centroid is the one of the nearest center, or of one that is hardly farther. */
import { kernels } from '@drift/native'
import { expect, it } from 'vitest'
import { gaussian, seededRandom } from '../random.js'
import { Rotation } from '../rotation.js'
import { Groups } from '../router/groups.js'
import { groupsOf } from './coded.js'

const DIM = 384
const CENTERS = 300
const CENTROIDS = 1000

it('a centroid goes to the group of a center that is as near as any', () => {
  const random = seededRandom(1)
  const drawn = (count: number) => Float32Array.from({ length: count * DIM }, () => gaussian(random))
  const centers = drawn(CENTERS)
  const centroids = new Float32Array(CENTROIDS * DIM)
  for (let i = 0; i < CENTROIDS; i++) {
    const center = Math.floor(random() * CENTERS) * DIM
    for (let j = 0; j < DIM; j++) centroids[i * DIM + j] = 0.3 * centers[center + j]! + gaussian(random)
  }
  const slab = (bytes: number) => new SharedArrayBuffer(bytes)
  const below = {
    padded: DIM,
    flips: new Rotation(DIM).flips,
    centroids: new Float32Array(slab(4 * DIM)),
    codes: new Uint8Array(slab(DIM)),
    factors: new Float32Array(slab(8)),
  }
  const groups = new Groups(centers, () => below)
  const found = groupsOf({ ...groups.view, groups: groups.view }, centroids)
  const distances = new Float32Array(CENTERS)
  let nearest = 0
  for (let i = 0; i < CENTROIDS; i++) {
    const centroid = centroids.subarray(i * DIM, (i + 1) * DIM)
    kernels.distances('l2', centroid, centers, DIM, 0, CENTERS, distances)
    const least = Math.min(...distances)
    expect(distances[found[i]!]).toBeLessThan(1.05 * least)
    if (distances[found[i]!] === least) nearest++
  }
  expect(nearest).toBeGreaterThan(0.98 * CENTROIDS)
})
