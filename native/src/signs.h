/* Sign codes: the query's half, the scan of one block, and the entry of one row. Layout and formulas: index.h.
 * The scan is FastScan (Andre, Kermarrec, Le Scouarnec 2015; faiss): a nibble of four signs picks one of 16 sums from a table
 * in a register, for 32 entries at once. Table entries have 7 bits, so two look-ups are added as bytes before they widen. */
#ifndef DRIFT_SIGNS_H
#define DRIFT_SIGNS_H

#include <math.h>

#include "index.h"
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* <s, q> ~ step * (sum of table entries) - l1. */
typedef struct {
  const uint8_t *lut; /* D/4 groups of 16 */
  float step, l1;
} sign_query;

/* lut[4 i + m] = what the signs m of values i .. i + 3 add over their least: bit b adds 2 |q| over its absence when q > 0, and takes as much
 * away when q < 0; in units of 1 / inverse. Sums lie within 0.5 .. 127.5, and are cut. padded: a multiple of 8. */
#if defined(__AVX2__)

static inline __m256i table_of_four(const float *twice, const float *base, __m256i *upper) {
  const __m256 b0 = _mm256_castsi256_ps(_mm256_setr_epi32(0, -1, 0, -1, 0, -1, 0, -1));
  const __m256 b1 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, -1, -1, 0, 0, -1, -1));
  const __m256 b2 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, 0, 0, -1, -1, -1, -1));
  __m256 low = _mm256_add_ps(_mm256_and_ps(_mm256_broadcast_ss(twice), b0), _mm256_and_ps(_mm256_broadcast_ss(twice + 1), b1));
  __m256 high = _mm256_and_ps(_mm256_broadcast_ss(twice + 2), b2), from = _mm256_broadcast_ss(base);
  *upper = _mm256_cvttps_epi32(_mm256_add_ps(from, _mm256_add_ps(low, _mm256_add_ps(high, _mm256_broadcast_ss(twice + 3)))));
  return _mm256_cvttps_epi32(_mm256_add_ps(from, _mm256_add_ps(low, high)));
}

static inline void fill_table(const float *query, size_t padded, float inverse, uint8_t *lut) {
  const __m256 by = _mm256_set1_ps(inverse), two = _mm256_set1_ps(2), zero = _mm256_setzero_ps(), half = _mm256_set1_ps(0.5f);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (size_t i = 0; i < padded; i += 8) {
    float twice[8], base[8];
    __m256 a = _mm256_mul_ps(_mm256_mul_ps(two, _mm256_loadu_ps(query + i)), by), less = _mm256_max_ps(_mm256_sub_ps(zero, a), zero);
    __m256 pairs = _mm256_hadd_ps(less, less);
    _mm256_storeu_ps(twice, a);
    _mm256_storeu_ps(base, _mm256_add_ps(half, _mm256_hadd_ps(pairs, pairs)));
    __m256i u0, u1, l0 = table_of_four(twice, base, &u0), l1 = table_of_four(twice + 4, base + 4, &u1);
    __m256i words = _mm256_packus_epi16(_mm256_packus_epi32(l0, u0), _mm256_packus_epi32(l1, u1));
    _mm256_storeu_si256((__m256i *)(lut + 4 * i), _mm256_permutevar8x32_epi32(words, order));
  }
}

#else

static inline void fill_table(const float *query, size_t padded, float inverse, uint8_t *lut) {
  static const float bit[4][16] = {{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1},
                                   {0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1},
                                   {0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1},
                                   {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}};
  for (size_t i = 0; i < padded; i += 4) {
    float a[4], base = 0.5f;
    for (size_t b = 0; b < 4; b++) {
      a[b] = 2 * query[i + b] * inverse;
      base += a[b] < 0 ? -a[b] : 0;
    }
    uint8_t *restrict out = lut + 4 * i;
    for (size_t m = 0; m < 16; m++) {
      out[m] = (uint8_t)(int32_t)(base + ((bit[0][m] * a[0] + bit[1][m] * a[1]) + (bit[2][m] * a[2] + bit[3][m] * a[3])));
    }
  }
}

#endif

