// Proves that k-means keeps its rules (inertia never grows, same seed same result, no empty cluster, nearest assignment) on
// blobs, duplicates and degenerate input, and that the partition by levels keeps sizes and comes near the flat one.
import { describe, expect, it } from 'vitest'
import { Clusters, normaliseAll } from './clusters.js'
import { CoreError } from './errors.js'
import { hierarchicalKmeans, type KmeansOptions, kmeans, type Partition } from './kmeans.js'
import { gaussian, seededRandom } from './random.js'

/** `count` rows around `centres` random points; the spread is relative to the distance between points. */
function blobs(count: number, dim: number, centres: number, spread: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  const points = Float32Array.from({ length: centres * dim }, () => gaussian(random))
  return Float32Array.from({ length: count * dim }, (_, i) => {
    const centre = Math.floor(i / dim) % centres
    return points[centre * dim + (i % dim)]! + spread * gaussian(random)
  })
}

function squaredGap(a: Float32Array, aRow: number, b: Float32Array, bRow: number, dim: number): number {
  let sum = 0
  for (let d = 0; d < dim; d++) sum += (a[aRow * dim + d]! - b[bRow * dim + d]!) ** 2
  return sum
}

function inertiaOf(rows: Float32Array, dim: number, { centroids, assignment }: Partition): number {
  return assignment.reduce((sum, cluster, row) => sum + squaredGap(rows, row, centroids, cluster, dim), 0)
}

function sizesOf({ centroids, assignment }: Partition, dim: number): number[] {
  const sizes = new Array<number>(centroids.length / dim).fill(0)
  for (const cluster of assignment) sizes[cluster]!++
  return sizes
}

function codeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof CoreError) return error.code
    throw error
  }
  return 'nothing was thrown'
}

