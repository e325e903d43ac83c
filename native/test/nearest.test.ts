// Assignment of rows to centroids where most are excluded unseen: bit for bit what comparing all of them gives, on every path, for
// clustered, distant, tiny, huge and broken values; and projections as the formula says.
import { describe, expect, it } from 'vitest'
import { type Kernels, kernelsOf } from '../lib/index.js'
import { floats, random } from './random.js'
import { compiled } from './variants.js'

const reference = kernelsOf('reference')

interface Found {
  centroid: Uint32Array
  distance: Float32Array
}

/** Row by row: too few at a time for anything to be excluded. */
function oneByOne(
  tested: Kernels,
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  centroids: Float32Array,
): Found {
  const found = { centroid: new Uint32Array(index.length), distance: new Float32Array(index.length) }
  for (let j = 0; j < index.length; j++) {
    tested.nearest(
      rows,
      dim,
      index.subarray(j, j + 1),
      1,
      centroids,
      centroids.length / dim,
      found.centroid.subarray(j, j + 1),
      found.distance.subarray(j, j + 1),
    )
  }
  return found
}

function together(
  tested: Kernels,
  rows: Float32Array,
  dim: number,
  index: Uint32Array,
  centroids: Float32Array,
): Found {
  const found = {
    centroid: new Uint32Array(index.length + 1).fill(77),
    distance: new Float32Array(index.length + 1).fill(77),
  }
  tested.nearest(
    rows,
    dim,
    index,
    index.length,
    centroids,
    centroids.length / dim,
    found.centroid,
    found.distance,
  )
  expect(
    [found.centroid[index.length], found.distance[index.length]],
    'nothing is written past count',
  ).toEqual([77, 77])
  return {
    centroid: found.centroid.subarray(0, index.length),
    distance: found.distance.subarray(0, index.length),
  }
}

/** `count` vectors near `centres` points, `scale` in size, `offset` from the origin. */
function clustered(
  seed: number,
  count: number,
  dim: number,
  spread: number,
  scale: number,
  offset: number,
): Float32Array {
  const { normal } = random(99)
  const points = Float32Array.from({ length: 20 * dim }, normal)
  const noise = random(seed)
  return floats(count * dim, seed % 7, () => 0).map(
    (_, i) =>
      offset + scale * (points[(Math.floor(i / dim) % 20) * dim + (i % dim)]! + spread * noise.normal()),
  )
}

