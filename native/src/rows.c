/* What vectors are checked by, their lengths, and those of length 1. Then new rows in one pass each, while they are in the cache: the exact vector
 * to where it is kept, at unit length where the metric wants it, and its rotated image as SQ8. */
#include <math.h>

#include "arena.h"

void KERNEL(rotate)(const float *, size_t, size_t, size_t, size_t, const uint32_t *, size_t, float *);
void KERNEL(sq8_encode)(const float *, size_t, size_t, size_t, uint8_t *, float *);

enum { SUMS = 4 };

/* In doubles, whose products of floats are exact, and in the order of lib/reference/rows.ts: the same bits everywhere. */
static double squared_length(const float *row, size_t dim) {
  double sums[SUMS] = {0};
  size_t i = 0;
  for (; i + SUMS <= dim; i += SUMS) {
    for (size_t j = 0; j < SUMS; j++) sums[j] += (double)row[i + j] * row[i + j];
  }
  for (; i < dim; i++) sums[0] += (double)row[i] * row[i];
  return sums[0] + sums[1] + (sums[2] + sums[3]);
}

void KERNEL(squared_lengths)(const float *rows, size_t dim, size_t count, double *out) {
  for (size_t j = 0; j < count; j++) out[j] = squared_length(rows + j * dim, dim);
}

/* What rounding its values to floats does to the squared length of a unit row, at most, and as much again. */
static const double UNIT_ERROR = 0x1p-22;

/* A row of unit length stays as it is, so that scaling again changes nothing. The shortest row is 1.4e-45 long: its inverse is a double like any
 * other. */
static void unit_row(const float *row, size_t dim, float *out) {
  double squares = squared_length(row, dim), scale = fabs(squares - 1) <= UNIT_ERROR ? 1 : 1 / sqrt(squares);
  for (size_t i = 0; i < dim; i++) out[i] = (float)(row[i] * scale);
}

void KERNEL(normalise)(const float *rows, size_t dim, size_t count, float *out) {
  for (size_t j = 0; j < count; j++) unit_row(rows + j * dim, dim, out + j * dim);
}

int64_t KERNEL(encode_rows)(const float *from, size_t dim, const uint32_t *sources, size_t count, int is_unit, float *kept,
                            const uint32_t *places, size_t padded, const uint32_t *flips, size_t rounds,
                            const uint32_t *rows, uint8_t *codes, float *factors, drift_scratch *scratch) {
  arena memory;
  if (!arena_open(scratch, arena_size(4 * padded), &memory)) return DRIFT_NO_MEMORY;
  float *rotated = arena_take(&memory, 4 * padded);
  for (size_t j = 0; j < count; j++) {
    const float *row = from + sources[j] * dim;
    float *exact = kept + places[j] * dim;
    if (is_unit) unit_row(row, dim, exact);
    else memcpy(exact, row, 4 * dim);
    KERNEL(rotate)(exact, dim, padded, 0, 1, flips, rounds, rotated);
    KERNEL(sq8_encode)(rotated, padded, 0, 1, codes + rows[j] * padded, factors + 2 * rows[j]);
  }
  return 0;
}