/* lut: 4 * padded bytes. */
static inline sign_query sign_table(const float *query, size_t padded, uint8_t *lut) {
  float widest = 0, l1 = 0;
  for (size_t i = 0; i < padded; i += 4) {
    float span = fabsf(query[i]) + fabsf(query[i + 1]) + fabsf(query[i + 2]) + fabsf(query[i + 3]);
    l1 += span;
    widest = span > widest ? span : widest;
  }
  /* Values whose sums overflow say nothing: every entry is as near as its add. */
  if (!(l1 < 1e38f)) {
    memset(lut, 0, 4 * padded);
    return (sign_query){lut, 0, 0};
  }
  float step = 2 * widest / 127;
  float inverse = step > 0 ? 1 / step : 0;
  if (!(inverse <= 3e38f)) inverse = step = 0; /* all values next to nothing */
  fill_table(query, padded, inverse, lut);
  return (sign_query){lut, step, l1};
}

/* Groups summed in 16 bits: 512 * 127 < 65 536. */
enum { SUM_GROUPS = 512 };

#if defined(__x86_64__) && !defined(__AVX512BW__)
/* Sixteen sums in the order of their entries, from those of even and of odd ones. */
static inline void store_sums(__m128i even, __m128i odd, uint16_t *sum) {
  _mm_storeu_si128((__m128i *)sum, _mm_unpacklo_epi16(even, odd));
  _mm_storeu_si128((__m128i *)(sum + 8), _mm_unpackhi_epi16(even, odd));
}
#endif

/* sum[j] = table entries of entry j, over `groups` groups (a multiple of 16, at most SUM_GROUPS). */
#if defined(__AVX512BW__)

/* The same in a register, so that what follows need not wait for memory. */
static inline __m512i group_sums(const uint8_t *signs, const uint8_t *lut, size_t groups) {
  const __m512i low = _mm512_set1_epi8(15);
  __m512i a0 = _mm512_setzero_si512(), a1 = a0, b0 = a0, b1 = a0;
#pragma GCC unroll 2
  for (size_t g = 0; g < groups; g += 8) {
    __m512i c0 = _mm512_loadu_si512(signs + 16 * g), c1 = _mm512_loadu_si512(signs + 16 * g + 64);
    __m512i t0 = _mm512_loadu_si512(lut + 16 * g), t1 = _mm512_loadu_si512(lut + 16 * g + 64);
    __m512i lo = _mm512_add_epi8(_mm512_shuffle_epi8(t0, _mm512_and_si512(c0, low)),
                                 _mm512_shuffle_epi8(t1, _mm512_and_si512(c1, low)));
    __m512i hi = _mm512_add_epi8(_mm512_shuffle_epi8(t0, _mm512_and_si512(_mm512_srli_epi16(c0, 4), low)),
                                 _mm512_shuffle_epi8(t1, _mm512_and_si512(_mm512_srli_epi16(c1, 4), low)));
    a0 = _mm512_add_epi16(a0, lo);
    a1 = _mm512_add_epi16(a1, _mm512_srli_epi16(lo, 8));
    b0 = _mm512_add_epi16(b0, hi);
    b1 = _mm512_add_epi16(b1, _mm512_srli_epi16(hi, 8));
  }
  /* The four parts of each as one, side by side: a0, a1, b0, b1. */
  __m512i a = _mm512_add_epi16(_mm512_shuffle_i64x2(a0, a1, 0x44), _mm512_shuffle_i64x2(a0, a1, 0xee));
  __m512i b = _mm512_add_epi16(_mm512_shuffle_i64x2(b0, b1, 0x44), _mm512_shuffle_i64x2(b0, b1, 0xee));
  __m512i all = _mm512_add_epi16(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
  /* a0 holds the even entries plus 256 times the odd ones. */
  __m512i odd = _mm512_shuffle_i64x2(all, all, 0xf5), even = _mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8));
  const __m512i order = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
  return _mm512_permutex2var_epi64(_mm512_unpacklo_epi16(even, odd), order, _mm512_unpackhi_epi16(even, odd));
}

static inline void sum_groups(const uint8_t *signs, const uint8_t *lut, size_t groups, uint16_t *sum) {
  _mm512_storeu_si512(sum, group_sums(signs, lut, groups));
}

#elif defined(__AVX2__)

