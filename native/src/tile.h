/* Distances of rows to centroids in tiles of 4 rows by 2 centroids, so that a loaded vector serves several pairs. Every
 * pair is summed in the same order whatever tile it falls in, and (a, b) as (b, a), so results do not depend on the batch. */
#ifndef DRIFT_TILE_H
#define DRIFT_TILE_H

#include "isa.h"

enum { QUAD = 4, COUPLE = 2 };

/* out[r][c] = l2(rows[r], centroid c). `centroids` is a constant at each call, so the loops unroll. */
static inline __attribute__((always_inline)) void l2_tile(const float *const rows[QUAD], const float *centroid,
                                                          size_t centroids, size_t dim, float out[QUAD][COUPLE]) {
  vfloat sums[QUAD][COUPLE] = {{{0}}};
  size_t i = 0;
  for (; i + LANES <= dim; i += LANES) {
    for (size_t c = 0; c < centroids; c++) {
      vfloat y = load(centroid + c * dim + i);
      for (size_t r = 0; r < QUAD; r++) {
        vfloat d = load(rows[r] + i) - y;
        sums[r][c] += d * d;
      }
    }
  }
  for (size_t r = 0; r < QUAD; r++) {
    for (size_t c = 0; c < centroids; c++) {
      float total = sum(sums[r][c]);
      for (size_t t = i; t < dim; t++) {
        float d = rows[r][t] - centroid[c * dim + t];
        total += d * d;
      }
      out[r][c] = total;
    }
  }
}

/* out[r] = l2(a[r], b[r]), each as in l2_tile. */
static inline __attribute__((always_inline)) void l2_pairs(const float *const a[QUAD], const float *const b[QUAD],
                                                           size_t dim, float out[QUAD]) {
  vfloat sums[QUAD] = {{0}};
  size_t i = 0;
  for (; i + LANES <= dim; i += LANES) {
    for (size_t r = 0; r < QUAD; r++) {
      vfloat d = load(a[r] + i) - load(b[r] + i);
      sums[r] += d * d;
    }
  }
  for (size_t r = 0; r < QUAD; r++) {
    float total = sum(sums[r]);
    for (size_t t = i; t < dim; t++) {
      float d = a[r][t] - b[r][t];
      total += d * d;
    }
    out[r] = total;
  }
}

#endif
