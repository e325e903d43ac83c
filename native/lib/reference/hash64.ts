/**
 * XXH64 (Collet, xxHash specification 0.1.1). Every product is wrapped at once, which V8 turns into 64-bit arithmetic.
 */

const PRIME_1 = 0x9e3779b185ebca87n
const PRIME_2 = 0xc2b2ae3d27d4eb4fn
const PRIME_3 = 0x165667b19e3779f9n
const PRIME_4 = 0x85ebca77c2b2ae63n
const PRIME_5 = 0x27d4eb2f165667c5n

/** Bytes that the four lanes take in one step. */
const STRIPE_BYTES = 32

export function hash64(bytes: Uint8Array, seed = 0n): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.length
  let at = 0
  let hash: bigint
  if (length >= STRIPE_BYTES) {
    let lane1 = wrap(seed + PRIME_1 + PRIME_2)
    let lane2 = wrap(seed + PRIME_2)
    let lane3 = wrap(seed)
    let lane4 = wrap(seed - PRIME_1)
    for (; at + STRIPE_BYTES <= length; at += STRIPE_BYTES) {
      lane1 = round(lane1, view.getBigUint64(at, true))
      lane2 = round(lane2, view.getBigUint64(at + 8, true))
      lane3 = round(lane3, view.getBigUint64(at + 16, true))
      lane4 = round(lane4, view.getBigUint64(at + 24, true))
    }
    hash = wrap(rotate(lane1, 1n) + rotate(lane2, 7n) + rotate(lane3, 12n) + rotate(lane4, 18n))
    hash = merge(merge(merge(merge(hash, lane1), lane2), lane3), lane4)
  } else {
    hash = wrap(seed + PRIME_5)
  }
  hash = wrap(hash + BigInt(length))
  for (; at + 8 <= length; at += 8) {
    hash ^= round(0n, view.getBigUint64(at, true))
    hash = wrap(wrap(rotate(hash, 27n) * PRIME_1) + PRIME_4)
  }
  if (at + 4 <= length) {
    hash ^= wrap(BigInt(view.getUint32(at, true)) * PRIME_1)
    hash = wrap(wrap(rotate(hash, 23n) * PRIME_2) + PRIME_3)
    at += 4
  }
  for (; at < length; at++) {
    hash ^= wrap(BigInt(bytes[at]!) * PRIME_5)
    hash = wrap(rotate(hash, 11n) * PRIME_1)
  }
  hash = wrap((hash ^ (hash >> 33n)) * PRIME_2)
  hash = wrap((hash ^ (hash >> 29n)) * PRIME_3)
  return hash ^ (hash >> 32n)
}

function round(lane: bigint, input: bigint): bigint {
  return wrap(rotate(wrap(lane + wrap(input * PRIME_2)), 31n) * PRIME_1)
}

function merge(hash: bigint, lane: bigint): bigint {
  return wrap(wrap((hash ^ round(0n, lane)) * PRIME_1) + PRIME_4)
}

function rotate(word: bigint, bits: bigint): bigint {
  return wrap(word << bits) | (word >> (64n - bits))
}

function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value)
}
