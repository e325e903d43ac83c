/**
 * Proves the boundary: every bad argument is a CoreError with its code and the value in its message, and the index is as
 * usable and as full as before.
 */
import { describe, expect, it } from 'vitest'
import {
  CoreError,
  deserialiseQuantizer,
  hierarchicalKmeans,
  type Id,
  IndexPool,
  kmeans,
  type Metric,
  Scheduler,
  trainPq,
  trainSign,
  trainSq8,
  VectorIndex,
} from '../src/index.js'
import { expectExactly } from './data.js'

const DIM = 3
const ok = Float32Array.of(1, 2, 3)

function codeOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    expect(error).toBeInstanceOf(CoreError)
    const { code, message, details } = error as CoreError
    // Where the options as a whole are none, no option is to blame.
    if (code === 'DRIFT_OPTION' && !message.startsWith('the options of '))
      expect(message).toContain(`${details['option']} is `)
    return code
  }
  return 'no error'
}

describe.each<Metric>(['l2', 'cosine', 'ip'])('under %s', metric => {
  const index = new VectorIndex({ dim: DIM, metric })
  index.upsert(['a', 1, 1n], Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1))

  it.each<[string, string, Id[], unknown]>([
    ['no ids', 'DRIFT_EMPTY_BATCH', [], new Float32Array(0)],
    ['too few values', 'DRIFT_DIMENSION', ['x', 'y'], new Float32Array(5).fill(1)],
    ['too many values', 'DRIFT_DIMENSION', ['x'], new Float32Array(6).fill(1)],
    ['no values', 'DRIFT_DIMENSION', ['x'], new Float32Array(0)],
    ['a NaN', 'DRIFT_VECTOR_VALUE', ['x'], Float32Array.of(1, Number.NaN, 0)],
    ['an infinity', 'DRIFT_VECTOR_VALUE', ['x', 'y'], Float32Array.of(1, 1, 1, 0, 0, -Infinity)],
    ['a Float64Array', 'DRIFT_VECTOR_VALUE', ['x'], Float64Array.of(1, 2, 3)],
    ['a plain array', 'DRIFT_VECTOR_VALUE', ['x'], [1, 2, 3]],
    ['nothing', 'DRIFT_VECTOR_VALUE', ['x'], undefined],
    ['a fraction as id', 'DRIFT_ID', ['x', 1.5], new Float32Array(6).fill(1)],
    ['NaN as id', 'DRIFT_ID', [Number.NaN], ok],
    ['an object as id', 'DRIFT_ID', [{} as Id], ok],
    ['an empty string as id', 'DRIFT_ID', [''], ok],
    ['a bigint of 65 bits', 'DRIFT_ID', [2n ** 64n], ok],
    ['ids that are no array', 'DRIFT_ID', 'abc' as unknown as Id[], new Float32Array(9).fill(1)],
  ])('a batch with %s is refused with %s', (_, code, ids, vectors) => {
    const rowsBefore = index.pin()
    for (const write of ['append', 'upsert', 'load'] as const) {
      expect(codeOf(() => index[write](ids, vectors as Float32Array))).toBe(code)
    }
    const rowsAfter = index.pin()
    expect(rowsAfter.rows).toBe(rowsBefore.rows)
    rowsBefore.release()
    rowsAfter.release()
    expectExactly(index, ['a', 1, 1n])
  })

  it.each<[string, string, unknown, object]>([
    ['too short', 'DRIFT_DIMENSION', Float32Array.of(1, 2), { k: 1 }],
    ['too long', 'DRIFT_DIMENSION', new Float32Array(6).fill(1), { k: 1 }],
    ['a NaN', 'DRIFT_VECTOR_VALUE', Float32Array.of(1, 2, Number.NaN), { k: 1 }],
    ['no Float32Array', 'DRIFT_VECTOR_VALUE', [1, 2, 3], { k: 1 }],
    ['without k', 'DRIFT_K', ok, {}],
    ['with k 0', 'DRIFT_K', ok, { k: 0 }],
    ['with k -1', 'DRIFT_K', ok, { k: -1 }],
    ['with k 1.5', 'DRIFT_K', ok, { k: 1.5 }],
    ['with k NaN', 'DRIFT_K', ok, { k: Number.NaN }],
    ['with k Infinity', 'DRIFT_K', ok, { k: Number.POSITIVE_INFINITY }],
    ['with k as text', 'DRIFT_K', ok, { k: '10' }],
    ['with 0 probes', 'DRIFT_PROBES', ok, { k: 1, probes: 0 }],
    ['with 2.5 probes', 'DRIFT_PROBES', ok, { k: 1, probes: 2.5 }],
    ['with ef 0', 'DRIFT_EF', ok, { k: 1, ef: 0 }],
    [
      'with a NaN as weight',
      'DRIFT_OPTION',
      ok,
      { k: 1, weights: { byRank: Number.NaN, byRatio: 0, bySize: 0 } },
    ],
    ['with a weight too few', 'DRIFT_OPTION', ok, { k: 1, weights: { byRank: -1, byRatio: -1 } }],
    ['with null as weights', 'DRIFT_OPTION', ok, { k: 1, weights: null }],
  ])('a query that is %s is refused with %s', async (_, code, query, options) => {
    const vector = query as Float32Array
    const search = options as { k: number }
    expect(codeOf(() => index.searchSync(vector, search))).toBe(code)
    await expect(index.search(vector, search)).rejects.toMatchObject({ code })
    if (code !== 'DRIFT_DIMENSION')
      await expect(index.searchBatch(vector, search)).rejects.toMatchObject({ code })
  })

  it('a batch of queries must be whole vectors, at least one', async () => {
    await expect(index.searchBatch(new Float32Array(5).fill(1), { k: 1 })).rejects.toMatchObject({
      code: 'DRIFT_DIMENSION',
    })
    await expect(index.searchBatch(new Float32Array(0), { k: 1 })).rejects.toMatchObject({
      code: 'DRIFT_EMPTY_BATCH',
    })
  })

  it('k beyond the number of rows gives all of them, and an empty index gives none', async () => {
    expect(index.searchSync(ok, { k: 1000 }).ids).toHaveLength(3)
    expect(index.exactSync(ok, 1000).ids).toHaveLength(3)
    const empty = new VectorIndex({ dim: DIM, metric })
    expect(empty.searchSync(ok, { k: 5 }).ids).toEqual([])
    expect(empty.exactSync(ok, 5).ids).toEqual([])
    expect([...(await empty.searchBatch(ok, { k: 2 })).counts]).toEqual([0])
    expect(empty.delete(['x'])).toBe(0)
    expect(empty.find('x')).toBe(-1)
    expect(empty.rotate()).toBeUndefined()
  })

  it('ids of three kinds are three ids, and a delete with one bad id deletes none', () => {
    expect(index.find('1')).toBe(-1)
    expect(index.find(1)).not.toBe(index.find(1n))
    expect(codeOf(() => index.delete(['a', Number.NaN]))).toBe('DRIFT_ID')
    expectExactly(index, ['a', 1, 1n])
  })

  it('a row that does not exist is DRIFT_ROW', () => {
    expect(codeOf(() => index.vectorAt(3))).toBe('DRIFT_ROW')
    expect(codeOf(() => index.bucketsOf(-1))).toBe('DRIFT_ROW')
    expect(codeOf(() => index.idAt(99))).toBe('DRIFT_ROW')
  })

  it('centroids must be whole finite vectors', () => {
    const other = new VectorIndex({ dim: DIM, metric })
    expect(codeOf(() => other.restoreCentroids(Float32Array.of(1, 2)))).toBe('DRIFT_DIMENSION')
    expect(codeOf(() => other.restoreCentroids(Float32Array.of(1, 2, Number.NaN)))).toBe('DRIFT_VECTOR_VALUE')
    other.restoreCentroids(new Float32Array(0))
    expect(other.stats().buckets).toBe(0)
  })
})