describe('flat', () => {
  it('never lets the inertia grow from one iteration to the next', () => {
    for (const seed of [1, 2, 3]) {
      const seen: number[] = []
      const onProgress = (iteration: number, inertia: number): void => {
        expect(iteration).toBe(seen.length)
        seen.push(inertia)
      }
      const rows = blobs(1500, 8, 30, 0.6, seed)
      const { iterations } = kmeans(rows, 8, { k: 40, seed, iterations: 25, tolerance: 0, onProgress })
      expect(seen.length).toBe(iterations + 1)
      expect(seen.length).toBeGreaterThan(4)
      for (let i = 1; i < seen.length; i++) expect(seen[i]!).toBeLessThanOrEqual(seen[i - 1]! * (1 + 1e-6))
      expect(seen.at(-1)!).toBeLessThan(0.95 * seen[0]!)
    }
  })

  it('assigns every row to the nearest of the returned centroids, and says their inertia', () => {
    const dim = 6
    const rows = blobs(400, dim, 10, 0.8, 4)
    const found = kmeans(rows, dim, { k: 25, seed: 4 })
    expect(found.centroids.length).toBe(25 * dim)
    for (let row = 0; row < 400; row++) {
      const own = squaredGap(rows, row, found.centroids, found.assignment[row]!, dim)
      const all = Array.from({ length: 25 }, (_, c) => squaredGap(rows, row, found.centroids, c, dim))
      expect(own).toBeLessThanOrEqual(Math.min(...all) * (1 + 1e-5))
    }
    expect(found.inertia / inertiaOf(rows, dim, found)).toBeCloseTo(1, 5)
    expect(Math.min(...sizesOf(found, dim))).toBeGreaterThan(0)
  })

  it('gives the same result for the same seed and another for another', () => {
    const rows = blobs(3000, 8, 5, 1, 5)
    const run = (seed: number): Float32Array => kmeans(rows, 8, { k: 12, seed, iterations: 3 }).centroids
    expect(run(7)).toEqual(run(7))
    expect(run(7)).not.toEqual(run(8))
  })

  it('finds separate blobs as well as a start from their true centres does', () => {
    const [count, dim, centres] = [2000, 16, 20]
    const rows = blobs(count, dim, centres, 0.1, 6)
    const truth = Array.from({ length: count }, (_, row) => row % centres)
    const means = new Float32Array(centres * dim)
    truth.forEach((centre, row) => {
      for (let d = 0; d < dim; d++) means[centre * dim + d]! += rows[row * dim + d]! / (count / centres)
    })
    const best = inertiaOf(rows, dim, { centroids: means, assignment: Uint32Array.from(truth) })
    const tries = [1, 2, 3, 4].map(seed => kmeans(rows, dim, { k: centres, seed, iterations: 30 }).inertia)
    expect(Math.min(...tries) / best).toBeCloseTo(1, 4)
  })

  it('clusters the rows of an index only, in its order', () => {
    const rows = Float32Array.of(0, 100, 1, 200, 10, 300, 11, 400)
    const index = Uint32Array.of(6, 0, 4, 2)
    const { centroids, assignment } = kmeans(rows, 1, { k: 2, seed: 1, index })
    expect([...centroids].sort((a, b) => a - b)).toEqual([0.5, 10.5])
    expect(Array.from(assignment, cluster => centroids[cluster])).toEqual([10.5, 0.5, 10.5, 0.5])
  })

  it('learns from a sample and still assigns every row', () => {
    const dim = 4
    const rows = blobs(4000, dim, 8, 0.1, 8)
    const found = kmeans(rows, dim, { k: 8, seed: 8, sampleRows: 400 })
    expect(found.assignment.length).toBe(4000)
    expect(found.inertia / inertiaOf(rows, dim, found)).toBeCloseTo(1, 4)
    expect(Math.max(...sizesOf(found, dim))).toBeLessThan(1100)
  })

  it('learns from batches: nearly as well, assigning every row, with no cluster empty, the same for the same seed', () => {
    const dim = 8
    const rows = blobs(6000, dim, 30, 0.6, 11)
    const options = { k: 40, seed: 3, batchRows: 600, iterations: 30 }
    const seen: number[] = []
    const found = kmeans(rows, dim, { ...options, onProgress: iteration => seen.push(iteration) })
    expect(seen).toEqual(Array.from({ length: 30 }, (_, i) => i))
    expect(found.assignment.length).toBe(6000)
    expect(found.inertia / inertiaOf(rows, dim, found)).toBeCloseTo(1, 4)
    expect(sizesOf(found, dim).length).toBe(40)
    expect(Math.min(...sizesOf(found, dim))).toBeGreaterThan(0)
    expect(found.inertia / kmeans(rows, dim, { k: 40, seed: 3, iterations: 30 }).inertia).toBeLessThan(1.05)
    expect(found).toEqual(kmeans(rows, dim, options))
    const spherical = kmeans(rows, dim, { ...options, spherical: true }).centroids
    for (let c = 0; c < 40; c++) {
      expect(Math.hypot(...spherical.subarray(c * dim, (c + 1) * dim))).toBeCloseTo(1, 5)
    }
    const reason = new Error('enough')
    const onProgress = (iteration: number): void => {
      if (iteration === 2) throw reason
    }
    expect(() => kmeans(rows, dim, { ...options, onProgress })).toThrow(reason)
  })

  it.each([
    ['l2', false, 0],
    ['l2, far from the origin', false, 50],
    ['spherical', true, 0],
  ])('assigns to the nearest of many centroids in many dimensions (%s)', (_, spherical, offset) => {
    const [dim, k, count] = [96, 100, 2500]
    // Energy falls from dimension to dimension, as in embeddings: heads hold most of it.
    const rows = blobs(count, dim, 60, 0.5, 12).map((value, i) => offset + value / (1 + (i % dim) / 6))
    if (spherical) normaliseAll(rows, dim)
    const found = kmeans(rows, dim, { k, seed: 5, spherical, iterations: 6, tolerance: 0 })
    expect(found.centroids.length).toBe(k * dim)
    for (let row = 0; row < count; row += 3) {
      const own = squaredGap(rows, row, found.centroids, found.assignment[row]!, dim)
      let best = own
      for (let c = 0; c < k; c++) best = Math.min(best, squaredGap(rows, row, found.centroids, c, dim))
      expect(own).toBeLessThanOrEqual(best * (1 + 1e-5))
    }
    expect(found.inertia / inertiaOf(rows, dim, found)).toBeCloseTo(1, 4)
  })

  it('keeps spherical centroids at unit length, in the direction of the mean', () => {
    const dim = 12
    const rows = blobs(600, dim, 6, 0.3, 9)
    for (let row = 0; row < 600; row++) {
      const vector = rows.subarray(row * dim, (row + 1) * dim)
      const size = Math.hypot(...vector)
      vector.forEach((value, d) => {
        vector[d] = value / size
      })
    }
    const { centroids, assignment } = kmeans(rows, dim, {
      k: 6,
      seed: 9,
      spherical: true,
      iterations: 50,
      tolerance: 0,
    })
    for (let c = 0; c < centroids.length / dim; c++) {
      const centroid = centroids.subarray(c * dim, (c + 1) * dim)
      expect(Math.hypot(...centroid)).toBeCloseTo(1, 5)
      const sum = Array.from({ length: dim }, (_, d) => {
        return assignment.reduce((all, cluster, row) => (cluster === c ? all + rows[row * dim + d]! : all), 0)
      })
      const cosine = sum.reduce((all, value, d) => all + value * centroid[d]!, 0) / Math.hypot(...sum)
      expect(cosine).toBeCloseTo(1, 5)
    }
  })

  it('returns as many clusters as there are distinct rows when k is greater', () => {
    const rows = Float32Array.from({ length: 3000 }, (_, i) => (Math.floor(i / 2) % 5) + (i % 2)) // 5 distinct pairs
    const found = kmeans(rows, 2, { k: 50, seed: 1 })
    expect(found.centroids.length / 2).toBe(5)
    expect(found.inertia).toBe(0)
  })

  it('finds a distinct row that the seeding sample may miss', () => {
    const rows = new Float32Array(5000)
    rows[4321] = 1
    expect([...kmeans(rows, 1, { k: 2, seed: 1 }).centroids].sort()).toEqual([0, 1])
  })

  it('gives identical rows one centroid and no NaN', () => {
    const rows = new Float32Array(300).fill(1e-3)
    const found = kmeans(rows, 3, { k: 4, seed: 1, spherical: false })
    expect([...found.centroids]).toEqual([...rows.subarray(0, 3)])
    expect([...kmeans(new Float32Array(9), 3, { k: 2, seed: 1, spherical: true }).centroids]).toEqual([
      0, 0, 0,
    ])
  })

  it('takes no rows, one row and no iterations', () => {
    expect(kmeans(new Float32Array(0), 3, { k: 2, seed: 1 }).centroids.length).toBe(0)
    expect([...kmeans(Float32Array.of(1, 2, 3), 3, { k: 2, seed: 1 }).centroids]).toEqual([1, 2, 3])
    expect(kmeans(blobs(50, 2, 3, 1, 1), 2, { k: 3, seed: 1, iterations: 0 }).iterations).toBe(0)
  })

  it('stops between iterations when its signal aborts, with the reason', () => {
    const abort = new AbortController()
    const reason = new Error('not needed any more')
    let calls = 0
    const options: KmeansOptions = {
      k: 10,
      seed: 1,
      tolerance: 0,
      signal: abort.signal,
      onProgress: () => {
        if (++calls === 2) abort.abort(reason)
      },
    }
    expect(() => kmeans(blobs(500, 4, 3, 1, 1), 4, options)).toThrow(reason)
    expect(calls).toBe(2)
    expect(() => kmeans(new Float32Array(4), 4, { k: 1, seed: 1, signal: abort.signal })).toThrow(reason)
  })

  it.each([
    [{ k: 0 }, 'DRIFT_K'],
    [{ k: 1.5 }, 'DRIFT_K'],
    [{ k: Number.NaN }, 'DRIFT_K'],
    [{ iterations: -1 }, 'DRIFT_ITERATIONS'],
    [{ iterations: Number.NaN }, 'DRIFT_ITERATIONS'],
    [{ batchRows: 0 }, 'DRIFT_BATCH_ROWS'],
    [{ batchRows: Number.NaN }, 'DRIFT_BATCH_ROWS'],
  ])('refuses %j', (wrong, code) => {
    expect(codeOf(() => kmeans(new Float32Array(8), 2, { k: 1, seed: 1, ...wrong }))).toBe(code)
  })

  it('refuses what are no rows, rows that are not there, and numbers that are none', () => {
    const rows = blobs(100, 2, 3, 0.5, 7)
    const wrong: [string, () => unknown][] = [
      ['DRIFT_VECTOR_VALUE', () => kmeans([1, 2] as never, 2, { k: 1, seed: 1 })],
      ['DRIFT_VECTOR_VALUE', () => kmeans(new Float64Array(2) as never, 2, { k: 1, seed: 1 })],
      ['DRIFT_ROW', () => kmeans(rows, 2, { k: 1, seed: 1, index: Uint32Array.of(1, 100) })],
      ['DRIFT_ROW', () => kmeans(rows, 2, { k: 1, seed: 1, index: [1] as never })],
      ['DRIFT_ROW', () => hierarchicalKmeans(rows, 2, { seed: 1, index: Uint32Array.of(1, 100) })],
      ['DRIFT_BRANCHING', () => hierarchicalKmeans(rows, 2, { seed: 1, branching: 2.5 })],
      ['DRIFT_OPTION', () => kmeans(rows, 2, { k: 1, seed: Number.NaN })],
      ['DRIFT_OPTION', () => kmeans(rows, 2, { k: 1, seed: 1, sampleRows: Number.NaN })],
      ['DRIFT_OPTION', () => kmeans(rows, 2, { k: 1, seed: 1, sampleRows: 0 })],
      ['DRIFT_OPTION', () => kmeans(rows, 2, { k: 1, seed: 1, tolerance: Number.NaN })],
    ]
    for (const [code, call] of wrong) expect(codeOf(call)).toBe(code)
  })

  it('gives every distinct row its centroid, however many more are asked for', () => {
    expect(kmeans(Float32Array.of(1, 2, 3), 1, { k: 2 ** 40, seed: 1 }).centroids.length).toBe(3)
  })

  it('refuses half a row', () => {
    expect(codeOf(() => kmeans(new Float32Array(7), 2, { k: 1, seed: 1 }))).toBe('DRIFT_DIMENSION')
  })
})

