// The kernels of the partitioned index: every variant finds what comparing all pairs finds when nothing is left out, keeps to live and
// allowed rows, and agrees with the reference about buckets; the estimate of an entry is unbiased and off as far as theory says.
import { describe, expect, it } from 'vitest'
import {
  type AllowedRows,
  BLOCK_ENTRIES,
  blockBytes,
  blockRowsAt,
  blocksOfHalves,
  CODEWORD_VALUES,
  CODEWORDS,
  clearBlock,
  codebookLength,
  type IndexQuery,
  type IndexSlabs,
  type KernelMetric,
  kernelsOf,
  NOT_COUNTED,
  PROBE_WORDS,
  paddedDim,
  supportedVariants,
} from '../lib/index.js'
import { scanSigns, writeSigns } from '../lib/reference/signs.js'
import { type Random, random } from './random.js'

const reference = kernelsOf('reference')
const ROWS = 400
const BUCKETS = 20
const BUCKET_BLOCKS = Math.ceil((2 * ROWS) / BLOCK_ENTRIES)
const TAIL_BLOCKS = Math.ceil(ROWS / BLOCK_ENTRIES)
const NONE = 0xffff_ffff

const shared = {
  floats: (length: number) => new Float32Array(new SharedArrayBuffer(4 * length)),
  words: (length: number) => new Uint32Array(new SharedArrayBuffer(4 * length)),
  bytes: (length: number) => new Uint8Array(new SharedArrayBuffer(length)),
}

/** Rows around a few centres, in the buckets of the reference, two each. */
function filled(metric: KernelMetric, dim: number, r: Random): IndexSlabs {
  const padded = paddedDim(dim)
  const blocks = BUCKETS * BUCKET_BLOCKS + TAIL_BLOCKS
  const index: IndexSlabs = {
    metric,
    routing: metric,
    dim,
    padded,
    flips: shared.words(4 * padded).map(() => (r.unit() < 0.5 ? 0 : 0x8000_0000)),
    vectors: shared.floats(ROWS * dim),
    codes: shared.bytes(ROWS * padded),
    factors: shared.floats(2 * ROWS),
    live: shared.words(Math.ceil(ROWS / 32)),
    centroids: shared.floats(BUCKETS * padded),
    centroidCodes: shared.bytes(BUCKETS * padded),
    centroidFactors: shared.floats(2 * BUCKETS),
    router: shared.bytes(blockBytes(padded)),
    center: shared.floats(padded),
    heads: shared.words(BUCKETS),
    sizes: shared.words(BUCKETS),
    lives: shared.words(BUCKETS),
    next: shared.words(blocks),
    blocks: shared.bytes(blocks * blockBytes(padded)),
    rowLimit: ROWS,
    bucketCount: BUCKETS,
  }
  // `map` leaves shared memory, so what the kernels are given is filled in place.
  const flips = shared.words(4 * padded)
  flips.set(index.flips)
  const whole = { ...index, flips }
  const { vectors, codes, factors, live, centroids } = whole
  for (let i = 0; i < vectors!.length; i++) vectors![i] = Math.floor(i / dim) % 7 === i % 7 ? 3 : r.normal()
  live.fill(NONE)
  const rotated = new Float32Array(ROWS * padded)
  reference.rotate(vectors!, dim, padded, 0, ROWS, flips, rotated)
  reference.sq8Encode(rotated, padded, 0, ROWS, codes, factors)
  for (let b = 0; b < BUCKETS; b++) centroids.set(rotated.subarray(b * padded, (b + 1) * padded), b * padded)
  reference.sq8Encode(centroids, padded, 0, BUCKETS, whole.centroidCodes, whole.centroidFactors)
  clearBlock(new Uint32Array(whole.router.buffer), padded)
  reference.indexRouteEntries(whole, 0, BUCKETS)
  place(whole)
  return whole
}

/** Share of the blocks' bytes from .. to - 1 in which they differ. */
function differing(a: IndexSlabs, b: IndexSlabs, from: number, to: number): number {
  const bytes = blockBytes(a.padded)
  const isOther = a.blocks.map((byte, i) =>
    i % bytes >= from && i % bytes < to && byte !== b.blocks[i] ? 1 : 0,
  )
  return isOther.reduce((sum, other) => sum + other, 0) / (a.blocks.length * ((to - from) / bytes))
}

/** add and scale of the block's entries. */
function factorsOf({ blocks, padded }: IndexSlabs, block: number): Float32Array {
  return new Float32Array(blocks.buffer, block * blockBytes(padded) + 4 * padded, 2 * BLOCK_ENTRIES)
}

function place(index: IndexSlabs, k = reference): void {
  const { padded } = index
  const home = new Uint32Array(ROWS)
  const second = new Uint32Array(ROWS)
  const rows = Uint32Array.from({ length: ROWS }, (_, i) => i)
  reference.indexAssign(index, rows, 0, ROWS, home, second)
  index.next.fill(NONE)
  const wordsPerBlock = blockBytes(padded) / 4
  const words = new Uint32Array(index.blocks.buffer)
  const perBucket = BUCKET_BLOCKS
  for (let b = 0; b < BUCKETS; b++) {
    for (let block = b * perBucket; block < (b + 1) * perBucket; block++) {
      clearBlock(words.subarray(block * wordsPerBlock, (block + 1) * wordsPerBlock), padded)
      if (block > b * perBucket) index.next[block - 1] = block
    }
    const members = rows.filter(row => home[row] === b || second[row] === b)
    index.heads[b] = b * perBucket
    index.sizes[b] = members.length
    index.lives[b] = members.length
    const slots = members.map((_, i) => b * perBucket * BLOCK_ENTRIES + i)
    k.indexAppend(
      index,
      members,
      members.map(() => b),
      slots,
      members.length,
    )
  }
}

function asking(ask: Partial<IndexQuery>): IndexQuery {
  const none = {
    probes: 0,
    floor: 0,
    least: 0,
    rerank: ROWS,
    part: 0,
    parts: 1,
    allow: undefined,
    trace: undefined,
  }
  const estimate = {
    byRank: -1.1,
    byRatio: -3.5,
    bySize: 0.6,
    meanLives: (2 * ROWS) / BUCKETS,
    near: 10,
    flat: 0,
    flatTimes: 1,
    far: Number.POSITIVE_INFINITY,
    farTimes: 1,
  }
  return {
    k: 10,
    ...none,
    ...estimate,
    extra: new Uint32Array(0),
    extraCount: 0,
    tails: new Uint32Array(0),
    tailWords: 0,
    ...ask,
  }
}

/** With nothing known of it. */
function allowed(index: IndexSlabs, bits: Uint32Array): AllowedRows {
  return {
    bits,
    counts: new Uint32Array(BUCKETS).fill(NOT_COUNTED),
    masks: new Uint32Array(index.next.length),
  }
}

