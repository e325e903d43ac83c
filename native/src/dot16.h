/* Tiles of inner products of 16-bit integers with 32-bit sums: two products of each lane per instruction, so twice the
 * rate of f32. A panel is PANEL vectors of 16-bit values, interleaved by pairs of dimensions: pair p of vector v at
 * panel[(p * PANEL + v) * 2]. The caller sees to it that no sum leaves 32 bits. */
#ifndef DRIFT_DOT16_H
#define DRIFT_DOT16_H

#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

/* As many sums as the registers hold: TILE_ROWS * PANEL_VECTORS of 32, or of 16. */
#if defined(__AVX512F__) || defined(__ARM_NEON)
enum { TILE_ROWS = 12 };
#elif defined(__AVX2__)
enum { TILE_ROWS = 6 };
#else
enum { TILE_ROWS = 4 };
#endif
enum { PANEL_VECTORS = 2, PANEL = PANEL_VECTORS * LANES };

typedef int32_t vint __attribute__((vector_size(VECTOR_BYTES)));

/* sums[i] + a[2i] * b[2i] + a[2i + 1] * b[2i + 1], of 16-bit values. */
static inline __attribute__((always_inline)) vint multiply_add(vint sums, vint a, vint b) {
#if defined(__AVX512VNNI__)
  return (vint)_mm512_dpwssd_epi32((__m512i)sums, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return sums + (vint)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
  return sums + (vint)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
  int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  return sums + (vint)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
#endif
}

/* Bit i: values[i] <= limit. */
static inline __attribute__((always_inline)) uint32_t at_most(vfloat values, float limit) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)values, _mm512_set1_ps(limit), _CMP_LE_OQ);
#elif defined(__AVX2__)
  return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps((__m256)values, _mm256_set1_ps(limit), _CMP_LE_OQ));
#elif defined(__x86_64__)
  return (uint32_t)_mm_movemask_ps(_mm_cmple_ps((__m128)values, _mm_set1_ps(limit)));
#else
  static const uint32_t bits[4] = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vcleq_f32((float32x4_t)values, vdupq_n_f32(limit)), vld1q_u32(bits)));
#endif
}

/* dots[r][v] = rows r * pairs * 2 .. of `rows` by panel. */
static inline __attribute__((always_inline)) void dot16_tile(const int16_t *rows, const int16_t *panel, size_t pairs,
                                                             vint dots[TILE_ROWS][PANEL_VECTORS]) {
  vint sums[TILE_ROWS][PANEL_VECTORS] = {{{0}}};
  for (size_t p = 0; p < pairs; p++) {
    vint columns[PANEL_VECTORS];
    for (size_t v = 0; v < PANEL_VECTORS; v++) columns[v] = (vint)load((const float *)(panel + (p * PANEL + v * LANES) * 2));
    for (size_t r = 0; r < TILE_ROWS; r++) {
      int32_t pair;
      memcpy(&pair, rows + (r * pairs + p) * 2, sizeof pair);
      vint row = (vint){0} + pair;
      for (size_t v = 0; v < PANEL_VECTORS; v++) sums[r][v] = multiply_add(sums[r][v], row, columns[v]);
    }
  }
  memcpy(dots, sums, sizeof sums);
}

#endif