it('a zero vector has no direction for cosine alone', () => {
  const cosine = new VectorIndex({ dim: DIM, metric: 'cosine' })
  expect(codeOf(() => cosine.upsert(['a', 'b'], Float32Array.of(1, 0, 0, 0, 0, 0)))).toBe('DRIFT_ZERO_VECTOR')
  expect(cosine.count).toBe(0)
  const l2 = new VectorIndex({ dim: DIM, metric: 'l2' })
  l2.upsert(['a', 'b'], Float32Array.of(1, 0, 0, 0, 0, 0))
  expect(l2.searchSync(new Float32Array(DIM), { k: 2 }).ids).toEqual(['b', 'a'])
})

it('load takes vectors as vectorAt gives them: under cosine others are refused', () => {
  const cosine = new VectorIndex({ dim: DIM, metric: 'cosine' })
  expect(codeOf(() => cosine.load(['a', 'b'], Float32Array.of(1, 0, 0, 1, 1, 0)))).toBe('DRIFT_VECTOR_VALUE')
  expect(cosine.count).toBe(0)
  cosine.upsert(['a'], ok)
  const unit = cosine.vectorAt(0)
  const other = new VectorIndex({ dim: DIM, metric: 'cosine' })
  const [row] = other.load(['a'], unit)
  expect(other.vectorAt(row!)).toEqual(unit)
})