/** What `ask` takes of the rows, coded by `k` in tails of as many blocks as `sizes` says, each around one of its rows. */
function tailsOf(
  k: typeof reference,
  index: IndexSlabs,
  rows: Uint32Array,
  sizes: readonly number[],
): Pick<IndexQuery, 'tails' | 'tailWords'> {
  const { padded, codes, factors } = index
  const bytes = blockBytes(padded)
  const words: number[] = []
  let block = BUCKETS * BUCKET_BLOCKS
  let done = 0
  for (const size of sizes) {
    const some = rows.subarray(done, done + size * BLOCK_ENTRIES)
    const row = some[0]!
    const reference = Float32Array.from(
      codes.subarray(row * padded, (row + 1) * padded),
      code => 0.5 * factors[2 * row]! * (code - 128),
    )
    for (let i = 0; i < size; i++) {
      clearBlock(new Uint32Array(index.blocks.buffer, (block + i) * bytes, bytes / 4), padded)
    }
    const slots = some.map((_, i) => block * BLOCK_ENTRIES + i)
    k.indexAppendTail(index, reference, some, slots, some.length)
    words.push(
      size,
      ...new Uint32Array(reference.buffer),
      ...Array.from({ length: size }, (_, i) => block + i),
    )
    block += size
    done += some.length
  }
  return { tails: Uint32Array.from([...words, 1, 2, 3]), tailWords: words.length }
}

function rowsIn(index: IndexSlabs, bucket: number): number[] {
  const rows: number[] = []
  for (let block = index.heads[bucket]!; block < index.next.length; block = index.next[block]!) {
    const at = index.blocks.byteOffset + block * blockBytes(index.padded) + 4 * blockRowsAt(index.padded)
    rows.push(...new Uint32Array(index.blocks.buffer, at, BLOCK_ENTRIES))
  }
  return rows.filter(row => row !== 0xffff_ffff)
}

/** By codes: the distances of all rows, and of each the least bound of its entries, `slack` times what their estimates are off by below these. */
function codedOf(
  index: IndexSlabs,
  query: Float32Array,
  slack: number,
): { distances: Float32Array; bounds: Float32Array } {
  const { metric, dim, padded, flips, codes, factors, centroids, blocks } = index
  const rotated = new Float32Array(padded)
  reference.rotate(query, dim, padded, 0, 1, flips, rotated)
  const queryCodes = new Int8Array(padded)
  const queryFactors = new Float32Array(3)
  reference.sq8Query(rotated, queryCodes, queryFactors)
  const distances = new Float32Array(ROWS)
  reference.sq8Distances(metric, queryCodes, queryFactors, codes, factors, padded, 0, ROWS, distances)
  const bounds = new Float32Array(ROWS).fill(Number.POSITIVE_INFINITY)
  const ofBlock = new Float32Array(BLOCK_ENTRIES)
  const [base, squared] = [metric, 'l2' as const].map(by => {
    const out = new Float32Array(BUCKETS)
    reference.distances(by, rotated, centroids, padded, 0, BUCKETS, out)
    return out
  }) as [Float32Array, Float32Array]
  for (let b = 0; b < BUCKETS; b++) {
    for (let block = index.heads[b]!; block < index.next.length; block = index.next[block]!) {
      const at = block * blockBytes(padded)
      scanSigns(rotated, blocks, at, base[b]!, slack * Math.sqrt(squared[b]!), ofBlock)
      const rows = new Uint32Array(blocks.buffer, at + 4 * blockRowsAt(padded), BLOCK_ENTRIES)
      for (const [slot, row] of rows.entries()) {
        if (row !== NONE) bounds[row] = Math.min(bounds[row]!, ofBlock[slot]!)
      }
    }
  }
  return { distances, bounds }
}

function nearest(
  index: IndexSlabs,
  query: Float32Array,
  k: number,
  counts = (_row: number) => true,
): number[] {
  const distances = new Float32Array(ROWS)
  reference.distances(index.metric, query, index.vectors!, index.dim, 0, ROWS, distances)
  return Array.from({ length: ROWS }, (_, row) => row)
    .filter(counts)
    .sort((a, b) => distances[a]! - distances[b]! || a - b)
    .slice(0, k)
}

