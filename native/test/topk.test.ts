// topK is a total order: every variant gives exactly what sorting by (distance, position) gives.
import { describe, expect, it } from 'vitest'
import { kernelsOf, supportedVariants } from '../lib/index.js'
import { floats, LENGTHS, random } from './random.js'

describe.each(supportedVariants())('%s', variant => {
  const { topK } = kernelsOf(variant)

  it('is sorting by distance, then position, and taking the first k', () => {
    const { normal, below, unit } = random(9)
    for (const count of [0, ...LENGTHS, 5000]) {
      for (const k of new Set([0, 1, 10, below(count + 1), count, count + 3])) {
        // Few distinct values make many ties; some NaN, infinities and both zeros.
        const coarse = below(2) === 0
        const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0]
        const distances = floats(count, below(8), () =>
          unit() < 0.1 ? odd[below(odd.length)]! : coarse ? below(5) : normal(),
        )
        const want = [...distances.keys()]
          .filter(p => !Number.isNaN(distances[p]))
          .sort((a, b) => (distances[a]! < distances[b]! ? -1 : distances[a]! > distances[b]! ? 1 : a - b))
          .slice(0, k)
        const position = new Uint32Array(k + 1).fill(99)
        const distance = new Float32Array(k + 1).fill(99)
        const written = topK(distances, count, k, position, distance)
        expect(written).toBe(want.length)
        expect([...position.subarray(0, written)]).toEqual(want)
        expect(distance.subarray(0, written)).toEqual(Float32Array.from(want, p => distances[p]!))
        expect([position[k], distance[k]]).toEqual([99, 99])
      }
    }
  })

  it('finds nothing among NaN', () => {
    const distances = new Float32Array(100).fill(Number.NaN)
    expect(topK(distances, 100, 5, new Uint32Array(5), new Float32Array(5))).toBe(0)
  })
})
