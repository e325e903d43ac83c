/**
 * Where the buckets are: one centroid per bucket in the rotated space, as f32, as SQ8, and as 1-bit entries around a center; of many
 * buckets also in groups. Rule: bucket b has centroid b, and every bucket is in a group when there are any. Queries are routed by the codes alone; what needs the very nearest compares exactly.
 * A worker may read a centroid while it is replaced: that costs one query a little recall, never a wrong row.
 */
import {
  allocateSlab,
  BLOCK_ENTRIES,
  blockBytes,
  clearBlock,
  growSlab,
  kernels,
  MAX_SLAB_BYTES,
  touchedBytes,
} from '@drift/native'
import { CoreError } from '../errors.js'
import { meanOf } from '../mean.js'
import type { Groups } from './groups.js'

const FIRST_CENTROIDS = 256

/**
 * From so many buckets on they are grouped: see docs/adr/0023. The reference kernels look at every bucket.
 */
const GROUPED_FROM = 8192

/** The entries are made anew, around a new center, when there are twice as many centroids as the last time. */
const RECENTER_GROWTH = 2

export interface RouterSlabs {
  readonly centroids: SharedArrayBuffer
  readonly codes: SharedArrayBuffer
  readonly factors: SharedArrayBuffer
  readonly blocks: SharedArrayBuffer
  readonly center: SharedArrayBuffer
}

/** Makes the entries of buckets first .. first + count - 1 from `centroids` and `center`. */
export type WriteRoutes = (first: number, count: number) => void

export class Router {
  /** Values of a centroid: the padded dimension. */
  readonly padded: number
  readonly slabs: RouterSlabs
  centroids: Float32Array
  codes: Uint8Array
  factors: Float32Array
  blocks: Uint8Array
  readonly center: Float32Array
  count = 0
  /** Undefined: there are few buckets, or all of them were replaced and no groups made yet. */
  groups: Groups | undefined
  /** Changes of centroids so far. */
  version = 0
  readonly #write: WriteRoutes
  readonly #max: number
  #capacity = 0
  /** Centroids when the center was chosen. */
  #centered = 0

  constructor(padded: number, write: WriteRoutes) {
    this.padded = padded
    this.#write = write
    this.#max = Math.floor(MAX_SLAB_BYTES / (4 * padded + 32) / BLOCK_ENTRIES) * BLOCK_ENTRIES
    this.slabs = {
      centroids: allocateSlab(0, this.#max * padded * 4),
      codes: allocateSlab(0, this.#max * padded),
      factors: allocateSlab(0, this.#max * 8),
      blocks: allocateSlab(0, (this.#max / BLOCK_ENTRIES) * blockBytes(padded)),
      center: allocateSlab(padded * 4),
    }
    this.centroids = new Float32Array(this.slabs.centroids, 0, 0)
    this.codes = new Uint8Array(this.slabs.codes, 0, 0)
    this.factors = new Float32Array(this.slabs.factors, 0, 0)
    this.blocks = new Uint8Array(this.slabs.blocks, 0, 0)
    this.center = new Float32Array(this.slabs.center)
  }

  /** Append centroids (a multiple of `padded` values, rotated). @param group - of a single one, where it is known. */
  add(centroids: Float32Array, group?: number): void {
    const more = centroids.length / this.padded
    const first = this.count
    this.reserve(more)
    this.count += more
    this.#encode(first, more, centroids)
    if (this.count >= RECENTER_GROWTH * this.#centered) this.recenter()
    else this.#write(first, more)
    for (let bucket = first; bucket < this.count; bucket++) this.groups?.put(bucket, group)
  }

  set(bucket: number, centroid: Float32Array, group?: number): void {
    this.#encode(bucket, 1, centroid)
    this.#write(bucket, 1)
    this.groups?.put(bucket, group)
  }

  /** Bucket `last`, the last one, takes the number `bucket`, which is no more. */
  drop(bucket: number, last: number): void {
    const { padded } = this
    if (bucket !== last) this.set(bucket, this.centroids.slice(last * padded, (last + 1) * padded))
    this.count = last
    this.version++
    this.groups?.remove(last)
    this.#centered = Math.min(this.#centered, Math.max(1, last))
  }

  /** Other centroids for all buckets. */
  replace(centroids: Float32Array): void {
    this.groups = undefined
    this.#encode(0, this.count, centroids)
    this.recenter()
  }

  /** For an empty router: `count` centroids around a center, both filled in by `read`. */
  restore(count: number, read: (centroids: Float32Array, center: Float32Array) => void): void {
    this.reserve(count)
    this.count = count
    const { padded } = this
    read(this.centroids.subarray(0, count * padded), this.center)
    kernels.sq8Encode(this.centroids, padded, 0, count, this.codes, this.factors)
    this.#centered = count
    if (count > 0) this.#write(0, count)
  }

  /** All entries anew, around the mean of the centroids: the nearer the center, the better the estimates. */
  recenter(): void {
    const { padded, count, centroids } = this
    this.center.set(meanOf(centroids.subarray(0, count * padded), padded))
    this.#centered = count
    this.#write(0, count)
  }

  /** Whether groups, or other ones, would make routing cheaper. */
  get isGroupingDue(): boolean {
    if (this.groups !== undefined) return this.groups.isStale
    return this.count >= GROUPED_FROM && kernels.variant !== 'reference'
  }

  get bytes(): number {
    const { centroids, codes, factors, blocks, center } = this.slabs
    const { count, padded } = this
    return (
      touchedBytes(centroids, 4 * padded * count) +
      touchedBytes(codes, padded * count) +
      touchedBytes(factors, 8 * count) +
      blocks.byteLength + // cleared as far as it goes
      center.byteLength +
      (this.groups?.bytes ?? 0)
    )
  }

  #encode(first: number, count: number, centroids: Float32Array): void {
    const { padded } = this
    this.version++
    this.centroids.set(centroids, first * padded)
    kernels.sq8Encode(this.centroids, padded, first, count, this.codes, this.factors)
  }

  /** Room for so many more. @throws CoreError DRIFT_FULL; nothing is changed then. */
  reserve(more: number): void {
    const count = this.count + more
    if (count <= this.#capacity) return
    if (count > this.#max) {
      throw new CoreError('DRIFT_FULL', `${count} buckets exceed the ${this.#max} that a slab holds`, {
        limit: this.#max,
      })
    }
    const { padded } = this
    const wanted = Math.min(this.#max, Math.max(FIRST_CENTROIDS, count, 2 * this.#capacity))
    const capacity = Math.ceil(wanted / BLOCK_ENTRIES) * BLOCK_ENTRIES
    const blocks = capacity / BLOCK_ENTRIES
    growSlab(this.slabs.centroids, capacity * padded * 4)
    growSlab(this.slabs.codes, capacity * padded)
    growSlab(this.slabs.factors, capacity * 8)
    growSlab(this.slabs.blocks, blocks * blockBytes(padded))
    this.centroids = new Float32Array(this.slabs.centroids, 0, capacity * padded)
    this.codes = new Uint8Array(this.slabs.codes, 0, capacity * padded)
    this.factors = new Float32Array(this.slabs.factors, 0, capacity * 2)
    this.blocks = new Uint8Array(this.slabs.blocks, 0, blocks * blockBytes(padded))
    const words = new Uint32Array(this.slabs.blocks)
    const wordsPerBlock = blockBytes(padded) / 4
    for (let block = this.#capacity / BLOCK_ENTRIES; block < blocks; block++) {
      clearBlock(words.subarray(block * wordsPerBlock, (block + 1) * wordsPerBlock), padded)
    }
    this.#capacity = capacity
  }
}