describe.each(supportedVariants())('%s', variant => {
  const kernels = kernelsOf(variant)
  const search = (index: IndexSlabs, query: Float32Array, ask: IndexQuery) => {
    const rows = new Uint32Array(ask.k + 1).fill(7777)
    const distances = new Float32Array(ask.k + 1)
    const effort = new Uint32Array(3)
    const found = kernels.indexSearch(index, ask, query, rows, distances, 1, effort)
    expect(rows[0]).toBe(7777)
    return { rows: [...rows.subarray(1, 1 + found)], effort }
  }

  it.each([1, 7, 64, 65, 129, 384, 1536])(
    'a rotation of %i values has the bits of the reference and keeps lengths',
    dim => {
      const r = random(dim)
      const padded = paddedDim(dim)
      const flips = Uint32Array.from({ length: 4 * padded }, () => (r.unit() < 0.5 ? 0 : 0x8000_0000))
      const rows = Float32Array.from({ length: 3 * dim }, () => r.normal())
      const [mine, theirs] = [new Float32Array(2 * padded), new Float32Array(2 * padded)]
      kernels.rotate(rows, dim, padded, 1, 2, flips, mine)
      reference.rotate(rows, dim, padded, 1, 2, flips, theirs)
      expect(new Uint32Array(mine.buffer)).toEqual(new Uint32Array(theirs.buffer))
      const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + x * b[i]!, 0)
      const [a, b] = [rows.subarray(dim, 2 * dim), rows.subarray(2 * dim)]
      expect(dot(mine.subarray(0, padded), mine.subarray(padded))).toBeCloseTo(dot(a, b), 3)
      expect(dot(mine.subarray(0, padded), mine.subarray(0, padded)) / dot(a, a)).toBeCloseTo(1, 4)
    },
  )

  describe.each(['l2', 'ip'] as const)('%s', metric => {
    it.each([3, 64, 100])(
      'with all buckets and codes compared, the nearest of %i dimensions are found',
      dim => {
        const r = random(dim)
        const index = filled(metric, dim, r)
        for (let i = 0; i < 10; i++) {
          const query = Float32Array.from({ length: dim }, () => r.normal())
          const { rows, effort } = search(index, query, asking({ probes: BUCKETS }))
          expect(rows).toEqual(nearest(index, query, 10))
          expect(effort[0]).toBe(BUCKETS)
          expect(effort[1]).toBe(2 * ROWS)
        }
      },
    )

    it('the parts of a search add up to the whole, and a row of two buckets counts once', () => {
      const r = random(5)
      const index = filled(metric, 40, r)
      const query = Float32Array.from({ length: 40 }, () => r.normal())
      const halves = [0, 1].flatMap(part => search(index, query, asking({ probes: 8, part, parts: 2 })).rows)
      const { rows } = search(index, query, asking({ probes: 8 }))
      for (const row of rows) expect(halves).toContain(row)
      expect(new Set(rows).size).toBe(10)
    })

    it('scans the buckets that the estimate finds worth their cost, and says which', () => {
      const r = random(9)
      const index = filled(metric, 40, r)
      const trace = new Uint32Array(PROBE_WORDS * BUCKETS)
      const floats = new Float32Array(trace.buffer)
      for (const floor of [1e-4, 0.003, 0.01, 0.03]) {
        const query = Float32Array.from({ length: 40 }, () => r.normal())
        index.lives[3] = 0
        const all = search(index, query, asking({ probes: BUCKETS, trace }))
        expect(all.effort[0]).toBe(BUCKETS)
        const hits = new Map(
          Array.from({ length: BUCKETS }, (_, i) => [trace[4 * i]!, floats[4 * i + 3]!] as const),
        )
        // The formula, from what the trace says of ranks and distances.
        const squared = (i: number) => floats[4 * i + 2]!
        const nearest = index.lives[trace[0]!]! > 0 ? 0 : 1
        let nearer = 0
        for (let i = 0; metric === 'l2' && i < BUCKETS; i++) {
          const n = index.lives[trace[4 * i]!]!
          const expected =
            (1 + nearer / 40) ** -1.1 * (squared(i) / Math.max(1e-37, squared(nearest))) ** -3.5 * n ** 0.6
          expect(Math.abs(floats[4 * i + 3]! - expected)).toBeLessThanOrEqual(3e-3 * expected)
          expect(trace[4 * i + 1]).toBe(i)
          nearer += n
        }
        const worthy = [...hits].filter(
          ([bucket, hit]) => hit > 0 && hit >= floor * (16 + index.sizes[bucket]!),
        )
        const { effort } = search(index, query, asking({ floor, trace }))
        const scanned = [...trace.filter((_, i) => i % 4 === 0)].slice(0, effort[0])
        expect(scanned).toEqual(worthy.map(([bucket]) => bucket))
        expect(scanned).not.toContain(3)
        const least = search(index, query, asking({ floor: 1e9, least: 100, trace }))
        const entries = [...trace.filter((_, i) => i % 4 === 0)]
          .slice(0, least.effort[0])
          .reduce((sum, bucket) => sum + index.lives[bucket]!, 0)
        expect(entries).toBeGreaterThanOrEqual(100)
        expect(entries).toBeLessThan(100 + Math.max(...index.lives))
        const allow = index.live.slice()
        for (const row of rowsIn(index, scanned[0]!)) allow[row >>> 5]! &= ~(1 << (row & 31))
        const without = search(index, query, asking({ floor, trace, allow: allowed(index, allow) }))
        expect([...trace.filter((_, i) => i % 4 === 0)].slice(0, without.effort[0])).not.toContain(scanned[0])
      }
    })

    it('distances are in units of where as many entries are as are asked for, and a flat query and a far one have floors of their own', () => {
      const r = random(10)
      const index = filled(metric, 40, r)
      const trace = new Uint32Array(PROBE_WORDS * BUCKETS)
      const floats = new Float32Array(trace.buffer)
      const query = Float32Array.from({ length: 40 }, () => r.normal())
      search(index, query, asking({ probes: BUCKETS, trace }))
      const order = [...trace.filter((_, i) => i % 4 === 0)]
      index.lives[order[0]!] = 4
      search(index, query, asking({ probes: BUCKETS, near: 10, trace }))
      const squared = (i: number) => floats[4 * i + 2]!
      const unit = (4 * squared(0) + 6 * squared(1)) / 10
      for (let i = 2, nearer = 4 + index.lives[order[1]!]!; metric === 'l2' && i < BUCKETS; i++) {
        const n = index.lives[order[i]!]!
        const expected = (1 + nearer / 40) ** -1.1 * (squared(i) / unit) ** -3.5 * n ** 0.6
        expect(Math.abs(floats[4 * i + 3]! - expected)).toBeLessThanOrEqual(3e-3 * expected)
        nearer += n
      }
      const scanned = (ask: Partial<IndexQuery>) => {
        const { effort } = search(index, query, asking({ ...ask, trace }))
        return [...trace.filter((_, i) => i % 4 === 0)].slice(0, effort[0])
      }
      const [few, many] = [scanned({ floor: 0.01 }), scanned({ floor: 0.001 })]
      expect(many.length).toBeGreaterThan(few.length)
      expect(scanned({ floor: 0.01, flat: 1e9, flatTimes: 0.1 })).toEqual(many)
      expect(scanned({ floor: 0.01, flat: 1, flatTimes: 0.1 })).toEqual(few)
      expect(scanned({ floor: 0.01, far: 0, farTimes: 0.1 })).toEqual(many)
      expect(scanned({ floor: 0.01, far: 1e9, farTimes: 0.1 })).toEqual(few)
      expect(scanned({ floor: 0.1, flat: 1e9, flatTimes: 0.1, far: 0, farTimes: 0.01 })).toEqual(many)
    })

    it.runIf(metric === 'ip')(
      'the length of a query changes neither what is scanned nor what is found',
      () => {
        const r = random(12)
        const index = filled(metric, 40, r)
        const trace = new Uint32Array(PROBE_WORDS * BUCKETS)
        const floats = new Float32Array(trace.buffer)
        const told = (query: Float32Array, ask: Partial<IndexQuery>) => {
          const { rows, effort } = search(index, query, asking({ near: 10, ...ask, trace }))
          const probes = Array.from({ length: effort[0]! }, (_, i) => 4 * i)
          return {
            rows,
            effort,
            buckets: probes.map(at => trace[at]),
            distances: probes.map(at => floats[at + 2]!),
          }
        }
        for (let i = 0; i < 10; i++) {
          const query = Float32Array.from({ length: 40 }, () => r.normal())
          for (const ask of [{ floor: 0.003 }, { probes: 5 }]) {
            const { distances, ...alike } = told(query, ask)
            for (const times of [2 ** -30, 0.5, 2 ** 30]) {
              const { distances: longer, ...same } = told(
                query.map(x => times * x),
                ask,
              )
              expect(same).toEqual(alike)
              expect(longer).toEqual(distances.map(distance => times * distance))
            }
          }
        }
      },
    )

    it.runIf(metric === 'ip')('a centroid whose squared length overflows says nothing of lengths', () => {
      const r = random(13)
      const index = filled(metric, 40, r)
      const query = Float32Array.from({ length: 40 }, () => r.normal())
      const before = search(index, query, asking({ probes: 5 }))
      index.centroidFactors[1] = Number.POSITIVE_INFINITY
      expect(search(index, query, asking({ probes: 5 }))).toEqual(before)
    })

    it('queries in one call get what each gets alone, in their places', () => {
      const r = random(14)
      const index = filled(metric, 40, r)
      const [count, stride] = [9, 12]
      const queries = Float32Array.from({ length: count * 40 }, () => r.normal())
      const extra = Uint32Array.of(11, 13)
      for (const ask of [
        { floor: 0.01, extra, extraCount: 2 },
        { probes: 1, k: 12 },
      ]) {
        for (const k of [kernels, reference]) {
          const rows = new Uint32Array(count * stride).fill(NONE)
          const distances = new Float32Array(count * stride).fill(-1)
          const counts = new Uint32Array(count).fill(NONE)
          k.indexSearchMany(index, asking(ask), queries, 2, 5, stride, rows, distances, counts)
          for (let q = 0; q < count; q++) {
            const mine = rows.subarray(q * stride, (q + 1) * stride)
            if (q < 2 || q >= 7) {
              expect(counts[q]).toBe(NONE)
              expect(new Set(mine)).toEqual(new Set([NONE]))
              continue
            }
            const alone = search(index, queries.subarray(q * 40, (q + 1) * 40), asking(ask)).rows
            expect([...mine.subarray(0, counts[q])]).toEqual([...alone])
            expect(distances[q * stride + counts[q]! - 1]).not.toBe(-1)
          }
        }
      }
      const few = new Uint32Array(3)
      const room = new Float32Array(3 * stride)
      const call = (width: number, ask: Partial<IndexQuery> = {}) =>
        kernels.indexSearchMany(
          index,
          asking(ask),
          queries,
          0,
          3,
          width,
          new Uint32Array(3 * stride),
          room,
          few,
        )
      expect(() => call(9)).toThrow(/stride/)
      expect(() => call(13)).toThrow(/outRow/)
      expect(() => call(stride, { trace: new Uint32Array(4) })).toThrow(/trace/)
    })

    it('rows that are dead, beyond the limit or not allowed are not found; rows named beside the buckets are', () => {
      const r = random(6)
      const index = filled(metric, 40, r)
      const query = Float32Array.from({ length: 40 }, () => r.normal())
      for (let row = 0; row < ROWS; row += 3) index.live[row >>> 5]! &= ~(1 << (row & 31))
      index.rowLimit = 390
      const allow = new Uint32Array(index.live.length)
      for (let row = 0; row < ROWS; row += 5) allow[row >>> 5]! |= 1 << (row & 31)
      const lives = (row: number) => row % 3 !== 0 && row < 390
      expect(search(index, query, asking({ probes: BUCKETS })).rows).toEqual(nearest(index, query, 10, lives))
      const both = (row: number) => lives(row) && row % 5 === 0
      expect(search(index, query, asking({ probes: BUCKETS, allow: allowed(index, allow) })).rows).toEqual(
        nearest(index, query, 10, both),
      )
      const extra = Uint32Array.of(11, 13, 13, 12, 395)
      expect(search(index, query, asking({ extra, extraCount: 5 })).rows.sort()).toEqual([11, 13])
    })

    it.each([3, 64, 100])('rows of %i dimensions are found in tails as among those named', dim => {
      const r = random(dim)
      const index = filled(metric, dim, r)
      const rows = Uint32Array.from({ length: ROWS }, (_, i) => (i * 7) % ROWS)
      for (let row = 0; row < ROWS; row += 3) index.live[row >>> 5]! &= ~(1 << (row & 31))
      index.rowLimit = 390
      const allow = new Uint32Array(index.live.length)
      for (let row = 0; row < ROWS; row += 5) allow[row >>> 5]! |= index.live[row >>> 5]! & (1 << (row & 31))
      const tails = tailsOf(kernels, index, rows, [5, 1, 7])
      let read = 0
      for (let i = 0; i < 10; i++) {
        const query = Float32Array.from({ length: dim }, () => r.normal())
        for (const ask of [{}, { allow: allowed(index, allow) }, { k: ROWS }, { probes: 3 }]) {
          const named = search(index, query, asking({ ...ask, extra: rows, extraCount: ROWS }))
          const { rows: found, effort } = search(index, query, asking({ ...ask, ...tails }))
          expect(found).toEqual(named.rows)
          expect(effort[0]).toBe(named.effort[0])
          const counted = 'allow' in ask ? [...rows].filter(row => row % 5 === 0 && row % 3 !== 0).length : 0
          expect(effort[1]).toBe(named.effort[1]! + counted)
        }
        read += search(index, query, asking({ rerank: 0, ...tails })).effort[2]!
      }
      // Of 260 rows that count. Few dimensions say little.
      if (dim > 64) expect(read).toBeLessThan(10 * 230)
    })

    it('entries of a tail have the signs of the reference, and its factors but for rounding', () => {
      const index = filled(metric, 100, random(15))
      const rows = Uint32Array.from({ length: ROWS }, (_, i) => i)
      const bytes = blockBytes(index.padded)
      const written = (k: typeof reference) => {
        tailsOf(k, index, rows, [TAIL_BLOCKS])
        return index.blocks.slice(BUCKETS * BUCKET_BLOCKS * bytes)
      }
      const [mine, theirs] = [written(kernels), written(reference)]
      for (let block = 0; block < TAIL_BLOCKS; block++) {
        const at = block * bytes
        const end = at + 4 * index.padded
        expect(mine.subarray(at, end)).toEqual(theirs.subarray(at, end))
        const factors = (of: Uint8Array) => [...new Float32Array(of.buffer, end, 2 * BLOCK_ENTRIES)]
        const [a, b] = [factors(mine), factors(theirs)]
        for (const [i, value] of a.entries()) expect(value).toBeCloseTo(b[i]!, 2)
      }
    })

    it('by codewords that are the corners of a cube, entries and what is found are those of signs', () => {
      const r = random(17)
      const signs = filled(metric, 100, r)
      const { padded } = signs
      const corners = shared.floats(codebookLength(padded))
      for (let i = 0; i < CODEWORDS * padded; i++) {
        const [b, word] = [Math.floor(i / CODEWORDS) % CODEWORD_VALUES, i % CODEWORDS]
        corners[i] = (word >> b) & 1 ? 1 : -1
      }
      corners[CODEWORDS * padded] = Math.sqrt(padded)
      const blocks = shared.bytes(signs.blocks.length)
      const words: IndexSlabs = {
        ...signs,
        blocks,
        next: shared.words(signs.next.length),
        codebooks: corners,
      }
      place(words, kernels)
      place(signs, kernels)
      expect(differing(signs, words, 0, 4 * padded)).toBeLessThan(1e-4)
      for (let block = 0; block < signs.next.length; block++) {
        const [a, b] = [factorsOf(signs, block), factorsOf(words, block)]
        for (const [i, value] of a.entries()) if (Number.isFinite(value)) expect(b[i]).toBeCloseTo(value, 2)
      }
      for (let i = 0; i < 10; i++) {
        const query = Float32Array.from({ length: 100 }, () => r.normal())
        const ask = asking({ probes: 8, rerank: 20 })
        expect(search(words, query, ask).rows).toEqual(search(signs, query, ask).rows)
      }
    })

    it.each([3, 64, 100])(
      'entries of %i dimensions by codewords are those of the reference, and find as much',
      dim => {
        const r = random(18)
        const padded = paddedDim(dim)
        const codebooks = shared.floats(codebookLength(padded))
        for (let i = 0; i < codebooks.length; i++) codebooks[i] = 0.9 * r.normal()
        codebooks[CODEWORDS * padded] = Math.sqrt(padded)
        const mine: IndexSlabs = { ...filled(metric, dim, r), codebooks }
        const blocks = shared.bytes(mine.blocks.length)
        const theirs: IndexSlabs = { ...mine, blocks, next: shared.words(mine.next.length) }
        place(mine, kernels)
        place(theirs, reference)
        expect(differing(mine, theirs, 0, 4 * padded)).toBeLessThan(1e-3)
        let hits = 0
        for (let i = 0; i < 20; i++) {
          const query = Float32Array.from({ length: dim }, () => r.normal())
          const wide = asking({ probes: BUCKETS })
          expect(search(mine, query, wide).rows).toEqual(nearest(mine, query, 10))
          const found = search(mine, query, asking({ probes: BUCKETS, rerank: 8 })).rows
          hits += nearest(mine, query, 10).filter(row => found.includes(row)).length
        }
        expect(hits).toBeGreaterThan(190)
      },
    )

    it('every row of what is scanned is read when all are to be', () => {
      const r = random(19)
      const index: IndexSlabs = { ...filled(metric, 100, r), readsAll: true }
      const rows = Uint32Array.from({ length: ROWS }, (_, i) => i)
      const query = Float32Array.from({ length: 100 }, () => r.normal())
      expect(search(index, query, asking({ k: 1, rerank: 0, probes: BUCKETS })).effort[2]).toBe(ROWS)
      const tails = tailsOf(kernels, index, rows, [TAIL_BLOCKS])
      expect(search(index, query, asking({ k: 1, rerank: 0, ...tails })).effort[2]).toBe(ROWS)
    })

    it.each([1e18, 1e30])(
      'a row %d times as long as others is found in a tail, and those beside it',
      times => {
        const index = filled(metric, 40, random(16))
        const rows = Uint32Array.from({ length: ROWS }, (_, i) => i)
        for (const row of [0, 50]) {
          index.factors[2 * row]! *= times
          index.factors[2 * row + 1]! *= times * times
          for (let i = 0; i < 40; i++) index.vectors![row * 40 + i]! *= times
        }
        const tails = tailsOf(kernels, index, rows, [1, TAIL_BLOCKS - 1])
        for (const row of [0, 50, 7, 70]) {
          const query = index.vectors!.slice(row * 40, (row + 1) * 40)
          const named = search(index, query, asking({ extra: rows, extraCount: ROWS }))
          expect(search(index, query, asking(tails)).rows).toEqual(named.rows)
          const all = search(index, query, asking({ k: ROWS, extra: rows, extraCount: ROWS }))
          expect(search(index, query, asking({ ...tails, k: ROWS })).rows).toEqual(all.rows)
        }
      },
    )

    it('what has a bound below the last of the answer is in it when it is nearer', () => {
      const r = random(14)
      const index = { ...filled(metric, 40, r), vectors: undefined }
      let passedOver = 0
      for (let i = 0; i < 16; i++) {
        const query = Float32Array.from({ length: 40 }, () => r.normal())
        const share = [1, 0.5, 0.1, 0.02][i % 4]!
        const bits = new Uint32Array(index.live.length)
        for (let row = 0; row < ROWS; row++) if (r.unit() < share) bits[row >>> 5]! |= 1 << (row & 31)
        const allow = share === 1 ? undefined : allowed(index, bits)
        const k = [1, 5, 30, ROWS][(i >>> 2) % 4]!
        const { rows, effort } = search(index, query, asking({ k, rerank: 0, probes: BUCKETS, allow }))
        // Half of the slack, as a search rounds the query.
        const { distances, bounds } = codedOf(index, query, 0.3)
        const limit = rows.length < k ? Number.POSITIVE_INFINITY : distances[rows.at(-1)!]! - 1e-3
        const found = new Set(rows)
        for (let row = 0; row < ROWS; row++) {
          const isAllowed = ((bits[row >>> 5]! >>> (row & 31)) & 1) === 1
          if (isAllowed && bounds[row]! < limit && distances[row]! < limit) expect(found).toContain(row)
        }
        if (share === 1) passedOver += ROWS - effort[2]!
      }
      expect(passedOver).toBeGreaterThan(ROWS)
    })
  })

  it('what a search finds out about a filter is true and changes no later answer', () => {
    const r = random(12)
    const index = filled('l2', 40, r)
    const trace = new Uint32Array(PROBE_WORDS * BUCKETS)
    for (const [every, floor] of [
      [2, 0.01],
      [9, 1e-3],
      [40, 1e-4],
    ] as const) {
      const bits = new Uint32Array(index.live.length)
      // Nothing near the first query: buckets without allowed rows are passed over there.
      const query = Float32Array.from({ length: 40 }, () => r.normal())
      const far = new Set(nearest(index, query, ROWS).slice(100))
      for (const row of far) if (row % every === 0) bits[row >>> 5]! |= 1 << (row & 31)
      const known = allowed(index, bits)
      for (let i = 0; i < 5; i++) {
        const ask = (allow: AllowedRows) => search(index, query, asking({ k: 5, floor, trace, allow }))
        const fresh = ask(allowed(index, bits))
        const buckets = [...trace].filter((_, j) => j % PROBE_WORDS === 0).slice(0, fresh.effort[0])
        expect(ask(known)).toEqual(fresh)
        expect(ask(known)).toEqual(fresh)
        for (const bucket of buckets) expect(known.counts[bucket]).toBeLessThan(NOT_COUNTED)
        for (let j = 0; j < 40; j++) query[j]! += r.normal() / 2
      }
      const is = (row: number) => ((bits[row >>> 5]! >>> (row & 31)) & 1) === 1
      for (let bucket = 0; bucket < BUCKETS; bucket++) {
        if (known.counts[bucket] === NOT_COUNTED) continue
        expect(known.counts[bucket]).toBe(rowsIn(index, bucket).filter(is).length)
        for (let block = index.heads[bucket]!; block < index.next.length; block = index.next[block]!) {
          const at = block * blockBytes(index.padded) + 4 * blockRowsAt(index.padded)
          const rows = new Uint32Array(index.blocks.buffer, index.blocks.byteOffset + at, BLOCK_ENTRIES)
          for (let slot = 0; slot < BLOCK_ENTRIES; slot++) {
            const isSet = ((known.masks[block]! >>> slot) & 1) === 1
            expect(isSet).toBe(rows[slot] !== NONE && is(rows[slot]!))
          }
        }
      }
    }
  })

  it('what is no index, or no query of one, is refused with a code', () => {
    const index = filled('l2', 64, random(9))
    const rows = new Uint32Array(ROWS)
    const out = new Float32Array(8)
    const query = new Float32Array(64)
    const refused = (call: () => unknown, what: string) =>
      expect(call, what).toThrow(expect.objectContaining({ code: 'DRIFT_KERNEL_ARGUMENT' }))
    const calls: Record<string, (given: never) => unknown> = {
      indexSearch: given => kernels.indexSearch(given, asking({}), query, rows, out, 0, rows),
      indexSearchMany: given => kernels.indexSearchMany(given, asking({}), query, 0, 0, 10, rows, out, rows),
      indexAppend: given => kernels.indexAppend(given, rows, rows, rows, 0),
      indexAppendTail: given => kernels.indexAppendTail(given, new Float32Array(64), rows, rows, 0),
      indexCopy: given => kernels.indexCopy(given, rows, rows, 0),
      indexCompact: given => kernels.indexCompact(given, rows, rows, 0, 0, 0, 0, 0),
      indexRouteEntries: given => kernels.indexRouteEntries(given, 0, 0),
      indexAssign: given => kernels.indexAssign(given, rows, 0, 0, rows, undefined),
      indexNear: given => kernels.indexNear(given, rows, 0, 0, 1, rows),
      indexHalve: given => kernels.indexHalve(given, rows, 0, 0, 0, 0, rows, out, new Uint8Array(0)),
      indexNeighbours: given => kernels.indexNeighbours(given, 0, 0, 1, rows),
    }
    const spoiled = Object.keys(index).flatMap(name =>
      [undefined, null, 'x', Symbol('x'), {}, new Float64Array(64)]
        .filter(value => name !== 'vectors' || value !== undefined)
        .map(value => ({ ...index, [name]: value })),
    )
    const unlike = [undefined, null, 5, 'index', Symbol('x'), {}, [], rows, { ...index, groups: null }]
    for (const [name, call] of Object.entries(calls)) {
      for (const given of [...unlike, ...spoiled]) refused(() => call(given as never), name)
    }
    const asks = Object.keys(asking({})).flatMap(name =>
      [null, 'x', Symbol('x'), {}].map(value => asking({ [name]: value })),
    )
    const broken = [[0], [1, ...query], [2, ...query, 0], [0, ...query, 0]].map(words =>
      asking({ tails: Uint32Array.from(words), tailWords: words.length }),
    )
    for (const ask of [undefined, null, 5, {}, ...asks, ...broken] as IndexQuery[]) {
      refused(() => kernels.indexSearch(index, ask, query, rows, out, 0, rows), JSON.stringify(ask))
      refused(
        () => kernels.indexSearchMany(index, ask, query, 0, 0, 10, rows, out, rows),
        JSON.stringify(ask),
      )
    }
  })

  it('rows get the buckets that the reference gives them, also among those listed as near', () => {
    const r = random(7)
    const index = filled('l2', 96, r)
    const rows = Uint32Array.from({ length: ROWS }, (_, i) => i)
    const assign = (k: typeof kernels, near?: Uint32Array) => {
      const [home, second] = [new Uint32Array(ROWS).fill(3), new Uint32Array(ROWS)]
      k.indexAssign(index, rows, 0, ROWS, home, second, near, 8)
      return [...home, ...second]
    }
    const list = (k: typeof kernels) => {
      const near = new Uint32Array(ROWS * 8)
      k.indexNear(index, rows, 0, ROWS, 8, near)
      return near
    }
    const near = list(kernels)
    for (const of of [undefined, near]) {
      const expected = assign(reference, of)
      const same = assign(kernels, of).filter((bucket, i) => bucket === expected[i]).length
      expect(same).toBeGreaterThan(0.99 * 2 * ROWS)
    }
    const listed = list(reference)
    const isListed = (bucket: number, i: number) => listed.subarray(i & ~7, (i & ~7) + 8).includes(bucket)
    expect(near.filter(isListed).length).toBeGreaterThan(0.97 * near.length)
    const [all, among] = [assign(kernels), assign(kernels, near)]
    for (const row of rows) {
      expect(near[8 * row]).toBe(all[row])
      expect(among[row]).toBe(all[row])
    }
    // A list of another row decides; one with nothing in it does not.
    const others = near.map((_, i) => near[(i + 8) % near.length]!)
    expect(assign(kernels, others).slice(0, ROWS)).not.toEqual(all.slice(0, ROWS))
    expect(
      assign(
        kernels,
        near.map(() => NONE),
      ).slice(0, ROWS),
    ).toEqual(all.slice(0, ROWS))
    const only = new Uint32Array(1)
    kernels.indexAssign({ ...index, bucketCount: 1 }, rows, 0, 1, only, new Uint32Array(1))
    expect(only[0]).toBe(0)
  })

  it('rows leave buckets that weigh much for others that are near, as the reference has it', () => {
    const r = random(8)
    const index = filled('l2', 96, r)
    const rows = Uint32Array.from({ length: ROWS }, (_, i) => i)
    const near = new Uint32Array(ROWS * 8)
    kernels.indexNear(index, rows, 0, ROWS, 8, near)
    const assign = (k: typeof kernels, weightOf: (bucket: number) => number) => {
      const home = new Uint32Array(ROWS)
      const weights = Float32Array.from({ length: index.bucketCount }, (_, bucket) => weightOf(bucket))
      k.indexAssign(index, rows, 0, ROWS, home, undefined, near, 8, weights)
      return home
    }
    const unweighted = rows.map(row => near[8 * row]!)
    expect(assign(kernels, () => 3)).toEqual(unweighted)
    const heavier = (bucket: number) => 1 + (bucket % 4)
    const weighted = assign(kernels, heavier)
    const expected = assign(reference, heavier)
    expect(weighted.filter((home, row) => home === expected[row]).length).toBeGreaterThan(0.99 * ROWS)
    const heaviest = (homes: Uint32Array) => homes.filter(home => home % 4 === 3).length
    expect(heaviest(weighted)).toBeLessThan(heaviest(unweighted) / 2)
    const seconds = () =>
      kernels.indexAssign(index, rows, 0, 0, rows, rows, near, 8, new Float32Array(index.bucketCount))
    expect(seconds).toThrow(expect.objectContaining({ code: 'DRIFT_KERNEL_ARGUMENT' }))
    const few = () => kernels.indexAssign(index, rows, 0, 0, rows, undefined, near, 8, new Float32Array(1))
    expect(few).toThrow(expect.objectContaining({ code: 'DRIFT_KERNEL_ARGUMENT' }))
  })

  it('a bucket without its dead entries has those of its rows, the newest of each, newest first', () => {
    const index = filled('l2', 96, random(12))
    const { padded, blocks, next, heads, sizes } = index
    const rows = Uint32Array.from({ length: ROWS }, (_, i) => i)
    const home = new Uint32Array(ROWS)
    const second = new Uint32Array(ROWS)
    reference.indexAssign(index, rows, 0, ROWS, home, second)
    const bucket = sizes.indexOf(Math.max(...sizes))
    const members = rows.filter(row => home[row] === bucket || second[row] === bucket)
    expect(members.length).toBeGreaterThan(1.5 * BLOCK_ENTRIES)
    const head = heads[bucket]!
    // One that left and came back is there twice: its newer entry is of what it is now.
    const back = members[1]!
    index.codes.copyWithin(back * padded, members[2]! * padded, (members[2]! + 1) * padded)
    const slot = head * BLOCK_ENTRIES + members.length
    reference.indexAppend(index, Uint32Array.of(back), Uint32Array.of(bucket), Uint32Array.of(slot), 1)
    for (const row of members.filter((_, i) => i % 3 === 0)) {
      home[row] = NONE
      second[row] = NONE
    }
    const counting = members.filter((row, i) => i % 3 !== 0 && row !== back)
    const to = heads[bucket === 0 ? 1 : 0]!
    const compacted = (k: typeof kernels, room: number) => {
      const mine = { ...index, blocks: shared.bytes(blocks.length) }
      mine.blocks.set(blocks)
      for (let block = to; block !== NONE; block = next[block]!) {
        clearBlock(
          new Uint32Array(mine.blocks.buffer, block * blockBytes(padded), blockBytes(padded) / 4),
          padded,
        )
      }
      const entries = members.length + 1
      const count = k.indexCompact(mine, home, second, bucket, head, entries, to, room)
      return { count, blocks: mine.blocks }
    }
    // Byte by byte, `toEqual` takes seconds.
    const expectSame = (room: number) => {
      const [native, plain] = [compacted(kernels, room), compacted(reference, room)]
      expect(native.count).toBe(plain.count)
      expect(Buffer.compare(native.blocks, plain.blocks)).toBe(0)
      return native
    }
    const all = expectSame(ROWS)
    expect(all.count).toBe(counting.length + 1)
    const rowsOf = (of: Uint8Array, count: number) =>
      Array.from({ length: count }, (_, i) => {
        const block = to + Math.floor(i / BLOCK_ENTRIES)
        const at = (block * blockBytes(padded)) / 4 + blockRowsAt(padded) + (i % BLOCK_ENTRIES)
        return new Uint32Array(of.buffer)[at]
      })
    expect(rowsOf(all.blocks, all.count)).toEqual([back, ...[...counting].reverse()])
    const entryAt = (of: Uint8Array, slot: number) => {
      const start = Math.floor(slot / BLOCK_ENTRIES) * blockBytes(padded)
      const shift = slot % BLOCK_ENTRIES < 16 ? 0 : 4
      return Array.from({ length: padded / 4 }, (_, g) => (of[start + 16 * g + (slot % 16)]! >> shift) & 15)
    }
    expect(entryAt(all.blocks, to * BLOCK_ENTRIES)).toEqual(entryAt(blocks, slot))
    // What there is no room for is left out, and nothing behind it is written.
    const few = expectSame(5)
    expect(few.count).toBe(5)
    expect(rowsOf(few.blocks, 6)[5]).toBe(NONE)
    expect(() => kernels.indexCompact(index, home, second, bucket, next.length, 1, to, 1)).toThrow(/from/)
    expect(() => kernels.indexCompact(index, home, second.subarray(1), bucket, head, 1, to, 1)).toThrow(
      /second/,
    )
  })

  it.each(['l2', 'ip'] as const)(
    'two clusters are the halves of their rows, with their entries, under %s',
    metric => {
      const r = random(11)
      const index = filled(metric, 96, r)
      const { padded, codes, factors } = index
      const [own, count] = [70, 110]
      const rows = Uint32Array.from({ length: count }, (_, i) => i)
      const points = Float32Array.from(
        { length: count * padded },
        (_, i) => r.normal() + ((i / padded) & 1 ? 4 : -4),
      )
      kernels.sq8Encode(points, padded, 0, count, codes, factors)
      const halve = (k: typeof kernels, first = 0.3, second = 0.7) => {
        const side = new Uint32Array(count)
        const centroids = new Float32Array(2 * padded)
        const blocks = new Uint8Array(blocksOfHalves(count) * blockBytes(padded))
        const stays = k.indexHalve(index, rows, own, count, first, second, side, centroids, blocks)
        return { stays, side, centroids, blocks }
      }
      const [mine, theirs] = [halve(kernels), halve(reference)]
      expect(mine.side).toEqual(theirs.side)
      for (let i = 0; i < count; i++) expect(mine.side[i] === mine.side[0]).toBe((i & 1) === 0)
      expect(mine.stays).toBe(2)
      expect(theirs.stays).toBe(2)
      for (let i = 0; i < 2 * padded; i++) expect(mine.centroids[i]).toBeCloseTo(theirs.centroids[i]!, 3)
      const rowsOf = (blocks: Uint8Array) =>
        [0, 1, 2, 3].flatMap(block => {
          const at = (block * blockBytes(padded)) / 4 + blockRowsAt(padded)
          return [...new Uint32Array(blocks.buffer).subarray(at, at + BLOCK_ENTRIES)].filter(
            row => row !== NONE,
          )
        })
      const halves = [0, 1].flatMap(half => [...rows].filter(row => mine.side[row] === half))
      expect(rowsOf(mine.blocks)).toEqual(halves)
      expect(rowsOf(theirs.blocks)).toEqual(halves)
      codes.fill(130, 0, own * padded)
      factors.fill(1, 0, 2 * own)
      for (const draw of [0, 0.5, 0.999]) expect(halve(kernels, draw, draw).stays).toBe(0)
    },
  )

  it('of many buckets in groups, more of the nearest are found, by signs around the centers of near groups', () => {
    const index = grouped(3000, 24, random(8))
    const { centroids, padded, bucketCount, groups } = index
    const [asked, width] = [200, 8]
    const near = new Uint32Array(asked * width)
    const distances = new Float32Array(bucketCount)
    const shareFound = (of: IndexSlabs): number => {
      kernels.indexNeighbours(of, 0, asked, width, near)
      let found = 0
      for (let b = 0; b < asked; b++) {
        const mine = near.subarray(b * width, (b + 1) * width)
        expect(mine[0]).toBe(b)
        expect(new Set(mine).size).toBe(width)
        const query = centroids.subarray(b * padded, (b + 1) * padded)
        reference.distances('l2', query, centroids, padded, 0, bucketCount, distances)
        const limit = [...distances].sort((x, y) => x - y)[width - 1]!
        found += mine.filter(bucket => distances[bucket]! <= limit).length
      }
      return found / near.length
    }
    const found = shareFound(index)
    // The reference looks at all buckets, whose signs are around one center.
    if (variant === 'reference') expect(found).toBe(shareFound({ ...index, groups: undefined }))
    else expect(found).toBeGreaterThan(shareFound({ ...index, groups: undefined }) + 0.1)
    // A chain that another thread is changing may name what is not there, or end nowhere.
    new Uint32Array(groups!.blocks.buffer).fill(
      NONE,
      blockRowsAt(padded),
      blockRowsAt(padded) + BLOCK_ENTRIES,
    )
    groups!.next.fill(0)
    groups!.sizes.fill(4_000_000_000)
    kernels.indexNeighbours(index, 0, asked, width, near)
    expect(near.every(bucket => bucket < bucketCount || bucket === NONE)).toBe(true)
    expect(() =>
      kernels.indexNeighbours({ ...index, groups: filled('l2', 65, random(1)) }, 0, 1, 1, near),
    ).toThrow('padded of groups')
  })
})

