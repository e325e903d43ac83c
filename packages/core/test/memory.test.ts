/**
 * Proves, each in a process of its own, that `stats().memory` is what an index takes of the system, that one without exact vectors keeps
 * to its 1.5 D + 60 bytes a row, and that filling and dropping indexes again and again takes no more than a few of them.
 */
import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'

/** What the children share, from the built package. */
const CHILD = `
  const { seededRandom, VectorIndex } = await import(${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)})
  /** Bytes that the process holds of the system, its JavaScript heap left out. */
  const held = async () => {
    for (let i = 0; i < 4; i++) {
      gc()
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    const { rss, heapTotal } = process.memoryUsage()
    return rss - heapTotal
  }
  const random = seededRandom(1)
  const clustered = (count, dim) => {
    const centres = Float32Array.from({ length: 256 * dim }, () => random() - 0.5)
    return Float32Array.from({ length: count * dim }, (_, i) => {
      const from = (Math.imul(Math.floor(i / dim), 0x9e3779b1) >>> 24) * dim
      return centres[from + (i % dim)] + 0.5 * (random() - 0.5)
    })
  }
  const fill = async (options, vectors, named = i => i) => {
    const index = new VectorIndex(options)
    const count = vectors.length / options.dim
    for (let first = 0; first < count; first += 1000) {
      const ids = Array.from({ length: Math.min(1000, count - first) }, (_, i) => named(first + i))
      index.upsert(ids, vectors.subarray(first * options.dim, (first + ids.length) * options.dim))
      if (!index.activeMemtable.isFull && first + 1000 < count) continue
      await index.flush(index.rotate())
    }
    return index
  }
  const memory = index => Object.values(index.stats().memory).reduce((sum, bytes) => sum + bytes, 0)
`

// glibc keeps freed blocks of up to 32 MiB for later, as it likes: a build seemed to take 3 to 14 per cent too much. Fixed thresholds give them back.
const ENV = { ...process.env, MALLOC_MMAP_THRESHOLD_: '131072', MALLOC_TRIM_THRESHOLD_: '131072' }

function run<T>(script: string): T {
  // The room for young objects counts as heap before it is touched, and there were 1 to 16 MiB of it, as the collector liked.
  const args = ['--expose-gc', '--max-semi-space-size=1', '--input-type=module', '-e', CHILD + script]
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', env: ENV })) as T
}

// The system may take pages from the process, or give it more, while others run: a wrong account is wrong every time.
const ATTEMPTS = { retry: 2 }

it.each(['build', 'fill'])(
  'stats().memory is what a %s takes of the system, within a few per cent',
  ATTEMPTS,
  how => {
    const { told, taken } = run<{ told: number; taken: number }>(`
    const options = { dim: 256, metric: 'l2', memtableRows: 16384 }
    const vectors = clustered(100_000, options.dim)
    // What a first index of the process takes besides: code, tables, the allocator's first pages.
    let index = await fill(options, vectors.subarray(0, 20_000 * options.dim))
    index.searchSync(vectors.slice(0, options.dim), { k: 10 })
    index = undefined
    const before = await held()
    index = '${how}' === 'build' ? await VectorIndex.build(options, vectors) : await fill(options, vectors)
    const taken = (await held()) - before
    console.log(JSON.stringify({ told: memory(index), taken }))
  `)
    expect(told).toBeGreaterThan(100_000 * 256 * 5)
    // Off by 0.6 to 3.4 per cent in the 20 runs that printed it; the rest is for other allocators. Telling what slabs have room for is off by 28.
    expect(Math.abs(told / taken - 1)).toBeLessThan(0.08)
  },
)

it(
  'fifty indexes of few rows are told as what they take, not as what their graphs have room for',
  ATTEMPTS,
  () => {
    const { told, taken } = run<{ told: number; taken: number }>(`
    const few = () => {
      const index = new VectorIndex({ dim: 16, metric: 'l2', memtableRows: 32768 })
      index.upsert(Array.from({ length: 200 }, (_, i) => i), clustered(200, 16))
      while (index.link(100, () => performance.now())) {}
      return index
    }
    const first = few()
    const before = await held()
    const indexes = Array.from({ length: 50 }, few)
    const taken = (await held()) - before
    console.log(JSON.stringify({ told: indexes.reduce((sum, index) => sum + memory(index), 0), taken }))
  `)
    // The system backs some of the graphs' pages by large ones, so somewhat more is taken, and others are not touched yet: 26.1 MB are
    // told, 19.9 to 22.7 taken. With all of a graph told it is 4.6 MiB each, twelve times as much.
    expect(told).toBeLessThan(1.5 * taken)
    expect(told).toBeGreaterThan(0.25 * taken)
  },
)

it('without exact vectors an index takes 1.5 D + 60 bytes a row at most, but for whole large pages', () => {
  const [few, many] = run<{ rows: number; bytes: number; vectors: number }[]>(`
    const vectors = clustered(80_000, 384)
    const found = []
    for (const rows of [20_000, 80_000]) {
      const index = await fill({ dim: 384, metric: 'cosine', vectors: 'none' }, vectors.subarray(0, rows * 384))
      found.push({ rows, bytes: memory(index), vectors: index.stats().memory.vectors })
    }
    console.log(JSON.stringify(found))
  `)
  expect(many!.vectors).toBe(0)
  expect((many!.bytes - few!.bytes) / (many!.rows - few!.rows)).toBeLessThan(1.5 * 384 + 60)
})

it('a hundred indexes, filled and dropped, take what a few take', () => {
  const { early, late, one } = run<{ early: number; late: number; one: number }>(`
    const options = { dim: 128, metric: 'l2', memtableRows: 1500 }
    const vectors = clustered(4000, options.dim)
    let one = 0
    let early = 0
    for (let cycle = 0; cycle < 100; cycle++) {
      const index = await fill(options, vectors, i => 'row ' + i)
      index.searchSync(vectors.slice(0, options.dim), { k: 10 })
      index.delete(Array.from({ length: 2000 }, (_, i) => 'row ' + i))
      one = memory(index)
      index.close()
      if (cycle === 24) early = await held()
    }
    console.log(JSON.stringify({ early, late: await held(), one }))
  `)
  // 75 cycles that each left a tenth would be 7 of them.
  expect(late - early).toBeLessThan(3 * one)
})