static inline void sum_groups(const uint8_t *signs, const uint8_t *lut, size_t groups, uint16_t *sum) {
  const __m256i low = _mm256_set1_epi8(15);
  __m256i a0 = _mm256_setzero_si256(), a1 = a0, b0 = a0, b1 = a0;
#pragma GCC unroll 4
  for (size_t g = 0; g < groups; g += 4) {
    __m256i c0 = _mm256_loadu_si256((const __m256i *)(signs + 16 * g));
    __m256i c1 = _mm256_loadu_si256((const __m256i *)(signs + 16 * g + 32));
    __m256i t0 = _mm256_loadu_si256((const __m256i *)(lut + 16 * g));
    __m256i t1 = _mm256_loadu_si256((const __m256i *)(lut + 16 * g + 32));
    __m256i lo = _mm256_add_epi8(_mm256_shuffle_epi8(t0, _mm256_and_si256(c0, low)),
                                 _mm256_shuffle_epi8(t1, _mm256_and_si256(c1, low)));
    __m256i hi = _mm256_add_epi8(_mm256_shuffle_epi8(t0, _mm256_and_si256(_mm256_srli_epi16(c0, 4), low)),
                                 _mm256_shuffle_epi8(t1, _mm256_and_si256(_mm256_srli_epi16(c1, 4), low)));
    a0 = _mm256_add_epi16(a0, lo);
    a1 = _mm256_add_epi16(a1, _mm256_srli_epi16(lo, 8));
    b0 = _mm256_add_epi16(b0, hi);
    b1 = _mm256_add_epi16(b1, _mm256_srli_epi16(hi, 8));
  }
  /* a0 holds the even entries plus 256 times the odd ones. */
  a0 = _mm256_sub_epi16(a0, _mm256_slli_epi16(a1, 8));
  b0 = _mm256_sub_epi16(b0, _mm256_slli_epi16(b1, 8));
  __m128i even = _mm_add_epi16(_mm256_castsi256_si128(a0), _mm256_extracti128_si256(a0, 1));
  __m128i odd = _mm_add_epi16(_mm256_castsi256_si128(a1), _mm256_extracti128_si256(a1, 1));
  store_sums(even, odd, sum);
  even = _mm_add_epi16(_mm256_castsi256_si128(b0), _mm256_extracti128_si256(b0, 1));
  odd = _mm_add_epi16(_mm256_castsi256_si128(b1), _mm256_extracti128_si256(b1, 1));
  store_sums(even, odd, sum + 16);
}

#elif defined(__SSSE3__)

static inline void sum_groups(const uint8_t *signs, const uint8_t *lut, size_t groups, uint16_t *sum) {
  const __m128i low = _mm_set1_epi8(15);
  __m128i a0 = _mm_setzero_si128(), a1 = a0, b0 = a0, b1 = a0;
  for (size_t g = 0; g < groups; g += 2) {
    __m128i c0 = _mm_loadu_si128((const __m128i *)(signs + 16 * g));
    __m128i c1 = _mm_loadu_si128((const __m128i *)(signs + 16 * g + 16));
    __m128i t0 = _mm_loadu_si128((const __m128i *)(lut + 16 * g));
    __m128i t1 = _mm_loadu_si128((const __m128i *)(lut + 16 * g + 16));
    __m128i lo = _mm_add_epi8(_mm_shuffle_epi8(t0, _mm_and_si128(c0, low)), _mm_shuffle_epi8(t1, _mm_and_si128(c1, low)));
    __m128i hi = _mm_add_epi8(_mm_shuffle_epi8(t0, _mm_and_si128(_mm_srli_epi16(c0, 4), low)),
                              _mm_shuffle_epi8(t1, _mm_and_si128(_mm_srli_epi16(c1, 4), low)));
    a0 = _mm_add_epi16(a0, lo);
    a1 = _mm_add_epi16(a1, _mm_srli_epi16(lo, 8));
    b0 = _mm_add_epi16(b0, hi);
    b1 = _mm_add_epi16(b1, _mm_srli_epi16(hi, 8));
  }
  a0 = _mm_sub_epi16(a0, _mm_slli_epi16(a1, 8));
  b0 = _mm_sub_epi16(b0, _mm_slli_epi16(b1, 8));
  store_sums(a0, a1, sum);
  store_sums(b0, b1, sum + 16);
}

