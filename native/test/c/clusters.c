/* What k-means calls beside `nearest`: nearest_by_heads, bit for bit what nearest gives, project, and sum_rows. */
#include "harness.h"

/* Heads are the first values of each vector, so theirs is a part of the sum; the slack pays for its rounding. */
void run_nearest_by_heads(void) {
  size_t dim = 1 + below(below(4) ? 100 : 300), head_dim = 1 + below(dim), rows_there = 1 + below(60), count = below(130);
  size_t k = 1 + below(below(2) ? 40 : 130);
  float scale = some_scale();
  float *rows = floats(rows_there * dim, scale), *centroids = floats(k * dim, scale);
  uint32_t *index = words(count, rows_there), *guess = words(count, k);
  float *heads = memory(count * head_dim * sizeof *heads), *centroid_heads = memory(k * head_dim * sizeof *heads);
  for (size_t j = 0; j < count; j++) memcpy(heads + j * head_dim, rows + index[j] * dim, head_dim * sizeof *heads);
  for (size_t c = 0; c < k; c++) memcpy(centroid_heads + c * head_dim, centroids + c * dim, head_dim * sizeof *heads);
  float slack = 1e-4f * (float)dim * scale * scale;
  inputs_end();
  uint32_t *nearest = memory(count * sizeof *nearest), *want = memory(count * sizeof *want);
  float *distance = outputs(count), *want_distance = outputs(count);
  for (const drift_kernels *kernels; (kernels = next_variant());) {
    kernels->nearest(rows, dim, index, count, centroids, k, want, want_distance);
    memcpy(nearest, guess, count * sizeof *nearest);
    int64_t compared = kernels->nearest_by_heads(rows, dim, index, count, centroids, k, heads, head_dim, centroid_heads,
                                                 slack, nearest, distance);
    if (compared < 0 || (size_t)compared > 2 * count * k) fail("%lld pairs compared", (long long)compared);
    for (size_t j = 0; j < count; j++) {
      check_equal("nearest by heads", j, nearest[j], want[j]);
      check_bits("its distance", j, distance[j], want_distance[j]);
    }
  }
}

void run_project(void) {
  size_t dim = below(4) ? 1 + below(150) : 1 + below(1100), rows_there = 1 + below(20), count = below(50), width = 1 + below(9);
  float scale = below(4) ? 1 : powf(10, (float)below(30) - 15);
  float *rows = floats(rows_there * dim, scale), *middle = floats(dim, scale), *directions = floats(width * dim, 1);
  uint32_t *index = words(count, rows_there);
  inputs_end();
  float *out = outputs(count * (width + 1));
  for (const drift_kernels *kernels; (kernels = next_variant());) {
    check_equal("project", 0, (uint64_t)kernels->project(rows, dim, index, count, middle, directions, width, out), 0);
    for (size_t j = 0; j < count; j++) {
      for (size_t b = 0; b <= width; b++) {
        double sum = 0, size = 0;
        for (size_t i = 0; i < dim; i++) {
          float gap = rows[index[j] * dim + i] - middle[i];
          double term = (double)gap * (b < width ? directions[b * dim + i] : gap);
          sum += term;
          size += fabs(term);
        }
        check_sum("projection", j * (width + 1) + b, out[j * (width + 1) + b], sum, size, dim);
      }
    }
  }
}

void run_sum_rows(void) {
  size_t dim = some_dim(), rows_there = 1 + below(20), count = below(50), groups = 1 + below(8);
  float *rows = floats(rows_there * dim, some_scale());
  uint32_t *index = words(count, rows_there), *group = words(count, groups);
  inputs_end();
  double *sums = memory(groups * dim * sizeof *sums);
  for (const drift_kernels *kernels; (kernels = next_variant());) {
    memset(sums, 0, groups * dim * sizeof *sums);
    kernels->sum_rows(rows, dim, index, group, count, sums);
    for (size_t at = 0; at < groups * dim; at++) {
      double want = 0;
      for (size_t j = 0; j < count; j++) want += group[j] == at / dim ? rows[index[j] * dim + at % dim] : 0.0f;
      if (sums[at] != want) fail("sum %zu is %g, expected %g", at, sums[at], want);
    }
  }
}
