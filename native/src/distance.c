/* Distances of one query to many rows. One row at a time: from memory, several rows at once defeat the CPU's own
 * prefetcher (measured on Zen 4 at 768-d: 14-20 instead of 28-33 GB/s). */
#include "pair.h"

/* Rows asked for ahead of their use, in bytes: covers the latency of memory without flooding the fill buffers. */
enum { AHEAD_BYTES = 4096 };

void KERNEL(distances)(drift_metric metric, const float *query, const float *rows, size_t dim, size_t first,
                       size_t count, float *out) {
  const float *row = rows + first * dim;
  if (metric == DRIFT_L2) {
    for (size_t j = 0; j < count; j++, row += dim) out[j] = pair_l2(query, row, dim);
  } else {
    for (size_t j = 0; j < count; j++, row += dim) out[j] = -pair_dot(query, row, dim);
  }
}

void KERNEL(distances_gather)(drift_metric metric, const float *query, const float *rows, size_t dim,
                              const uint32_t *index, size_t count, float *out) {
  size_t row_bytes = dim * sizeof(float);
  size_t ahead = 1 + AHEAD_BYTES / row_bytes;
  for (size_t j = 0; j < count && j < ahead; j++) prefetch(rows + index[j] * dim, row_bytes);
  for (size_t j = 0; j < count; j++) {
    if (j + ahead < count) prefetch(rows + index[j + ahead] * dim, row_bytes);
    out[j] = pair_distance(metric, query, rows + index[j] * dim, dim);
  }
}
