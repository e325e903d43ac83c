// Proves what every figure of the simulator rests on: costs are read off a curve at the recall that is meant, cap volumes are those
// of geometry, and the stop rules scan what their definitions say.
import { gaussian, seededRandom } from '@drift/core'
import { describe, expect, test } from 'vitest'
import { mix } from '../data/mix.js'
import { truth } from '../data/truth.js'
import { betaShare, capShare } from './cap.js'
import { Curve } from './curve.js'
import { DriftEngine } from './engines/drift.js'
import { LiveSet } from './live-set.js'
import { partitionOf } from './partition.js'
import { stopCurves } from './stop-rules.js'

describe('a curve', () => {
  test('adds queries up and reads the rows at a recall between two knobs', () => {
    const curve = new Curve([1, 2])
    curve.add(0, 8, 10, 100, 1)
    curve.add(1, 9, 10, 300, 3)
    curve.add(0, 8, 10, 100, 1)
    curve.add(1, 11, 10, 500, 3)
    expect(curve.points()).toEqual([
      { knob: 1, recall: 0.8, rows: 100, buckets: 1 },
      { knob: 2, recall: 1, rows: 400, buckets: 3 },
    ])
    expect(curve.at(0.9)!.rows).toBeCloseTo(200)
    expect(curve.at(0.5)!.rows).toBe(100)
  })

  test('says that a recall was not reached', () => {
    const curve = new Curve([1])
    curve.add(0, 8, 10, 100, 1)
    expect(curve.at(0.9)).toBeUndefined()
  })
})

describe('the cap of a ball', () => {
  test('has the share of the volume that its formula gives in two and three dimensions', () => {
    const disc = (h: number) => (Math.acos(h) - h * Math.sqrt(1 - h * h)) / Math.PI
    const ball = (h: number) => ((1 - h) ** 2 * (2 + h)) / 4
    for (const height of [0, 0.1, 0.5, 0.9]) {
      expect(capShare(2)(height)).toBeCloseTo(disc(height), 3)
      expect(capShare(3)(height)).toBeCloseTo(ball(height), 4)
    }
    expect(capShare(96)(1)).toBe(0)
  })

  test('agrees with balls that are sampled', () => {
    const random = seededRandom(4)
    const dim = 24
    let beyond = 0
    const draws = 40_000
    for (let i = 0; i < draws; i++) {
      const direction = Array.from({ length: dim }, () => gaussian(random))
      const length = Math.hypot(...direction)
      if ((direction[0]! / length) * random() ** (1 / dim) > 0.3) beyond++
    }
    expect(capShare(dim)(0.3)).toBeCloseTo(beyond / draws, 2)
    expect(betaShare(0.3, 2, 3)).toBeCloseTo(0.3483, 6)
  })
})

describe('stop rules over a partition', () => {
  const dim = 24
  const k = 10
  const queryCount = 80
  const setUp = async () => {
    const { vectors } = mix({ rows: 4000 + queryCount, dim, clusters: 60, seed: 5, latent: 8, spread: 0.7 })
    const queries = vectors.slice(4000 * dim)
    const engine = new DriftEngine('drift', { dim, metric: 'l2', seed: 1, memtableRows: 4000, heal: false })
    const live = new LiveSet(dim)
    const step = {
      do: 'insert' as const,
      ids: Uint32Array.from({ length: 4000 }, (_, i) => i),
      vectors: vectors.slice(0, 4000 * dim),
    }
    live.apply(step)
    await engine.write(step)
    return { engine, queries, live, exact: truth(live.vectors, queries, dim, 'l2', k) }
  }

  test('fixed probes in the simulator are fixed probes in the engine', async () => {
    const { engine, queries, live, exact } = await setUp()
    const simulated = stopCurves(partitionOf(engine.index, live.ids), queries, exact).get('fixed probes')!
    const own = engine.curve('probes', queries, exact)
    for (const target of [0.9, 0.95]) {
      const [a, b] = [simulated.at(target)!.rows, own.at(target)!.rows]
      // Between knobs the two are interpolated from other neighbours, and the engine's last rerank loses a little.
      expect(a / b).toBeGreaterThan(0.9)
      expect(a / b).toBeLessThan(1.1)
    }
    await engine.close()
  })

  test('every rule that reaches 0.9 does it with fewer rows than there are, the live-weighted order with the fewest', async () => {
    const { engine, queries, live, exact } = await setUp()
    const curves = stopCurves(partitionOf(engine.index, live.ids), queries, exact)
    const rows = (rule: string) => curves.get(rule)!.at(0.9)!.rows
    for (const rule of ['fixed probes', 'SPANN ratio', 'APS', 'APSN', 'rank-ratio']) {
      expect(rows(rule)).toBeGreaterThan(2 * k)
      expect(rows(rule)).toBeLessThan(2000)
    }
    expect(rows('rank-ratio')).toBeLessThan(0.95 * rows('fixed probes'))
    await engine.close()
  })
})