describe.each(compiled)('%s', variant => {
  const tested = kernelsOf(variant)

  it.each([
    ['in clusters', 0.5, 1, 0],
    ['without structure', 10, 1, 0],
    ['that nearly coincide', 1e-4, 1, 0],
    ['far from the origin', 0.5, 1, 1000],
    ['of tiny values', 0.5, 1e-21, 0],
    ['of subnormal squares', 0.5, 1e-19, 0],
    ['of large values', 0.5, 1e12, 0],
    ['whose squares overflow', 0.5, 1e19, 0],
  ])('assigns rows %s as if each were compared with every centroid', (_, spread, scale, offset) => {
    const { below } = random(5)
    for (const [dim, k, count] of [
      [8, 32, 64],
      [15, 33, 121],
      [31, 100, 241],
      [64, 77, 100],
      [129, 64, 130],
    ] as const) {
      const rows = clustered(1, 90, dim, spread, scale, offset)
      const centroids = clustered(2, k, dim, spread, scale, offset)
      centroids.copyWithin((k - 1) * dim, 3 * dim, 4 * dim)
      centroids.copyWithin((k - 2) * dim, 3 * dim, 4 * dim)
      const index = Uint32Array.from({ length: count }, () => below(90))
      const want = oneByOne(tested, rows, dim, index, centroids)
      expect(together(tested, rows, dim, index, centroids)).toEqual(want)
    }
  })

  it('gives broken rows and rows beside broken centroids what comparing all gives', () => {
    const [dim, k] = [20, 40]
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 3e38, -1e30]) {
      const rows = clustered(3, 80, dim, 0.5, 1, 0)
      const centroids = clustered(4, k, dim, 0.5, 1, 0)
      const index = Uint32Array.from({ length: 80 }, (_, j) => j)
      rows[7 * dim + 3] = value
      expect(together(tested, rows, dim, index, centroids)).toEqual(
        oneByOne(tested, rows, dim, index, centroids),
      )
      for (const at of [0, 5, k - 1]) {
        const broken = centroids.slice()
        broken[at * dim + 19] = value
        expect(together(tested, rows, dim, index, broken)).toEqual(oneByOne(tested, rows, dim, index, broken))
      }
    }
  })

  it('assigns by heads as without them, whatever was guessed, and says how many pairs it compared', () => {
    const { below } = random(6)
    for (const [dim, k, count] of [
      [16, 5, 10],
      [48, 90, 200],
      [65, 33, 121],
    ] as const) {
      const rows = clustered(5, 150, dim, 0.5, 1, 2)
      const centroids = clustered(6, k, dim, 0.5, 1, 2)
      const index = Uint32Array.from({ length: count }, () => below(150))
      const want = oneByOne(tested, rows, dim, index, centroids)
      const headDim = Math.floor(dim / 2)
      const cut = (from: Float32Array, row: number): Float32Array =>
        from.subarray(row * dim, row * dim + headDim)
      const heads = new Float32Array(count * headDim)
      for (let j = 0; j < count; j++) heads.set(cut(rows, index[j]!), j * headDim)
      const ends = new Float32Array(k * headDim)
      for (let c = 0; c < k; c++) ends.set(cut(centroids, c), c * headDim)
      for (const guess of ['right', 'wrong', 'none such']) {
        const centroid = want.centroid.map(best =>
          guess === 'right' ? best : guess === 'wrong' ? (best + 1) % k : k + 9,
        )
        const distance = new Float32Array(count)
        // biome-ignore format: one call
        const compared = tested.nearestByHeads(rows, dim, index, count, centroids, k, heads, headDim, ends, 1e-4, centroid, distance)
        expect({ centroid, distance }).toEqual(want)
        expect(compared).toBeGreaterThanOrEqual(count)
        expect(compared).toBeLessThanOrEqual(count * (k + 1))
        if (guess === 'right' && k > 32) expect(compared).toBeLessThan((count * k) / 3)
      }
    }
  })

  it('sums rows by group, in order', () => {
    const { normal, below } = random(9)
    for (const [dim, groups, count] of [
      [1, 1, 3],
      [7, 3, 50],
      [100, 9, 70],
    ] as const) {
      const rows = floats(40 * dim, 3, normal)
      const index = Uint32Array.from({ length: count }, () => below(40))
      const group = Uint32Array.from({ length: count }, () => below(groups))
      const got = new Float64Array(groups * dim + 1).fill(0.1)
      const want = got.slice()
      tested.sumRows(rows, dim, index, group, count, got)
      reference.sumRows(rows, dim, index, group, count, want)
      expect(got).toEqual(want)
      for (let i = 0; i < dim; i++) {
        const sum = index.reduce((total, row, j) => total + (group[j] === 0 ? rows[row * dim + i]! : 0), 0.1)
        expect(Math.abs(got[i]! - sum)).toBeLessThan(1e-12 * count)
      }
    }
  })

  it('projects rows from their middle, and measures them', () => {
    const { normal, below } = random(7)
    for (const [dim, width, count] of [
      [1, 1, 1],
      [7, 3, 5],
      [33, 16, 33],
      [64, 0, 4],
      [100, 9, 70],
    ] as const) {
      const rows = floats(40 * dim, 3, normal)
      const middle = floats(dim, 1, normal)
      const directions = floats(width * dim, 5, normal)
      const index = Uint32Array.from({ length: count }, () => below(40))
      const got = new Float32Array(count * (width + 1) + 1).fill(7)
      const want = new Float32Array(count * (width + 1))
      tested.project(rows, dim, index, count, middle, directions, width, got)
      reference.project(rows, dim, index, count, middle, directions, width, want)
      want.forEach((value, i) => {
        expect(Math.abs(got[i]! - value)).toBeLessThan(2e-6 * dim * 10)
      })
      expect(got[want.length]).toBe(7)
    }
  })
})
