/* SQ8 codes: u8 = round(x / step) + 128, in 1 .. 255. The integer sum of a product is exact on every path:
 *   AVX-512 VNNI   vpdpbusd takes u8 * s8 into 32 bits as it is
 *   AVX2, SSSE3    maddubs(|x|, sign(q, x)) with x = code - 128: a pair is at most 2 * 128 * 127 = 32 512, so its
 *                  saturation at 32 767 is never reached; the plain form maddubs(code, q) would saturate
 *   NEON           widening multiply, pairs added into 32 bits */
#ifndef DRIFT_SQ8_H
#define DRIFT_SQ8_H

#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

static inline int32_t sq8_dot_tail(const uint8_t *codes, const int8_t *query, size_t from, size_t dim) {
  int32_t total = 0;
  for (size_t i = from; i < dim; i++) total += ((int32_t)codes[i] - 128) * query[i];
  return total;
}

/* sum_i (codes[i] - 128) * query[i]; query_sum is the sum of the query's codes. */
#if defined(__AVX512VNNI__)

static inline int32_t sq8_dot(const uint8_t *codes, const int8_t *query, size_t dim, int32_t query_sum) {
  __m512i s0 = _mm512_setzero_si512(), s1 = s0;
  size_t i = 0;
  for (; i + 128 <= dim; i += 128) {
    s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(codes + i), _mm512_loadu_si512(query + i));
    s1 = _mm512_dpbusd_epi32(s1, _mm512_loadu_si512(codes + i + 64), _mm512_loadu_si512(query + i + 64));
  }
  for (; i < dim; i += 64) {
    /* Masked lanes are not read. */
    __mmask64 lanes = dim - i >= 64 ? ~0ull : (1ull << (dim - i)) - 1;
    s0 = _mm512_dpbusd_epi32(s0, _mm512_maskz_loadu_epi8(lanes, codes + i),
                             _mm512_maskz_loadu_epi8(lanes, query + i));
  }
  return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1)) - 128 * query_sum;
}

#elif defined(__AVX2__)

static inline __m256i sq8_dot_step(const uint8_t *codes, const int8_t *query) {
  __m256i x = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)codes), _mm256_set1_epi8((char)0x80));
  __m256i q = _mm256_loadu_si256((const __m256i *)query);
  __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(q, x));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

static inline int32_t sq8_dot(const uint8_t *codes, const int8_t *query, size_t dim, int32_t query_sum) {
  (void)query_sum;
  __m256i s0 = _mm256_setzero_si256(), s1 = s0;
  size_t i = 0;
  for (; i + 64 <= dim; i += 64) {
    s0 = _mm256_add_epi32(s0, sq8_dot_step(codes + i, query + i));
    s1 = _mm256_add_epi32(s1, sq8_dot_step(codes + i + 32, query + i + 32));
  }
  for (; i + 32 <= dim; i += 32) s0 = _mm256_add_epi32(s0, sq8_dot_step(codes + i, query + i));
  s0 = _mm256_add_epi32(s0, s1);
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(s0), _mm256_extracti128_si256(s0, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
  return _mm_cvtsi128_si32(s) + sq8_dot_tail(codes, query, i, dim);
}

#elif defined(__SSSE3__)

static inline int32_t sq8_dot(const uint8_t *codes, const int8_t *query, size_t dim, int32_t query_sum) {
  (void)query_sum;
  __m128i s = _mm_setzero_si128();
  size_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    __m128i x = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(codes + i)), _mm_set1_epi8((char)0x80));
    __m128i q = _mm_loadu_si128((const __m128i *)(query + i));
    __m128i pairs = _mm_maddubs_epi16(_mm_abs_epi8(x), _mm_sign_epi8(q, x));
    s = _mm_add_epi32(s, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
  }
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
  return _mm_cvtsi128_si32(s) + sq8_dot_tail(codes, query, i, dim);
}

#elif defined(__aarch64__)

static inline int32_t sq8_dot(const uint8_t *codes, const int8_t *query, size_t dim, int32_t query_sum) {
  (void)query_sum;
  int32x4_t s0 = vdupq_n_s32(0), s1 = s0;
  size_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    int8x16_t x = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes + i), vdupq_n_u8(0x80)));
    int8x16_t q = vld1q_s8(query + i);
    s0 = vpadalq_s16(s0, vmull_s8(vget_low_s8(x), vget_low_s8(q)));
    s1 = vpadalq_s16(s1, vmull_high_s8(x, q));
  }
  return vaddvq_s32(vaddq_s32(s0, s1)) + sq8_dot_tail(codes, query, i, dim);
}

#endif

/* From factors (scale, ||x||^2) of the row and (scale, ||q||^2, sum of codes) of the query; each f32 step rounded once. */
static inline float sq8_distance(drift_metric metric, const int8_t *query, const float *query_factors, const uint8_t *codes,
                             const float *factors, size_t dim) {
  float scale = query_factors[0] * factors[0];
  float product = scale * (float)sq8_dot(codes, query, dim, (int32_t)query_factors[2]);
  /* 2 * product is exact, so a fused subtraction rounds the same. */
  return metric == DRIFT_L2 ? (query_factors[1] + factors[1]) - 2 * product : -product;
}

/* The step of the codes, max|x| / 127. The bits of a non-negative float order like the float, and a maximum of integers vectorises. */
static inline float sq8_step(const float *values, size_t dim) {
  uint32_t largest = 0;
  for (size_t i = 0; i < dim; i++) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    bits &= 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  float magnitude;
  memcpy(&magnitude, &largest, sizeof magnitude);
  return magnitude / 127.0f;
}

/* A subnormal step is so coarse that x / step can leave the range: hence the limits. A NaN becomes -127.
 * Adding and subtracting 1.5 * 2^23 rounds to an integer, ties to even, without a call to libm. */
static inline int32_t sq8_code(float x, float step) {
  float v = x / step;
  v = v > -127.0f ? v : -127.0f;
  v = v < 127.0f ? v : 127.0f;
  return (int32_t)((v + 12582912.0f) - 12582912.0f);
}

/* What the codes are to be multiplied by, so that the decoded row has the row's own inner product with it:
 * ||x||^2 / <codes, x>, not the step itself. An estimate is then off only across the row, not along it, which is what counts when
 * all rows lie far from zero beside each other. From x in sixteenths of a step, as integers: the same bits everywhere. */
static inline float sq8_factor(const float *row, size_t dim, float step) {
  enum { PART = 256 }; /* sums of squares up to 2032^2 fit 32 bits */
  int64_t squares = 0, product = 0;
  if (step == 0) return 0;
  for (size_t from = 0; from < dim; from += PART) {
    size_t end = dim - from < PART ? dim : from + PART;
    int32_t part_squares = 0, part_product = 0;
    for (size_t i = from; i < end; i++) {
      float v = row[i] / step;
      v = v > -127.0f ? v : -127.0f;
      v = v < 127.0f ? v : 127.0f;
      int32_t fine = (int32_t)((v * 16.0f + 12582912.0f) - 12582912.0f);
      part_squares += fine * fine;
      part_product += fine * sq8_code(row[i], step);
    }
    squares += part_squares;
    product += part_product;
  }
  return product > 0 ? (float)((double)step * ((double)squares / (16.0 * (double)product))) : step;
}

#endif
