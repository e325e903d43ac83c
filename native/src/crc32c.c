/* CRC32C. x86: the crc32 instruction takes 8 bytes per cycle but answers after three, so three parts of a block run at
 * once and are joined by a carry-less multiplication (Gopal et al., Intel 2011). Where two or four of those run in one instruction, long
 * inputs are folded by them (Gopal et al., Intel 2009): up to twice as fast. arm64: its crc32c instruction. */
#include "isa.h"

static inline uint64_t read64(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

#if defined(__x86_64__)
#include <immintrin.h>

/* x^(8n - 33) mod P, bit-reflected, for n = one and two parts: carries a CRC over the n bytes that follow it. */
enum { LONG_PART = 1024, SHORT_PART = 128 };
static const uint32_t LONG_OVER_1 = 0x170076fa, LONG_OVER_2 = 0xa51b6135;
static const uint32_t SHORT_OVER_1 = 0x0d3b6092, SHORT_OVER_2 = 0xb9e02b86;

static inline uint64_t carry(uint64_t crc, uint32_t over) {
  __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128((long long)over), 0);
  return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

static inline uint64_t three_parts(uint64_t crc, const uint8_t *at, size_t part, uint32_t over_1, uint32_t over_2) {
  uint64_t c0 = crc, c1 = 0, c2 = 0;
  for (const uint8_t *end = at + part; at < end; at += 8) {
    c0 = _mm_crc32_u64(c0, read64(at));
    c1 = _mm_crc32_u64(c1, read64(at + part));
    c2 = _mm_crc32_u64(c2, read64(at + 2 * part));
  }
  return carry(c0, over_2) ^ carry(c1, over_1) ^ c2;
}

static uint32_t unfolded(const uint8_t *bytes, size_t length, uint32_t seed) {
  const uint8_t *at = bytes;
  size_t left = length;
  uint64_t crc = (uint32_t)~seed;
  for (; left >= 3 * LONG_PART; left -= 3 * LONG_PART, at += 3 * LONG_PART) {
    crc = three_parts(crc, at, LONG_PART, LONG_OVER_1, LONG_OVER_2);
  }
  for (; left >= 3 * SHORT_PART; left -= 3 * SHORT_PART, at += 3 * SHORT_PART) {
    crc = three_parts(crc, at, SHORT_PART, SHORT_OVER_1, SHORT_OVER_2);
  }
  for (; left >= 8; left -= 8, at += 8) crc = _mm_crc32_u64(crc, read64(at));
  for (; left > 0; left--, at++) crc = _mm_crc32_u8((uint32_t)crc, *at);
  return ~(uint32_t)crc;
}

#if VECTOR_BYTES > 16
#if VECTOR_BYTES == 64
typedef __m512i vsum;
#define MULTIPLY _mm512_clmulepi64_epi128
static const uint64_t FOLD_FIRST = 0xe9a5d8be00000000, FOLD_LAST = 0x1426a81500000000;
#else
typedef __m256i vsum;
#define MULTIPLY _mm256_clmulepi64_epi128
static const uint64_t FOLD_FIRST = 0x6577b24500000000, FOLD_LAST = 0x7417153f00000000;
#endif
/* Multiplications answer after four cycles. Below FOLD_FROM the crc32 instruction is as fast. FOLD_FIRST, FOLD_LAST: x^(8n + 63) and
 * x^(8n - 1) mod P, bit-reflected, n = FOLDED_BYTES: carry the first and the last 8 of 16 bytes over the n that follow. */
enum { SUMS = 4, FOLDED_BYTES = SUMS * VECTOR_BYTES, FOLD_FROM = 8 * FOLDED_BYTES };

static inline vsum load_sum(const uint8_t *at) {
  vsum v;
  memcpy(&v, at, sizeof v);
  return v;
}

/* FOLDED_BYTES that have the CRC of the whole blocks of `bytes` behind `crc`, when they stand behind nothing. */
__attribute__((target("vpclmulqdq"))) static void fold_blocks(const uint8_t *bytes, size_t blocks, uint64_t crc,
                                                               uint8_t folded[FOLDED_BYTES]) {
  vsum over = {0}, sums[SUMS];
  for (int i = 0; i < VECTOR_BYTES / 8; i++) over[i] = (long long)(i % 2 == 0 ? FOLD_FIRST : FOLD_LAST);
#pragma GCC unroll 4
  for (int j = 0; j < SUMS; j++) sums[j] = load_sum(bytes + j * VECTOR_BYTES);
  sums[0] ^= (vsum){(long long)crc};
  for (size_t i = 1; i < blocks; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < SUMS; j++) {
      vsum next = load_sum(bytes + i * FOLDED_BYTES + j * VECTOR_BYTES);
      sums[j] = MULTIPLY(sums[j], over, 0x00) ^ MULTIPLY(sums[j], over, 0x11) ^ next;
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < SUMS; j++) memcpy(folded + j * VECTOR_BYTES, &sums[j], VECTOR_BYTES);
}
#endif

uint32_t KERNEL(crc32c)(const uint8_t *bytes, size_t length, uint32_t seed) {
#if VECTOR_BYTES > 16
  if (length >= FOLD_FROM && __builtin_cpu_supports("vpclmulqdq")) {
    uint8_t folded[FOLDED_BYTES];
    fold_blocks(bytes, length / FOLDED_BYTES, (uint32_t)~seed, folded);
    seed = unfolded(folded, sizeof folded, ~(uint32_t)0);
    bytes += length - length % FOLDED_BYTES;
    length %= FOLDED_BYTES;
  }
#endif
  return unfolded(bytes, length, seed);
}

#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

uint32_t KERNEL(crc32c)(const uint8_t *bytes, size_t length, uint32_t seed) {
  const uint8_t *at = bytes;
  size_t left = length;
  uint32_t crc = ~seed;
  for (; left >= 8; left -= 8, at += 8) crc = __crc32cd(crc, read64(at));
  for (; left > 0; left--, at++) crc = __crc32cb(crc, *at);
  return ~crc;
}

#else
#error "the addon is built for x86-64 and for arm64 with the CRC extension (ARMv8.1)"
#endif
