/**
 * Proves that every bucket has one entry, in the group of the nearest center, whatever was moved, added and dropped; that groups say
 * when they no longer fit; and that a thread which has the slabs alone sees the same.
 */
import { BLOCK_ENTRIES, blockBytes, blockRowsAt, kernels } from '@drift/native'
import { expect, it } from 'vitest'
import { NONE } from '../bucket/extent.js'
import { gaussian, seededRandom } from '../random.js'
import { Rotation } from '../rotation.js'
import { type GroupedSlabs, Groups, groupView } from './groups.js'

const PADDED = 64
const ROOM = 2000

function world(seed: number, count: number, centers: number) {
  const random = seededRandom(seed)
  const slab = (bytes: number) => new SharedArrayBuffer(bytes)
  const below: GroupedSlabs = {
    padded: PADDED,
    flips: new Rotation(PADDED).flips,
    centroids: new Float32Array(slab(4 * PADDED * ROOM)),
    codes: new Uint8Array(slab(PADDED * ROOM)),
    factors: new Float32Array(slab(8 * ROOM)),
  }
  /** Another centroid for the bucket. */
  const move = (bucket: number, spread = 1) => {
    for (let i = 0; i < PADDED; i++) below.centroids[bucket * PADDED + i] = spread * gaussian(random)
    kernels.sq8Encode(below.centroids, PADDED, bucket, 1, below.codes, below.factors)
  }
  for (let bucket = 0; bucket < count; bucket++) move(bucket)
  const groups = new Groups(below.centroids.slice(0, centers * PADDED), () => below)
  for (let bucket = 0; bucket < count; bucket++) groups.put(bucket)
  groups.finish()
  return { random, below, groups, move }
}

/** The group of every bucket, by the chains that a reader walks. */
function walked({ groups, below }: ReturnType<typeof world>): Map<number, number> {
  const { next, blocks } = groups.view
  const view = groupView(groups.slabs, below, next, blocks)
  const words = new Uint32Array(view.blocks.buffer, 0, view.blocks.length / 4)
  const found = new Map<number, number>()
  for (let group = 0; group < groups.count; group++) {
    let left = view.sizes[group]!
    for (let block = view.heads[group]!; left > 0; block = view.next[block]!) {
      const at = (block * blockBytes(PADDED)) / 4
      for (let i = 0; i < BLOCK_ENTRIES; i++) {
        const bucket = words[at + blockRowsAt(PADDED) + i]!
        // What is not there is infinitely far.
        expect(new Float32Array(words.buffer)[at + PADDED + i]! < Number.POSITIVE_INFINITY).toBe(i < left)
        if (i >= left) expect(bucket).toBe(NONE)
        else expect(found.has(bucket)).toBe(false)
        if (i < left) found.set(bucket, group)
      }
      left -= Math.min(left, BLOCK_ENTRIES)
    }
  }
  return found
}

function nearestCenter({ groups, below }: ReturnType<typeof world>, bucket: number): number {
  const out = new Float32Array(groups.count)
  const centroid = below.centroids.subarray(bucket * PADDED, (bucket + 1) * PADDED)
  kernels.distances('l2', centroid, groups.view.centroids, PADDED, 0, groups.count, out)
  return out.indexOf(Math.min(...out))
}

it('each bucket is in the group of the nearest center, once, after any moves', () => {
  const it = world(1, 700, 9)
  const there = new Set(Array.from({ length: 700 }, (_, bucket) => bucket))
  for (let step = 0; step < 3000; step++) {
    const bucket = Math.floor(it.random() * 900)
    if (it.random() < 0.3) {
      it.groups.remove(bucket)
      there.delete(bucket)
    } else {
      it.move(bucket)
      it.groups.put(bucket)
      there.add(bucket)
    }
  }
  const found = walked(it)
  expect([...found.keys()].sort((a, b) => a - b)).toEqual([...there].sort((a, b) => a - b))
  for (const [bucket, group] of found) expect(group).toBe(nearestCenter(it, bucket))
})

it('they no longer fit half as many buckets again, a third fewer, or a group that has swollen', () => {
  const grown = world(2, 400, 20)
  expect(grown.groups.isStale).toBe(false)
  for (let bucket = 400; bucket <= 600; bucket++) {
    expect(grown.groups.isStale).toBe(false)
    grown.move(bucket)
    grown.groups.put(bucket)
  }
  expect(grown.groups.isStale).toBe(true)
  const shrunk = world(3, 400, 20)
  for (let bucket = 0; bucket < 140; bucket++) shrunk.groups.remove(bucket)
  expect(shrunk.groups.isStale).toBe(true)
  const swollen = world(4, 1400, 50)
  for (let bucket = 1400; bucket < 1950; bucket++) {
    swollen.move(bucket, 1e-3)
    swollen.groups.put(bucket)
  }
  expect(swollen.groups.isStale).toBe(true)
})