it('vectors whose distances would overflow float32 are refused, except under cosine, which takes their direction', () => {
  const huge = Float32Array.of(1e19, 1e19, 0)
  for (const metric of ['l2', 'ip'] as const) {
    const index = new VectorIndex({ dim: DIM, metric })
    expect(codeOf(() => index.upsert(['a'], huge))).toBe('DRIFT_VECTOR_VALUE')
    index.upsert(['a', 'b'], Float32Array.of(9e18, 0, 0, -9e18, 0, 0))
    const { ids, distances } = index.searchSync(Float32Array.of(9e18, 0, 0), { k: 2 })
    expect(ids).toEqual(['a', 'b'])
    expect(distances.every(Number.isFinite)).toBe(true)
  }
  const cosine = new VectorIndex({ dim: DIM, metric: 'cosine' })
  cosine.upsert(['a'], huge)
  expect(cosine.searchSync(Float32Array.of(1e-30, 1e-30, 0), { k: 1 }).distances[0]).toBeCloseTo(0, 6)
})

it.each<[string, object]>([
  ['DRIFT_DIMENSION', { dim: 0, metric: 'l2' }],
  ['DRIFT_DIMENSION', { dim: 4097, metric: 'l2' }],
  ['DRIFT_DIMENSION', { dim: 1.5, metric: 'l2' }],
  ['DRIFT_DIMENSION', { metric: 'l2' }],
  ['DRIFT_METRIC', { dim: 3 }],
  ['DRIFT_METRIC', { dim: 3, metric: 'euclid' }],
  ['DRIFT_OPTION', { dim: 3, metric: 'l2', memtableRows: 0 }],
  ['DRIFT_OPTION', { dim: 3, metric: 'l2', bucketRows: 1 }],
  ['DRIFT_OPTION', { dim: 3, metric: 'l2', M: 1 }],
  ['DRIFT_OPTION', { dim: 3, metric: 'l2', efConstruction: 0 }],
  ['DRIFT_OPTION', { dim: 3, metric: 'l2', seed: -1 }],
])('an option is refused with %s: %o', (code, options) => {
  expect(codeOf(() => new VectorIndex(options as { dim: number; metric: Metric }))).toBe(code)
})

it('threads must be an integer of 0..256, and a pool of 0 threads is no pool', async () => {
  expect(codeOf(() => new IndexPool({ threads: -1 }))).toBe('DRIFT_THREADS')
  expect(codeOf(() => new IndexPool({ threads: 1.5 }))).toBe('DRIFT_THREADS')
  const pool = new IndexPool({ threads: 0 })
  const index = new VectorIndex({ dim: DIM, metric: 'l2', pool })
  index.upsert(['a'], ok)
  expect((await index.searchBatch(ok, { k: 1 })).ids).toEqual(['a'])
  await pool.close()
})

it('the largest and the smallest dimension work', async () => {
  for (const dim of [1, 4096]) {
    const index = new VectorIndex({ dim, metric: 'l2' })
    index.upsert(['zero', 'one'], new Float32Array(2 * dim).fill(1, dim))
    await index.flush(index.rotate()!)
    expect(index.searchSync(new Float32Array(dim).fill(0.9), { k: 2 }).ids).toEqual(['one', 'zero'])
  }
})

