/**
 * The buckets of a router in groups of near centroids: a query looks at the buckets of the groups that are near to it. It is the same
 * structure one level up (`IndexSlabs.groups`): a bucket is an entry, around the center of its group, in a chain of blocks.
 * Rule: each bucket is in the group of the nearest center, as comparing or routing finds it, whatever becomes of its centroid; groups
 * themselves never change, and are made anew when they no longer fit (maintenance/grouping.ts). A worker may read a chain while an entry
 * moves: that costs one query a bucket.
 */
import {
  allocateSlab,
  BLOCK_ENTRIES,
  blockBytes,
  clearBlock,
  type IndexSlabs,
  kernels,
  touchedBytes,
} from '@drift/native'
import { Extents, NONE } from '../bucket/extent.js'
import { meanOf } from '../mean.js'

/** Made anew when there are so many times more or fewer buckets than when they were made. */
const GROWTH = 1.5
/** And when one is so many times larger than the largest was, which new buckets that are near to each other bring about. */
const OVERGROWN = 2
const SMALL = 512

/** Of groups, as a worker needs them. */
export interface GroupSlabs {
  readonly count: number
  readonly centers: SharedArrayBuffer
  readonly codes: SharedArrayBuffer
  readonly factors: SharedArrayBuffer
  readonly router: SharedArrayBuffer
  readonly center: SharedArrayBuffer
  readonly heads: SharedArrayBuffer
  readonly sizes: SharedArrayBuffer
  readonly next: SharedArrayBuffer
  readonly blocks: SharedArrayBuffer
}

/** What the groups take from the level below. */
export type GroupedSlabs = Pick<IndexSlabs, 'flips' | 'padded'> & {
  readonly centroids: Float32Array
  readonly codes: Uint8Array
  readonly factors: Float32Array
}

export class Groups {
  readonly slabs: GroupSlabs
  readonly count: number
  readonly #below: () => GroupedSlabs
  readonly #padded: number
  readonly #centers: Float32Array
  readonly #sizes: Uint32Array
  readonly #heads: Uint32Array
  readonly #extents: Extents
  /** Blocks of every group, in the order of their chain. */
  readonly #chains: number[][]
  /** Of every bucket: its group, and its entry (32 * block + place), or NONE. */
  #group: Uint32Array
  #slot: Uint32Array
  #placed = 0
  /** Of when they were made. */
  #madeFor = 0
  #largest = 0
  #isOvergrown = false
  #view: IndexSlabs | undefined