#elif defined(__aarch64__)

static inline void sum_groups(const uint8_t *signs, const uint8_t *lut, size_t groups, uint16_t *sum) {
  const uint8x16_t low = vdupq_n_u8(15);
  uint16x8_t a0 = vdupq_n_u16(0), a1 = a0, b0 = a0, b1 = a0;
  for (size_t g = 0; g < groups; g += 2) {
    uint8x16_t c0 = vld1q_u8(signs + 16 * g), c1 = vld1q_u8(signs + 16 * g + 16);
    uint8x16_t t0 = vld1q_u8(lut + 16 * g), t1 = vld1q_u8(lut + 16 * g + 16);
    uint8x16_t lo = vaddq_u8(vqtbl1q_u8(t0, vandq_u8(c0, low)), vqtbl1q_u8(t1, vandq_u8(c1, low)));
    uint8x16_t hi = vaddq_u8(vqtbl1q_u8(t0, vshrq_n_u8(c0, 4)), vqtbl1q_u8(t1, vshrq_n_u8(c1, 4)));
    a0 = vaddw_u8(a0, vget_low_u8(lo));
    a1 = vaddw_high_u8(a1, lo);
    b0 = vaddw_u8(b0, vget_low_u8(hi));
    b1 = vaddw_high_u8(b1, hi);
  }
  vst1q_u16(sum, a0);
  vst1q_u16(sum + 8, a1);
  vst1q_u16(sum + 16, b0);
  vst1q_u16(sum + 24, b1);
}

#endif

#if defined(__AVX512BW__)

/* Of sixteen entries. */
static inline __m512 finished(__m256i sums, const float *add, const float *scale, float base, float step, float shift) {
  __m512 inner = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(sums)), _mm512_set1_ps(step), _mm512_set1_ps(shift));
  return _mm512_fnmadd_ps(_mm512_loadu_ps(scale), inner, _mm512_add_ps(_mm512_set1_ps(base), _mm512_loadu_ps(add)));
}

#elif defined(__AVX2__)

/* gcc's own vectors of this loop take three times as long. */
static inline void finish(const uint16_t *sum, const float *add, const float *scale, float base, float step, float shift,
                          float *restrict out) {
  for (size_t j = 0; j < BLOCK_ENTRIES; j += 8) {
    __m256 sums = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(sum + j))));
    __m256 inner = _mm256_fmadd_ps(sums, _mm256_set1_ps(step), _mm256_set1_ps(shift));
    __m256 from = _mm256_add_ps(_mm256_set1_ps(base), _mm256_loadu_ps(add + j));
    _mm256_storeu_ps(out + j, _mm256_fnmadd_ps(_mm256_loadu_ps(scale + j), inner, from));
  }
}

#else

static inline void finish(const uint16_t *sum, const float *add, const float *scale, float base, float step, float shift,
                          float *restrict out) {
  for (size_t j = 0; j < BLOCK_ENTRIES; j++) out[j] = (base + add[j]) - scale[j] * (step * (float)sum[j] + shift);
}

#endif

/* out[j] = base + add[j] - scale[j] * (<s_j, q> + slack), j < 32: with slack = 0 the estimate, with eps ||q - c|| its
 * lower bound. */
static inline void sign_scan(const sign_query *query, const uint8_t *block, size_t padded, float base, float slack,
                             float *restrict out) {
  uint16_t sum[BLOCK_ENTRIES];
  const float *add = block_add((uint8_t *)block, padded), *scale = add + BLOCK_ENTRIES;
  float shift = slack - query->l1, step = query->step;
  size_t groups = padded / 4;
  if (groups <= SUM_GROUPS) {
#if defined(__AVX512BW__)
    __m512i all = group_sums(block, query->lut, groups);
    _mm512_storeu_ps(out, finished(_mm512_castsi512_si256(all), add, scale, base, step, shift));
    _mm512_storeu_ps(out + 16, finished(_mm512_extracti64x4_epi64(all, 1), add + 16, scale + 16, base, step, shift));
#else
    sum_groups(block, query->lut, groups, sum);
    finish(sum, add, scale, base, step, shift, out);
#endif
    return;
  }
  uint32_t total[BLOCK_ENTRIES] = {0};
  for (size_t g = 0; g < groups; g += SUM_GROUPS) {
    size_t some = groups - g < SUM_GROUPS ? groups - g : SUM_GROUPS;
    sum_groups(block + GROUP_BYTES * g, query->lut + GROUP_BYTES * g, some, sum);
    for (size_t j = 0; j < BLOCK_ENTRIES; j++) total[j] += sum[j];
  }
  for (size_t j = 0; j < BLOCK_ENTRIES; j++) out[j] = (base + add[j]) - scale[j] * (step * (float)total[j] + shift);
}