describe('options that are misspelt or missing', () => {
  const options = { dim: DIM, metric: 'l2' } as const
  const random = () => 0.5
  const merge = { kind: 'merge', bucket: 0, gain: 1, moves: 1, policy: 'drift', serial: 1 } as const
  const index = new VectorIndex(options)
  index.upsert(['a', 1, 1n], Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1))
  const rows = new Float32Array(8 * DIM).fill(1)

  it.each<[string, () => unknown]>([
    ['VectorIndex', () => new VectorIndex({ dim: DIM, metric: 'l2', memtablerows: 8 } as never)],
    ['IndexPool', () => new IndexPool({ threads: 0, thread: 1 } as never)],
    ['a search', () => index.searchSync(ok, { k: 1, recal: 1 } as never)],
    ['an explanation', () => index.explain(ok, { k: 1, recal: 1 } as never, () => 0)],
    ['kmeans', () => kmeans(rows, DIM, { k: 2, seed: 1, iteration: 3 } as never)],
    ['hierarchicalKmeans', () => hierarchicalKmeans(rows, DIM, { seed: 1, targetRow: 3 } as never)],
    ['trainSq8', () => trainSq8(rows, { dim: DIM, clipped: 0 } as never)],
    ['trainPq', () => trainPq(rows, { dim: DIM, subspaces: 1, seed: 1, bit: 4 } as never)],
    ['trainSign', () => trainSign(rows, { dim: DIM, seeds: 1 } as never)],
    ['plan', () => index.plan({ polcy: 'paper' } as never)],
    ['shadow', () => new VectorIndex({ ...options, shadow: { share: 1, random, lern: false } as never })],
  ])('of %s are refused by name', (_, call) => {
    expect(codeOf(call)).toBe('DRIFT_UNKNOWN_OPTION')
  })

  it.each<[string, () => Promise<unknown>]>([
    ['search', () => index.search(ok, { k: 1, recal: 1 } as never)],
    ['searchBatch', () => index.searchBatch(ok, { k: 1, recal: 1 } as never)],
    ['within', () => index.within(ok, 1, { alow: new Uint32Array(1) } as never)],
    ['maintain', () => index.maintain({ budjet: 3 } as never)],
    ['build', () => VectorIndex.build({ dim: DIM, metric: 'l2' }, rows, { names: [] } as never)],
    ['planInSlices', () => index.planInSlices({ polcy: 'paper' } as never)],
    ['apply', () => index.apply(merge, { budjet: 3 } as never)],
    ['flush', () => index.flush(index.activeMemtable, { signals: [] } as never)],
    ['assign', () => index.assign(Uint32Array.of(), { signals: [] } as never)],
    ['placeTails', () => index.placeTails({ signals: [] } as never)],
    ['refine', () => index.refine({ calibrate: false } as never)],
    ['calibrate', () => index.calibrate({ rough: true } as never)],
  ])('of %s are refused by name', async (_, call) => {
    await expect(call()).rejects.toMatchObject({ code: 'DRIFT_UNKNOWN_OPTION' })
  })

  it.each<[string, () => unknown]>([
    ['a signal that is none', () => index.refine({ signal: 3 as never })],
    ['a callback that is none', () => index.maintain({ onProgress: 3 as never })],
    ['a pace that is none', () => index.calibrate({ between: 3 as never })],
    ['no operation', () => index.apply(undefined as never)],
    ['an operation of no plan', () => index.apply({ kind: 'split' } as never)],
    ['an unknown policy', () => index.apply({ ...merge, policy: 'best' as never })],
    ['a share of queries over 1', async () => new VectorIndex({ ...options, shadow: { share: 3, random } })],
    ['no source of chance', async () => new VectorIndex({ ...options, shadow: { share: 1 } as never })],
  ])('of maintenance, %s is refused', async (_, call) => {
    await expect(call()).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
  })

  it.each<[string, (options: never) => unknown]>([
    ['VectorIndex', options => new VectorIndex(options)],
    ['IndexPool', options => new IndexPool(options)],
    ['a search', options => index.searchSync(ok, options)],
    ['kmeans', options => kmeans(rows, DIM, options)],
    ['hierarchicalKmeans', options => hierarchicalKmeans(rows, DIM, options)],
    ['trainSq8', options => trainSq8(rows, options)],
    ['trainPq', options => trainPq(rows, options)],
    ['trainSign', options => trainSign(rows, options)],
  ])('of %s are asked for', (_, call) => {
    expect(codeOf(() => call(undefined as never))).toBe('DRIFT_OPTION')
  })

  it.each<[string, (options: never) => Promise<unknown>]>([
    ['search', options => index.search(ok, options)],
    ['searchBatch', options => index.searchBatch(ok, options)],
    ['build', options => VectorIndex.build({ dim: DIM, metric: 'l2' }, rows, options)],
  ])('of %s are an object, and a signal in them is one', async (name, call) => {
    const k = name === 'build' ? {} : { k: 1 }
    for (const options of [null, { ...k, signal: {} }, { ...k, signal: new AbortController() }]) {
      await expect(call(options as never)).rejects.toMatchObject({ code: 'DRIFT_OPTION' })
    }
  })

  it('a pool is an IndexPool', () => {
    for (const pool of [{}, null]) {
      expect(codeOf(() => new VectorIndex({ dim: DIM, metric: 'l2', pool: pool as never }))).toBe(
        'DRIFT_OPTION',
      )
    }
  })

  it('a recall and a floor are numbers', () => {
    expect(codeOf(() => index.searchSync(ok, { k: 1, recall: '0.5' as never }))).toBe('DRIFT_RECALL')
    expect(codeOf(() => index.searchSync(ok, { k: 1, recall: null as never }))).toBe('DRIFT_RECALL')
    expect(codeOf(() => index.searchSync(ok, { k: 1, floor: '1' as never }))).toBe('DRIFT_FLOOR')
  })
})

