/* Distances to codes that stand for a line per dimension: the value of code c is a multiple of c plus a constant, and
 * the query is folded into both beforehand. Without a table, so nothing but codes passes through the cache. */
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* LANES codes as floats. By name, as gcc 12 makes __builtin_convertvector of bytes scalar. */
static inline vfloat widened(const uint8_t *codes) {
#if VECTOR_BYTES == 64
  return (vfloat)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)codes)));
#elif VECTOR_BYTES == 32
  return (vfloat)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)codes)));
#else
  uint32_t word;
  memcpy(&word, codes, sizeof word);
#if defined(__x86_64__)
  return (vfloat)_mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)word)));
#else
  uint16x8_t wide = vmovl_u8(vcreate_u8(word));
  return (vfloat)vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide)));
#endif
#endif
}

static inline vfloat gaps(const float *offset, const float *step, const uint8_t *codes) {
  return load(offset) - load(step) * widened(codes);
}

static inline float squared(const float *offset, const float *step, const uint8_t *codes, size_t dim) {
  vfloat s0 = {0}, s1 = {0};
  size_t i = 0;
  for (; i + 2 * LANES <= dim; i += 2 * LANES) {
    vfloat g0 = gaps(offset + i, step + i, codes + i);
    vfloat g1 = gaps(offset + i + LANES, step + i + LANES, codes + i + LANES);
    s0 += g0 * g0;
    s1 += g1 * g1;
  }
  float total = sum(s0 + s1);
  for (; i < dim; i++) {
    float gap = offset[i] - step[i] * (float)codes[i];
    total += gap * gap;
  }
  return total;
}

static inline float plain(const float *offset, const float *step, const uint8_t *codes, size_t dim) {
  vfloat s0 = {0}, s1 = {0};
  size_t i = 0;
  for (; i + 2 * LANES <= dim; i += 2 * LANES) {
    s0 += gaps(offset + i, step + i, codes + i);
    s1 += gaps(offset + i + LANES, step + i + LANES, codes + i + LANES);
  }
  float total = sum(s0 + s1);
  for (; i < dim; i++) total += offset[i] - step[i] * (float)codes[i];
  return total;
}

void KERNEL(affine_distances)(drift_metric metric, const float *offset, const float *step, const uint8_t *codes,
                              size_t dim, size_t first, size_t count, float *out) {
  for (size_t j = 0; j < count; j++) {
    const uint8_t *row = codes + (first + j) * dim;
    out[j] = metric == DRIFT_L2 ? squared(offset, step, row, dim) : plain(offset, step, row, dim);
  }
}
