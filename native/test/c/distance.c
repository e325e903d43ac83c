/* distances, distances_gather, nearest. */
#include "harness.h"

void run_distances(void) {
  size_t dim = some_dim(), first = below(4), count = below(30), row_count = first + count;
  drift_metric metric = below(2) ? DRIFT_L2 : DRIFT_IP;
  float scale = some_scale();
  float *query = floats(dim, scale), *rows = floats(row_count * dim, scale);
  if (row_count > 0 && below(16) == 0) rows[below(row_count * dim)] = NAN;
  uint32_t *index = words(count, row_count);
  inputs_end();
  float *out = outputs(count), *gathered = outputs(count);
  for (const drift_kernels *k; (k = next_variant());) {
    k->distances(metric, query, rows, dim, first, count, out);
    k->distances_gather(metric, query, rows, dim, index, count, gathered);
    for (size_t j = 0; j < count; j++) {
      double magnitude, want = plain_distance(metric, query, rows + (first + j) * dim, dim, &magnitude);
      check_sum("distance", j, out[j], want, magnitude, dim);
      want = plain_distance(metric, query, rows + index[j] * dim, dim, &magnitude);
      check_sum("gathered distance", j, gathered[j], want, magnitude, dim);
    }
  }
}

/* Ties within rounding may go either way, but equal centroids give the lowest, and the distance is the one that is written. */
void run_nearest(void) {
  size_t dim = some_dim(), row_count = 1 + below(12), count = below(14), k = 1 + below(12);
  float scale = some_scale();
  float *rows = floats(row_count * dim, scale), *centroids = floats(k * dim, scale);
  size_t copied = below(k), copy = below(k);
  if (copy > copied) memcpy(centroids + copy * dim, centroids + copied * dim, dim * sizeof(float));
  uint32_t *index = words(count, row_count);
  inputs_end();
  uint32_t *nearest = memory(count * sizeof *nearest);
  float *distance = outputs(count);
  for (const drift_kernels *kernels; (kernels = next_variant());) {
    kernels->nearest(rows, dim, index, count, centroids, k, nearest, distance);
    for (size_t j = 0; j < count; j++) {
      if (nearest[j] >= k) fail("nearest[%zu] is %u of %zu", j, nearest[j], k);
      if (copy > copied && nearest[j] == copy) fail("nearest[%zu] is %zu, a copy of %zu", j, copy, copied);
      double best = INFINITY, best_magnitude = 0, magnitude;
      for (size_t c = 0; c < k; c++) {
        double d = plain_distance(DRIFT_L2, rows + index[j] * dim, centroids + c * dim, dim, &magnitude);
        if (d < best) best = d, best_magnitude = magnitude;
      }
      double own = plain_distance(DRIFT_L2, rows + index[j] * dim, centroids + nearest[j] * dim, dim, &magnitude);
      check_sum("distance of the nearest", j, distance[j], own, magnitude, dim);
      check_sum("least distance", j, distance[j], best, best_magnitude, dim);
    }
  }
}
