/**
 * Whether an id may be in a segment: a classic Bloom filter. No false "no", and a false "yes" about as often as its rate says.
 * `bloom-filters` provides bits and double hashing; its own hash is replaced (it truncates, refuses Uint8Array and is 20 times slower),
 * and its bits are stored raw, since its JSON form forgets the hash and would restore to a filter that misses ids.
 * It is loaded with the first filter: that takes a quarter of a second, which a thread that makes none need not wait for.
 *
 *  0 algorithm u16   2 hash u16   4 hash count u32   8 bits u64   16 keys u64   24 nominal rate f64   32 ceil(bits / 8) bytes
 */
import { createRequire } from 'node:module'
import { kernels } from '@drift/native'
import type { BloomFilter } from 'bloom-filters'
import { requireArgument, StorageError } from './errors.js'
import { getU64, setU64, viewOf } from './segment/format.js'

const BLOOM_ALGORITHM = 0
const BLOOM_HASH = BLOOM_ALGORITHM + 2
const BLOOM_HASH_COUNT = BLOOM_HASH + 2
const BLOOM_BITS = BLOOM_HASH_COUNT + 4
const BLOOM_KEYS = BLOOM_BITS + 8
const BLOOM_RATE = BLOOM_KEYS + 8
const BLOOM_HEADER_BYTES = BLOOM_RATE + 8

/** Enhanced double hashing: (a + i b + (i^3 - i) / 6) mod bits, i < hash count. */
const ALGORITHM_CLASSIC = 1
/** a and b are the low and high half of XXH64. */
const HASH_XXH64_HALVES = 1
/** 64 hashes serve a rate of about 2^-63. */
const MAX_HASHES = 64
const MAX_BYTES = 2 ** 31

/** The library hands a key to its hash as it came, so the key given to it is the id's hash. */
type Key = Parameters<BloomFilter['add']>[0]

const require = createRequire(import.meta.url)
const library = (): typeof import('bloom-filters') => require('bloom-filters')

export class IdFilter {
  /** Keys added, counting repetitions. */
  #keys: number
  readonly #filter: BloomFilter
  readonly #rate: number

  /** @param keys - how many will be added. @param rate - of false positives then, in (0, 1). */
  static create(keys: number, rate: number): IdFilter {
    requireArgument(Number.isSafeInteger(keys) && keys >= 0, () => `${keys} is not a number of keys`)
    requireArgument(rate > 0 && rate < 1, () => `false-positive rate ${rate} is not in (0, 1)`)
    // The library sizes a filter for no key to 0 bits and NaN hashes.
    const bytes = (keys * Math.log(1 / rate)) / (8 * Math.LN2 ** 2)
    requireArgument(bytes <= MAX_BYTES, () => `${keys} keys at rate ${rate} take ${bytes} bytes`)
    const { BloomFilter } = library()
    const filter = keys === 0 ? new BloomFilter(8, 1) : BloomFilter.create(keys, rate)
    const { _nbHashes: hashes } = filter
    requireArgument(
      hashes <= MAX_HASHES,
      () => `rate ${rate} takes ${hashes} hashes, more than ${MAX_HASHES}`,
    )
    return new IdFilter(filter, 0, rate)
  }

  private constructor(filter: BloomFilter, keys: number, rate: number) {
    this.#filter = filter
    this.#keys = keys
    this.#rate = rate
    // The library hashes a key twice, with its seed + 1 and + 2.
    filter._hashing.serialize = (key, seed) => {
      const hash = key as unknown as bigint
      return Number(seed! % 2 === 1 ? hash & 0xffff_ffffn : hash >> 32n)
    }
  }

  get keys(): number {
    return this.#keys
  }

  add(id: Uint8Array): void {
    this.addHash(kernels.hash64(id))
  }

  /** The id of this XXH64. The bits are those of the library, without the arrays that it makes for each: a tenth of its time. */
  addHash(hash: bigint): void {
    const { _size: size, _nbHashes: hashes } = this.#filter
    const bits = this.#filter._filter.array
    let at = Number(hash & 0xffff_ffffn) % size
    let step = Number(hash >> 32n) % size
    for (let i = 1; i <= hashes; i++) {
      bits[Math.floor(at / 8)]! |= 1 << (at & 7)
      at = (at + step) % size
      step = (step + i) % size
    }
    this.#keys++
  }

  mightContain(id: Uint8Array): boolean {
    return this.#filter.has(kernels.hash64(id) as unknown as Key)
  }

  toBytes(): Uint8Array {
    const bits = this.#filter._filter.array
    const bytes = new Uint8Array(BLOOM_HEADER_BYTES + bits.length)
    const view = viewOf(bytes)
    view.setUint16(BLOOM_ALGORITHM, ALGORITHM_CLASSIC, true)
    view.setUint16(BLOOM_HASH, HASH_XXH64_HALVES, true)
    view.setUint32(BLOOM_HASH_COUNT, this.#filter._nbHashes, true)
    setU64(view, BLOOM_BITS, this.#filter._size)
    setU64(view, BLOOM_KEYS, this.#keys)
    view.setFloat64(BLOOM_RATE, this.#rate, true)
    bytes.set(bits, BLOOM_HEADER_BYTES)
    return bytes
  }

  /** @param path - for messages: where the bytes come from. Nothing is allocated before the lengths agree. */
  static fromBytes(bytes: Uint8Array, path: string): IdFilter {
    if (bytes.length < BLOOM_HEADER_BYTES) throw fault(`has ${bytes.length} bytes`, path)
    const view = viewOf(bytes)
    const algorithm = view.getUint16(BLOOM_ALGORITHM, true)
    const hash = view.getUint16(BLOOM_HASH, true)
    if (algorithm !== ALGORITHM_CLASSIC || hash !== HASH_XXH64_HALVES) {
      const message = `${path}: this version does not know Bloom filter ${algorithm} with hash ${hash}`
      throw new StorageError('DRIFT_FORMAT_FEATURE', message, { path })
    }
    const hashes = view.getUint32(BLOOM_HASH_COUNT, true)
    const bits = getU64(view, BLOOM_BITS, path)
    const rate = view.getFloat64(BLOOM_RATE, true)
    if (hashes < 1 || hashes > MAX_HASHES) throw fault(`has ${hashes} hashes`, path)
    if (!(rate > 0 && rate < 1)) throw fault(`has rate ${rate}`, path)
    if (bits < 1 || Math.ceil(bits / 8) !== bytes.length - BLOOM_HEADER_BYTES) {
      throw fault(`has ${bytes.length} bytes for ${bits} bits`, path)
    }
    const { BloomFilter } = library()
    const filter = new BloomFilter(bits, hashes)
    filter._filter.array = bytes.slice(BLOOM_HEADER_BYTES)
    return new IdFilter(filter, getU64(view, BLOOM_KEYS, path), rate)
  }
}

function fault(what: string, path: string): StorageError {
  return new StorageError('DRIFT_CORRUPT_DECODE', `${path}: the Bloom filter ${what}`, { path })
}