typedef uint32_t vbits __attribute__((vector_size(VECTOR_BYTES)));
#define SIGN 0x80000000u

/* Bit i: values[i] >= 0. */
static inline uint32_t not_negative(vfloat values) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)values, _mm512_setzero_ps(), _CMP_GE_OQ);
#elif defined(__AVX2__)
  return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)values, _mm256_setzero_ps(), _CMP_GE_OQ));
#elif defined(__x86_64__)
  return (uint32_t)_mm_movemask_ps(_mm_cmpge_ps((__m128)values, _mm_setzero_ps()));
#else
  static const uint32_t bits[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vcgezq_f32((float32x4_t)values), vld1q_u32(bits)));
#endif
}

/* Entry `slot` of the block becomes x, in a bucket with centroid c. The add comes last: before it, the entry is not there. */
static inline void sign_write(drift_metric metric, const float *x, const float *centroid, size_t padded, uint8_t *block,
                              size_t slot, uint32_t row) {
  vfloat vsquares = {0}, vl1 = {0}, vsc = {0}, vrc = {0};
  const vfloat zero = {0};
  size_t shift = slot >= 16 ? 4 : 0;
  uint8_t keep = (uint8_t)(slot >= 16 ? 0x0f : 0xf0);
  uint8_t *at = block + (slot & 15);
  for (size_t i = 0; i < padded; i += LANES) {
    vfloat c = load(centroid + i), r = load(x + i) - c;
    vbits negative = (vbits)(r < zero) & SIGN;
    vsquares += r * r;
    vl1 += (vfloat)((vbits)r & ~SIGN);
    vsc += (vfloat)((vbits)c ^ negative);
    vrc += r * c;
    uint32_t signs = not_negative(r);
    for (size_t b = 0; b < LANES; b += 4) {
      uint8_t *byte = at + 4 * (i + b);
      *byte = (uint8_t)((*byte & keep) | (signs >> b & 15) << shift);
    }
  }
  float squares = sum(vsquares), l1 = sum(vl1), sc = sum(vsc), rc = sum(vrc);
  float h = l1 > 0 ? squares / l1 : 0;
  block_rows(block, padded)[slot] = row;
  block_scale(block, padded)[slot] = metric == DRIFT_L2 ? 2 * h : h;
  float add = metric == DRIFT_L2 ? squares + 2 * h * sc : h * sc - rc;
  __atomic_thread_fence(__ATOMIC_RELEASE);
  block_add(block, padded)[slot] = add;
}

/* Entry `to_slot` of a block becomes what entry `from_slot` of another is. */
static inline void sign_copy(uint8_t *from, size_t from_slot, uint8_t *to, size_t to_slot, size_t padded) {
  size_t from_shift = from_slot >= 16 ? 4 : 0, to_shift = to_slot >= 16 ? 4 : 0;
  uint8_t keep = (uint8_t)(to_slot >= 16 ? 0x0f : 0xf0);
  const uint8_t *source = from + (from_slot & 15);
  uint8_t *at = to + (to_slot & 15);
  for (size_t i = 0; i < 4 * padded; i += GROUP_BYTES) {
    at[i] = (uint8_t)((at[i] & keep) | (source[i] >> from_shift & 15) << to_shift);
  }
  block_rows(to, padded)[to_slot] = block_rows(from, padded)[from_slot];
  block_scale(to, padded)[to_slot] = block_scale(from, padded)[from_slot];
  __atomic_thread_fence(__ATOMIC_RELEASE);
  block_add(to, padded)[to_slot] = block_add(from, padded)[from_slot];
}

#endif
