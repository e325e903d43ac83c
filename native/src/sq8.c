/* SQ8 codes and the distances estimated from them: sq8.h for rows of a matrix. */
#include "pair.h"
#include "sq8.h"

void KERNEL(sq8_distances)(drift_metric metric, const int8_t *query, const float *query_factors, const uint8_t *codes,
                           const float *factors, size_t dim, size_t first, size_t count, float *out) {
  for (size_t j = 0; j < count; j++) {
    size_t row = first + j;
    out[j] = sq8_distance(metric, query, query_factors, codes + row * dim, factors + 2 * row, dim);
  }
}

/* Rows asked for ahead: at 384 to 1536 bytes a row, about what memory delivers during its own latency. */
enum { AHEAD_ROWS = 8 };

void KERNEL(sq8_distances_gather)(drift_metric metric, const int8_t *query, const float *query_factors,
                                  const uint8_t *codes, const float *factors, size_t dim, const uint32_t *index,
                                  size_t count, float *out) {
  for (size_t j = 0; j < count && j < AHEAD_ROWS; j++) {
    prefetch(codes + (size_t)index[j] * dim, dim);
    prefetch(factors + 2 * (size_t)index[j], 1);
  }
  for (size_t j = 0; j < count; j++) {
    if (j + AHEAD_ROWS < count) {
      size_t next = index[j + AHEAD_ROWS];
      prefetch(codes + next * dim, dim);
      prefetch(factors + 2 * next, 1);
    }
    size_t row = index[j];
    out[j] = sq8_distance(metric, query, query_factors, codes + row * dim, factors + 2 * row, dim);
  }
}

void KERNEL(sq8_encode)(const float *rows, size_t dim, size_t first, size_t count, uint8_t *codes, float *factors) {
  for (size_t r = first; r < first + count; r++) {
    const float *restrict row = rows + r * dim;
    uint8_t *restrict out = codes + r * dim;
    float step = sq8_step(row, dim);
    if (step == 0) {
      memset(out, 128, dim);
    } else {
      for (size_t i = 0; i < dim; i++) out[i] = (uint8_t)(sq8_code(row[i], step) + 128);
    }
    factors[2 * r] = sq8_factor(row, dim, step);
    factors[2 * r + 1] = pair_dot(row, row, dim);
  }
}

void KERNEL(sq8_query)(const float *restrict query, size_t dim, int8_t *restrict out, float *out_factors) {
  float step = sq8_step(query, dim);
  int32_t total = 0;
  for (size_t i = 0; i < dim; i++) {
    int32_t code = step == 0 ? 0 : sq8_code(query[i], step);
    out[i] = (int8_t)code;
    total += code;
  }
  out_factors[0] = sq8_factor(query, dim, step);
  out_factors[1] = pair_dot(query, query, dim);
  out_factors[2] = (float)total;
}