/** Buckets without rows, around a few centres, in groups of about 32. */
function grouped(bucketCount: number, dim: number, r: Random): IndexSlabs {
  const padded = paddedDim(dim)
  const index = { ...filled('l2', dim, r), rowLimit: 0, bucketCount, ...routerOf(bucketCount, padded) }
  const centres = Float32Array.from({ length: 60 * padded }, () => r.normal())
  for (let i = 0; i < index.centroids.length; i++) {
    const centre = Math.floor(r.unit() ** 2 * 60) * padded
    if (i % padded === 0) index.centroids.set(centres.subarray(centre, centre + padded), i)
    index.centroids[i]! += 0.5 * r.normal()
  }
  encodeRouter(index)
  const count = Math.round(bucketCount / BLOCK_ENTRIES)
  const blocks = count + Math.ceil(bucketCount / BLOCK_ENTRIES)
  const groups: IndexSlabs = {
    ...index,
    dim: padded,
    vectors: undefined,
    codes: index.centroidCodes,
    factors: index.centroidFactors,
    live: shared.words(0),
    bucketCount: count,
    ...routerOf(count, padded),
    next: shared.words(blocks).fill(NONE),
    blocks: shared.bytes(blocks * blockBytes(padded)),
  }
  groups.centroids.set(index.centroids.subarray(0, count * padded))
  encodeRouter(groups)
  const every = Uint32Array.from({ length: bucketCount }, (_, bucket) => bucket)
  const home = new Uint32Array(bucketCount)
  reference.nearest(
    index.centroids,
    padded,
    every,
    bucketCount,
    groups.centroids,
    count,
    home,
    new Float32Array(bucketCount),
  )
  const words = new Uint32Array(groups.blocks.buffer)
  let used = 0
  for (let group = 0; group < count; group++) {
    const members = every.filter(bucket => home[bucket] === group)
    groups.heads[group] = used
    groups.sizes[group] = members.length
    const slots = members.map((_, i) => used * BLOCK_ENTRIES + i)
    for (const end = used + Math.ceil(members.length / BLOCK_ENTRIES); used < end; used++) {
      const at = (used * blockBytes(padded)) / 4
      clearBlock(words.subarray(at, at + blockBytes(padded) / 4), padded)
      if (used + 1 < end) groups.next[used] = used + 1
    }
    reference.indexAppend(groups, members, new Uint32Array(members.length).fill(group), slots, members.length)
  }
  return { ...index, groups }
}