describe('what no type keeps a JavaScript caller from', () => {
  it('text is no list of ids: it would delete by letters', () => {
    const index = new VectorIndex({ dim: DIM, metric: 'l2' })
    index.upsert(['a', 'b'], new Float32Array(2 * DIM).fill(1))
    expect(codeOf(() => index.delete('ab' as never))).toBe('DRIFT_ID')
    expect(codeOf(() => index.delete(undefined as never))).toBe('DRIFT_ID')
    expect(index.count).toBe(2)
  })

  it('rows to assign are a Uint32Array', async () => {
    const index = new VectorIndex({ dim: DIM, metric: 'l2' })
    index.upsert(['a'], ok)
    for (const rows of [[0], undefined, null, 'ab'])
      await expect(index.assign(rows as never)).rejects.toMatchObject({ code: 'DRIFT_ROW' })
  })

  it('an explanation reads a clock that is a function', () => {
    const index = new VectorIndex({ dim: DIM, metric: 'l2' })
    expect(codeOf(() => index.explain(ok, { k: 1 }, 3 as never))).toBe('DRIFT_OPTION')
    expect(codeOf(() => index.explain(ok, { k: 1 }))).toBe('no error')
  })

  it('what idle time is worth is a number, or nothing would ever be paid for', () => {
    for (const idleMovesPerMs of [Number.NaN, -1, 'many'])
      expect(codeOf(() => new Scheduler({ idleMovesPerMs: idleMovesPerMs as never }))).toBe('DRIFT_OPTION')
    expect(codeOf(() => new Scheduler({ idleMovesPerMs: 0 }))).toBe('no error')
  })

  it('rows that never were have no vectors', () => {
    const index = new VectorIndex({ dim: DIM, metric: 'l2' })
    index.upsert(['a'], ok)
    expect(codeOf(() => index.readVectors(Uint32Array.of(0, 1)))).toBe('DRIFT_ROW')
    expect(codeOf(() => index.sharedVectors(Uint32Array.of(7)))).toBe('DRIFT_ROW')
  })

  it('only a memtable can be flushed or listed', async () => {
    const index = new VectorIndex({ dim: DIM, metric: 'l2' })
    for (const memtable of [undefined, {}]) {
      await expect(index.flush(memtable as never)).rejects.toMatchObject({ code: 'DRIFT_MEMTABLE' })
      expect(codeOf(() => index.liveRows(memtable as never))).toBe('DRIFT_MEMTABLE')
    }
  })

  it('a batch asks for so many results that arrays can hold', async () => {
    const index = new VectorIndex({ dim: DIM, metric: 'l2' })
    index.upsert(['a'], ok)
    const queries = new Float32Array(2 * DIM).fill(1)
    await expect(index.searchBatch(queries, { k: 2 ** 26 })).rejects.toMatchObject({ code: 'DRIFT_K' })
    expect((await index.searchBatch(queries, { k: 2 ** 20 })).ids.filter(id => id === 'a')).toHaveLength(2)
    await expect(index.searchBatch(undefined as never, { k: 1 })).rejects.toMatchObject({
      code: 'DRIFT_VECTOR_VALUE',
    })
  })

  it('a quantizer is trained on vectors, and read from bytes', () => {
    expect(codeOf(() => trainSq8(undefined as never, { dim: DIM }))).toBe('DRIFT_VECTOR_VALUE')
    expect(codeOf(() => deserialiseQuantizer(undefined as never))).toBe('DRIFT_QUANTIZER_CORRUPT')
    const quantizer = trainSq8(ok, { dim: DIM })
    expect(codeOf(() => quantizer.encode(undefined as never))).toBe('DRIFT_VECTOR_VALUE')
    expect(
      codeOf(() =>
        quantizer.distances('l2', undefined as never, quantizer.encode(ok), 1, new Float32Array(1)),
      ),
    ).toBe('DRIFT_VECTOR_VALUE')
  })
})

it('an index says why it is closed', () => {
  const index = new VectorIndex({ dim: DIM, metric: 'l2' })
  index.close(() => new RangeError('the shop is shut'))
  index.close()
  expect(() => index.find('a')).toThrow('the shop is shut')
})
