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

typedef float eight __attribute__((vector_size(32)));
typedef uint32_t eight_bits __attribute__((vector_size(32)));
#define SIGN 0x80000000u

/* The steps of a transform within eight values: each is exchanged with the other of its pair, and a + b and a - b of each pair (a, b) are
 * sums with the sign of every second one turned. */
static inline void mix_eight(eight *values) {
  const eight_bits ones = {0, SIGN, 0, SIGN, 0, SIGN, 0, SIGN}, twos = {0, 0, SIGN, SIGN, 0, 0, SIGN, SIGN};
  const eight_bits fours = {0, 0, 0, 0, SIGN, SIGN, SIGN, SIGN};
  eight x = *values;
  x = __builtin_shufflevector(x, x, 1, 0, 3, 2, 5, 4, 7, 6) + (eight)((eight_bits)x ^ ones);
  x = __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5) + (eight)((eight_bits)x ^ twos);
  *values = __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3) + (eight)((eight_bits)x ^ fours);
}

enum { CORE = 64 };

/* The steps within CORE values, in registers: loops as short as these are not made vectors of. */
static inline void mix_core(float *values, float scale) {
  eight x[8];
#pragma GCC unroll 8
  for (size_t i = 0; i < 8; i++) {
    memcpy(x + i, values + 8 * i, sizeof(eight));
    mix_eight(x + i);
  }
#pragma GCC unroll 3
  for (size_t half = 1; half < 8; half *= 2) {
#pragma GCC unroll 4
    for (size_t pair = 0; pair < 4; pair++) {
      size_t i = pair / half * 2 * half + pair % half;
      eight a = x[i], b = x[i + half];
      x[i] = a + b;
      x[i + half] = a - b;
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < 8; i++) {
    x[i] *= scale;
    memcpy(values + 8 * i, x + i, sizeof(eight));
  }
}

/* Walsh-Hadamard transform of `width` values, a power of two of at least CORE, times `scale`. */
static void hadamard(float *values, size_t width, float scale) {
  for (size_t i = 0; i < width; i += CORE) mix_core(values + i, width == CORE ? scale : 1.0f);
  size_t half = CORE;
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