describe('an empty cluster', () => {
  it('is given the row that fits worst, and the inertia falls', () => {
    const rows = Float32Array.of(0, 1, 2, 3, 100)
    const centroids = Float32Array.of(1, 1e6, 2.4) // nothing is nearest to the second one
    const clusters = new Clusters(rows, 1, Uint32Array.of(0, 1, 2, 3, 4), centroids)
    const before = clusters.assign()
    clusters.rescueEmpty()
    clusters.move(false)
    expect([...centroids]).toEqual([0.5, 100, 2.5])
    expect(clusters.assign()).toBeLessThan(before)
    expect(clusters.result(1).centroids.length).toBe(3)
  })

  it('is left out of the result when no row is left to give', () => {
    const rows = Float32Array.of(5, 5, 7)
    const clusters = new Clusters(rows, 1, Uint32Array.of(0, 1, 2), Float32Array.of(1e6, 5, 7))
    clusters.assign()
    clusters.rescueEmpty()
    const { centroids, assignment } = clusters.result(0)
    expect([...centroids]).toEqual([5, 7])
    expect([...assignment]).toEqual([0, 0, 1])
  })
})

describe('by levels', () => {
  it.each([
    ['one cloud', 1, 1],
    ['forty blobs', 40, 0.5],
    ['more blobs than clusters', 1000, 0.3],
  ])(
    'over %s, comes within fifteen percent of the flat inertia at as many clusters',
    (_, centres, spread) => {
      const dim = 32
      const rows = blobs(5000, dim, centres, spread, 3)
      const found = hierarchicalKmeans(rows, dim, { seed: 3 })
      const sizes = sizesOf(found, dim)
      expect(Math.max(...sizes)).toBeLessThanOrEqual(50)
      expect(Math.min(...sizes)).toBeGreaterThan(0)
      expect(sizes.length).toBeGreaterThan(160)
      expect(sizes.length).toBeLessThan(250)
      const flat = kmeans(rows, dim, { k: sizes.length, seed: 3 })
      expect(inertiaOf(rows, dim, found) / flat.inertia).toBeLessThan(1.15)
    },
  )

  it('keeps the sizes for skewed data, other targets and narrow branches', () => {
    const random = seededRandom(4)
    const rows = Float32Array.from({ length: 3000 * 2 }, () => Math.exp(3 * gaussian(random)))
    const found = hierarchicalKmeans(rows, 2, { seed: 1, targetRows: 10, branching: 3 })
    expect(Math.max(...sizesOf(found, 2))).toBeLessThanOrEqual(20)
    expect(found.centroids.length / 2).toBeLessThan(600)
  })

  it('leaves only identical rows in a cluster above twice the target', () => {
    const rows = blobs(1000, 4, 10, 0.2, 5)
    rows.fill(0.25, 0, 400 * 4)
    const found = hierarchicalKmeans(rows, 4, { seed: 1, targetRows: 20 })
    const large = sizesOf(found, 4).flatMap((size, cluster) => (size > 40 ? [cluster] : []))
    expect(large.length).toBe(1)
    const members = Array.from(found.assignment.keys()).filter(row => found.assignment[row] === large[0])
    expect(members).toEqual(Array.from({ length: 400 }, (_, row) => row))
    expect(found.centroids.every(Number.isFinite)).toBe(true)
  })

  it('gives the same partition for the same seed, per position of its index', () => {
    const rows = blobs(1200, 4, 20, 0.4, 6)
    const index = Uint32Array.from({ length: 600 }, (_, j) => 1199 - 2 * j)
    const found = hierarchicalKmeans(rows, 4, { seed: 2, index })
    expect(found).toEqual(hierarchicalKmeans(rows, 4, { seed: 2, index }))
    expect(found.assignment.length).toBe(600)
    const own = index.reduce(
      (sum, row, j) => sum + squaredGap(rows, row, found.centroids, found.assignment[j]!, 4),
      0,
    )
    expect(own / kmeans(rows, 4, { k: found.centroids.length / 4, seed: 2, index }).inertia).toBeLessThan(1.2)
  })

  it('keeps spherical centroids at unit length', () => {
    const rows = Float32Array.from({ length: 500 }, (_, i) =>
      Math.sin(Math.floor(i / 2) + (i % 2) * (Math.PI / 2)),
    )
    const { centroids } = hierarchicalKmeans(rows, 2, { seed: 1, spherical: true })
    for (let c = 0; c < centroids.length; c += 2) {
      expect(Math.hypot(centroids[c]!, centroids[c + 1]!)).toBeCloseTo(1, 5)
    }
  })

  it('takes no rows and fewer rows than a cluster', () => {
    expect(hierarchicalKmeans(new Float32Array(0), 3, { seed: 1 }).centroids.length).toBe(0)
    const few = hierarchicalKmeans(Float32Array.of(1, 2, 3), 1, { seed: 1 })
    expect([...few.centroids]).toEqual([2])
    expect([...few.assignment]).toEqual([0, 0, 0])
  })

  it('says how far it is, and stops by signal or by what the callback throws', () => {
    const rows = blobs(1000, 4, 10, 0.5, 7)
    const seen: number[] = []
    hierarchicalKmeans(rows, 4, { seed: 1, onProgress: (done, total) => seen.push(done / total) })
    expect(seen[0]).toBe(0)
    expect(Math.max(...seen)).toBe(1)
    const reason = new Error('enough')
    const onProgress = (): void => {
      throw reason
    }
    expect(() => hierarchicalKmeans(rows, 4, { seed: 1, onProgress })).toThrow(reason)
    expect(() => hierarchicalKmeans(rows, 4, { seed: 1, signal: AbortSignal.abort(reason) })).toThrow(reason)
  })

  it.each([
    [{ targetRows: 0 }, 'DRIFT_TARGET_ROWS'],
    [{ targetRows: Number.NaN }, 'DRIFT_TARGET_ROWS'],
    [{ branching: 1 }, 'DRIFT_BRANCHING'],
  ])('refuses %j', (wrong, code) => {
    expect(codeOf(() => hierarchicalKmeans(new Float32Array(8), 2, { seed: 1, ...wrong }))).toBe(code)
  })
})
