/* What the SQ8 codes of rows say, as floats. */
#ifndef DRIFT_CODED_H
#define DRIFT_CODED_H

#include "index.h"
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* LANES values of a row, in steps of its scale. By hand: gcc 12 converts vectors of bytes one by one. */
static inline vfloat coded_values(const uint8_t *codes) {
#if defined(__AVX512F__)
  __m512i values = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)codes));
  return (vfloat)_mm512_cvtepi32_ps(_mm512_sub_epi32(values, _mm512_set1_epi32(128)));
#elif defined(__AVX2__)
  __m256i values = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)codes));
  return (vfloat)_mm256_cvtepi32_ps(_mm256_sub_epi32(values, _mm256_set1_epi32(128)));
#elif defined(__x86_64__)
  int32_t four;
  memcpy(&four, codes, sizeof four);
  return (vfloat)_mm_cvtepi32_ps(_mm_sub_epi32(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)), _mm_set1_epi32(128)));
#else
  uint32_t four;
  memcpy(&four, codes, sizeof four);
  uint16x4_t halves = vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four))));
  return (vfloat)vcvtq_f32_s32(vsubq_s32(vreinterpretq_s32_u32(vmovl_u16(halves)), vdupq_n_s32(128)));
#endif
}

/* out: D values, rotated. */
static inline void decode_row(const drift_index *index, size_t row, float *out) {
  const uint8_t *codes = index->codes + row * index->padded;
  float scale = index->factors[2 * row];
  for (size_t i = 0; i < index->padded; i += LANES) {
    vfloat values = scale * coded_values(codes + i);
    memcpy(out + i, &values, sizeof values);
  }
}

#endif
