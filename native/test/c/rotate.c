/* rotate: the same bits everywhere, and lengths stay. */
#include "harness.h"

static void plain_mix(float *a, float *b, float scale) {
  float x = *a, y = *b;
  *a = (x + y) * scale;
  *b = (x - y) * scale;
}

static void plain_rotation(float *row, size_t padded, const uint32_t *flips, size_t rounds) {
  size_t width = 64;
  while (2 * width <= padded) width *= 2;
  float scale = (float)(1 / sqrt((double)width));
  for (size_t round = 0; round < rounds; round++, flips += padded) {
    for (size_t i = 0; i < padded; i++) row[i] = flips[i] ? -row[i] : row[i];
    float *part = row + (round % 2 ? padded - width : 0);
    for (size_t half = 1; half < width; half *= 2) {
      for (size_t i = 0; i < width; i++) {
        if (!(i & half)) plain_mix(part + i, part + i + half, 2 * half == width ? scale : 1);
      }
    }
    for (size_t i = 0; width < padded && i < padded / 2; i++) plain_mix(row + i, row + i + padded / 2, (float)sqrt(0.5));
  }
}

uint32_t *sign_flips(size_t padded, size_t rounds) {
  uint32_t *flips = words(padded * rounds, 2);
  for (size_t i = 0; i < padded * rounds; i++) flips[i] <<= 31;
  return flips;
}

void run_rotate(void) {
  size_t dim = some_dim(), padded = (dim + 63) / 64 * 64 + (below(8) ? 0 : 64), rounds = 1 + below(4);
  size_t first = below(3), count = below(6);
  float *rows = floats((first + count) * dim, some_scale());
  uint32_t *flips = sign_flips(padded, rounds);
  inputs_end();
  float *out = outputs(count * padded);
  for (const drift_kernels *k; (k = next_variant());) {
    k->rotate(rows, dim, padded, first, count, flips, rounds, out);
    for (size_t j = 0; j < count; j++) {
      static float want[2048];
      memset(want, 0, sizeof want);
      memcpy(want, rows + (first + j) * dim, dim * sizeof(float));
      double before = 0, after = 0;
      for (size_t i = 0; i < dim; i++) before += (double)want[i] * want[i];
      plain_rotation(want, padded, flips, rounds);
      for (size_t i = 0; i < padded; i++) {
        after += (double)want[i] * want[i];
        check_bits("rotated value", j * padded + i, out[j * padded + i], want[i]);
      }
      if (before > 1e-25 && fabs(after - before) > 1e-5 * before) fail("squared length %g became %g", before, after);
    }
  }
}
