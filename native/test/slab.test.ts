// Slabs grow in place: views and other threads keep seeing the same memory.
import { describe, expect, it } from 'vitest'
import {
  allocateSlab,
  growSlab,
  hasAddon,
  kernelsOf,
  MAX_ROW_SLAB_BYTES,
  MAX_SLAB_BYTES,
  NativeError,
  supportedVariants,
  TouchedAhead,
} from '../lib/index.js'

const MIB = 2 ** 20

describe('a slab', () => {
  it('grows in place, keeps what it holds, and its new bytes are zero', () => {
    const slab = allocateSlab(MIB, 64 * MIB)
    const before = new Float32Array(slab, 0, 16)
    before.fill(7)
    growSlab(slab, 33 * MIB)
    const after = new Float32Array(slab, 0, (33 * MIB) / 4)
    expect(slab.byteLength).toBe(34 * MIB) // whole pages of 2 MiB
    expect(after.indexOf(0)).toBe(16)
    expect(after.subarray(16).every(value => value === 0)).toBe(true)
    after[3] = 9
    expect(before[3]).toBe(9)
    expect(before.length).toBe(16)
  })

  it('is touched ahead of a writer, who loses nothing by it', async () => {
    const slab = allocateSlab(0, 64 * MIB)
    growSlab(slab, 48 * MIB)
    const ahead = new TouchedAhead(slab)
    const words = new Uint32Array(slab, 0, (48 * MIB) / 4)
    const turn = () => new Promise(resolve => setImmediate(resolve))
    for (let i = 0; i < words.length; i++) {
      words[i] = i
      if (i % 65_536 !== 0) continue
      ahead.reach(4 * i)
      await turn()
    }
    // A thread that is late takes no more, and the writer does not wait for it.
    for (; hasAddon && ahead.bytes < 48 * MIB; await turn()) ahead.reach(46 * MIB)
    expect(words.every((word, i) => word === i)).toBe(true)
    expect(ahead.bytes).toBe(hasAddon ? 48 * MIB : 0)
  })

  it('never shrinks and never passes its maximum', () => {
    const slab = allocateSlab(MIB, 2 * MIB)
    growSlab(slab, 10)
    expect(slab.byteLength).toBe(MIB)
    growSlab(slab, 2 * MIB)
    expect(() => growSlab(slab, 2 * MIB + 1)).toThrow(NativeError)
    expect(() => growSlab(allocateSlab(8), 16)).toThrow(NativeError)
  })

  it('may be empty, and may reserve all that V8 allows', () => {
    expect(allocateSlab(0).byteLength).toBe(0)
    const slab = allocateSlab(4096, MAX_SLAB_BYTES)
    expect([slab.byteLength, slab.maxByteLength]).toEqual([4096, MAX_SLAB_BYTES])
  })

  it('refuses sizes that memory cannot have', () => {
    for (const [bytes, maxBytes] of [
      [-1],
      [0.5],
      [Number.NaN],
      [2, 1],
      [0, MAX_ROW_SLAB_BYTES + 1],
    ] as const) {
      expect(() => allocateSlab(bytes, maxBytes), `${bytes}, ${maxBytes}`).toThrow(NativeError)
    }
  })

  it.runIf(MAX_ROW_SLAB_BYTES > MAX_SLAB_BYTES)('holds rows beyond 4 GiB, which every variant finds', () => {
    const dim = 4096
    const row = 300_000
    const slab = allocateSlab(0, MAX_ROW_SLAB_BYTES)
    growSlab(slab, (row + 1) * dim * 4)
    const vectors = new Float32Array(slab, 0, (row + 1) * dim)
    vectors.fill(2, row * dim)
    const query = new Float32Array(dim).fill(3)
    const out = new Float32Array(2)
    for (const variant of supportedVariants()) {
      kernelsOf(variant).distancesGather('l2', query, vectors, dim, Uint32Array.of(row, 0), 2, out)
      expect([...out], variant).toEqual([dim, 9 * dim])
    }
  })

  it.runIf(hasAddon)('gives dropped slabs back before the process runs out of mappings', () => {
    // 60 000 live ones would take more mappings than a process has.
    for (let i = 0; i < 60_000; i++) growSlab(allocateSlab(0, MAX_SLAB_BYTES), 4096)
    const slab = allocateSlab(4096, MAX_SLAB_BYTES)
    expect(slab.byteLength).toBe(4096)
  })
})
