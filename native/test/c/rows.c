/* squared_lengths and normalise: bit for bit. encode_rows: what its steps give one after the other; the exact vectors are the same bits everywhere. */
#include "harness.h"

uint32_t *sign_flips(size_t padded, size_t rounds);

/* In the order of lib/reference/rows.ts. */
static double squared_length(const float *row, size_t dim) {
  double sums[4] = {0};
  for (size_t i = 0; i < dim; i++) sums[i < dim / 4 * 4 ? i % 4 : 0] += (double)row[i] * row[i];
  return sums[0] + sums[1] + (sums[2] + sums[3]);
}

void run_squared_lengths(void) {
  size_t dim = some_dim(), count = below(6);
  float *rows = floats(count * dim, some_scale());
  inputs_end();
  double *out = memory(count * sizeof *out);
  for (const drift_kernels *k; (k = next_variant());) {
    k->squared_lengths(rows, dim, count, out);
    for (size_t j = 0; j < count; j++) {
      double wanted = squared_length(rows + j * dim, dim);
      if (memcmp(out + j, &wanted, sizeof wanted) != 0) fail("length %zu is %g, not %g", j, out[j], wanted);
    }
  }
}

/* In the order of lib/reference/rows.ts, too. */
static double unit_scale(const float *row, size_t dim) {
  double squares = squared_length(row, dim);
  return fabs(squares - 1) <= 0x1p-22 ? 1 : 1 / sqrt(squares);
}

void run_normalise(void) {
  size_t dim = some_dim(), count = below(6);
  float scale = some_scale(), *rows = floats(count * dim, scale);
  for (size_t j = 0; j < count; j++) rows[j * dim] = scale; /* no row of zeros */
  inputs_end();
  float *out = outputs(count * dim);
  for (const drift_kernels *k; (k = next_variant());) {
    k->normalise(rows, dim, count, out);
    for (size_t i = 0; i < count * dim; i++) {
      check_bits("value", i, out[i], (float)(rows[i] * unit_scale(rows + i / dim * dim, dim)));
    }
    memcpy(out, rows, 4 * count * dim);
    k->normalise(out, dim, count, out);
    for (size_t i = 0; i < count * dim; i++) {
      check_bits("value in place", i, out[i], (float)(rows[i] * unit_scale(rows + i / dim * dim, dim)));
    }
    k->normalise(out, dim, count, out);
    for (size_t i = 0; i < count * dim; i++) {
      check_bits("value scaled again", i, out[i], (float)(rows[i] * unit_scale(rows + i / dim * dim, dim)));
    }
  }
}

void run_encode_rows(void) {
  size_t dim = some_dim(), padded = (dim + 63) / 64 * 64, rounds = 1 + below(4);
  size_t given = 1 + below(5), room = 1 + below(6), count = below(room + 1);
  int is_unit = below(2) == 0;
  float scale = some_scale(), *from = floats(given * dim, scale);
  for (size_t i = 0; i < given; i++) from[i * dim] = scale; /* no row of zeros */
  uint32_t *sources = words(count, given), *flips = sign_flips(padded, rounds);
  /* Distinct places, and rows in another order. */
  uint32_t *places = words(count, 1), *rows = words(count, 1);
  for (size_t j = 0; j < count; j++) places[j] = (uint32_t)j, rows[j] = (uint32_t)(room - 1 - j);
  inputs_end();
  float *kept = outputs(room * dim), *factors = outputs(2 * room), *wanted = outputs(dim), *rotated = outputs(padded);
  uint8_t *codes = memory(room * padded), *wanted_codes = memory(padded);
  float wanted_factors[2];
  for (const drift_kernels *k; (k = next_variant());) {
    drift_scratch scratch = {0};
    if (k->encode_rows(from, dim, sources, count, is_unit, kept, places, padded, flips, rounds, rows, codes, factors,
                       &scratch) != 0) {
      fail("no memory");
    }
    for (size_t j = 0; j < count; j++) {
      const float *row = from + sources[j] * dim;
      double inverse = is_unit ? 1 / sqrt(squared_length(row, dim)) : 1;
      for (size_t i = 0; i < dim; i++) {
        wanted[i] = (float)(row[i] * inverse);
        check_bits("kept value", j * dim + i, kept[places[j] * dim + i], wanted[i]);
      }
      k->rotate(wanted, dim, padded, 0, 1, flips, rounds, rotated);
      k->sq8_encode(rotated, padded, 0, 1, wanted_codes, wanted_factors);
      for (size_t i = 0; i < padded; i++) {
        if (codes[rows[j] * padded + i] != wanted_codes[i]) fail("code %zu of row %zu", i, j);
      }
      check_bits("scale", j, factors[2 * rows[j]], wanted_factors[0]);
      check_bits("norm", j, factors[2 * rows[j] + 1], wanted_factors[1]);
    }
    drift_scratch_free(&scratch);
  }
}
