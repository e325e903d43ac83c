/* One fixed random rotation of R^P for every vector, so that signs of residuals say as much in every direction. P is the
 * dimension padded with zeros to a multiple of 64. Randomised Hadamard transforms (Ailon and Chazelle 2009): rounds of
 * random sign flips and a Walsh-Hadamard transform of the widest power of two that fits, first over the leading, then over
 * the trailing values; where it does not cover P, the halves are mixed too. Every step is one rounding of a sum times a
 * constant: the same bits in every variant. */
#include <math.h>

#include "isa.h"

/* flips[i]: 0, or the sign bit. */
static void flip(float *values, size_t count, const uint32_t *flips) {
  for (size_t i = 0; i < count; i++) {
    uint32_t word;
    memcpy(&word, values + i, 4);
    word ^= flips[i];
    memcpy(values + i, &word, 4);
  }
}

/* (a, b) -> (a + b, a - b) * scale, element by element. */
static inline void mix(float *restrict a, float *restrict b, size_t count, float scale) {
  for (size_t i = 0; i < count; i++) {
    float x = a[i], y = b[i];
    a[i] = (x + y) * scale;
    b[i] = (x - y) * scale;
  }
}

/* Two steps of a transform at once, which spares the way through memory between them: blocks of `half` values, then of 2 * half. */
static inline void mix_twice(float *restrict a, size_t half, float scale) {
  float *restrict b = a + half, *restrict c = b + half, *restrict d = c + half;
  for (size_t i = 0; i < half; i++) {
    float ab = a[i] + b[i], a_b = a[i] - b[i], cd = c[i] + d[i], c_d = c[i] - d[i];
    a[i] = (ab + cd) * scale;
    b[i] = (a_b + c_d) * scale;
    c[i] = (ab - cd) * scale;
    d[i] = (a_b - c_d) * scale;
  }
}

/* Walsh-Hadamard transform of `width` values, a power of two of at least 64, times `scale`. */
static void hadamard(float *values, size_t width, float scale) {
  for (size_t i = 0; i < width; i += 8) {
    float *v = values + i;
    float a0 = v[0] + v[1], a1 = v[0] - v[1], a2 = v[2] + v[3], a3 = v[2] - v[3];
    float a4 = v[4] + v[5], a5 = v[4] - v[5], a6 = v[6] + v[7], a7 = v[6] - v[7];
    float b0 = a0 + a2, b1 = a1 + a3, b2 = a0 - a2, b3 = a1 - a3;
    float b4 = a4 + a6, b5 = a5 + a7, b6 = a4 - a6, b7 = a5 - a7;
    v[0] = b0 + b4, v[1] = b1 + b5, v[2] = b2 + b6, v[3] = b3 + b7;
    v[4] = b0 - b4, v[5] = b1 - b5, v[6] = b2 - b6, v[7] = b3 - b7;
  }
  size_t half = 8;
  for (; 4 * half <= width; half *= 4) {
    float by = 4 * half == width ? scale : 1.0f;
    for (size_t i = 0; i < width; i += 4 * half) mix_twice(values + i, half, by);
  }
  if (half < width) mix(values, values + half, half, scale);
}

void KERNEL(rotate)(const float *rows, size_t dim, size_t padded, size_t first, size_t count, const uint32_t *flips,
                    size_t rounds, float *out) {
  size_t width = 64;
  while (2 * width <= padded) width *= 2;
  float scale = (float)(1 / sqrt((double)width)), half_scale = (float)sqrt(0.5);
  for (size_t j = 0; j < count; j++) {
    float *row = out + j * padded;
    memcpy(row, rows + (first + j) * dim, dim * sizeof *row);
    memset(row + dim, 0, (padded - dim) * sizeof *row);
    for (size_t round = 0; round < rounds; round++) {
      flip(row, padded, flips + round * padded);
      hadamard(row + (round & 1 ? padded - width : 0), width, scale);
      if (width < padded) mix(row, row + padded / 2, padded / 2, half_scale);
    }
  }
}
