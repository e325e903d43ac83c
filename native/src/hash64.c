/* XXH64 (Collet, xxHash specification 0.1.1). */
#include <string.h>

#include "kernels.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Drift stores and reads little-endian words"
#endif

static const uint64_t PRIME_1 = 0x9e3779b185ebca87;
static const uint64_t PRIME_2 = 0xc2b2ae3d27d4eb4f;
static const uint64_t PRIME_3 = 0x165667b19e3779f9;
static const uint64_t PRIME_4 = 0x85ebca77c2b2ae63;
static const uint64_t PRIME_5 = 0x27d4eb2f165667c5;

static inline uint64_t read64(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

static inline uint32_t read32(const uint8_t *at) {
  uint32_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

static inline uint64_t rotate(uint64_t word, int bits) { return word << bits | word >> (64 - bits); }

static inline uint64_t round64(uint64_t lane, uint64_t input) { return rotate(lane + input * PRIME_2, 31) * PRIME_1; }

static inline uint64_t merge(uint64_t hash, uint64_t lane) { return (hash ^ round64(0, lane)) * PRIME_1 + PRIME_4; }

uint64_t drift_hash64(const uint8_t *bytes, size_t length, uint64_t seed) {
  const uint8_t *at = bytes;
  size_t left = length;
  uint64_t hash = seed + PRIME_5;
  if (left >= 32) {
    uint64_t lane1 = seed + PRIME_1 + PRIME_2, lane2 = seed + PRIME_2, lane3 = seed, lane4 = seed - PRIME_1;
    for (; left >= 32; left -= 32, at += 32) {
      lane1 = round64(lane1, read64(at));
      lane2 = round64(lane2, read64(at + 8));
      lane3 = round64(lane3, read64(at + 16));
      lane4 = round64(lane4, read64(at + 24));
    }
    hash = rotate(lane1, 1) + rotate(lane2, 7) + rotate(lane3, 12) + rotate(lane4, 18);
    hash = merge(merge(merge(merge(hash, lane1), lane2), lane3), lane4);
  }
  hash += length;
  for (; left >= 8; left -= 8, at += 8) hash = rotate(hash ^ round64(0, read64(at)), 27) * PRIME_1 + PRIME_4;
  if (left >= 4) {
    hash = rotate(hash ^ read32(at) * PRIME_1, 23) * PRIME_2 + PRIME_3;
    left -= 4;
    at += 4;
  }
  for (; left > 0; left--, at++) hash = rotate(hash ^ *at * PRIME_5, 11) * PRIME_1;
  hash = (hash ^ hash >> 33) * PRIME_2;
  hash = (hash ^ hash >> 29) * PRIME_3;
  return hash ^ hash >> 32;
}
