/* sq8_encode, sq8_query, sq8_distances, sq8_distances_gather: the same bits everywhere, but for the norm. */
#include "harness.h"

static float plain_scale(const float *values, size_t dim) {
  float largest = 0;
  for (size_t i = 0; i < dim; i++) largest = fmaxf(largest, fabsf(values[i]));
  return largest / 127;
}

static int plain_code(float value, float scale) {
  return scale == 0 ? 0 : (int)rintf(fminf(fmaxf(value / scale, -127), 127));
}

/* ||x||^2 / <codes, x>, with x in sixteenths of a step. */
static float plain_factor(const float *values, size_t dim, float scale) {
  int64_t squares = 0, product = 0;
  for (size_t i = 0; scale > 0 && i < dim; i++) {
    int64_t fine = (int64_t)rintf(fminf(fmaxf(values[i] / scale, -127), 127) * 16);
    squares += fine * fine;
    product += fine * plain_code(values[i], scale);
  }
  return product > 0 ? (float)(scale * ((double)squares / (16.0 * (double)product))) : scale;
}

static void check_norm(size_t at, float got, const float *values, size_t dim) {
  double norm = 0;
  for (size_t i = 0; i < dim; i++) norm += (double)values[i] * values[i];
  check_sum("norm", at, got, norm, norm, dim);
}

void run_sq8_encode(void) {
  size_t dim = some_dim(), first = below(3), count = below(16), row_count = first + count;
  float *rows = floats(row_count * dim, some_scale()), *query = floats(dim, some_scale());
  if (row_count > 0 && below(4) == 0) memset(rows + below(row_count) * dim, 0, dim * sizeof(float));
  inputs_end();
  uint8_t *codes = memory(row_count * dim);
  float *factors = outputs(2 * row_count), *query_factors = outputs(3);
  int8_t *query_codes = memory(dim);
  for (const drift_kernels *k; (k = next_variant());) {
    k->sq8_encode(rows, dim, first, count, codes, factors);
    for (size_t i = 0; i < first * dim; i++) check_equal("code before the first", i, codes[i], 0xa5);
    for (size_t r = first; r < row_count; r++) {
      float scale = plain_scale(rows + r * dim, dim);
      check_bits("scale", r, factors[2 * r], plain_factor(rows + r * dim, dim, scale));
      check_norm(r, factors[2 * r + 1], rows + r * dim, dim);
      for (size_t i = 0; i < dim; i++) {
        check_equal("code", r * dim + i, codes[r * dim + i], (uint64_t)(plain_code(rows[r * dim + i], scale) + 128));
      }
    }
    k->sq8_query(query, dim, query_codes, query_factors);
    float scale = plain_scale(query, dim);
    int sum = 0;
    for (size_t i = 0; i < dim; i++) {
      sum += query_codes[i];
      check_equal("query code", i, (uint64_t)(query_codes[i] + 128), (uint64_t)(plain_code(query[i], scale) + 128));
    }
    check_bits("query scale", 0, query_factors[0], plain_factor(query, dim, scale));
    check_norm(1, query_factors[1], query, dim);
    check_bits("query sum", 2, query_factors[2], (float)sum);
  }
}

static float plain_estimate(drift_metric metric, const int8_t *query, const float *query_factors, const uint8_t *codes,
                            const float *factors, size_t dim) {
  int64_t dot = 0;
  for (size_t i = 0; i < dim; i++) dot += (codes[i] - 128) * query[i];
  float scale = query_factors[0] * factors[0];
  float product = scale * (float)dot;
  return metric == DRIFT_L2 ? (query_factors[1] + factors[1]) - 2 * product : -product;
}

void run_sq8_distances(void) {
  size_t dim = below(64) ? some_dim() : 60000, first = below(4), count = dim > 5000 ? below(3) : below(30);
  size_t row_count = first + count;
  if (dim > 5000) first = 0, row_count = count;
  drift_metric metric = below(2) ? DRIFT_L2 : DRIFT_IP;
  int8_t *query = memory(dim);
  uint8_t *codes = bytes(row_count * dim);
  float *factors = floats(2 * row_count, 1), *query_factors = floats(3, 1);
  /* Mixed codes, and those whose sums are the largest. */
  size_t kind = below(3);
  int sum = 0;
  for (size_t i = 0; i < dim; i++) {
    query[i] = (int8_t)(kind == 0 ? (int)below(255) - 127 : kind == 1 ? 127 : -127);
    sum += query[i];
  }
  query_factors[2] = (float)sum;
  if (kind > 0) {
    for (size_t i = 0; i < row_count * dim; i++) codes[i] = codes[i] & 128 ? 255 : 0;
    if (row_count > 0) memset(codes, codes[0], dim);
  }
  uint32_t *index = words(count, row_count);
  inputs_end();
  float *out = outputs(count), *gathered = outputs(count);
  for (const drift_kernels *k; (k = next_variant());) {
    k->sq8_distances(metric, query, query_factors, codes, factors, dim, first, count, out);
    k->sq8_distances_gather(metric, query, query_factors, codes, factors, dim, index, count, gathered);
    for (size_t j = 0; j < count; j++) {
      size_t row = first + j;
      check_bits("estimate", j, out[j],
                 plain_estimate(metric, query, query_factors, codes + row * dim, factors + 2 * row, dim));
      row = index[j];
      check_bits("gathered estimate", j, gathered[j],
                 plain_estimate(metric, query, query_factors, codes + row * dim, factors + 2 * row, dim));
    }
  }
}
