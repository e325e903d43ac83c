// Proves what product quantization promises: more centroids lose less, few distinct pieces are exact, training repeats with its
// seed and can be stopped, and a rotation helps where it should.
import { describe, expect, it } from 'vitest'
import { gaussian, seededRandom } from '../random.js'
import { type PqTraining, trainPq } from './pq.js'
import { codesLength } from './quantizer.js'

const dim = 32
const count = 2000

/** Rows whose first values vary a hundred times as much as the last. */
function unevenRows(seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: count * dim }, (_, i) => gaussian(random) * 100 ** (-(i % dim) / dim))
}

function lossOf(rows: Float32Array, options: Partial<PqTraining>): number {
  const quantizer = trainPq(rows, { dim, subspaces: 8, seed: 1, iterations: 8, ...options })
  const decoded = quantizer.decode(quantizer.encode(rows), count)
  return rows.reduce((sum, value, i) => sum + (value - decoded[i]!) ** 2, 0)
}

describe('codebooks', () => {
  it('lose less the more there is of them', () => {
    const rows = unevenRows(1)
    const losses = [
      lossOf(rows, { subspaces: 4, bits: 4 }),
      lossOf(rows, { subspaces: 8, bits: 4 }),
      lossOf(rows, { subspaces: 8 }),
      lossOf(rows, { subspaces: 16 }),
      lossOf(rows, { subspaces: 32 }),
    ]
    expect([...losses].sort((a, b) => b - a)).toEqual(losses)
    expect(losses[4]! / losses[0]!).toBeLessThan(0.01)
  })

  it('lose less after a rotation when few values hold most of what there is', () => {
    const rows = unevenRows(2).map((value, i) => (i % dim < 4 ? 30 * value : value))
    expect(lossOf(rows, { subspaces: 8, rotate: true })).toBeLessThan(0.7 * lossOf(rows, { subspaces: 8 }))
  })

  it('are exact for up to 256 distinct pieces', () => {
    const rows = Float32Array.from({ length: count * dim }, (_, i) => Math.floor(i / dim) % 200)
    expect(lossOf(rows, { subspaces: 5 })).toBe(0)
  })

  it('repeat with the seed, and end when asked', () => {
    const rows = unevenRows(3)
    const train = (seed: number): Uint8Array =>
      trainPq(rows, { dim, subspaces: 4, seed, iterations: 3 }).serialise()
    expect(train(5)).toEqual(train(5))
    expect(train(6)).not.toEqual(train(5))
    const seen: number[] = []
    const stop = new AbortController()
    const onProgress = (done: number): void => {
      seen.push(done)
      if (done === 2) stop.abort(new Error('enough'))
    }
    expect(() => trainPq(rows, { dim, subspaces: 4, seed: 1, signal: stop.signal, onProgress })).toThrow(
      'enough',
    )
    expect(seen).toEqual([1, 2])
  })
})

it('subspaces that do not divide the dimension differ by one value, and take half a byte each with 4 bits', () => {
  const rows = unevenRows(4)
  const eight = trainPq(rows, { dim, subspaces: 7, seed: 1, iterations: 1 })
  const four = trainPq(rows, { dim, subspaces: 7, bits: 4, seed: 1, iterations: 1 })
  expect(codesLength(eight, 64)).toBe(7 * 64)
  expect(codesLength(four, 64)).toBe(3.5 * 64)
  expect(codesLength(four, 65)).toBe(3.5 * 96)
})

it('4-bit distances stay near for more subspaces than 16 bits hold at full height', () => {
  const wide = 1200
  const random = seededRandom(5)
  const rows = Float32Array.from({ length: 64 * wide }, () => random())
  const quantizer = trainPq(rows, { dim: wide, subspaces: wide, bits: 4, seed: 1, iterations: 1 })
  const codes = quantizer.encode(rows)
  const decoded = quantizer.decode(codes, 64)
  // A query at one corner makes the sum of entries as large as it gets.
  const query = new Float32Array(wide).fill(-5)
  const out = new Float32Array(64)
  quantizer.distances('l2', query, codes, 64, out)
  for (let j = 0; j < 64; j++) {
    let exact = 0
    for (let d = 0; d < wide; d++) exact += (query[d]! - decoded[j * wide + d]!) ** 2
    expect(Math.abs(out[j]! / exact - 1)).toBeLessThan(0.002)
  }
})