function routerOf(count: number, padded: number) {
  return {
    centroids: shared.floats(count * padded),
    centroidCodes: shared.bytes(count * padded),
    centroidFactors: shared.floats(2 * count),
    router: shared.bytes(Math.ceil(count / BLOCK_ENTRIES) * blockBytes(padded)),
    heads: shared.words(count),
    sizes: shared.words(count),
    lives: shared.words(count),
  }
}

function encodeRouter(index: IndexSlabs): void {
  const { centroids, centroidCodes, centroidFactors, router, padded, bucketCount } = index
  reference.sq8Encode(centroids, padded, 0, bucketCount, centroidCodes, centroidFactors)
  const words = new Uint32Array(router.buffer)
  for (let at = 0; at < words.length; at += blockBytes(padded) / 4) {
    clearBlock(words.subarray(at, at + blockBytes(padded) / 4), padded)
  }
  reference.indexRouteEntries(index, 0, bucketCount)
}

/** Errors of the estimates of ||q - x||^2 from entries, in units of scale * ||q - c||. */
function errors(dim: number, r: Random): number[] {
  const padded = paddedDim(dim)
  const flips = Uint32Array.from({ length: 4 * padded }, () => (r.unit() < 0.5 ? 0 : 0x8000_0000))
  const rotated = (spread: number, around?: Float32Array): Float32Array => {
    // Values of very different size: without the rotation, signs would say little about them.
    const vector = Float32Array.from({ length: dim }, (_, i) => (spread * r.normal()) / (1 + (i % 9)))
    const out = new Float32Array(padded)
    reference.rotate(vector, dim, padded, 0, 1, flips, out)
    return around === undefined ? out : out.map((x, i) => x + around[i]!)
  }
  const found: number[] = []
  for (let trial = 0; trial < 40; trial++) {
    const centroid = rotated(3)
    const query = rotated(1, centroid)
    const block = new Uint8Array(blockBytes(padded))
    clearBlock(new Uint32Array(block.buffer), padded)
    const rows = Array.from({ length: BLOCK_ENTRIES }, () => rotated(1, centroid))
    for (const [slot, x] of rows.entries()) writeSigns('l2', x, centroid, 0, block, 0, slot, slot)
    const apart = (a: Float32Array, b: Float32Array) => a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0)
    const base = apart(query, centroid)
    const estimates = new Float32Array(BLOCK_ENTRIES)
    scanSigns(query, block, 0, base, 0, estimates)
    const scale = new Float32Array(block.buffer, 4 * padded + 4 * BLOCK_ENTRIES, BLOCK_ENTRIES)
    for (const [slot, x] of rows.entries()) {
      found.push((estimates[slot]! - apart(query, x)) / (scale[slot]! * Math.sqrt(base)))
    }
    expect(new Uint32Array(block.buffer)[blockRowsAt(padded) + 5]).toBe(5)
  }
  return found
}

it.each([64, 65, 100, 384, 768, 1536])(
  'estimates of %i dimensions are unbiased and spread by 0.6 scale ||q - c||',
  dim => {
    const found = errors(dim, random(dim))
    const mean = found.reduce((sum, e) => sum + e, 0) / found.length
    const deviation = Math.sqrt(found.reduce((sum, e) => sum + (e - mean) ** 2, 0) / found.length)
    // sqrt(1 - 2 / pi), the share of a vector that its signs leave out; a mean of 1 280 errors that share queries spreads by about 0.05.
    expect(Math.abs(mean)).toBeLessThan(0.15)
    expect(deviation).toBeGreaterThan(0.52)
    expect(deviation).toBeLessThan(0.68)
    // Beyond two deviations: 4.6 % of a normal distribution.
    const violations = found.filter(e => Math.abs(e) > 1.2).length / found.length
    expect(violations).toBeGreaterThan(0.01)
    expect(violations).toBeLessThan(0.09)
  },
)