  /** Groups without buckets. @param centers - rotated. @param below - what is now. */
  constructor(centers: Float32Array, below: () => GroupedSlabs) {
    const { padded, centroids } = below()
    const count = centers.length / padded
    const routerBytes = Math.ceil(count / BLOCK_ENTRIES) * blockBytes(padded)
    this.#below = below
    this.#padded = padded
    this.count = count
    this.#extents = new Extents(padded)
    this.slabs = {
      count,
      centers: allocateSlab(count * padded * 4),
      codes: allocateSlab(count * padded),
      factors: allocateSlab(count * 8),
      router: allocateSlab(routerBytes),
      center: allocateSlab(padded * 4),
      heads: allocateSlab(count * 4),
      sizes: allocateSlab(count * 4),
      ...this.#extents.slabs,
    }
    this.#centers = new Float32Array(this.slabs.centers)
    this.#centers.set(centers)
    this.#heads = new Uint32Array(this.slabs.heads).fill(NONE)
    this.#sizes = new Uint32Array(this.slabs.sizes)
    this.#chains = Array.from({ length: count }, () => [])
    this.#group = new Uint32Array(centroids.length / padded)
    this.#slot = new Uint32Array(centroids.length / padded).fill(NONE)
    kernels.sq8Encode(
      this.#centers,
      padded,
      0,
      count,
      new Uint8Array(this.slabs.codes),
      new Float32Array(this.slabs.factors),
    )
    new Float32Array(this.slabs.center).set(meanOf(this.#centers, padded))
    const words = new Uint32Array(this.slabs.router)
    const wordsPerBlock = blockBytes(padded) / 4
    for (let at = 0; at < words.length; at += wordsPerBlock)
      clearBlock(words.subarray(at, at + wordsPerBlock), padded)
    kernels.indexRouteEntries(this.view, 0, count)
  }

  /** As the kernels see them now. */
  get view(): IndexSlabs {
    const below = this.#below()
    const { next } = this.#extents
    if (this.#view?.codes !== below.codes || this.#view.next !== next) {
      this.#view = groupView(this.slabs, below, next, this.#extents.blocks)
    }
    return this.#view
  }

  /** The groups are complete. */
  finish(): void {
    this.#madeFor = this.#placed
    this.#largest = this.#sizes.reduce((most, size) => Math.max(most, size), 0)
  }

  /** Whether groups that are made now would serve better. */
  get isStale(): boolean {
    return this.#placed > GROWTH * this.#madeFor || GROWTH * this.#placed < this.#madeFor || this.#isOvergrown
  }

  /** The bucket is in the group of its centroid, as it is now. @param known - that group, if it was looked for already. */
  put(bucket: number, known: number = NONE): void {
    const group = Uint32Array.of(known)
    if (known >= this.count) {
      const { centroids } = this.#below()
      kernels.nearest(
        centroids,
        this.#padded,
        Uint32Array.of(bucket),
        1,
        this.#centers,
        this.count,
        group,
        new Float32Array(1),
      )
    }
    this.remove(bucket)
    this.place(Uint32Array.of(bucket), group)
    this.#isOvergrown ||= this.#sizes[group[0]!]! > Math.max(SMALL, OVERGROWN * this.#largest)
  }

  /** Buckets that are in no group, into these. */
  place(buckets: Uint32Array, groups: Uint32Array): void {
    const slots = new Uint32Array(buckets.length)
    for (let i = 0; i < slots.length; i++) slots[i] = this.#take(buckets[i]!, groups[i]!)
    kernels.indexAppend(this.view, buckets, groups, slots, buckets.length)
  }

  /** The bucket is in no group. */
  remove(bucket: number): void {
    const slot = this.#slot[bucket] ?? NONE
    if (slot === NONE) return
    const group = this.#group[bucket]!
    const rest = this.#sizes[group]! - 1
    const block = this.#chains[group]![Math.floor(rest / BLOCK_ENTRIES)]!
    const last = block * BLOCK_ENTRIES + (rest % BLOCK_ENTRIES)
    if (slot !== last) {
      kernels.indexCopy(this.view, Uint32Array.of(last), Uint32Array.of(slot), 1)
      this.#slot[this.#extents.rowAt(block, rest % BLOCK_ENTRIES)] = slot
    }
    this.#extents.clearEntry(block, rest % BLOCK_ENTRIES)
    this.#sizes[group] = rest
    this.#slot[bucket] = NONE
    this.#placed--
  }

  /** In memory. */
  get bytes(): number {
    const { centers, codes, factors, router, center, heads, sizes } = this.slabs
    const fixed = [centers, codes, factors, router, center, heads, sizes]
    const own = fixed.reduce((sum, slab) => sum + touchedBytes(slab, slab.byteLength), 0)
    return own + this.#extents.bytes + this.#slot.byteLength + this.#group.byteLength
  }

  /** The next entry of the group is the bucket's. @returns 32 * block + place. */
  #take(bucket: number, group: number): number {
    const entry = this.#sizes[group]!
    const chain = this.#chains[group]!
    const place = Math.floor(entry / BLOCK_ENTRIES)
    if (place === chain.length) {
      const block = this.#extents.allocate()
      if (place === 0) this.#heads[group] = block
      else this.#extents.next[chain[place - 1]!] = block
      chain.push(block)
    }
    if (bucket >= this.#slot.length) {
      this.#group = lengthened(this.#group)
      this.#slot = lengthened(this.#slot, NONE)
    }
    const slot = chain[place]! * BLOCK_ENTRIES + (entry % BLOCK_ENTRIES)
    this.#slot[bucket] = slot
    this.#group[bucket] = group
    this.#sizes[group] = entry + 1
    this.#placed++
    return slot
  }
}

/** Groups as the kernels of this thread see them. @param next - and `blocks`: as many as both have room for. */
export function groupView(
  slabs: GroupSlabs,
  { padded, flips, codes, factors }: GroupedSlabs,
  next: Uint32Array,
  blocks: Uint8Array,
): IndexSlabs {
  const sizes = new Uint32Array(slabs.sizes)
  return {
    metric: 'l2',
    routing: 'l2',
    dim: padded,
    padded,
    flips,
    vectors: undefined,
    codes,
    factors,
    live: NOTHING,
    centroids: new Float32Array(slabs.centers),
    centroidCodes: new Uint8Array(slabs.codes),
    centroidFactors: new Float32Array(slabs.factors),
    router: new Uint8Array(slabs.router),
    center: new Float32Array(slabs.center),
    heads: new Uint32Array(slabs.heads),
    sizes,
    lives: sizes,
    next,
    blocks,
    rowLimit: 0,
    bucketCount: slabs.count,
  }
}

const NOTHING = new Uint32Array(new SharedArrayBuffer(0))

function lengthened(column: Uint32Array, fill = 0): Uint32Array {
  const longer = new Uint32Array(2 * column.length + 1).fill(fill)
  longer.set(column)
  return longer
}
